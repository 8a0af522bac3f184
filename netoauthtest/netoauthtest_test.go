package netoauthtest_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netoauth/netoauth/netoauthtest"
)

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
)

// bothWays runs a test with a fresh server over the network and in process.
func bothWays(t *testing.T, test func(*testing.T, *netoauthtest.Server, *http.Client)) {
	t.Helper()
	t.Run("network", func(t *testing.T) {
		srv := newServer(t)
		test(t, srv, srv.Client())
	})
	t.Run("in process", func(t *testing.T) {
		srv := newServer(t)
		test(t, srv, srv.InProcess())
	})
}

// inVirtualTime runs a test in process, in a bubble. The bubble also sees to it
// that no goroutine is left behind.
func inVirtualTime(t *testing.T, test func(*testing.T, *netoauthtest.Server, *http.Client)) {
	t.Helper()
	srv := newServer(t)
	synctest.Test(t, func(t *testing.T) { test(t, srv, srv.InProcess()) })
}

func newServer(t *testing.T) *netoauthtest.Server {
	srv := netoauthtest.NewServer()
	t.Cleanup(srv.Close)
	srv.Handle("GET /protected/{id}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "id "+r.PathValue("id"))
	}))
	return srv
}

// An apiKey is what a NETOSECRET has inside.
type apiKey struct{ URL, Shortname, AppName, SharedSecret, AppKey string }

func parseKey(t *testing.T, srv *netoauthtest.Server) (k apiKey) {
	t.Helper()
	data, err := base64.RawStdEncoding.DecodeString(srv.Netosecret)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &k); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k apiKey) claims() map[string]any {
	return map[string]any{
		"iat": time.Now().Unix(), "jti": rand.Text(),
		"appname": k.AppName, "appkey": k.AppKey, "shortname": k.Shortname,
	}
}

func (k apiKey) sign(header string, claims any) string {
	payload, _ := json.Marshal(claims)
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	h := hmac.New(sha256.New, []byte(k.SharedSecret))
	h.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

const jwsHeader = `{"alg":"HS256","typ":"JWT"}`

func (k apiKey) requestToken() string { return k.sign(jwsHeader, k.claims()) }

func jwtBody(jws string) string {
	b, _ := json.Marshal(map[string]string{"jwt": jws})
	return string(b)
}

func passwordBody(srv *netoauthtest.Server) string {
	return url.Values{"username": {srv.Username}, "password": {srv.Password}}.Encode()
}

func refreshBody(token string) string { return url.Values{"refresh_token": {token}}.Encode() }

func newRequest(t *testing.T, srv *netoauthtest.Server, path, contentType, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", jsonType)
	return req
}

// An answer has every field that the reference allows, so that decoding refuses
// any other.
type answer struct {
	Code             int         `json:"-"`
	Header           http.Header `json:"-"`
	AccessToken      string      `json:"access_token"`
	ExpiresIn        int         `json:"expires_in"`
	RefreshExpiresIn int         `json:"refresh_expires_in"`
	RefreshToken     string      `json:"refresh_token"`
	TokenType        string      `json:"token_type"`
	IDToken          string      `json:"id_token"`
	NotBeforePolicy  *int        `json:"not-before-policy"`
	SessionState     string      `json:"session-state"`
	Scope            string      `json:"scope"`
	Error            *apiError   `json:"-"`
}

type apiError struct {
	Status  int    `json:"status"`
	Name    string `json:"name"`
	Message string `json:"message"`
}

// do sends a request and decodes the answer strictly: as tokens where it is
// 200, as the API's error object otherwise.
func do(t *testing.T, c *http.Client, req *http.Request) (a answer) {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	a.Code, a.Header = resp.StatusCode, resp.Header
	if got := resp.Header.Get("Content-Type"); got != jsonType {
		t.Errorf("%s: Content-Type %q, want %q", req.URL.Path, got, jsonType)
	}
	dec := json.NewDecoder(resp.Body)
	dec.DisallowUnknownFields()
	if a.Code == 200 {
		err = dec.Decode(&a)
	} else {
		err = dec.Decode(&a.Error)
	}
	if err != nil {
		t.Fatalf("%s: %v", req.URL.Path, err)
	}
	return a
}

func logIn(t *testing.T, srv *netoauthtest.Server, c *http.Client) answer {
	t.Helper()
	a := do(t, c, newRequest(t, srv, netoauthtest.PasswordPath, formType, passwordBody(srv)))
	if a.Code != 200 {
		t.Fatalf("log-in: %+v", a.Error)
	}
	return a
}

func refresh(t *testing.T, srv *netoauthtest.Server, c *http.Client, token string) answer {
	t.Helper()
	return do(t, c, newRequest(t, srv, netoauthtest.RefreshPath, formType, refreshBody(token)))
}

// call returns the status, the headers and the body of a call behind the bearer
// check.
func call(t *testing.T, srv *netoauthtest.Server, c *http.Client, method, path, authorization string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

func accepts(t *testing.T, srv *netoauthtest.Server, c *http.Client, accessToken string) bool {
	t.Helper()
	code, _, _ := call(t, srv, c, "GET", "/protected/1", "Bearer "+accessToken)
	return code == 200
}

func payload(t *testing.T, jwt string) (claims map[string]any) {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("a JWT with %d parts", len(parts))
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestNetosecretLooksLikeTheDocumentedSample(t *testing.T) {
	for name, start := range map[string]func() *netoauthtest.Server{
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

func TestSecretsDifferBetweenServers(t *testing.T) {
	a, b := newServer(t), newServer(t)
	if ka, kb := parseKey(t, a), parseKey(t, b); ka.SharedSecret == kb.SharedSecret || ka.AppKey == kb.AppKey || a.Password == b.Password {
		t.Error("two servers share a secret")
	}
	if accepts(t, b, b.Client(), logIn(t, a, a.Client()).AccessToken) {
		t.Error("a server accepts another's access token")
	}
}

func TestTokenRequests(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *netoauthtest.Server, c *http.Client) {
		key := parseKey(t, srv)
		jwt := func() string { return jwtBody(key.requestToken()) }
		password := passwordBody(srv)
		header := func(name, value string) func(*http.Request) {
			return func(r *http.Request) { r.Header.Set(name, value) }
		}
		for _, tt := range []struct {
			name              string
			path, ctype, body string
			change            func(*http.Request)
			want              int
		}{
			{"API key", netoauthtest.APIKeyPath, jsonType, jwt(), nil, 200},
			{"API key, JSON with white space", netoauthtest.APIKeyPath, jsonType, " " + jwt() + "\n", nil, 200},
			{"API key, with charset", netoauthtest.APIKeyPath, jsonType + "; charset=utf-8", jwt(), nil, 200},
			{"password", netoauthtest.PasswordPath, formType, password, nil, 200},
			{"refresh token", netoauthtest.RefreshPath, formType, refreshBody(logIn(t, srv, c).RefreshToken), nil, 200},

			{"API key, GET", netoauthtest.APIKeyPath, jsonType, jwt(), func(r *http.Request) { r.Method = "GET" }, 405},
			{"password, PUT", netoauthtest.PasswordPath, formType, password, func(r *http.Request) { r.Method = "PUT" }, 405},
			{"refresh token, DELETE", netoauthtest.RefreshPath, formType, refreshBody("x"), func(r *http.Request) { r.Method = "DELETE" }, 405},
			{"no Accept", netoauthtest.APIKeyPath, jsonType, jwt(), header("Accept", ""), 400},
			{"Accept anything", netoauthtest.PasswordPath, formType, password, header("Accept", "*/*"), 400},
			{"no Content-Type", netoauthtest.PasswordPath, "", password, nil, 400},
			{"API key as a form", netoauthtest.APIKeyPath, formType, "jwt=" + key.requestToken(), nil, 400},
			{"API key called a form", netoauthtest.APIKeyPath, formType, jwt(), nil, 400},
			{"password as JSON", netoauthtest.PasswordPath, jsonType, `{"username":"a","password":"b"}`, nil, 400},
			{"refresh token as JSON", netoauthtest.RefreshPath, jsonType, `{"refresh_token":"a"}`, nil, 400},
			{"query", netoauthtest.PasswordPath + "?a=b", formType, password, nil, 400},

			{"empty JSON body", netoauthtest.APIKeyPath, jsonType, "", nil, 400},
			{"null", netoauthtest.APIKeyPath, jsonType, "null", nil, 400},
			{"array", netoauthtest.APIKeyPath, jsonType, `["jwt"]`, nil, 400},
			{"object cut off", netoauthtest.APIKeyPath, jsonType, strings.TrimSuffix(jwt(), "}"), nil, 400},
			{"name without value", netoauthtest.APIKeyPath, jsonType, `{"jwt"}`, nil, 400},
			{"no jwt", netoauthtest.APIKeyPath, jsonType, `{}`, nil, 400},
			{"empty jwt", netoauthtest.APIKeyPath, jsonType, `{"jwt":""}`, nil, 400},
			{"jwt null", netoauthtest.APIKeyPath, jsonType, `{"jwt":null}`, nil, 400},
			{"jwt in an array", netoauthtest.APIKeyPath, jsonType, `{"jwt":["a"]}`, nil, 400},
			{"JWT for jwt", netoauthtest.APIKeyPath, jsonType, strings.Replace(jwt(), "jwt", "JWT", 1), nil, 400},
			{"jwt twice", netoauthtest.APIKeyPath, jsonType, `{"jwt":"a",` + jwt()[1:], nil, 400},
			{"one more JSON field", netoauthtest.APIKeyPath, jsonType, `{"a":"b",` + jwt()[1:], nil, 400},
			{"text after the object", netoauthtest.APIKeyPath, jsonType, jwt() + "x", nil, 400},
			{"object after the object", netoauthtest.APIKeyPath, jsonType, jwt() + "{}", nil, 400},

			{"empty form", netoauthtest.PasswordPath, formType, "", nil, 400},
			{"no password", netoauthtest.PasswordPath, formType, "username=a", nil, 400},
			{"empty password", netoauthtest.PasswordPath, formType, "username=a&password=", nil, 400},
			{"password twice", netoauthtest.PasswordPath, formType, password + "&password=x", nil, 400},
			{"one more form field", netoauthtest.PasswordPath, formType, password + "&grant_type=password", nil, 400},
			{"bad escape", netoauthtest.PasswordPath, formType, password + "%zz", nil, 400},
			{"semicolon", netoauthtest.PasswordPath, formType, "username=a;password=b", nil, 400},
			{"grant_type at refresh", netoauthtest.RefreshPath, formType, refreshBody("x") + "&grant_type=refresh_token", nil, 400},
			{"no refresh token", netoauthtest.RefreshPath, formType, "refresh_token=", nil, 400},

			{"body of 1 MiB", netoauthtest.RefreshPath, formType, refreshBody(strings.Repeat("x", 1<<20-len("refresh_token="))), nil, 400},
			{"body over 1 MiB", netoauthtest.RefreshPath, formType, refreshBody(strings.Repeat("x", 1<<20)), nil, 413},

			{"wrong password", netoauthtest.PasswordPath, formType, url.Values{"username": {srv.Username}, "password": {"hunter2"}}.Encode(), nil, 401},
			{"wrong user name", netoauthtest.PasswordPath, formType, url.Values{"username": {"eve"}, "password": {srv.Password}}.Encode(), nil, 401},
			{"unknown refresh token", netoauthtest.RefreshPath, formType, refreshBody("a.b.c"), nil, 400},
			{"unknown path", "/api/v1/auth/tokens", jsonType, jwt(), nil, 404},
			{"slash after the path", netoauthtest.APIKeyPath + "/", jsonType, jwt(), nil, 404},
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

// checkError holds an answer against the API's error object, with nothing of
// the request in it.
func checkError(t *testing.T, a answer, code int, secrets ...string) {
	t.Helper()
	if a.Error == nil {
		t.Fatalf("status %d, want %d with an error object", a.Code, code)
	}
	want := apiError{Status: code, Name: http.StatusText(code), Message: a.Error.Message}
	if diff := cmp.Diff(want, *a.Error); diff != "" || a.Code != code {
		t.Errorf("status %d, error object (-want +got):\n%s", a.Code, diff)
	}
	if a.Error.Message == "" {
		t.Error("no message")
	}
	for _, secret := range secrets {
		if len(secret) > 4 && strings.Contains(a.Error.Message, secret) {
			t.Errorf("the message quotes the request: %q", a.Error.Message)
		}
	}
}

func TestRequestTokens(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *netoauthtest.Server, c *http.Client) {
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
			{"iat half a minute ahead", with("iat", now+30), 200},
			{"iat with a fraction", with("iat", float64(now)+0.5), 200},
			{"header with white space, other order", key.sign(`{"typ": "JWT", "alg": "HS256"}`, key.claims()), 200},

			{"iat two minutes ago", with("iat", now-120), 401},
			{"iat two minutes ahead", with("iat", now+120), 401},
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
				a := do(t, c, newRequest(t, srv, netoauthtest.APIKeyPath, jsonType, jwtBody(tt.jws)))
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

func TestAnswersFitTheReference(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, srv *netoauthtest.Server, c *http.Client) {
		key := parseKey(t, srv)
		login := do(t, c, newRequest(t, srv, netoauthtest.APIKeyPath, jsonType, jwtBody(key.requestToken())))
		password := logIn(t, srv, c)
		refreshed := refresh(t, srv, c, password.RefreshToken)
		now := float64(time.Now().Unix())

		seen := make(map[string]bool)
		for _, tt := range []struct {
			name, sub string
			answer
		}{{"API key", key.AppName, login}, {"password", srv.Username, password}, {"refresh token", srv.Username, refreshed}} {
			got := tt.answer
			want := answer{
				Code: 200, Header: got.Header,
				AccessToken: got.AccessToken, RefreshToken: got.RefreshToken, IDToken: got.IDToken,
				ExpiresIn: 300, RefreshExpiresIn: 1800, TokenType: "bearer",
				NotBeforePolicy: new(int), SessionState: got.SessionState, Scope: got.Scope,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: answer (-want +got):\n%s", tt.name, diff)
			}
			if got.SessionState == "" || got.Scope == "" {
				t.Errorf("%s: session-state %q, scope %q", tt.name, got.SessionState, got.Scope)
			}
			for _, token := range []struct {
				jwt      string
				lifetime float64
			}{{got.AccessToken, 300}, {got.RefreshToken, 1800}, {got.IDToken, 300}} {
				claims := payload(t, token.jwt)
				want := map[string]any{
					"iat": now, "exp": now + token.lifetime, "jti": claims["jti"], "sub": tt.sub, "shortname": key.Shortname,
				}
				if diff := cmp.Diff(want, claims); diff != "" {
					t.Errorf("%s: claims (-want +got):\n%s", tt.name, diff)
				}
				if seen[token.jwt] {
					t.Errorf("%s: a token was issued twice", tt.name)
				}
				seen[token.jwt] = true
			}
		}
		if login.SessionState == password.SessionState {
			t.Error("two log-ins share a session")
		}
		if refreshed.SessionState != password.SessionState {
			t.Error("a refresh changed the session")
		}
	})
}

func TestAnswerHasEveryFieldOfTheReference(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *netoauthtest.Server, c *http.Client) {
		resp, err := c.Do(newRequest(t, srv, netoauthtest.PasswordPath, formType, passwordBody(srv)))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var got map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"access_token", "expires_in", "id_token", "not-before-policy", "refresh_expires_in", "refresh_token",
			"scope", "session-state", "token_type",
		}
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
			t.Errorf("fields (-want +got):\n%s", diff)
		}
	})
}

func TestShortnameOfTheRequestTokenIsInTheAccessToken(t *testing.T) {
	srv := newServer(t)
	key := parseKey(t, srv)
	key.Shortname = "sub-account"
	a := do(t, srv.Client(), newRequest(t, srv, netoauthtest.APIKeyPath, jsonType, jwtBody(key.requestToken())))
	if got := payload(t, a.AccessToken)["shortname"]; got != "sub-account" {
		t.Errorf("shortname %q, want sub-account", got)
	}
}

func TestRefreshTokenServesOnce(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *netoauthtest.Server, c *http.Client) {
		first := logIn(t, srv, c)
		second := refresh(t, srv, c, first.RefreshToken)
		if second.Code != 200 || !accepts(t, srv, c, second.AccessToken) {
			t.Fatalf("first use: %d", second.Code)
		}
		checkError(t, refresh(t, srv, c, first.RefreshToken), 400, first.RefreshToken)
		if third := refresh(t, srv, c, second.RefreshToken); third.Code != 200 {
			t.Errorf("the rotated token: %d, want 200, whatever became of the old one", third.Code)
		}
		if !accepts(t, srv, c, first.AccessToken) {
			t.Error("a refresh ended the access token before")
		}
	})
}

func TestAccessTokenIsNoRefreshToken(t *testing.T) {
	srv := newServer(t)
	a := logIn(t, srv, srv.Client())
	checkError(t, refresh(t, srv, srv.Client(), a.AccessToken), 400)
	if accepts(t, srv, srv.Client(), a.RefreshToken) {
		t.Error("the refresh token passes the bearer check")
	}
}

func TestBearerCheck(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *netoauthtest.Server, c *http.Client) {
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

func TestRevoking(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *netoauthtest.Server, c *http.Client) {
		a := logIn(t, srv, c)
		srv.RevokeAccessTokens()
		if accepts(t, srv, c, a.AccessToken) {
			t.Error("a revoked access token passes")
		}
		b := refresh(t, srv, c, a.RefreshToken)
		if b.Code != 200 || !accepts(t, srv, c, b.AccessToken) {
			t.Fatal("revoking access tokens concerns refresh tokens or later access tokens")
		}
		srv.RevokeRefreshTokens()
		if !accepts(t, srv, c, b.AccessToken) {
			t.Error("revoking refresh tokens concerns access tokens")
		}
		checkError(t, refresh(t, srv, c, b.RefreshToken), 400)
		if d := refresh(t, srv, c, logIn(t, srv, c).RefreshToken); d.Code != 200 {
			t.Error("a refresh token issued after revoking is refused")
		}
	})
}

func TestLifetimes(t *testing.T) {
	type lifetimes struct {
		ExpiresIn, RefreshExpiresIn int
		Exp, RefreshExp             any // less iat; nil: none
	}
	const never = 1000 * time.Hour
	for _, tt := range []struct {
		name                  string
		set                   func(*netoauthtest.Server)
		want                  lifetimes
		accessEnd, refreshEnd time.Duration
	}{
		{"unless set", func(*netoauthtest.Server) {}, lifetimes{300, 1800, 300., 1800.}, 5 * time.Minute, 30 * time.Minute},
		{"set", func(s *netoauthtest.Server) { s.SetLifetimes(time.Minute, time.Hour) }, lifetimes{60, 3600, 60., 3600.}, time.Minute, time.Hour},
		{"refresh without a known end", func(s *netoauthtest.Server) { s.SetLifetimes(time.Minute, 0) }, lifetimes{60, 0, 60., nil}, time.Minute, never},
		{"fractions", func(s *netoauthtest.Server) { s.SetLifetimes(1500*time.Millisecond, 2500*time.Millisecond) }, lifetimes{1, 2, 1., 2.}, 1500 * time.Millisecond, 2500 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, srv *netoauthtest.Server, c *http.Client) {
				tt.set(srv)
				exp := func(jwt string) any {
					claims := payload(t, jwt)
					if claims["exp"] == nil {
						return nil
					}
					return claims["exp"].(float64) - claims["iat"].(float64)
				}
				a, b := logIn(t, srv, c), logIn(t, srv, c)
				srv.SetLifetimes(never, never) // concerns later tokens only
				got := lifetimes{a.ExpiresIn, a.RefreshExpiresIn, exp(a.AccessToken), exp(a.RefreshToken)}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("lifetimes (-want +got):\n%s", diff)
				}

				time.Sleep(tt.accessEnd - time.Nanosecond)
				if !accepts(t, srv, c, a.AccessToken) {
					t.Error("the access token expires early")
				}
				time.Sleep(time.Nanosecond)
				if accepts(t, srv, c, a.AccessToken) {
					t.Error("the access token does not expire")
				}
				time.Sleep(tt.refreshEnd - tt.accessEnd - time.Nanosecond)
				if r := refresh(t, srv, c, a.RefreshToken); r.Code != 200 {
					t.Errorf("the refresh token expires early: %+v", r.Error)
				}
				if tt.refreshEnd == never {
					return
				}
				time.Sleep(time.Nanosecond)
				checkError(t, refresh(t, srv, c, b.RefreshToken), 400)
			})
		})
	}
}

func TestSetClock(t *testing.T) {
	for _, offset := range []time.Duration{-time.Hour, 0, time.Hour} {
		t.Run(offset.String(), func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, srv *netoauthtest.Server, c *http.Client) {
				key := parseKey(t, srv)
				send := func(iat time.Time) answer {
					claims := key.claims()
					claims["iat"] = iat.Unix()
					return do(t, c, newRequest(t, srv, netoauthtest.APIKeyPath, jsonType, jwtBody(key.sign(jwsHeader, claims))))
				}
				srv.SetClock(offset)
				serverTime := time.Now().Add(offset)
				for _, tt := range []struct {
					skew time.Duration
					want int
				}{{-61 * time.Second, 401}, {-time.Minute, 200}, {0, 200}, {time.Minute, 200}, {61 * time.Second, 401}} {
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
				if _, header, _ := call(t, srv, c, "GET", "/protected/1", ""); header.Get("Date") != serverTime.UTC().Format(http.TimeFormat) {
					t.Errorf("Date of a refused call: %s", header.Get("Date"))
				}
			})
		})
	}
}

func TestSetClockShowsOverTheNetwork(t *testing.T) {
	srv := newServer(t)
	srv.SetClock(-240 * time.Hour)
	date, err := http.ParseTime(logIn(t, srv, srv.Client()).Header.Get("Date"))
	if off := time.Since(date) - 240*time.Hour; err != nil || off.Abs() > time.Minute {
		t.Errorf("Date %v, error %v", date, err)
	}
}

func TestFaults(t *testing.T) {
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
			name: "Answer of 5 MiB", fault: netoauthtest.Answer(200, jsonType, strings.Repeat("x", 5<<20)), code: 200,
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
			name: "any handler", code: 200, header: map[string]string{"Content-Type": "text/plain; charset=utf-8"}, body: "refresh_token=x",
			fault: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(w, r.Body)
			}),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, srv *netoauthtest.Server, c *http.Client) {
				c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				srv.Fail(1, tt.fault)
				resp, err := c.Do(newRequest(t, srv, netoauthtest.RefreshPath, formType, refreshBody("x")))
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

func TestStatusWantsHeadersInPairs(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	header := strings.Fields("Retry-After 3 Date") // staticcheck would see a constant one
	netoauthtest.Status(429, header...)
}

func TestHangLastsUntilTheClientGivesUp(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *netoauthtest.Server, c *http.Client) {
		srv.Handle("POST /hang", netoauthtest.Hang())
		call := newRequest(t, srv, "/hang", "text/plain", "unread")
		call.Header.Set("Authorization", "Bearer "+logIn(t, srv, c).AccessToken)
		srv.Fail(1, netoauthtest.Hang())
		for _, req := range []*http.Request{
			newRequest(t, srv, netoauthtest.PasswordPath, formType, passwordBody(srv)), // as a fault
			call, // as any handler
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

func TestFailLastsForTheGivenRequests(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *netoauthtest.Server, c *http.Client) {
		statuses := func(n int) (codes []int) {
			for range n {
				codes = append(codes, do(t, c, newRequest(t, srv, netoauthtest.PasswordPath, formType, passwordBody(srv))).Code)
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

func TestFaultedRequestUsesNothingUp(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *netoauthtest.Server, c *http.Client) {
		token, jws := logIn(t, srv, c).RefreshToken, parseKey(t, srv).requestToken()
		srv.Fail(2, netoauthtest.Status(503))
		for _, want := range []int{503, 200} {
			r := refresh(t, srv, c, token)
			l := do(t, c, newRequest(t, srv, netoauthtest.APIKeyPath, jsonType, jwtBody(jws)))
			if r.Code != want || l.Code != want {
				t.Errorf("refresh %d, log-in %d, want %d", r.Code, l.Code, want)
			}
		}
	})
}

func TestDelay(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, srv *netoauthtest.Server, c *http.Client) {
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
			_, err := c.Do(newRequest(t, srv, netoauthtest.RefreshPath, formType, refreshBody(a.RefreshToken)).WithContext(ctx))
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

func TestHandlersEndWhenTheClientLeaves(t *testing.T) {
	for name, trouble := range map[string]func(*netoauthtest.Server){
		"Hang":  func(s *netoauthtest.Server) { s.Fail(1, netoauthtest.Hang()) },
		"Delay": func(s *netoauthtest.Server) { s.Delay(time.Hour) },
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
			req := newRequest(t, srv, netoauthtest.PasswordPath, formType, passwordBody(srv)).WithContext(ctx)
			req.URL.Host = front.Listener.Addr().String()
			if _, err := front.Client().Do(req); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
			}
			<-ended
		})
	}
}

func TestRequestsAreCounted(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *netoauthtest.Server, c *http.Client) {
		a := logIn(t, srv, c)
		refresh(t, srv, c, a.RefreshToken)
		refresh(t, srv, c, a.RefreshToken) // refused
		srv.Fail(1, netoauthtest.Drop())
		c.Do(newRequest(t, srv, netoauthtest.RefreshPath, formType, refreshBody("x")))
		accepts(t, srv, c, a.AccessToken)

		got := make(map[string]int)
		for _, path := range []string{netoauthtest.APIKeyPath, netoauthtest.PasswordPath, netoauthtest.RefreshPath, "", "/protected/1"} {
			got[path] = srv.Requests(path)
		}
		want := map[string]int{netoauthtest.APIKeyPath: 0, netoauthtest.PasswordPath: 1, netoauthtest.RefreshPath: 3, "": 4, "/protected/1": 0}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
	})
}

func TestClose(t *testing.T) {
	sleepy := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for name, trouble := range map[string]func(*netoauthtest.Server){
		"idle":                   func(*netoauthtest.Server) {},
		"while a fault hangs":    func(s *netoauthtest.Server) { s.Fail(-1, netoauthtest.Hang()) },
		"while a delay lasts":    func(s *netoauthtest.Server) { s.Delay(time.Hour) },
		"while a handler sleeps": func(s *netoauthtest.Server) { s.Fail(-1, sleepy) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, start := range []func() *netoauthtest.Server{netoauthtest.NewServer, netoauthtest.NewTLSServer} {
				srv := start()
				trouble(srv)
				var clients sync.WaitGroup
				for range 3 {
					req := newRequest(t, srv, netoauthtest.PasswordPath, formType, passwordBody(srv))
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

func TestCloseWhileABodyIsOnItsWay(t *testing.T) {
	srv := netoauthtest.NewServer()
	body, writer := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL+netoauthtest.PasswordPath, body)
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

func TestManyClientsAtOnce(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *netoauthtest.Server, c *http.Client) {
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
				a := do(t, c, newRequest(t, srv, netoauthtest.APIKeyPath, jsonType, jwtBody(key.requestToken())))
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
				srv.Fail(0, nil)
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
