package netoauthtest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netoauth/netoauth/netoauthtest"
)

// spyBody is a request body that knows how often it was closed.
type spyBody struct {
	io.Reader
	closed int
}

func (b *spyBody) Close() error { b.closed++; return nil }

func TestInProcessRequestLooksLikeOneFromTheNetwork(t *testing.T) {
	type seen struct {
		Method, URL, RequestURI, Host, Proto, RemoteAddr, Header, Body string
		ContentLength                                                  int64
	}
	for _, tt := range []struct {
		name string
		req  func() *http.Request
		want seen
	}{
		{"GET", func() *http.Request {
			r, _ := http.NewRequest("", "https://api.example.com:8443/any/a%2Fb?q=1#fragment", nil)
			return r
		}, seen{"GET", "/any/a%2Fb?q=1", "/any/a%2Fb?q=1", "api.example.com:8443", "HTTP/1.1", "192.0.2.1:1234", "", "", 0}},
		{"request made by hand", func() *http.Request {
			return &http.Request{URL: &url.URL{Scheme: "http", Host: "a", Path: "/b"}, Header: http.Header{}}
		}, seen{"GET", "/b", "/b", "a", "HTTP/1.1", "192.0.2.1:1234", "", "", 0}},
		{"POST", func() *http.Request {
			r, _ := http.NewRequest("POST", "http://a/", strings.NewReader("body"))
			r.Header.Set("X-Test", "1")
			r.Host = "b"
			return r
		}, seen{"POST", "/", "/", "b", "HTTP/1.1", "192.0.2.1:1234", "1", "body", 4}},
		{"POST of unknown length", func() *http.Request {
			r, _ := http.NewRequest("POST", "http://a", io.LimitReader(strings.NewReader("body"), 4))
			return r
		}, seen{"POST", "/", "/", "a", "HTTP/1.1", "192.0.2.1:1234", "", "body", -1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := newServer(t)
			var got seen
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				got = seen{r.Method, r.URL.String(), r.RequestURI, r.Host, r.Proto, r.RemoteAddr, r.Header.Get("X-Test"), string(body), r.ContentLength}
				r.Header.Set("X-Test", "changed by the handler")
			})
			srv.Handle("/", handler)
			req := tt.req()
			req.Header.Set("Authorization", "Bearer "+logIn(t, srv, srv.InProcess()).AccessToken)
			resp, err := srv.InProcess().Transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			if req.Header.Get("X-Test") == "changed by the handler" {
				t.Error("the handler changed the client's request")
			}
			if resp.Request != req {
				t.Error("the response does not name its request")
			}
		})
	}
}

func TestInProcessAnswer(t *testing.T) {
	type result struct {
		Status        string
		Proto         string
		ContentLength int64
		Body          string
	}
	for _, tt := range []struct {
		name, method string
		handler      http.Handler
		want         result
	}{
		{"body", "GET", netoauthtest.Answer(201, "", "made"), result{"201 Created", "HTTP/1.1", 4, "made"}},
		{"nothing written", "GET", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), result{"200 OK", "HTTP/1.1", 0, ""}},
		{"no content", "GET", netoauthtest.Answer(204, "", "ignored"), result{"204 No Content", "HTTP/1.1", 0, ""}},
		{"HEAD", "HEAD", netoauthtest.Answer(200, "", "ignored"), result{"200 OK", "HTTP/1.1", -1, ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := newServer(t)
			srv.Handle("/answer", tt.handler)
			req, err := http.NewRequest(tt.method, srv.URL+"/answer", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+logIn(t, srv, srv.InProcess()).AccessToken)
			resp, err := srv.InProcess().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, result{resp.Status, resp.Proto, resp.ContentLength, string(body)}); diff != "" {
				t.Errorf("response (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInProcessClosesTheBodyOnEveryPath(t *testing.T) {
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, tt := range []struct {
		name     string
		ctx      context.Context // of the request; nil: one that ends after a second
		fault    http.Handler
		err      error
		requests int
	}{
		{"answer", nil, nil, nil, 1},
		{"handler that reads nothing", nil, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), nil, 1},
		{"handler that closes it", nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { r.Body.Close() }), nil, 1},
		{"dropped connection", nil, netoauthtest.Drop(), io.EOF, 1},
		{"handler that ends its goroutine", nil, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runtime.Goexit() }), io.EOF, 1},
		{"client that gives up", nil, netoauthtest.Hang(), context.DeadlineExceeded, 1},
		{"context over before", canceled, nil, context.Canceled, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, srv *netoauthtest.Server, c *http.Client) {
				srv.Fail(1, tt.fault)
				ctx := tt.ctx
				if ctx == nil {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(t.Context(), time.Second)
					defer cancel()
				}
				body := &spyBody{Reader: strings.NewReader("username=a&password=b")}
				req, err := http.NewRequestWithContext(ctx, "POST", srv.URL+netoauthtest.PasswordPath, body)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := c.Transport.RoundTrip(req)
				if !errors.Is(err, tt.err) {
					t.Errorf("error %v, want %v", err, tt.err)
				}
				if err == nil {
					resp.Body.Close()
				}
				synctest.Wait()
				if body.closed != 1 {
					t.Errorf("body closed %d times, want once", body.closed)
				}
				if n := srv.Requests(""); n != tt.requests {
					t.Errorf("%d requests reached the server, want %d", n, tt.requests)
				}
			})
		})
	}
}

// A body that never comes to an end must not keep the client, nor the handler
// that reads it, for ever.
func TestInProcessGivesUpWhileABodyIsOnItsWay(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, srv *netoauthtest.Server, c *http.Client) {
		body, writer := io.Pipe()
		defer writer.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "POST", srv.URL+netoauthtest.PasswordPath, body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Do(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
		}
	})
}

func TestInProcessErrorIsTheCauseOfTheContext(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, srv *netoauthtest.Server, c *http.Client) {
		srv.Fail(1, netoauthtest.Hang())
		want := errors.New("the test has seen enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(want) })
		_, err := c.Do(newRequest(t, srv, netoauthtest.RefreshPath, formType, refreshBody("x")).WithContext(ctx))
		if !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
	})
}

func TestInProcessClientTimeout(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, srv *netoauthtest.Server, c *http.Client) {
		srv.Delay(time.Hour)
		c.Timeout = 30 * time.Second
		start := time.Now()
		_, err := c.Do(newRequest(t, srv, netoauthtest.PasswordPath, formType, passwordBody(srv)))
		var timeout interface{ Timeout() bool }
		if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(start) != c.Timeout {
			t.Errorf("error %v after %v, want a time-out after %v", err, time.Since(start), c.Timeout)
		}
	})
}
