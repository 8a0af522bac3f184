package netoauthtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netoauth/netoauth/netoauthtest"
)

func TestFail_faults(t *testing.T) {
	const moved = "http://192.0.2.1/"
	for _, tt := range []struct {
		name    string
		fault   http.Handler
		code    int
		header  map[string]string
		body    string
		err     error // instead of an answer
		bodyErr error // after body
	}{
		{
			name: "Status", fault: netoauthtest.Status(503, "Retry-After", "3"), code: 503,
			header: map[string]string{"Content-Type": jsonType, "Retry-After": "3"},
			body:   `{"status":503,"name":"Service Unavailable","message":"the test asked for this status"}` + "\n",
		},
		{
			name: "Status with a redirect", fault: netoauthtest.Status(307, "Location", moved), code: 307,
			header: map[string]string{"Content-Type": jsonType, "Location": moved},
			body:   `{"status":307,"name":"Temporary Redirect","message":"the test asked for this status"}` + "\n",
		},
		{
			name: "Status without a body", fault: netoauthtest.Status(204), code: 204,
			header: map[string]string{"Content-Type": jsonType},
		},
		{
			name: "Answer", fault: netoauthtest.Answer(502, "text/html", "<h1>Bad Gateway"), code: 502,
			header: map[string]string{"Content-Type": "text/html"}, body: "<h1>Bad Gateway",
		},
		{
			name: "Answer without a type", fault: netoauthtest.Answer(200, "", "<h1>"), code: 200,
			header: map[string]string{}, body: "<h1>",
		},
		{
			name: "Answer with nothing", fault: netoauthtest.Answer(200, jsonType, ""), code: 200,
			header: map[string]string{"Content-Type": jsonType},
		},
		{
			name: "Answer of 5 MiB", code: 200,
			fault:  netoauthtest.Answer(200, jsonType, strings.Repeat("x", 5<<20)),
			header: map[string]string{"Content-Type": jsonType}, body: strings.Repeat("x", 5<<20),
		},
		{name: "Drop", fault: netoauthtest.Drop(), err: io.EOF},
		{
			name: "CutOff", fault: netoauthtest.CutOff(), code: 200,
			header:  map[string]string{"Content-Type": jsonType},
			body:    `{"token_type":"bearer","expires_in":300,"access_`,
			bodyErr: io.ErrUnexpectedEOF,
		},
		{
			name: "any handler", code: 200,
			header: map[string]string{"Content-Type": "text/plain; charset=utf-8"}, body: "refresh_token=x",
			fault: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(w, r.Body)
			}),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, srv *server, c *http.Client) {
				c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				srv.Fail(1, tt.fault)
				resp, err := c.Do(refreshRequest(t, srv, "x"))
				if tt.err != nil {
					if !errors.Is(err, tt.err) {
						t.Errorf("error %v, want %v", err, tt.err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				if err != tt.bodyErr {
					t.Errorf("error of the body %v, want %v", err, tt.bodyErr)
				}
				if resp.StatusCode != tt.code {
					t.Errorf("status %d, want %d", resp.StatusCode, tt.code)
				}
				if diff := cmp.Diff(tt.body, string(body)); diff != "" {
					t.Errorf("body (-want +got):\n%s", diff)
				}
				got := make(map[string]string)
				for _, name := range []string{"Content-Type", "Retry-After", "Location"} {
					if v := resp.Header.Get(name); v != "" {
						got[name] = v
					}
				}
				if diff := cmp.Diff(tt.header, got); diff != "" {
					t.Errorf("headers (-want +got):\n%s", diff)
				}
				if tt.bodyErr != nil && resp.ContentLength <= int64(len(body)) {
					t.Errorf("Content-Length %d, want more than the %d bytes sent", resp.ContentLength, len(body))
				}
			})
		})
	}
}

func TestStatus_wantsHeadersInPairs(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	header := strings.Fields("Retry-After 3 Date") // staticcheck would see a constant one
	netoauthtest.Status(429, header...)
}

func TestHang_lastsUntilTheClientGivesUp(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *server, c *http.Client) {
		srv.Handle("POST /hang", netoauthtest.Hang())
		call := newRequest(t, srv, "/hang", "text/plain", "unread")
		call.Header.Set("Authorization", "Bearer "+logIn(t, srv, c).AccessToken)
		srv.Fail(1, netoauthtest.Hang())
		for _, req := range []*http.Request{
			passwordRequest(t, srv), // as a fault
			call,                    // as any handler
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			if _, err := c.Do(req.WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: error %v, want %v", req.URL.Path, err, context.DeadlineExceeded)
			}
			cancel()
		}
		logIn(t, srv, c)
	})
}

func TestFail_lastsForTheGivenRequests(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *server, c *http.Client) {
		statuses := func(n int) (codes []int) {
			for range n {
				codes = append(codes, do(t, c, passwordRequest(t, srv)).Code)
			}
			return codes
		}
		for _, tt := range []struct {
			name  string
			n     int
			fault http.Handler
			want  []int
		}{
			{"two", 2, netoauthtest.Status(500), []int{500, 500, 200, 200}},
			{"all", -1, netoauthtest.Status(503), []int{503, 503, 503, 503}},
			{"none", 0, nil, []int{200, 200, 200, 200}},
			{"nil fault", 2, nil, []int{200, 200, 200, 200}},
		} {
			srv.Fail(tt.n, tt.fault)
			if diff := cmp.Diff(tt.want, statuses(4)); diff != "" {
				t.Errorf("%s: statuses (-want +got):\n%s", tt.name, diff)
			}
		}
	})
}

func TestFail_paths(t *testing.T) {
	const key, password, refresh = keyPath, passwordPath, refreshPath
	all := []string{key, password, refresh}
	for _, tt := range []struct {
		name  string
		n     int
		paths []string
		send  []string
		want  []int
	}{
		{"none: all three", 3, nil, append(all, key), []int{503, 503, 503, 400}},
		{"one", -1, []string{refresh}, all, []int{400, 400, 503}},
		{"two", -1, []string{key, password}, all, []int{503, 503, 400}},
		{"all three", -1, all, all, []int{503, 503, 503}},
		{
			"requests for others do not count", 1, []string{refresh},
			[]string{key, key, refresh, refresh}, []int{400, 400, 503, 400},
		},
		{
			"one count for two", 2, []string{key, refresh},
			[]string{refresh, password, key, refresh}, []int{503, 400, 503, 400},
		},
		{"one twice", 1, []string{key, key}, []string{key, key}, []int{503, 400}},
		{"nothing", 0, []string{key}, []string{key}, []int{400}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, srv *server, c *http.Client) {
				srv.Fail(-1, netoauthtest.Status(500)) // which tt's replaces, whatever the paths
				srv.Fail(tt.n, netoauthtest.Status(503), tt.paths...)
				var got []int
				for _, path := range tt.send {
					got = append(got, do(t, c, newRequest(t, srv, path, "", "")).Code)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("statuses (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestFail_laterCallReplacesTheEarlier(t *testing.T) {
	for _, tt := range []struct {
		name  string
		later func(*server)
		want  []int // at RefreshPath, at PasswordPath
	}{
		{"of another path", func(s *server) {
			s.Fail(-1, netoauthtest.Status(500), passwordPath)
		}, []int{400, 500}},
		{"of all paths", func(s *server) { s.Fail(-1, netoauthtest.Status(500)) }, []int{500, 500}},
		{"that ends it", func(s *server) { s.Fail(0, nil) }, []int{400, 400}},
		{"that ends it for another path", func(s *server) {
			s.Fail(0, nil, passwordPath)
		}, []int{400, 400}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := newServer(t)
			srv.Fail(-1, netoauthtest.Status(503), refreshPath)
			tt.later(srv)
			var got []int
			for _, path := range []string{refreshPath, passwordPath} {
				got = append(got, do(t, srv.InProcess(), newRequest(t, srv, path, "", "")).Code)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("statuses (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFail_panicsForAPathOfNoTokenEndpoint(t *testing.T) {
	for _, path := range []string{"", "/protected/1", "/api/v1/auth/token/", "POST " + refreshPath} {
		t.Run(path, func(t *testing.T) {
			srv := newServer(t)
			srv.Fail(-1, netoauthtest.Status(503))
			defer func() {
				want := fmt.Sprintf("netoauthtest: Fail: %q is not the path of a token endpoint", path)
				if got := recover(); got != want {
					t.Errorf("panic %v, want %s", got, want)
				}
				if a := do(t, srv.InProcess(), newRequest(t, srv, passwordPath, "", "")); a.Code != 503 {
					t.Errorf("afterwards %d, want the 503 of the call before", a.Code)
				}
			}()
			srv.Fail(0, nil, refreshPath, path)
		})
	}
}

func TestFail_keepsNoHoldOfThePaths(t *testing.T) {
	srv := newServer(t)
	paths := []string{refreshPath}
	srv.Fail(-1, netoauthtest.Status(503), paths...)
	paths[0] = passwordPath
	logIn(t, srv, srv.InProcess())
}

func TestFail_usesNothingUp(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *server, c *http.Client) {
		token, jws := logIn(t, srv, c).RefreshToken, parseKey(t, srv).requestToken()
		srv.Fail(2, netoauthtest.Status(503))
		for _, want := range []int{503, 200} {
			r := refresh(t, srv, c, token)
			l := do(t, c, keyRequest(t, srv, jws))
			if r.Code != want || l.Code != want {
				t.Errorf("refresh %d, log-in %d, want %d", r.Code, l.Code, want)
			}
		}
	})
}

func TestDelay_holdsTokenRequests(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, srv *server, c *http.Client) {
		took := func(f func()) time.Duration {
			start := time.Now()
			f()
			return time.Since(start)
		}
		srv.Delay(10 * time.Second)
		var a answer
		if d := took(func() { a = logIn(t, srv, c) }); d != 10*time.Second {
			t.Errorf("a token request takes %v, want 10s", d)
		}
		if got, want := a.Header.Get("Date"), time.Now().UTC().Format(http.TimeFormat); got != want {
			t.Errorf("Date %s, want the end of the delay, %s", got, want)
		}
		if d := took(func() { accepts(t, srv, c, a.AccessToken) }); d != 0 {
			t.Errorf("another request takes %v", d)
		}
		srv.Fail(1, netoauthtest.Status(503))
		if d := took(func() { refresh(t, srv, c, a.RefreshToken) }); d != 10*time.Second {
			t.Errorf("a faulted request takes %v, want 10s", d)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		d := took(func() {
			_, err := c.Do(refreshRequest(t, srv, a.RefreshToken).WithContext(ctx))
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
			}
		})
		if d != time.Second {
			t.Errorf("a client that gives up after 1s waits %v", d)
		}
		srv.Delay(0)
		if d := took(func() { a = refresh(t, srv, c, a.RefreshToken) }); d != 0 || a.Code != 200 {
			t.Errorf("after the delay: %d after %v, want 200 at once: a client that left used nothing up", a.Code, d)
		}
	})
}

func TestServer_handlersEndWhenTheClientLeaves(t *testing.T) {
	for name, trouble := range map[string]func(*server){
		"Hang":  func(s *server) { s.Fail(1, netoauthtest.Hang()) },
		"Delay": func(s *server) { s.Delay(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			srv := newServer(t)
			trouble(srv)
			ended := make(chan struct{})
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(ended)
				srv.ServeHTTP(w, r)
			}))
			defer front.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			req := passwordRequest(t, srv).WithContext(ctx)
			req.URL.Host = front.Listener.Addr().String()
			if _, err := front.Client().Do(req); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
			}
			<-ended
		})
	}
}
