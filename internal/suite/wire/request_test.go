package wire_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

func TestAnExchangeIsOnePOSTWithJustTheFieldsOfTheReference(t *testing.T) {
	// Characters that JSON or a form must escape, or that a careless form would lose.
	const nasty = "a b&c=d+e%20f\"g\\h<i>;ü☃/?#"
	tests := []struct {
		name, path, contentType string
		credential              func(url string) credential
		fields                  func(*testing.T, string) map[string]any
		want                    map[string]any
	}{
		{"API key", "/api/v1/auth/token", "application/json",
			func(u string) credential {
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
			func(u string) credential { return &netoauth.Password{URL: u, Username: nasty, Password: nasty} },
			form, map[string]any{"username": []string{nasty}, "password": []string{nasty}}},
		{"refresh token", "/api/auth/bearer/refresh", "application/x-www-form-urlencoded",
			func(u string) credential { return &netoauth.Refresh{URL: u, RefreshToken: nasty} },
			form, map[string]any{"refresh_token": []string{nasty}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, answer(200, good))
			if _, err := tt.credential(srv.URL).Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			seen := srv.seen()
			if len(seen) != 1 {
				t.Fatalf("%d requests, want 1", len(seen))
			}
			diff(t, "body", tt.want, tt.fields(t, seen[0].Body))
			seen[0].Body = ""
			diff(t, "request", request{Method: "POST", URI: tt.path, Host: strings.TrimPrefix(srv.URL, "http://"),
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

func TestTokenMakesExactlyOneExchangeWhateverTheAnswer(t *testing.T) {
	eachFlow(t, func(t *testing.T, f flow) {
		for _, code := range []int{200, 400, 401, 404, 408, 429, 500, 502, 503} {
			srv := serve(t, answer(code, good, "Retry-After", "0"))
			_, err := f.new(srv.URL, netoauth.Options{}).Token(t.Context())
			if (err == nil) != (code == 200) {
				t.Errorf("%d: error %v", code, err)
			}
			if n := len(srv.seen()); n != 1 {
				t.Errorf("%d: %d requests, want 1", code, n)
			}
		}
	})
}

func TestTokenKeepsNothingFromOneCallToTheNext(t *testing.T) {
	eachFlow(t, func(t *testing.T, f flow) {
		srv := serve(t, answer(200, `{"access_token":"good","expires_in":300,"refresh_token":"another"}`))
		c := f.new(srv.URL, netoauth.Options{})
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
			if r.URI != f.path {
				t.Errorf("request for %s, want %s", r.URI, f.path)
			}
			if f.name == refresh.name && r.Body != "refresh_token=the+refresh+token" {
				t.Errorf("body %q is not the credential's own refresh token", r.Body)
			}
		}
	})
}

func TestTheHTTPClientInTheContextIsUsedAndLeftAsItWas(t *testing.T) {
	eachFlow(t, func(t *testing.T, f flow) {
		used := 0
		client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			used++
			return respond(r, 200, good), nil
		})}
		ctx := context.WithValue(t.Context(), oauth2.HTTPClient, client)
		if _, err := f.new("https://api.test", netoauth.Options{}).Token(ctx); err != nil {
			t.Fatal(err)
		}
		if used != 1 {
			t.Errorf("the client was used %d times, want once", used)
		}
		if client.CheckRedirect != nil || client.Timeout != 0 || client.Jar != nil {
			t.Errorf("the caller's client was changed: %+v", client)
		}
	})
}

func TestURLPrefixes(t *testing.T) {
	tests := []struct{ url, want string }{
		{"", "https://api.netography.com"},
		{"https://api.netography.com", "https://api.netography.com"},
		{"https://api.netography.com/", "https://api.netography.com"},
		{"https://api.netography.com/api/v1", "https://api.netography.com"},
		{"https://api.netography.com/api/v1/", "https://api.netography.com"},
		{"https://api.netography.com/api/v1///", "https://api.netography.com"},
		{"https://api.netography.com/v1", "https://api.netography.com"},
		{"https://api.netography.com/v1//", "https://api.netography.com"},
		{"https://host.test/proxy", "https://host.test/proxy"},
		{"https://host.test/proxy/", "https://host.test/proxy"},
		{"https://host.test/proxy/api/v1", "https://host.test/proxy"},
		{"https://host.test/proxy/v1/", "https://host.test/proxy"},
		{"https://host.test/a/b/api/v1", "https://host.test/a/b"},
		{"https://host.test/v1/proxy", "https://host.test/v1/proxy"},
		{"https://host.test/api", "https://host.test/api"},
		{"https://host.test/api/v12", "https://host.test/api/v12"},
		{"https://host.test/rev1", "https://host.test/rev1"},
		{"https://host.test/with%20space/v1", "https://host.test/with%20space"},
		{"https://host.test/enc%2Foded", "https://host.test/enc%2Foded"},
		{"https://host.test:8443", "https://host.test:8443"},
		{"https://host.test:8443/api/v1", "https://host.test:8443"},
		{"https://192.0.2.7/v1", "https://192.0.2.7"},
		{"https://[2001:db8::7]:8443/v1", "https://[2001:db8::7]:8443"},
		{"http://localhost", "http://localhost"},
		{"http://localhost:8080/api/v1", "http://localhost:8080"},
		{"http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080"},
		{"http://127.8.9.10", "http://127.8.9.10"},
		{"http://[::1]:8080/proxy", "http://[::1]:8080/proxy"},
		{"http://[::1]", "http://[::1]"},
		{"HTTPS://host.test/v1", "https://host.test"},
		{"https://HOST.test/v1", "https://HOST.test"},
		{"HTTP://127.0.0.1:8080", "http://127.0.0.1:8080"},
		{"http://LocalHost:8080", "http://LocalHost:8080"},
	}
	eachFlow(t, func(t *testing.T, f flow) {
		for _, tt := range tests {
			var got []string
			ctx := over(t.Context(), roundTripper(func(r *http.Request) (*http.Response, error) {
				got = append(got, r.URL.String())
				return respond(r, 200, good), nil
			}))
			if _, err := f.new(tt.url, netoauth.Options{}).Token(ctx); err != nil {
				t.Errorf("%q: %v", tt.url, err)
				continue
			}
			diff(t, "request URLs for "+tt.url, []string{tt.want + f.path}, got)
		}
	})
}

func TestIPv6LoopbackWorksOverRealSockets(t *testing.T) {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 on the loopback interface:", err)
	}
	srv := httptest.NewUnstartedServer(answer(200, good))
	srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	defer srv.Close()
	eachFlow(t, func(t *testing.T, f flow) {
		tok, err := f.new(srv.URL+"/api/v1", netoauth.Options{}).Token(t.Context())
		if err != nil || tok.AccessToken != "good" {
			t.Errorf("%v, %v", tok, err)
		}
	})
}

// badURLs are all forms that the contract refuses. marker stands for what must not show in an error.
const marker = "s3cr3t-marker"

var badURLs = map[string]string{
	"not absolute: a path":           "/api/v1/" + marker,
	"not absolute: a host alone":     "api.netography.com",
	"not absolute: a host and port":  "api.netography.com:443",
	"not absolute: no scheme":        "//api.netography.com/" + marker,
	"not absolute: no host":          "https:///" + marker,
	"not absolute: a port alone":     "https://:443",
	"not absolute: opaque":           "https:api.netography.com",
	"not absolute: white space":      " ",
	"not http(s): ftp":               "ftp://host.test",
	"not http(s): file":              "file:///etc/" + marker,
	"not http(s): ws":                "wss://host.test",
	"user info: user":                "https://" + marker + "@host.test",
	"user info: user and password":   "https://user:" + marker + "@host.test",
	"user info: password alone":      "https://:" + marker + "@host.test",
	"user info: empty":               "https://@host.test",
	"user info: that is hard to see": "https://api.netography.com:" + marker + "@host.test/",
	"user info: on loopback":         "http://user:" + marker + "@127.0.0.1",
	"query":                          "https://host.test?token=" + marker,
	"query: after a path":            "https://host.test/api/v1?token=" + marker,
	"query: empty":                   "https://host.test/?",
	"fragment":                       "https://host.test#" + marker,
	"fragment: empty":                "https://host.test/#",
	"plain http":                     "http://api.netography.com",
	"plain http: upper case":         "HTTP://API.NETOGRAPHY.COM",
	"plain http: private address":    "http://192.168.1.1:8080",
	"plain http: any address":        "http://0.0.0.0",
	"plain http: IPv6":               "http://[2001:db8::1]",
	"plain http: like localhost":     "http://localhost.evil.test",
	"plain http: like loopback":      "http://127.0.0.1.evil.test",
	"plain http: loopback in a user": "http://127.0.0.1@host.test",
	"malformed: escape":              "https://host.test/%zz" + marker,
	"malformed: port":                "https://host.test:" + marker,
	"malformed: brackets":            "https://[::1" + marker,
	"malformed: control character":   "https://host.test/\n" + marker,
	"malformed: NUL":                 "https://host.test/\x00" + marker,
	"malformed: leading white space": " https://user:" + marker + "@host.test",
}

func TestABadURLIsRefusedWithoutARequestAndWithoutBeingShown(t *testing.T) {
	eachFlow(t, func(t *testing.T, f flow) {
		for name, bad := range badURLs {
			t.Run(name, func(t *testing.T) {
				ctx := over(t.Context(), roundTripper(func(r *http.Request) (*http.Response, error) {
					t.Errorf("a request was made: %s %s", r.Method, r.URL)
					return respond(r, 200, good), nil
				}))
				c := f.new(bad, netoauth.Options{})
				calls := map[string]func() error{
					"Token":       func() error { _, err := c.Token(ctx); return err },
					"TokenSource": func() error { _, err := c.TokenSource(ctx).Token(); return err },
					"Client": func() error {
						resp, err := c.Client(ctx).Get("https://host.test/api/v1/things")
						if err == nil {
							resp.Body.Close()
						}
						return err
					},
				}
				for call, do := range calls {
					err := do()
					if err == nil {
						t.Errorf("%s: no error", call)
						continue
					}
					text := err.Error()
					mentions(t, text, "netoauth", f.name, "URL")
					oneLine(t, call+"'s error", text, 500)
					if strings.Contains(text, marker) {
						t.Errorf("%s's error shows a part of the URL: %q", call, text)
					}
				}
			})
		}
	})
}

func TestABadURLCausesNoRequestOnTheNetwork(t *testing.T) {
	srv := serve(t, answer(200, good))
	host := strings.TrimPrefix(srv.URL, "http://")
	for _, bad := range []string{
		"http://user:pass@" + host, "http://@" + host, srv.URL + "?q=1", srv.URL + "/?", srv.URL + "#f", srv.URL + "/api/v1#", "//" + host,
	} {
		eachFlow(t, func(t *testing.T, f flow) {
			c := f.new(bad, netoauth.Options{})
			_, err1 := c.Token(t.Context())
			_, err2 := c.TokenSource(t.Context()).Token()
			_, err3 := c.Client(t.Context()).Get(srv.URL + "/things")
			if err1 == nil || err2 == nil || err3 == nil {
				t.Errorf("%s: Token %v; TokenSource %v; Client %v", bad, err1, err2, err3)
			}
		})
	}
	if seen := srv.seen(); seen != nil {
		t.Errorf("the server saw %+v", seen)
	}
}

func TestMissingCredentialsAreNamedAndCauseNoRequest(t *testing.T) {
	full := netoauth.APIKey{Shortname: "acme", AppName: "reports", AppKey: "the app key", SharedSecret: "the shared secret"}
	without := func(change func(*netoauth.APIKey)) *netoauth.APIKey {
		k := full
		change(&k)
		return &k
	}
	tests := []struct {
		field string
		credential
	}{
		{"Shortname", without(func(k *netoauth.APIKey) { k.Shortname = "" })},
		{"AppName", without(func(k *netoauth.APIKey) { k.AppName = "" })},
		{"AppKey", without(func(k *netoauth.APIKey) { k.AppKey = "" })},
		{"SharedSecret", without(func(k *netoauth.APIKey) { k.SharedSecret = "" })},
		{"Shortname", new(netoauth.APIKey)},
		{"Username", &netoauth.Password{Password: "the password"}},
		{"Password", &netoauth.Password{Username: "ann"}},
		{"Username", new(netoauth.Password)},
		{"RefreshToken", new(netoauth.Refresh)},
		{"RefreshToken", &netoauth.Refresh{Options: netoauth.Options{InitialToken: &oauth2.Token{AccessToken: "old"}}}},
	}
	for _, tt := range tests {
		ctx := over(t.Context(), roundTripper(func(r *http.Request) (*http.Response, error) {
			t.Errorf("%s is empty: a request was made for %s", tt.field, r.URL)
			return respond(r, 200, good), nil
		}))
		_, err1 := tt.Token(ctx)
		_, err2 := tt.TokenSource(ctx).Token()
		_, err3 := tt.Client(ctx).Get("https://api.netography.com/api/v1/things")
		for _, err := range []error{err1, err2, err3} {
			if err == nil {
				t.Errorf("%s is empty: no error", tt.field)
				continue
			}
			mentions(t, err.Error(), "netoauth", tt.field)
			oneLine(t, "the error", err.Error(), 500)
			if strings.Contains(err.Error(), "the ") && (strings.Contains(err.Error(), "the app key") ||
				strings.Contains(err.Error(), "the shared secret") || strings.Contains(err.Error(), "the password")) {
				t.Errorf("the error shows a secret: %v", err)
			}
		}
	}
}

func TestRefreshPrefersTheInitialTokensRefreshTokenWhichIsNewer(t *testing.T) {
	srv := serve(t, answer(200, good))
	r := &netoauth.Refresh{URL: srv.URL, RefreshToken: "configured", Options: netoauth.Options{InitialToken: &oauth2.Token{RefreshToken: "stored"}}}
	if _, err := r.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.RefreshToken = ""
	if _, err := r.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, req := range srv.seen() {
		diff(t, "body", "refresh_token=stored", req.Body)
	}
}
