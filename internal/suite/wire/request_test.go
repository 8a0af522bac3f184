package wire_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

func TestToken_isOnePOSTWithTheFieldsOfTheReference(t *testing.T) {
	// Characters that JSON or a form must escape, or that a careless form would lose.
	const nasty = "a b&c=d+e%20f\"g\\h<i>;ü☃/?#"
	tests := []struct {
		name, path, contentType string
		credential              func(url string) suite.Credential
		fields                  func(*testing.T, string) map[string]any
		want                    map[string]any
	}{
		{"API key", "/api/v1/auth/token", "application/json",
			func(u string) suite.Credential {
				return &netoauth.APIKey{URL: u, Shortname: nasty, AppName: nasty, AppKey: nasty, SharedSecret: nasty}
			},
			func(t *testing.T, body string) map[string]any {
				m := object(t, body)
				if jwt, _ := m["jwt"].(string); len(strings.Split(jwt, ".")) == 3 {
					m["jwt"] = "a JWT"
				}
				return m
			},
			map[string]any{"jwt": "a JWT"}},
		{"password", "/api/auth/bearer/token", "application/x-www-form-urlencoded",
			func(u string) suite.Credential { return &netoauth.Password{URL: u, Username: nasty, Password: nasty} },
			form, map[string]any{"username": []string{nasty}, "password": []string{nasty}}},
		{"refresh token", "/api/auth/bearer/refresh", "application/x-www-form-urlencoded",
			func(u string) suite.Credential { return &netoauth.Refresh{URL: u, RefreshToken: nasty} },
			form, map[string]any{"refresh_token": []string{nasty}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, suite.Answer(200, good))
			if _, err := tt.credential(srv.URL).Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			seen := srv.seen()
			if len(seen) != 1 {
				t.Fatalf("%d requests, want 1", len(seen))
			}
			suite.Diff(t, "body", tt.want, tt.fields(t, seen[0].Body))
			seen[0].Body = ""
			suite.Diff(t, "request", request{Method: "POST", URI: tt.path, Host: strings.TrimPrefix(srv.URL, "http://"),
				Accept: "application/json", ContentType: tt.contentType}, seen[0])
		})
	}
}

// form decodes a form strictly.
func form(t *testing.T, body string) map[string]any {
	t.Helper()
	values, err := url.ParseQuery(body)
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]any)
	for name, v := range values {
		m[name] = v
	}
	return m
}

func TestToken_isTakenByTheAPIOfAStrictServer(t *testing.T) {
	w := suite.NewWorld(t)
	w.Handle("GET /api/v1/things", netoauthtest.Answer(200, "application/json", "[]"))
	for name, c := range credentials(t, w).All(netoauth.Options{}) {
		tok, err := c.Token(w.Ctx)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		client := oauth2.NewClient(w.Ctx, oauth2.StaticTokenSource(tok))
		suite.Diff(t, name+": status", 200, suite.MustGet(t, client, w.URL+"/api/v1/things"))
	}
}

// At once, whatever Retry-After says.
func TestToken_isOneExchangeWhateverTheAnswer(t *testing.T) {
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		for _, code := range []int{200, 400, 401, 404, 408, 429, 500, 502, 503} {
			for _, retryAfter := range []string{"0", "60"} {
				synctest.Test(t, func(t *testing.T) {
					requests, start := 0, time.Now()
					ctx := suite.Over(t.Context(), suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
						requests++
						return suite.Answer(code, good, "Retry-After", retryAfter).RoundTrip(r)
					}))
					_, err := at(f, "https://api.test").Token(ctx)
					if code != 200 {
						answered(t, f, "https://api.test", err)
					} else if err != nil {
						t.Error(err)
					}
					suite.Diff(t, fmt.Sprint(code, ": requests"), 1, requests)
					suite.Diff(t, fmt.Sprint(code, ": time taken"), "0s", time.Since(start).String())
				})
			}
		}
	})
}

func TestToken_keepsNothingForTheNextCall(t *testing.T) {
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		srv := serve(t, suite.Answer(200, `{"access_token":"good","expires_in":300,"refresh_token":"another"}`))
		c := at(f, srv.URL)
		for range 3 {
			if _, err := c.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		seen := srv.seen()
		if len(seen) != 3 {
			t.Fatalf("%d requests, want 3", len(seen))
		}
		for _, r := range seen {
			if r.URI != f.Path {
				t.Errorf("request for %s, want %s", r.URI, f.Path)
			}
			if f.Name == suite.Refresh.Name && r.Body != "refresh_token=the+refresh+token" {
				t.Errorf("body %q is not the credential's own refresh token", r.Body)
			}
		}
	})
}

func TestToken_namesUnusableCredentialsAndSendsNothing(t *testing.T) {
	without := func(change func(*netoauth.APIKey)) *netoauth.APIKey {
		k := at(suite.APIKey, "").(*netoauth.APIKey)
		change(k)
		return k
	}
	type unusable struct {
		problem string
		suite.Credential
	}
	tests := []unusable{
		{"Shortname is empty", without(func(k *netoauth.APIKey) { k.Shortname = "" })},
		{"AppName is empty", without(func(k *netoauth.APIKey) { k.AppName = "" })},
		{"AppKey is empty", without(func(k *netoauth.APIKey) { k.AppKey = "" })},
		{"SharedSecret is empty", without(func(k *netoauth.APIKey) { k.SharedSecret = "" })},
		{"Shortname is empty", new(netoauth.APIKey)},
		{"Username is empty", &netoauth.Password{Password: "the password"}},
		{"Password is empty", &netoauth.Password{Username: "ann"}},
		{"Username is empty", new(netoauth.Password)},
		{"RefreshToken is empty", new(netoauth.Refresh)},
		{"RefreshToken is empty", &netoauth.Refresh{Options: netoauth.Options{InitialToken: &oauth2.Token{AccessToken: "old"}}}},

		{"Username has a line break", &netoauth.Password{Username: "ann\n", Password: "the password"}},
		{"Password has a line break", &netoauth.Password{Username: "ann", Password: "the password\r\n"}},
		{"RefreshToken has a line break", &netoauth.Refresh{RefreshToken: "the password\n"}},
	}
	stored := netoauth.Options{InitialToken: &oauth2.Token{RefreshToken: "the password\n"}}
	for _, c := range account("").All(stored) {
		tests = append(tests, unusable{"InitialToken's RefreshToken has a line break", c})
	}
	for _, tt := range tests {
		ctx := suite.Over(t.Context(), suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
			t.Errorf("%s: a request was made for %s", tt.problem, r.URL)
			return suite.Answer(200, good).RoundTrip(r)
		}))
		_, err1 := tt.Token(ctx)
		_, err2 := tt.TokenSource(ctx).Token()
		_, err3 := tt.Client(ctx).Get("https://api.netography.com/api/v1/things")
		for _, err := range []error{err1, err2, err3} {
			if err == nil {
				t.Errorf("%s: no error", tt.problem)
				continue
			}
			mentions(t, err.Error(), "netoauth", tt.problem)
			oneLine(t, "the error", err.Error(), 500)
			for _, secret := range []string{"the app key", "the shared secret", "the password"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows a secret: %v", err)
				}
			}
		}
	}
}

// Which is newer.
func TestRefresh_prefersTheInitialTokensRefreshToken(t *testing.T) {
	for _, configured := range []netoauth.Secret{"configured", ""} {
		srv := serve(t, suite.Answer(200, good))
		r := &netoauth.Refresh{URL: srv.URL, RefreshToken: configured}
		r.InitialToken = &oauth2.Token{RefreshToken: "stored"}
		if _, err := r.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		suite.Diff(t, "body", "refresh_token=stored", srv.seen()[0].Body)
	}
}

func TestToken_mayBeCalledManyTimesAtOnce(t *testing.T) {
	const callers = 50
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		var requests, issued atomic.Int32
		srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body := fmt.Sprintf(`{"access_token":"token%d","expires_in":300}`, requests.Add(1))
			suite.Answer(200, body).ServeHTTP(w, r)
		}))
		c := account(srv.URL).Credential(f, netoauth.Options{OnToken: func(*oauth2.Token) { issued.Add(1) }})
		var tokens sync.Map
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				tok, err := c.Token(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if _, twice := tokens.LoadOrStore(tok.AccessToken, true); twice {
					t.Errorf("two callers got %s", tok.AccessToken)
				}
			})
		}
		all.Wait()
		suite.Diff(t, "requests and OnToken's calls", []int32{callers, callers}, []int32{requests.Load(), issued.Load()})
	})
}
