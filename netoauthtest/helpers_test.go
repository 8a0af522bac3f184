package netoauthtest_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netoauth/netoauth/netoauthtest"
)

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"

	keyPath      = netoauthtest.APIKeyPath
	passwordPath = netoauthtest.PasswordPath
	refreshPath  = netoauthtest.RefreshPath
)

type server = netoauthtest.Server

// bothWays runs a test with a fresh server over the network and in process.
func bothWays(t *testing.T, test func(*testing.T, *server, *http.Client)) {
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
func inVirtualTime(t *testing.T, test func(*testing.T, *server, *http.Client)) {
	t.Helper()
	srv := newServer(t)
	synctest.Test(t, func(t *testing.T) { test(t, srv, srv.InProcess()) })
}

func newServer(t *testing.T) *server {
	srv := netoauthtest.NewServer()
	t.Cleanup(srv.Close)
	srv.Handle("GET /protected/{id}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "id "+r.PathValue("id"))
	}))
	return srv
}

// An apiKey is what a NETOSECRET has inside.
type apiKey struct{ URL, Shortname, AppName, SharedSecret, AppKey string }

func parseKey(t *testing.T, srv *server) apiKey {
	t.Helper()
	return parseNetosecret(t, srv.Netosecret)
}

func parseNetosecret(t *testing.T, netosecret string) (k apiKey) {
	t.Helper()
	data, err := base64.RawStdEncoding.DecodeString(netosecret)
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
	enc := base64.RawURLEncoding
	text := enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString(payload)
	h := hmac.New(sha256.New, []byte(k.SharedSecret))
	h.Write([]byte(text))
	return text + "." + enc.EncodeToString(h.Sum(nil))
}

const jwsHeader = `{"alg":"HS256","typ":"JWT"}`

func (k apiKey) requestToken() string { return k.sign(jwsHeader, k.claims()) }

func jwtBody(jws string) string {
	b, _ := json.Marshal(map[string]string{"jwt": jws})
	return string(b)
}

func passwordBody(srv *server) string {
	return url.Values{"username": {srv.Username}, "password": {srv.Password}}.Encode()
}

func refreshBody(token string) string { return url.Values{"refresh_token": {token}}.Encode() }

func newRequest(t *testing.T, srv *server, path, contentType, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", jsonType)
	return req
}

func keyRequest(t *testing.T, srv *server, jws string) *http.Request {
	t.Helper()
	return newRequest(t, srv, keyPath, jsonType, jwtBody(jws))
}

func passwordRequest(t *testing.T, srv *server) *http.Request {
	t.Helper()
	return newRequest(t, srv, passwordPath, formType, passwordBody(srv))
}

func refreshRequest(t *testing.T, srv *server, token string) *http.Request {
	t.Helper()
	return newRequest(t, srv, refreshPath, formType, refreshBody(token))
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

func logIn(t *testing.T, srv *server, c *http.Client) answer {
	t.Helper()
	a := do(t, c, passwordRequest(t, srv))
	if a.Code != 200 {
		t.Fatalf("log-in: %+v", a.Error)
	}
	return a
}

// logInWithKey signs in with a request token, which may be refused.
func logInWithKey(t *testing.T, srv *server, c *http.Client, key apiKey) answer {
	t.Helper()
	return do(t, c, keyRequest(t, srv, key.requestToken()))
}

func refresh(t *testing.T, srv *server, c *http.Client, token string) answer {
	t.Helper()
	return do(t, c, refreshRequest(t, srv, token))
}

// call returns the status, the headers and the body of a call behind the bearer
// check.
func call(
	t *testing.T, srv *server, c *http.Client, method, path, authorization string,
) (int, http.Header, string) {
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

func accepts(t *testing.T, srv *server, c *http.Client, accessToken string) bool {
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
