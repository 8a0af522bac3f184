package endpoint_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"

	"github.com/netoauth/netoauth/internal/endpoint"
	"golang.org/x/oauth2"
)

// listen returns the address of a server that hands each connection to serve, and closes it then.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			conn.Close()
		}
	}()
	return l.Addr().String()
}

// refusing returns an address that refuses connections.
func refusing(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// h2Server starts a server that answers no request over HTTP/2, and returns a client that trusts it.
func h2Server(t *testing.T) (string, *http.Transport) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.URL, srv.Client().Transport.(*http.Transport)
}

// Over a real network: a refresh token is certainly unused where nothing was connected to.
func TestUnsent_holdsWhereThereWasNoConnection(t *testing.T) {
	readRequest := func(conn net.Conn) { http.ReadRequest(bufio.NewReader(conn)) }
	silent := func(net.Conn) {}
	refuse := func(conn net.Conn) {
		readRequest(conn)
		io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
	}
	via := func(address string) *http.Transport {
		return &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: address})}
	}
	unknown := &net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no resolver")
	}}}
	h2, trusting := h2Server(t)
	trustingNobody := &tls.Config{RootCAs: x509.NewCertPool()} // nor what the system trusts, which differs
	for _, tt := range []struct {
		name, url string
		rt        *http.Transport
		want      bool
	}{
		{"refused", "http://" + refusing(t), &http.Transport{}, true},
		{"no such host", "http://host.test", &http.Transport{DialContext: unknown.DialContext}, true},
		{"TLS from a stranger", h2, &http.Transport{TLSClientConfig: trustingNobody}, true},
		{"no TLS", "https://" + listen(t, silent), &http.Transport{}, true},
		{"proxy refused", "https://api.test", via(refusing(t)), true},
		{"CONNECT refused", "https://api.test", via(listen(t, refuse)), true},
		{"CONNECT not answered", "https://api.test", via(listen(t, readRequest)), true},

		{"not answered", "http://" + listen(t, readRequest), &http.Transport{}, false},
		{"not answered over HTTP/2", h2, trusting, false},
		{"closed at once", "http://" + listen(t, silent), &http.Transport{}, false},
		{"proxy that does not answer", "http://api.test", via(listen(t, readRequest)), false},
	} {
		t.Cleanup(tt.rt.CloseIdleConnections)
		ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: tt.rt})
		_, err := endpoint.Post(ctx, endpoint.Request{URL: tt.url, Body: "a=b"})
		if err == nil || endpoint.Unsent(err) != tt.want {
			t.Errorf("%s: Unsent(%v) is %t", tt.name, err, !tt.want)
		}
		if wrapped := fmt.Errorf("exchange: %w", err); endpoint.Unsent(wrapped) != tt.want {
			t.Errorf("%s: not found in an error around it", tt.name)
		}
	}
}

func TestUnsent_holdsWhereTheContextEndsBeforeTheConnectionIsThere(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	rt := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: rt})
	_, err := endpoint.Post(ctx, endpoint.Request{URL: "http://api.test"})
	if !errors.Is(err, context.Canceled) || !endpoint.Unsent(err) {
		t.Errorf("%v, want canceled and unsent", err)
	}
}

// A RoundTripper may try several times, and tell of it; or tell nothing but an error.
func TestUnsent_isFalseInDoubt(t *testing.T) {
	dial := &net.OpError{Op: "dial", Err: errors.New("refused")}
	for _, tt := range []struct {
		name   string
		traced string // the events: a connection is wanted, got, and the header written
		err    error
		want   bool
	}{
		{"dial", "", dial, true},
		{"dial of the proxy", "", &net.OpError{Op: "proxyconnect", Err: errors.New("refused")}, true},
		{"DNS", "", &net.DNSError{}, true},
		{"a stranger's certificate", "", &tls.CertificateVerificationError{Err: errors.New("else")}, true},
		{"unknown authority", "", x509.UnknownAuthorityError{}, true},
		{"another host's certificate", "", x509.HostnameError{Certificate: new(x509.Certificate)}, true},
		{"expired certificate", "", x509.CertificateInvalidError{}, true},
		{"wrapped", "", fmt.Errorf("tried: %w", dial), true},

		{"read", "", &net.OpError{Op: "read", Err: errors.New("reset")}, false},
		{"write", "", &net.OpError{Op: "write", Err: errors.New("broken")}, false},
		{"an alert of TLS, perhaps after the request", "", tls.AlertError(42), false},
		{"a broken record of TLS, perhaps after the request", "", tls.RecordHeaderError{}, false},
		{"anything else", "", errors.New("else"), false},
		{"time-out", "", context.DeadlineExceeded, false},

		{"a connection wanted", "w", errors.New("else"), true},
		{"wanted twice", "ww", errors.New("else"), true},
		{"and there", "wg", errors.New("else"), false},
		{"there, and then not dialed again", "wgw", dial, false},
		{"written, by one that tells nothing of connections", "h", dial, false},
	} {
		ctx := over(t.Context(), func(r *http.Request) (*http.Response, error) {
			trace := httptrace.ContextClientTrace(r.Context())
			for _, event := range tt.traced {
				switch event {
				case 'w':
					trace.GetConn("api.test:443")
				case 'g':
					trace.GotConn(httptrace.GotConnInfo{})
				case 'h':
					trace.WroteHeaders()
				}
			}
			return nil, tt.err
		})
		_, err := endpoint.Post(ctx, endpoint.Request{URL: tokenURL})
		if endpoint.Unsent(err) != tt.want {
			t.Errorf("%s: Unsent(%v) is %t", tt.name, err, !tt.want)
		}
		if !errors.Is(err, tt.err) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q, want %v in it and one line", tt.name, err, tt.err)
		}
	}
	if _, err := endpoint.Post(t.Context(), endpoint.Request{URL: "https://api.test/\x7f"}); !endpoint.Unsent(err) {
		t.Errorf("not a URL: Unsent(%v) is false", err)
	}
	if endpoint.Unsent(nil) || endpoint.Unsent(dial) {
		t.Error("an error from elsewhere is unsent")
	}
}
