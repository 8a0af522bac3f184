package network_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
)

func TestTLS_withBothProtocols(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.proto, func(t *testing.T) {
			leavesNothingBehind(t)
			s := newSite(t, p.start)
			client := s.client(t, guard)
			for range 2 {
				status, proto, err := get(t, client, s.url+listPath)
				if status != http.StatusOK || proto != p.proto || err != nil {
					t.Errorf("status %d, %s, error %v; want 200, %s", status, proto, err, p.proto)
				}
			}
			if n := s.Requests(""); n != 1 {
				t.Errorf("%d log-ins, want 1", n)
			}
		})
	}
}

// onlyReader hides everything but Read, so that http.NewRequest knows no GetBody.
type onlyReader struct{ io.Reader }

func TestReplay_needsTheBodyOnceMore(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for _, c := range []struct {
		name   string
		method string
		body   func() io.Reader
		sent   string
		want   int
	}{
		{"no body", "GET", func() io.Reader { return nil }, "", 200},
		{"small body with GetBody", "POST", func() io.Reader { return strings.NewReader("label") }, "label", 200},
		{"large body with GetBody", "POST", func() io.Reader { return bytes.NewReader(large) }, string(large), 200},
		{"small body without GetBody", "POST", func() io.Reader { return onlyReader{strings.NewReader("label")} }, "label", 401},
	} {
		for _, p := range protocols {
			t.Run(c.name+"/"+p.proto, func(t *testing.T) {
				leavesNothingBehind(t)
				s := newSite(t, p.start)
				var mu sync.Mutex
				var accepted [][32]byte
				s.Handle("/labels", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					accepted = append(accepted, sha256.Sum256(body))
				}))
				client := s.client(t, guard)
				send := func() int {
					req, err := http.NewRequestWithContext(t.Context(), c.method, s.url+"/labels", c.body())
					if err != nil {
						t.Fatal(err)
					}
					resp, err := client.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					defer resp.Body.Close()
					if _, err := io.Copy(io.Discard, resp.Body); err != nil {
						t.Error(err)
					}
					if resp.Proto != p.proto {
						t.Errorf("protocol %s", resp.Proto)
					}
					return resp.StatusCode
				}

				mustGet(t, client, s.url+listPath)
				s.RevokeAccessTokens()
				refused := send()
				// Where the body cannot be had again, the request has not waited for the renewal that it started.
				if err := netoauth.Wait(t.Context(), client.Transport.(*netoauth.Transport).Source); err != nil {
					t.Fatal(err)
				}
				got := []int{refused, send()}
				if diff := cmp.Diff([]int{c.want, 200}, got); diff != "" {
					t.Errorf("statuses, refused and next (-want +got):\n%s", diff)
				}
				whole := sha256.Sum256([]byte(c.sent))
				want := [][32]byte{whole, whole}
				if c.want != 200 {
					want = want[:1]
				}
				if diff := cmp.Diff(want, accepted); diff != "" {
					t.Errorf("bodies that the handler saw (-want +got):\n%s", diff)
				}
				if logins, refreshes := s.Requests(netoauthtest.APIKeyPath), s.Requests(netoauthtest.RefreshPath); logins != 1 || refreshes != 1 {
					t.Errorf("%d log-ins and %d refreshes, want 1 and 1", logins, refreshes)
				}
			})
		}
	}
}

func TestReplay_survivesARestartOfTheServer(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.proto, func(t *testing.T) {
			leavesNothingBehind(t)
			s := newSite(t, p.start)
			open := newOpenConns(s.transport)
			client := s.client(t, guard)
			mustGet(t, client, s.url+listPath)
			mustGet(t, client, s.url+listPath)
			if dialed, _ := open.counts(); dialed != 1 {
				t.Errorf("%d connections for a log-in and two calls, want 1", dialed)
			}

			s.restart(t, p.start)
			open.none(t) // the client has noticed, else a request may fall between
			mustGet(t, client, s.url+listPath)
			if n := s.Requests(""); n != 1 {
				t.Errorf("%d log-ins, want 1", n)
			}

			s.restart(t, p.start)
			open.none(t)
			s.RevokeAccessTokens()
			mustGet(t, client, s.url+listPath)
			if n := s.Requests(netoauthtest.RefreshPath); n != 1 {
				t.Errorf("%d refreshes, want 1", n)
			}

			// A log-in that finds the server gone is tried again, so this one needs no look at the connections.
			fresh := s.client(t, guard)
			s.restart(t, p.start)
			mustGet(t, fresh, s.url+listPath)
		})
	}
}

// restart stops the site's server and starts another on the same port.
func (s *site) restart(t *testing.T, start func(*httptest.Server)) {
	t.Helper()
	config, address := s.front.Config, s.front.Listener.Addr().String()
	s.close()
	again := httptest.NewUnstartedServer(config.Handler)
	again.Config.ConnContext, again.Config.ErrorLog = config.ConnContext, config.ErrorLog
	again.Listener.Close()
	var err error
	if again.Listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	start(again)
	s.front = again
}

// openConns counts a transport's connections.
type openConns struct {
	mu           sync.Mutex
	dialed, open int
	changed      chan struct{}
}

func newOpenConns(transport *http.Transport) *openConns {
	o := &openConns{changed: make(chan struct{}, 1)}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		o.add(1, 1)
		return &countedConn{Conn: c, closed: func() { o.add(0, -1) }}, nil
	}
	return o
}

func (o *openConns) add(dialed, open int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dialed += dialed
	o.open += open
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

func (o *openConns) counts() (dialed, open int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dialed, o.open
}

// none waits until no connection is open.
func (o *openConns) none(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	for {
		if _, open := o.counts(); open == 0 {
			return
		}
		select {
		case <-o.changed:
		case <-ctx.Done():
			t.Fatal("the client keeps connections to a server that is gone")
		}
	}
}

type countedConn struct {
	net.Conn
	once   sync.Once
	closed func()
}

func (c *countedConn) Close() error {
	c.once.Do(c.closed)
	return c.Conn.Close()
}
