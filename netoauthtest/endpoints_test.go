package netoauthtest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestServer_tokenRequest(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *server, c *http.Client) {
		key := parseKey(t, srv)
		jwt := func() string { return jwtBody(key.requestToken()) }
		password := passwordBody(srv)
		header := func(name, value string) func(*http.Request) {
			return func(r *http.Request) { r.Header.Set(name, value) }
		}
		method := func(m string) func(*http.Request) { return func(r *http.Request) { r.Method = m } }
		passwordOf := func(username, password string) string {
			return url.Values{"username": {username}, "password": {password}}.Encode()
		}
		refreshOf := func(bytes int) string {
			return refreshBody(strings.Repeat("x", bytes-len("refresh_token=")))
		}
		for _, tt := range []struct {
			name              string
			path, ctype, body string
			change            func(*http.Request)
			want              int
		}{
			{"API key", keyPath, jsonType, jwt(), nil, 200},
			{"API key, JSON with white space", keyPath, jsonType, " " + jwt() + "\n", nil, 200},
			{"API key, with charset", keyPath, jsonType + "; charset=utf-8", jwt(), nil, 200},
			{"password", passwordPath, formType, password, nil, 200},
			{"refresh token", refreshPath, formType, refreshBody(logIn(t, srv, c).RefreshToken), nil, 200},

			{"API key, GET", keyPath, jsonType, jwt(), method("GET"), 405},
			{"password, PUT", passwordPath, formType, password, method("PUT"), 405},
			{"refresh token, DELETE", refreshPath, formType, refreshBody("x"), method("DELETE"), 405},
			{"no Accept", keyPath, jsonType, jwt(), header("Accept", ""), 400},
			{"Accept anything", passwordPath, formType, password, header("Accept", "*/*"), 400},
			{"no Content-Type", passwordPath, "", password, nil, 400},
			{"API key as a form", keyPath, formType, "jwt=" + key.requestToken(), nil, 400},
			{"API key called a form", keyPath, formType, jwt(), nil, 400},
			{"password as JSON", passwordPath, jsonType, `{"username":"a","password":"b"}`, nil, 400},
			{"refresh token as JSON", refreshPath, jsonType, `{"refresh_token":"a"}`, nil, 400},
			{"query", passwordPath + "?a=b", formType, password, nil, 400},

			{"empty JSON body", keyPath, jsonType, "", nil, 400},
			{"null", keyPath, jsonType, "null", nil, 400},
			{"array", keyPath, jsonType, `["jwt"]`, nil, 400},
			{"object cut off", keyPath, jsonType, strings.TrimSuffix(jwt(), "}"), nil, 400},
			{"name without value", keyPath, jsonType, `{"jwt"}`, nil, 400},
			{"no jwt", keyPath, jsonType, `{}`, nil, 400},
			{"empty jwt", keyPath, jsonType, `{"jwt":""}`, nil, 400},
			{"jwt null", keyPath, jsonType, `{"jwt":null}`, nil, 400},
			{"jwt in an array", keyPath, jsonType, `{"jwt":["a"]}`, nil, 400},
			{"JWT for jwt", keyPath, jsonType, strings.Replace(jwt(), "jwt", "JWT", 1), nil, 400},
			{"jwt twice", keyPath, jsonType, `{"jwt":"a",` + jwt()[1:], nil, 400},
			{"one more JSON field", keyPath, jsonType, `{"a":"b",` + jwt()[1:], nil, 400},
			{"text after the object", keyPath, jsonType, jwt() + "x", nil, 400},
			{"object after the object", keyPath, jsonType, jwt() + "{}", nil, 400},

			{"empty form", passwordPath, formType, "", nil, 400},
			{"no password", passwordPath, formType, "username=a", nil, 400},
			{"empty password", passwordPath, formType, "username=a&password=", nil, 400},
			{"password twice", passwordPath, formType, password + "&password=x", nil, 400},
			{"one more form field", passwordPath, formType, password + "&grant_type=password", nil, 400},
			{"bad escape", passwordPath, formType, password + "%zz", nil, 400},
			{"semicolon", passwordPath, formType, "username=a;password=b", nil, 400},
			{"grant_type at refresh", refreshPath, formType, refreshBody("x") + "&grant_type=refresh_token", nil, 400},
			{"no refresh token", refreshPath, formType, "refresh_token=", nil, 400},

			{"body of 1 MiB", refreshPath, formType, refreshOf(1 << 20), nil, 400},
			{"body over 1 MiB", refreshPath, formType, refreshOf(1<<20 + 1), nil, 413},

			{"wrong password", passwordPath, formType, passwordOf(srv.Username, "hunter2"), nil, 401},
			{"wrong user name", passwordPath, formType, passwordOf("eve", srv.Password), nil, 401},
			{"unknown refresh token", refreshPath, formType, refreshBody("a.b.c"), nil, 400},
			{"unknown path", "/api/v1/auth/tokens", jsonType, jwt(), nil, 404},
			{"slash after the path", keyPath + "/", jsonType, jwt(), nil, 404},
			{"slashes in the path", "/api//v1/auth/token", jsonType, jwt(), nil, 404},
		} {
			t.Run(tt.name, func(t *testing.T) {
				req := newRequest(t, srv, tt.path, tt.ctype, tt.body)
				if tt.change != nil {
					tt.change(req)
				}
				a := do(t, c, req)
				if a.Code != tt.want {
					t.Fatalf("status %d, want %d: %+v", a.Code, tt.want, a.Error)
				}
				if tt.want == 405 && a.Header.Get("Allow") != "POST" {
					t.Errorf("Allow: %q", a.Header.Get("Allow"))
				}
				if tt.want != 404 && a.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("Cache-Control: %q", a.Header.Get("Cache-Control"))
				}
				if tt.want != 200 {
					checkError(t, a, tt.want, srv.Password, "hunter2", key.AppKey, key.SharedSecret, tt.body)
				}
			})
		}
	})
}

func TestServer_requestToken(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *server, c *http.Client) {
		key := parseKey(t, srv)
		with := func(name string, v any) string {
			claims := key.claims()
			claims[name] = v
			return key.sign(jwsHeader, claims)
		}
		without := func(name string) string {
			claims := key.claims()
			delete(claims, name)
			return key.sign(jwsHeader, claims)
		}
		otherKey := key
		otherKey.SharedSecret = "mysharedsecret"
		good := key.requestToken()
		parts := strings.Split(key.requestToken(), ".")
		now := time.Now().Unix()
		for _, tt := range []struct {
			name, jws string
			want      int
		}{
			{"good", good, 200},
			{"good once more, a replayed jti", good, 401},
			{"of a sub-account", with("shortname", "sub"), 200},
			{"iat half a minute ago", with("iat", now-30), 200},
			{"iat with a fraction", with("iat", float64(now)-0.5), 200},
			{"header with white space, other order", key.sign(`{"typ": "JWT", "alg": "HS256"}`, key.claims()), 200},

			{"iat two minutes ago", with("iat", now-120), 401},
			{"iat half a minute ahead", with("iat", now+30), 401},
			{"iat in milliseconds", with("iat", now*1000), 401},
			{"iat a string", with("iat", "1700000000"), 401},
			{"iat beyond any float", with("iat", json.Number("1e999")), 401},
			{"no iat", without("iat"), 401},
			{"no jti", without("jti"), 401},
			{"empty jti", with("jti", ""), 401},
			{"jti of 64 bits", with("jti", "0123456789abcdef"), 401},
			{"jti a number", with("jti", 12345), 401},
			{"no appname", without("appname"), 401},
			{"wrong appname", with("appname", "other"), 401},
			{"no appkey", without("appkey"), 401},
			{"wrong appkey", with("appkey", "other"), 401},
			{"no shortname", without("shortname"), 401},
			{"empty shortname", with("shortname", ""), 401},
			{"one more claim", with("exp", now+60), 401},
			{"claims null", key.sign(jwsHeader, nil), 401},

			{"wrong shared secret", otherKey.requestToken(), 401},
			{"alg none", key.sign(`{"alg":"none","typ":"JWT"}`, key.claims()), 401},
			{"alg HS512", key.sign(`{"alg":"HS512","typ":"JWT"}`, key.claims()), 401},
			{"no typ", key.sign(`{"alg":"HS256"}`, key.claims()), 401},
			{"one more header", key.sign(`{"alg":"HS256","typ":"JWT","kid":"1"}`, key.claims()), 401},
			{"alg twice", key.sign(`{"alg":"none","alg":"HS256","typ":"JWT"}`, key.claims()), 401},
			{"header not JSON", key.sign("HS256", key.claims()), 401},
			{"no signature", parts[0] + "." + parts[1] + ".", 401},
			{"claims of another", parts[0] + "." + strings.Split(key.requestToken(), ".")[1] + "." + parts[2], 401},
			{"two parts", parts[0] + "." + parts[1], 401},
			{"four parts", strings.Join(parts, ".") + ".", 401},
			{"padded", strings.Join(parts, ".") + "=", 401},
			{"line break", strings.Join(parts, ".\n"), 401},
			{"not a JWS", "hello", 401},
			{"NETOSECRET itself", srv.Netosecret, 401},
		} {
			t.Run(tt.name, func(t *testing.T) {
				a := do(t, c, keyRequest(t, srv, tt.jws))
				if a.Code != tt.want {
					t.Fatalf("status %d, want %d: %+v", a.Code, tt.want, a.Error)
				}
				if tt.want != 200 {
					checkError(t, a, tt.want, key.AppKey, key.AppName, key.SharedSecret, tt.jws)
				}
			})
		}
	})
}

func TestServer_setAccounts(t *testing.T) {
	none := func(*server) {}
	set := func(names ...string) func(*server) {
		return func(s *server) { s.SetAccounts(names...) }
	}
	for _, tt := range []struct {
		name    string
		set     func(*server)
		account string
		want    int
	}{
		{"unless set", none, "any", 200},
		{"one of them", set("a", "b"), "b", 200},
		{"another", set("a", "b"), "c", 401},
		{"other case", set("a", "b"), "A", 401},
		{"white space", set("a", "b"), "a ", 401},
		{"the key's own, not among them", set("a"), "example", 401},
		{"only the nameless one", set(""), "a", 401},
		{"the latest call counts", func(s *server) { s.SetAccounts("a"); s.SetAccounts("b") }, "a", 401},
		{"any again", func(s *server) { s.SetAccounts("a"); s.SetAccounts() }, "any", 200},
		{"the caller's slice changes", func(s *server) {
			names := []string{"a"}
			s.SetAccounts(names...)
			names[0] = "b"
		}, "a", 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, srv *server, c *http.Client) {
				tt.set(srv)
				key := parseKey(t, srv)
				key.Shortname = tt.account
				a := logInWithKey(t, srv, c, key)
				if tt.want != 200 {
					checkError(t, a, tt.want, tt.account, key.AppKey)
				} else if a.Code != 200 {
					t.Errorf("status %d: %+v", a.Code, a.Error)
				}
				logIn(t, srv, c) // with a password, which needs no API key
			})
		})
	}
}

// A test can take an account away from a running program, and give it back.
func TestServer_setAccountsConcernsRunningSessions(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *server, c *http.Client) {
		key := parseKey(t, srv)
		withKey, withPassword := logInWithKey(t, srv, c, key), logIn(t, srv, c)
		srv.SetAccounts("other")
		for range 2 {
			checkError(t, refresh(t, srv, c, withKey.RefreshToken), 400, key.Shortname)
		}
		if !accepts(t, srv, c, withKey.AccessToken) {
			t.Error("the access token is refused, want it good to its end")
		}
		if r := refresh(t, srv, c, withPassword.RefreshToken); r.Code != 200 {
			t.Errorf("a session that a password began: %d, want 200", r.Code)
		}
		srv.SetAccounts("other", key.Shortname)
		if r := refresh(t, srv, c, withKey.RefreshToken); r.Code != 200 {
			t.Errorf("the account named again: %d, want 200: %+v", r.Code, r.Error)
		}
	})
}
