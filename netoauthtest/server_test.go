package netoauthtest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netoauth/netoauth/netoauthtest"
)

func TestServer_netosecretLooksLikeTheSample(t *testing.T) {
	for name, start := range map[string]func() *server{
		"http": netoauthtest.NewServer, "https": netoauthtest.NewTLSServer,
	} {
		t.Run(name, func(t *testing.T) {
			srv := start()
			defer srv.Close()
			if !strings.HasPrefix(srv.URL, name+"://127.0.0.1:") || strings.HasSuffix(srv.URL, "/") {
				t.Errorf("URL %q", srv.URL)
			}
			key := parseKey(t, srv)
			if want := srv.URL + "/api/v1"; key.URL != want {
				t.Errorf("url %q, want %q", key.URL, want)
			}
			if len(key.SharedSecret) != 14 {
				t.Errorf("shared secret of %d bytes, want 14", len(key.SharedSecret))
			}
			if a := logIn(t, srv, srv.Client()); a.Code != 200 {
				t.Errorf("the server's own client gets %d", a.Code)
			}
		})
	}
}

func TestServer_secretsAreItsOwn(t *testing.T) {
	a, b := newServer(t), newServer(t)
	ka, kb := parseKey(t, a), parseKey(t, b)
	if ka.SharedSecret == kb.SharedSecret || ka.AppKey == kb.AppKey || a.Password == b.Password {
		t.Error("two servers share a secret")
	}
	if accepts(t, b, b.Client(), logIn(t, a, a.Client()).AccessToken) {
		t.Error("a server accepts another's access token")
	}
}

func TestServer_bearerCheck(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *server, c *http.Client) {
		token := logIn(t, srv, c).AccessToken
		for _, tt := range []struct {
			name, method, path, authorization string
			want                              int
		}{
			{"good", "GET", "/protected/7", "Bearer " + token, 200},
			{"lower case", "GET", "/protected/7", "bearer " + token, 200},
			{"none", "GET", "/protected/7", "", 401},
			{"other scheme", "GET", "/protected/7", "Basic " + token, 401},
			{"no scheme", "GET", "/protected/7", token, 401},
			{"no token", "GET", "/protected/7", "Bearer", 401},
			{"changed token", "GET", "/protected/7", "Bearer " + token + "x", 401},
			{"more after the token", "GET", "/protected/7", "Bearer " + token + " x", 401},
			{"unknown path", "GET", "/other", "Bearer " + token, 404},
			{"wrong method", "POST", "/protected/7", "Bearer " + token, 405},
		} {
			t.Run(tt.name, func(t *testing.T) {
				code, header, body := call(t, srv, c, tt.method, tt.path, tt.authorization)
				if code != tt.want {
					t.Fatalf("status %d, want %d", code, tt.want)
				}
				if tt.want == 200 {
					if body != "id 7" {
						t.Errorf("body %q", body)
					}
					return
				}
				a := answer{Code: code}
				if err := json.Unmarshal([]byte(body), &a.Error); err != nil {
					t.Fatalf("%q: %v", body, err)
				}
				checkError(t, a, tt.want, token)
				got := map[string]string{}
				for _, name := range []string{"Content-Type", "Www-Authenticate", "Allow"} {
					if v := header.Get(name); v != "" {
						got[name] = v
					}
				}
				want := map[string]string{"Content-Type": jsonType}
				switch tt.want {
				case 401:
					want["Www-Authenticate"] = `Bearer error="invalid_token"`
				case 405:
					want["Allow"] = "GET, HEAD"
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("headers (-want +got):\n%s", diff)
				}
			})
		}
	})
}

func TestServer_setClock(t *testing.T) {
	for _, offset := range []time.Duration{-time.Hour, 0, time.Hour} {
		t.Run(offset.String(), func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, srv *server, c *http.Client) {
				key := parseKey(t, srv)
				send := func(iat time.Time) answer {
					claims := key.claims()
					claims["iat"] = float64(iat.UnixMilli()) / 1e3
					return do(t, c, keyRequest(t, srv, key.sign(jwsHeader, claims)))
				}
				srv.SetClock(offset)
				serverTime := time.Now().Add(offset)
				for _, tt := range []struct {
					skew time.Duration
					want int
				}{
					{-61 * time.Second, 401}, {-time.Minute, 200}, {0, 200}, {time.Millisecond, 401}, {time.Second, 401},
				} {
					a := send(serverTime.Add(tt.skew))
					if a.Code != tt.want {
						t.Errorf("iat %v from the server's clock: %d, want %d", tt.skew, a.Code, tt.want)
					}
					if got, want := a.Header.Get("Date"), serverTime.UTC().Format(http.TimeFormat); got != want {
						t.Errorf("Date: %s, want %s", got, want)
					}
				}

				a := send(serverTime)
				claims := payload(t, a.AccessToken)
				got := []any{a.ExpiresIn, claims["iat"], claims["exp"]}
				want := []any{300, float64(serverTime.Unix()), float64(serverTime.Unix() + 300)}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("expires_in, iat and exp (-want +got):\n%s", diff)
				}
				if !accepts(t, srv, c, a.AccessToken) {
					t.Error("the access token is refused")
				}
				_, header, _ := call(t, srv, c, "GET", "/protected/1", "")
				if got, want := header.Get("Date"), serverTime.UTC().Format(http.TimeFormat); got != want {
					t.Errorf("Date of a refused call: %s, want %s", got, want)
				}
			})
		})
	}
}

func TestServer_setClockShowsOverTheNetwork(t *testing.T) {
	srv := newServer(t)
	srv.SetClock(-240 * time.Hour)
	date, err := http.ParseTime(logIn(t, srv, srv.Client()).Header.Get("Date"))
	if off := time.Since(date) - 240*time.Hour; err != nil || off.Abs() > time.Minute {
		t.Errorf("Date %v, error %v", date, err)
	}
}

func TestServer_requestsAreCounted(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *server, c *http.Client) {
		a := logIn(t, srv, c)
		refresh(t, srv, c, a.RefreshToken)
		refresh(t, srv, c, a.RefreshToken) // refused
		srv.Fail(1, netoauthtest.Drop())
		c.Do(refreshRequest(t, srv, "x"))
		accepts(t, srv, c, a.AccessToken)

		got := make(map[string]int)
		for _, path := range []string{keyPath, passwordPath, refreshPath, "", "/protected/1"} {
			got[path] = srv.Requests(path)
		}
		want := map[string]int{keyPath: 0, passwordPath: 1, refreshPath: 3, "": 4, "/protected/1": 0}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
	})
}

func TestServer_close(t *testing.T) {
	sleepy := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for name, trouble := range map[string]func(*server){
		"idle":                   func(*server) {},
		"while a fault hangs":    func(s *server) { s.Fail(-1, netoauthtest.Hang()) },
		"while a delay lasts":    func(s *server) { s.Delay(time.Hour) },
		"while a handler sleeps": func(s *server) { s.Fail(-1, sleepy) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, start := range []func() *server{netoauthtest.NewServer, netoauthtest.NewTLSServer} {
				srv := start()
				trouble(srv)
				var clients sync.WaitGroup
				for range 3 {
					req := passwordRequest(t, srv)
					clients.Go(func() {
						if resp, err := srv.Client().Do(req); err == nil {
							resp.Body.Close()
						}
					})
				}
				for srv.Requests("") < 3 {
					time.Sleep(time.Millisecond)
				}
				srv.Close()
				clients.Wait()
				srv.Close()
				if resp, err := srv.Client().Get(srv.URL); err == nil {
					resp.Body.Close()
					t.Error("a closed server answers")
				}
			}
		})
	}
}

func TestServer_closeWhileABodyIsOnItsWay(t *testing.T) {
	srv := netoauthtest.NewServer()
	body, writer := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL+passwordPath, body)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := srv.Client().Do(req)
		done <- err
	}()
	io.WriteString(writer, "username=")
	for srv.Requests("") == 0 {
		time.Sleep(time.Millisecond)
	}
	srv.Close()
	writer.Close() // for the client's own sake, which else waits for its body
	if err := <-done; err == nil {
		t.Error("an answer to half a request")
	}
}

func TestServer_manyClientsAtOnce(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *server, c *http.Client) {
		key := parseKey(t, srv)
		shared := logIn(t, srv, c).RefreshToken
		var (
			wg        sync.WaitGroup
			mu        sync.Mutex
			refreshed int
		)
		for i := range 16 {
			wg.Go(func() {
				path := "/own/" + string(rune('a'+i))
				srv.Handle(path, netoauthtest.Answer(200, "", ""))
				a := logInWithKey(t, srv, c, key)
				if code, _, _ := call(t, srv, c, "GET", path, "Bearer "+a.AccessToken); code != 200 {
					t.Errorf("%s: %d", path, code)
				}
				if refresh(t, srv, c, shared).Code == 200 {
					mu.Lock()
					refreshed++
					mu.Unlock()
				}
				srv.SetLifetimes(time.Hour, 2*time.Hour)
				srv.SetClock(time.Second)
				srv.Delay(time.Nanosecond)
				srv.SetAccounts(key.Shortname)
				srv.Fail(0, nil, refreshPath)
				srv.Requests("")
			})
		}
		wg.Wait()
		if refreshed != 1 {
			t.Errorf("one refresh token served %d of 16 clients, want 1", refreshed)
		}
		srv.RevokeAccessTokens()
		srv.RevokeRefreshTokens()
	})
}
