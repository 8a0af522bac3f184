// Package network_test runs netoauth over real sockets on the loopback interface, where connections are refused,
// stall and break. The tests wait for events, never for a time; guard is only there for what hangs.
package network_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

const (
	guard    = 20 * time.Second
	patience = 200 * time.Millisecond // the http.Client.Timeout of callers that do not wait long
	listPath = "/api/v1/ip/list"
)

// protocols are the ways to a site, with what resp.Proto says.
var protocols = []struct {
	proto string
	start func(*httptest.Server)
}{
	{"HTTP/1.1", (*httptest.Server).StartTLS},
	{"HTTP/2.0", func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() }},
}

// site is an API behind sockets of the test's own.
type site struct {
	*netoauthtest.Server
	url       string
	front     *httptest.Server
	transport *http.Transport
	key       *netoauth.APIKey
	issued    chan string // access tokens, from OnToken

	tokenRequests atomic.Int32
	inFront       atomic.Pointer[http.HandlerFunc] // answers token requests in the site's place, if set
}

// newSite starts a site. Its handlers are those of the embedded Server.
func newSite(t *testing.T, start func(*httptest.Server)) *site {
	t.Helper()
	s := &site{Server: netoauthtest.NewServer(), issued: make(chan string, 100)}
	t.Cleanup(s.Server.Close)
	s.Handle("GET "+listPath, netoauthtest.Answer(200, "application/json", `["192.0.2.7"]`))
	s.front = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/auth/") {
			s.tokenRequests.Add(1)
			if h := s.inFront.Load(); h != nil {
				(*h)(w, r)
				return
			}
		}
		s.ServeHTTP(w, r)
	}))
	s.front.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	s.front.Config.ErrorLog = quiet
	start(s.front)
	t.Cleanup(s.close)
	s.url = s.front.URL
	s.transport = s.front.Client().Transport.(*http.Transport)
	t.Cleanup(s.transport.CloseIdleConnections)

	key, err := netoauth.ParseAPIKey(s.Netosecret)
	if err != nil {
		t.Fatal(err)
	}
	key.URL = s.url
	key.OnToken = func(tok *oauth2.Token) { s.issued <- tok.AccessToken }
	s.key = key
	return s
}

func (s *site) close() {
	s.front.CloseClientConnections()
	s.front.Close()
}

// client returns one for the site's API, with a Timeout that covers its token requests as well.
func (s *site) client(t *testing.T, timeout time.Duration) *http.Client {
	return s.key.Client(s.context(t, timeout))
}

func (s *site) context(t *testing.T, timeout time.Duration) context.Context {
	return context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: s.transport, Timeout: timeout})
}

type connKey struct{}

// reset breaks the connection of r, which its peer sees as ECONNRESET.
func reset(r *http.Request) {
	c := r.Context().Value(connKey{}).(net.Conn)
	if wrapped, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = wrapped.NetConn()
	}
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// get calls the API and returns the answer's status and protocol.
func get(t *testing.T, client *http.Client, url string) (status int, proto string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Error(err)
		return 0, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Proto, err
}

func mustGet(t *testing.T, client *http.Client, url string) {
	t.Helper()
	if status, _, err := get(t, client, url); status != http.StatusOK || err != nil {
		t.Errorf("status %d, error %v; want 200", status, err)
	}
}

// checkTimeout checks what an http.Client says when its Timeout is over.
func checkTimeout(t *testing.T, start time.Time, err error) {
	t.Helper()
	var netErr net.Error
	if !errors.As(err, &netErr) || !netErr.Timeout() || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want a timeout", err)
	}
	if took := time.Since(start); took > guard/2 {
		t.Errorf("the timeout of %v took %v", patience, took)
	}
}

// leavesNothingBehind checks, when t and its subtests are over, that no goroutine is left that was not there.
func leavesNothingBehind(t *testing.T) {
	t.Helper()
	before := stacks()
	t.Cleanup(func() {
		var left []string
		for end := time.Now().Add(guard); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			left = nil
			for id, stack := range stacks() {
				if _, old := before[id]; !old {
					left = append(left, stack)
				}
			}
			if left == nil {
				return
			}
		}
		t.Errorf("goroutines left behind:\n%s", strings.Join(left, "\n\n"))
	})
}

// stacks returns all goroutines but the caller's, by "goroutine N".
func stacks() map[string]string {
	buf := make([]byte, 8<<20)
	buf = buf[:runtime.Stack(buf, true)]
	all := make(map[string]string)
	for _, stack := range strings.Split(string(buf), "\n\n")[1:] {
		id, _, _ := strings.Cut(stack, " [")
		all[id] = stack
	}
	return all
}

// proxy is a forward proxy that knows CONNECT alone and has troubles.
type proxy struct {
	*httptest.Server
	connects atomic.Int32
	tunnel   atomic.Pointer[http.HandlerFunc] // in the place of pass, if set

	mu    sync.Mutex
	conns []net.Conn
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	p := new(proxy)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		p.connects.Add(1)
		if h := p.tunnel.Load(); h != nil {
			(*h)(w, r)
			return
		}
		p.pass(w, r)
	}))
	t.Cleanup(p.Close)
	t.Cleanup(p.die)
	return p
}

// through makes the site's requests go through p.
func (p *proxy) through(t *testing.T, s *site) {
	t.Helper()
	u, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	s.transport.Proxy = http.ProxyURL(u)
}

// open answers a CONNECT with 200 and returns the connection to the client.
func (p *proxy) open(w http.ResponseWriter) (net.Conn, error) {
	down, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.conns = append(p.conns, down)
	p.mu.Unlock()
	_, err = io.WriteString(down, "HTTP/1.1 200 OK\r\n\r\n")
	return down, err
}

func (p *proxy) pass(w http.ResponseWriter, r *http.Request) {
	up, err := net.Dial("tcp", r.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer up.Close()
	down, err := p.open(w)
	if err != nil {
		return
	}
	go func() {
		io.Copy(up, down)
		up.Close()
	}()
	io.Copy(down, up)
	down.Close()
}

// die breaks all tunnels.
func (p *proxy) die() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}
