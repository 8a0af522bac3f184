// Package wire_test holds the package to its contract on the wire: what it sends, and what it makes of
// whatever comes back. It knows only the exported names.
package wire_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

// credential is what the three types have in common.
type credential interface {
	Token(context.Context) (*oauth2.Token, error)
	TokenSource(context.Context) oauth2.TokenSource
	Client(context.Context) *http.Client
}

// flow is one of the three ways to a token, with credentials that are good to send.
type flow struct {
	name string // as errors call it
	path string
	new  func(baseURL string, o netoauth.Options) credential
}

var flows = []flow{apiKey, password, refresh}

var (
	apiKey = flow{"API key", "/api/v1/auth/token", func(u string, o netoauth.Options) credential {
		return &netoauth.APIKey{URL: u, Shortname: "acme", AppName: "reports", AppKey: "the app key", SharedSecret: "the shared secret", Options: o}
	}}
	password = flow{"password", "/api/auth/bearer/token", func(u string, o netoauth.Options) credential {
		return &netoauth.Password{URL: u, Username: "ann", Password: "the password", Options: o}
	}}
	refresh = flow{"refresh token", "/api/auth/bearer/refresh", func(u string, o netoauth.Options) credential {
		return &netoauth.Refresh{URL: u, RefreshToken: "the refresh token", Options: o}
	}}
)

// eachFlow runs test for each of the three flows.
func eachFlow(t *testing.T, test func(*testing.T, flow)) {
	for _, f := range flows {
		t.Run(f.name, func(t *testing.T) { test(t, f) })
	}
}

// good is an answer with a token in it and nothing else.
const good = `{"access_token":"good"}`

// answer is a handler that sends these very bytes as JSON. header has names and values in turn.
func answer(code int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

// request is what a server saw of one.
type request struct {
	Method, URI, Host, Accept, ContentType, Body string
	Authorization, Cookie                        string
}

// api is a server on the loopback interface that notes what it gets.
type api struct {
	URL string

	mu       sync.Mutex
	requests []request
}

// serve starts an api, which answers as h does.
func serve(t testing.TB, h http.Handler) *api {
	a := &api{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		a.requests = append(a.requests, request{
			r.Method, r.RequestURI, r.Host, r.Header.Get("Accept"), r.Header.Get("Content-Type"), string(body),
			r.Header.Get("Authorization"), r.Header.Get("Cookie"),
		})
		a.mu.Unlock()
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	a.URL = srv.URL
	return a
}

// seen returns the requests so far, and forgets them.
func (a *api) seen() []request {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := a.requests
	a.requests = nil
	return seen
}

// roundTripper is a function as a network.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	defer func() {
		if r.Body != nil {
			r.Body.Close()
		}
	}()
	return f(r)
}

// over returns a context whose HTTP client goes over rt.
func over(ctx context.Context, rt http.RoundTripper) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: rt})
}

// respond returns a response with a body, for a roundTripper.
func respond(r *http.Request, code int, body string) *http.Response {
	return &http.Response{StatusCode: code, Status: http.StatusText(code), Header: http.Header{}, Request: r,
		ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}
}

// object decodes a JSON object.
func object(t testing.TB, text string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%q is not a JSON object: %v", text, err)
	}
	return m
}

// diff reports where got is not what is wanted.
func diff(t testing.TB, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// oneLine reports a text that is not one printable line of at most most bytes.
func oneLine(t testing.TB, what, text string, most int) {
	t.Helper()
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("%s is not one printable line: %q", what, text[:min(len(text), 500)])
	}
	if len(text) > most {
		t.Errorf("%s has %d bytes, want at most %d", what, len(text), most)
	}
}

// mentions reports the parts that text lacks.
func mentions(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q does not mention %q", text, p)
		}
	}
}

// answered returns the *netoauth.Error in err, after seeing that everything an error with an answer promises
// is kept: both types are found, ErrRejected is found for rejected statuses and no other, and the text is one
// bounded line that names the flow and the endpoint.
func answered(t testing.TB, f flow, baseURL string, err error) *netoauth.Error {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	var e *netoauth.Error
	if !errors.As(err, &e) {
		t.Fatalf("there is no *netoauth.Error in %T: %v", err, err)
	}
	var re *oauth2.RetrieveError
	if !errors.As(err, &re) {
		t.Fatalf("there is no *oauth2.RetrieveError in %T: %v", err, err)
	}
	if re.Response == nil || re.Response.StatusCode != e.StatusCode {
		t.Errorf("the RetrieveError's Response is %v, want status %d", re.Response, e.StatusCode)
	}
	if got, want := errors.Is(err, netoauth.ErrRejected), rejected(e.StatusCode); got != want {
		t.Errorf("status %d: errors.Is(err, ErrRejected) = %v, want %v", e.StatusCode, got, want)
	}
	oneLine(t, "Error()", err.Error(), 2500)
	oneLine(t, "Name", e.Name, 1300)
	oneLine(t, "Message", e.Message, 1300)
	mentions(t, err.Error(), f.name, baseURL+f.path)
	return e
}

// rejected is the contract's rule for ErrRejected.
func rejected(status int) bool {
	switch status {
	case 408, 425, 429:
		return false
	}
	return status >= 400 && status <= 499
}
