package netoauthtest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
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

func TestInProcess_requestLooksLikeOneFromTheNetwork(t *testing.T) {
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
		}, seen{
			"GET", "/any/a%2Fb?q=1", "/any/a%2Fb?q=1", "api.example.com:8443", "HTTP/1.1", "192.0.2.1:1234",
			"", "", 0,
		}},
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
				got = seen{
					r.Method, r.URL.String(), r.RequestURI, r.Host, r.Proto, r.RemoteAddr,
					r.Header.Get("X-Test"), string(body), r.ContentLength,
				}
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

func TestInProcess_response(t *testing.T) {
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
		{
			"nothing written", "GET", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
			result{"200 OK", "HTTP/1.1", 0, ""},
		},
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
			got := result{resp.Status, resp.Proto, resp.ContentLength, string(body)}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("response (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInProcess_closesTheBodyOnEveryPath(t *testing.T) {
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	handler := func(do func(*http.Request)) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { do(r) })
	}
	for _, tt := range []struct {
		name     string
		ctx      context.Context // of the request; nil: one that ends after a second
		fault    http.Handler
		err      error
		requests int
	}{
		{"answer", nil, nil, nil, 1},
		{"handler that reads nothing", nil, handler(func(*http.Request) {}), nil, 1},
		{"handler that closes it", nil, handler(func(r *http.Request) { r.Body.Close() }), nil, 1},
		{"dropped connection", nil, netoauthtest.Drop(), io.EOF, 1},
		{"handler that ends its goroutine", nil, handler(func(*http.Request) { runtime.Goexit() }), io.EOF, 1},
		{"client that gives up", nil, netoauthtest.Hang(), context.DeadlineExceeded, 1},
		{"context over before", canceled, nil, context.Canceled, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, srv *server, c *http.Client) {
				srv.Fail(1, tt.fault)
				ctx := tt.ctx
				if ctx == nil {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(t.Context(), time.Second)
					defer cancel()
				}
				body := &spyBody{Reader: strings.NewReader("username=a&password=b")}
				req, err := http.NewRequestWithContext(ctx, "POST", srv.URL+passwordPath, body)
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

// dripBody gives a byte a second, without end and even after Close. It counts the Reads that begin
// after that.
type dripBody struct {
	mu     sync.Mutex
	closed bool
	late   int
}

func (b *dripBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.closed {
		b.late++
	}
	b.mu.Unlock()
	time.Sleep(time.Second)
	return copy(p, "x"), nil
}

func (b *dripBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

func (b *dripBody) check(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed || b.late > 0 {
		t.Errorf("body closed: %t, and then %d Reads", b.closed, b.late)
	}
}

// Once RoundTrip has closed a body it is the client's again, for instance to send it once more.
func TestInProcess_handlerReadsNothingOfAClosedBody(t *testing.T) {
	read := func(r *http.Request) error {
		_, err := io.Copy(io.Discard, r.Body)
		return err
	}
	for _, tt := range []struct {
		name    string
		handler func(r *http.Request, result chan<- error) // sends what its Read came to
	}{
		{"the client gives up while the handler reads", func(r *http.Request, result chan<- error) {
			result <- read(r)
		}},
		{"the handler reads after the client gave up", func(r *http.Request, result chan<- error) {
			<-r.Context().Done()
			time.Sleep(time.Minute)
			result <- read(r)
		}},
		{"the handler closed it", func(r *http.Request, result chan<- error) {
			r.Body.Close()
			result <- read(r)
		}},
		{"a goroutine outlives the handler", func(r *http.Request, result chan<- error) {
			go func() { result <- read(r) }()
			time.Sleep(time.Second / 2)
		}},
		{"a goroutine reads after the handler's end", func(r *http.Request, result chan<- error) {
			time.AfterFunc(time.Minute, func() { result <- read(r) })
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, srv *server, c *http.Client) {
				result := make(chan error, 1)
				srv.Handle("/upload", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					tt.handler(r, result)
				}))
				ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
				defer cancel()
				body := new(dripBody)
				req, err := http.NewRequestWithContext(ctx, "POST", srv.URL+"/upload", body)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+logIn(t, srv, c).AccessToken)
				if resp, err := c.Transport.RoundTrip(req); err == nil {
					resp.Body.Close()
				}
				select {
				case err := <-result:
					if err != http.ErrBodyReadAfterClose {
						t.Errorf("error of the handler's Read: %v, want %v", err, http.ErrBodyReadAfterClose)
					}
				case <-time.After(time.Hour):
					t.Error("the handler still reads after an hour")
				}
				body.check(t)
			})
		})
	}
}

func TestInProcess_tokenEndpointReadsNothingOfAClosedBody(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, srv *server, c *http.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		body := new(dripBody)
		req, err := http.NewRequestWithContext(ctx, "POST", srv.URL+passwordPath, body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Do(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
		}
		time.Sleep(time.Hour)
		body.check(t)
	})
}

// endless is a body that comes to no end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// For the race detector, which sees less in a bubble, where the passing of time puts things in an
// order.
func TestInProcess_closeMayMeetARead(t *testing.T) {
	srv := newServer(t)
	reading, result := make(chan bool), make(chan error)
	srv.Handle("/upload", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		r.Body.Read(make([]byte, 1))
		reading <- true
		_, err := io.Copy(io.Discard, r.Body)
		result <- err
	}))
	authorization := "Bearer " + logIn(t, srv, srv.InProcess()).AccessToken
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, "POST", srv.URL+"/upload", endless{})
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", authorization)
		go func() {
			<-reading
			cancel()
		}()
		if _, err := srv.InProcess().Do(req); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want %v", err, context.Canceled)
		}
		if err := <-result; err != http.ErrBodyReadAfterClose {
			t.Errorf("error of the handler's Read: %v, want %v", err, http.ErrBodyReadAfterClose)
		}
	}
}

// A body that never comes to an end must not keep the client, nor the handler that reads it, for
// ever.
func TestInProcess_givesUpWhileABodyIsOnItsWay(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, srv *server, c *http.Client) {
		body, writer := io.Pipe()
		defer writer.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "POST", srv.URL+passwordPath, body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Do(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
		}
	})
}

func TestInProcess_errorIsTheCauseOfTheContext(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, srv *server, c *http.Client) {
		srv.Fail(1, netoauthtest.Hang())
		want := errors.New("the test has seen enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(want) })
		_, err := c.Do(refreshRequest(t, srv, "x").WithContext(ctx))
		if !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
	})
}

func TestInProcess_clientTimeout(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, srv *server, c *http.Client) {
		srv.Delay(time.Hour)
		c.Timeout = 30 * time.Second
		start := time.Now()
		_, err := c.Do(passwordRequest(t, srv))
		var timeout interface{ Timeout() bool }
		if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(start) != c.Timeout {
			t.Errorf("error %v after %v, want a time-out after %v", err, time.Since(start), c.Timeout)
		}
	})
}

// A network carries the end of a context, but neither its values nor its deadline.
func TestInProcess_handlerSeesTheEndOfTheContextAlone(t *testing.T) {
	type mine struct{}
	for name, end := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"cancelled": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		},
		"timed out": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, srv *server, c *http.Client) {
				ended := make(chan error, 1)
				srv.Handle("/context", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					if v := r.Context().Value(mine{}); v != nil {
						t.Errorf("the handler sees the value %q", v)
					}
					if at, ok := r.Context().Deadline(); ok {
						t.Errorf("the handler sees the deadline %v", at)
					}
					<-r.Context().Done()
					ended <- r.Context().Err()
				}))
				token := logIn(t, srv, c).AccessToken
				ctx, cancel := end(context.WithValue(t.Context(), mine{}, "of the client"))
				defer cancel()
				req, err := http.NewRequestWithContext(ctx, "GET", srv.URL+"/context", nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+token)
				if _, err := c.Do(req); !errors.Is(err, ctx.Err()) {
					t.Errorf("the client gets %v, want %v", err, ctx.Err())
				}
				if err := <-ended; err != context.Canceled {
					t.Errorf("the handler's context ended with %v", err)
				}
			})
		})
	}
}
