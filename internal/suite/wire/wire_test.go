// Package wire_test holds the package to its contract on the wire: what it sends, and what it makes
// of whatever comes back.
package wire_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

// account is what is good to send to the API at baseURL.
func account(baseURL string) suite.Account {
	return suite.Account{
		Key: netoauth.APIKey{URL: baseURL, Shortname: "acme", AppName: "reports",
			AppKey: "the app key", SharedSecret: "the shared secret"},
		User:         netoauth.Password{URL: baseURL, Username: "ann", Password: "the password"},
		RefreshToken: "the refresh token",
	}
}

// at returns credentials of the flow for the API at baseURL, without options.
func at(f suite.Flow, baseURL string) suite.Credential {
	return account(baseURL).Credential(f, netoauth.Options{})
}

// good is an answer with a token in it and nothing else.
const good = `{"access_token":"good"}`

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
	a.URL = suite.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		a.requests = append(a.requests, request{
			r.Method, r.RequestURI, r.Host, r.Header.Get("Accept"), r.Header.Get("Content-Type"), string(body),
			r.Header.Get("Authorization"), r.Header.Get("Cookie"),
		})
		a.mu.Unlock()
		h.ServeHTTP(w, r)
	})
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

// credentials are those that w accepts. The refresh token is good once.
func credentials(t *testing.T, w *suite.World) suite.Account {
	t.Helper()
	tok, err := w.User.Token(w.Ctx)
	if err != nil {
		t.Fatal(err)
	}
	return suite.Account{Key: *w.Key, User: *w.User, RefreshToken: netoauth.Secret(tok.RefreshToken)}
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

// answered returns the *netoauth.Error in err, after seeing that everything an error with an answer
// promises is kept: both types are found,
// and the text is one bounded line that names the flow and the endpoint.
func answered(t testing.TB, f suite.Flow, baseURL string, err error) *netoauth.Error {
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
	oneLine(t, "Error()", err.Error(), 2500)
	oneLine(t, "Name", e.Name, 1300)
	oneLine(t, "Message", e.Message, 1300)
	mentions(t, err.Error(), f.Name, baseURL+f.Path)
	return e
}
