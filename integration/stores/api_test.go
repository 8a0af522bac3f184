package stores

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

const (
	thingsPath = "/api/v1/vpc"
	readyPath  = "/ready"
)

// api is netoauthtest behind a server that knows its programs.
type api struct {
	*netoauthtest.Server
	url       string
	slow      time.Duration // that a token request takes
	perSecond int           // token requests that are not refused; 0: all

	mu     sync.Mutex
	ready  int
	served map[string]time.Time // the last request with a good token, by program
	issued map[string]string    // the last access token, by program
	held   map[string]*hold     // the next token request is, by what the program's name begins with
	second time.Time
	asked  int // in that second
}

// hold makes a token request wait, before netoauthtest takes it up or, with after, then. arrived is
// closed by the server.
type hold struct {
	after            bool
	arrived, release chan struct{}
}

func newAPI(t *testing.T, access time.Duration) *api {
	a := &api{
		Server: netoauthtest.NewServer(),
		served: make(map[string]time.Time),
		issued: make(map[string]string),
		held:   make(map[string]*hold),
	}
	a.SetLifetimes(access, 30*time.Minute)
	a.Handle("GET "+thingsPath, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.served[r.Header.Get(programHeader)] = time.Now()
	}))
	mux := http.NewServeMux()
	mux.Handle("/", a.Server)
	mux.HandleFunc(readyPath, func(http.ResponseWriter, *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.ready++
	})
	for _, path := range []string{netoauthtest.APIKeyPath, netoauthtest.PasswordPath, netoauthtest.RefreshPath} {
		mux.HandleFunc(path, a.serveToken)
	}
	front := httptest.NewServer(mux)
	a.url = front.URL
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
		a.Close()
	})
	return a
}

func (a *api) serveToken(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // now, because its program may end
	r.Body = io.NopCloser(bytes.NewReader(body))
	h := a.holdFor(r.Header.Get(programHeader))
	if h != nil && !h.after {
		close(h.arrived)
		<-h.release
	}
	rec := httptest.NewRecorder()
	if a.overloaded() {
		netoauthtest.Status(http.StatusServiceUnavailable).ServeHTTP(rec, r)
	} else {
		time.Sleep(a.slow)
		a.ServeHTTP(rec, r.WithContext(context.WithoutCancel(r.Context())))
	}
	var answer oauth2.Token
	if json.Unmarshal(rec.Body.Bytes(), &answer) == nil && answer.AccessToken != "" {
		a.mu.Lock()
		a.issued[r.Header.Get(programHeader)] = answer.AccessToken
		a.mu.Unlock()
	}
	if h != nil && h.after {
		close(h.arrived)
		<-h.release
	}
	for key, values := range rec.Header() {
		w.Header()[key] = values
	}
	w.WriteHeader(rec.Code)
	w.Write(rec.Body.Bytes())
}

func (a *api) overloaded() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if second := time.Now().Truncate(time.Second); second != a.second {
		a.second, a.asked = second, 0
	}
	a.asked++
	return a.perSecond > 0 && a.asked > a.perSecond
}

func (a *api) holdFor(program string) *hold {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, h := range a.held {
		if strings.HasPrefix(program, name) {
			delete(a.held, name)
			return h
		}
	}
	return nil
}

// hold makes the next token request of the programs so named wait until release is closed.
func (a *api) hold(t *testing.T, name string, after bool) *hold {
	h := &hold{after, make(chan struct{}), make(chan struct{})}
	t.Cleanup(func() {
		if !closed(h.release) {
			close(h.release)
		}
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held[name] = h
	return h
}

// program returns a program with the session of p.
func (a *api) program(name, flow string, p place) program {
	return program{
		Name: name, URL: a.url, Flow: flow, Netosecret: a.Netosecret, Place: p, Every: 100 * time.Millisecond,
	}
}

// lastServed returns when the program was last served; the zero time: never.
func (a *api) lastServed(name string) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.served[name]
}

// issuedTo returns the last access token that the program was given; "": none.
func (a *api) issuedTo(name string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.issued[name]
}

// logIn begins a session. It counts as a request.
func (a *api) logIn(t *testing.T) *oauth2.Token {
	t.Helper()
	p := netoauth.Password{URL: a.url, Username: a.Username, Password: netoauth.Secret(a.Password)}
	issued, err := p.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// alive reports whether the refresh token is its session's last, by using it.
func (a *api) alive(t *testing.T, refreshToken string) bool {
	t.Helper()
	r := netoauth.Refresh{URL: a.url, RefreshToken: netoauth.Secret(refreshToken)}
	_, err := r.Token(t.Context())
	return err == nil
}

// requests are the token requests so far.
type requests struct{ LogIns, Refreshes int }

func (a *api) requests() requests {
	refreshes := a.Requests(netoauthtest.RefreshPath)
	return requests{a.Requests("") - refreshes, refreshes}
}

func (r requests) since(before requests) requests {
	return requests{r.LogIns - before.LogIns, r.Refreshes - before.Refreshes}
}

// store puts a token where p is.
func (p place) store(t *testing.T, token *oauth2.Token) {
	t.Helper()
	s, end, err := p.open()
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	err = s.Update(t.Context(), func(*oauth2.Token) (*oauth2.Token, error) { return token, nil })
	if err != nil {
		t.Fatal(err)
	}
}

// stored returns the token that is where p is; nil: none.
func (p place) stored(t *testing.T) *oauth2.Token {
	t.Helper()
	s, end, err := p.open()
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	var stored *oauth2.Token
	if !within(10*time.Second, func() bool { // which bears an engine that is busy
		stored, err = s.Load(t.Context())
		return err == nil
	}) {
		t.Fatal(err)
	}
	return stored
}

// await waits for a condition, and fails the test after so long.
func await(t *testing.T, atMost time.Duration, what string, condition func() bool) {
	t.Helper()
	if !within(atMost, condition) {
		t.Fatalf("waited %v until %s", atMost, what)
	}
}

// within waits for a condition, and reports whether it came about in time.
func within(atMost time.Duration, condition func() bool) bool {
	for end := time.Now().Add(atMost); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
