package compose_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
)

// A forward proxy and a private CA are settings of the transport in the client in ctx, which the token
// requests and the API calls share: both go through the proxy and trust the CA.
func Example_proxyAndPrivateCA() {
	srv := netoauthtest.NewTLSServer()
	defer srv.Close()
	srv.Handle("GET "+listPath, netoauthtest.Answer(200, "application/json", `["192.0.2.7"]`))
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		fmt.Println(err)
		return
	}
	proxy, tunnels := newProxy()
	defer proxy.Close()

	proxyURL, err := url.Parse(proxy.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := key.Client(with(&http.Client{Transport: &http.Transport{
		Proxy:             http.ProxyURL(proxyURL),
		TLSClientConfig:   &tls.Config{RootCAs: privateCA(srv)},
		DisableKeepAlives: true, // a tunnel for each request, so that they can be counted
	}}))

	fmt.Println(list(client, srv), list(client, srv))
	fmt.Println("tunnels:", tunnels.Load(), "of them for tokens:", srv.Requests(""))
	// Output:
	// 200 200
	// tunnels: 3 of them for tokens: 1
}

func TestClient_trustsAPrivateCAOfTheContextAlone(t *testing.T) {
	srv := netoauthtest.NewTLSServer()
	defer srv.Close()
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key.Token(t.Context()); err == nil || srv.Requests("") != 0 {
		t.Errorf("error %v and %d token requests; want an error before any", err, srv.Requests(""))
	}
}

func privateCA(srv *netoauthtest.Server) *x509.CertPool {
	return srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
}

// newProxy starts a forward proxy that knows CONNECT alone, and counts the tunnels.
func newProxy() (*httptest.Server, *atomic.Int32) {
	tunnels := new(atomic.Int32)
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		up, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		down, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			up.Close()
			return
		}
		tunnels.Add(1)
		io.WriteString(down, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			io.Copy(up, down)
			up.Close()
		}()
		io.Copy(down, up)
		down.Close()
	})), tunnels
}
