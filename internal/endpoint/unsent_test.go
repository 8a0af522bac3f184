package endpoint_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/netoauth/netoauth/internal/endpoint"
	"golang.org/x/oauth2"
)

// failure returns the error of a request to rawURL with a client.
func failure(t *testing.T, client *http.Client, rawURL string) error {
	t.Helper()
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, client)
	_, err := endpoint.Post(ctx, endpoint.Request{URL: rawURL})
	if err == nil {
		t.Fatal("no error")
	}
	return err
}

// A listener that accepts no connection stands for a host that does not answer.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func TestUnsent_whereThereWasNoConnection(t *testing.T) {
	drop := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	hang := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	plain, hanging := httptest.NewServer(drop), httptest.NewServer(hang)
	secure := httptest.NewUnstartedServer(drop)
	secure.Config.ErrorLog = nil
	secure.StartTLS()
	proxy := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(func() {
		plain.Close()
		secure.Close()
		proxy.Close()
		hanging.CloseClientConnections()
		hanging.Close()
	})
	through := func(raw string) *http.Transport {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Transport{Proxy: http.ProxyURL(u), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	}
	failing := func(err error) http.RoundTripper {
		return network(func(*http.Request) (*http.Response, error) { return nil, err })
	}
	noDialer := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no route")
	}}
	slow := &http.Transport{TLSHandshakeTimeout: 50 * time.Millisecond}
	for _, tt := range []struct {
		name   string
		client *http.Client
		url    string
		want   bool
	}{
		{"nobody listens", &http.Client{}, "http://127.0.0.1:1", true},
		{"a dialer that fails", &http.Client{Transport: noDialer}, "https://api.test", true},
		{"a certificate that is not trusted", &http.Client{}, secure.URL, true},
		{"no TLS where some is expected", &http.Client{}, "https" + plain.URL[len("http"):], true},
		{"a handshake that takes long", &http.Client{Transport: slow}, "https://" + silent(t), true},
		{"time over before the handshake", &http.Client{Transport: &http.Transport{}, Timeout: 50 * time.Millisecond},
			"https://" + silent(t), true},
		{"a proxy that refuses", &http.Client{Transport: through(proxy.URL)}, secure.URL, true},
		{"a proxy that is not there", &http.Client{Transport: through("http://127.0.0.1:1")}, plain.URL, true},
		{"another transport, no dial", &http.Client{Transport: failing(&net.OpError{Op: "dial", Err: errors.New("x")})},
			"https://api.test", true},
		{"another transport, no name", &http.Client{Transport: failing(&net.DNSError{Err: "no such host"})},
			"https://api.test", true},

		{"dropped", &http.Client{}, plain.URL, false},
		{"dropped over TLS", secure.Client(), secure.URL, false},
		{"no answer in time", &http.Client{Timeout: 50 * time.Millisecond}, hanging.URL, false},
		{"another transport, reset", &http.Client{Transport: failing(&net.OpError{Op: "read", Err: errors.New("x")})},
			"https://api.test", false},
		{"another transport, who knows", &http.Client{Transport: failing(io.ErrUnexpectedEOF)}, "https://api.test", false},
	} {
		err := failure(t, tt.client, tt.url)
		diff(t, tt.name+": "+err.Error(), tt.want, endpoint.Unsent(err))
	}
}

// Of a client's own timeout, as of any other.
func TestPost_timeIsOverByTheClientsTimeout(t *testing.T) {
	hang := network(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, errors.New("gone")
	})
	err := failure(t, &http.Client{Transport: hang, Timeout: 50 * time.Millisecond}, "https://api.test")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want context.DeadlineExceeded in it", err)
	}
}
