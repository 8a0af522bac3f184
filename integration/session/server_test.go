package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
	"github.com/netoauth/netoauth/tokenfile"
	"golang.org/x/oauth2"
)

// api is netoauthtest behind a server that knows its programs. Its token endpoints are slow before
// and after netoauthtest has taken a request up, the latter because there a used refresh token is
// on the way with no other in its place.
type api struct {
	*netoauthtest.Server
	url  string
	file *tokenfile.File // of the session
	slow time.Duration   // at most, both together

	// exchanging guards what follows, and is locked while netoauthtest takes a token request up.
	exchanging sync.Mutex
	killed     map[string]bool // programs whose requests come too late
	asking     map[string]int  // token requests that are under way, by program
	issued     string          // the last refresh token
	issuedTo   string          // the program that asked for it

	mu     sync.Mutex
	served map[string]int  // requests with a good token, by program
	held   map[string]hold // the next token request is, by program
}

// hold makes a token request wait. arrived and answered are closed by the server.
type hold struct{ arrived, release, answered chan struct{} }

func newAPI(t *testing.T, access, slow time.Duration) *api {
	a := &api{
		Server: netoauthtest.NewServer(),
		file:   &tokenfile.File{Path: filepath.Join(t.TempDir(), "token"), Owner: owner},
		slow:   slow,
		killed: make(map[string]bool),
		asking: make(map[string]int),
		served: make(map[string]int),
		held:   make(map[string]hold),
	}
	a.SetLifetimes(access, 30*time.Minute)
	a.Handle("GET /api/v1/vpc", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.served[r.Header.Get(programHeader)]++
	}))
	mux := http.NewServeMux()
	mux.Handle("/", a.Server)
	for _, path := range []string{netoauthtest.APIKeyPath, netoauthtest.PasswordPath, netoauthtest.RefreshPath} {
		mux.HandleFunc(path, a.serveToken)
	}
	front := httptest.NewServer(mux)
	a.url = front.URL
	t.Cleanup(func() {
		front.Close()
		a.Close()
	})
	return a
}

func (a *api) serveToken(w http.ResponseWriter, r *http.Request) {
	name := r.Header.Get(programHeader)
	a.count(name, 1)
	defer a.count(name, -1)
	body, _ := io.ReadAll(r.Body) // now, because its program may end
	r.Body = io.NopCloser(bytes.NewReader(body))
	a.mu.Lock()
	h, held := a.held[name]
	delete(a.held, name)
	a.mu.Unlock()
	if held {
		close(h.arrived)
		select {
		case <-h.release:
		case <-r.Context().Done():
		}
		defer close(h.answered)
	}
	delay := rand.N(a.slow + 1)
	time.Sleep(delay / 2)
	rec := a.takeUp(name, r)
	time.Sleep(delay / 2)
	for key, values := range rec.Header() {
		w.Header()[key] = values
	}
	w.WriteHeader(rec.Code)
	w.Write(rec.Body.Bytes())
}

// count counts the token requests that are under way.
func (a *api) count(name string, more int) {
	a.exchanging.Lock()
	defer a.exchanging.Unlock()
	a.asking[name] += more
}

// takeUp has netoauthtest answer a token request, unless its program was killed.
func (a *api) takeUp(name string, r *http.Request) *httptest.ResponseRecorder {
	a.exchanging.Lock()
	defer a.exchanging.Unlock()
	if a.killed[name] {
		panic(http.ErrAbortHandler)
	}
	rec := httptest.NewRecorder()
	a.ServeHTTP(rec, r)
	var answer oauth2.Token
	if json.Unmarshal(rec.Body.Bytes(), &answer); answer.RefreshToken != "" {
		a.issued, a.issuedTo = answer.RefreshToken, name
	}
	return rec
}

// hold makes the next token request of the program named name wait until release is closed.
func (a *api) hold(name string) hold {
	h := hold{make(chan struct{}), make(chan struct{}), make(chan struct{})}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held[name] = h
	return h
}

// program returns a program with the session's token file.
func (a *api) program(name, flow string) program {
	return program{
		Name: name, URL: a.url, Flow: flow, Path: a.file.Path, Owner: owner,
		Netosecret: a.Netosecret, Username: a.Username, Password: a.Password,
	}
}

// tally is what came of programs that were killed.
type tally struct {
	Killed, Asking int // in all, with a token request under way
	Lost           int // the session with them: its last refresh token was issued to them, and is not stored
}

// kill kills a program. With spare it waits for a moment in which that cannot lose the session.
func (a *api) kill(t *testing.T, victim *running, spare bool, of *tally) {
	t.Helper()
	a.exchanging.Lock()
	defer a.exchanging.Unlock()
	for spare && a.stored(t).RefreshToken != a.issued {
		a.exchanging.Unlock()
		time.Sleep(time.Millisecond)
		a.exchanging.Lock()
	}
	a.killed[victim.name] = true
	if err := victim.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	victim.cmd.Wait()
	if victim.cmd.ProcessState.Success() {
		return // it was at its end before
	}
	of.Killed++
	if a.asking[victim.name] > 0 {
		of.Asking++
	}
	if a.issuedTo == victim.name && a.stored(t).RefreshToken != a.issued {
		of.Lost++
	}
}

// logIn begins a session, with a token of the lifetimes that are set. It counts as a request.
func (a *api) logIn(t *testing.T) *oauth2.Token {
	t.Helper()
	p := netoauth.Password{URL: a.url, Username: a.Username, Password: netoauth.Secret(a.Password)}
	issued, err := p.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// store puts a token into the session's file.
func (a *api) store(t *testing.T, token *oauth2.Token) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), requestTimeout)
	defer cancel()
	err := a.file.Update(ctx, func(*oauth2.Token) (*oauth2.Token, error) { return token, nil })
	if err != nil {
		t.Fatal(err)
	}
}

// stored returns what the session's file has, which is there and whole at any time.
func (a *api) stored(t *testing.T) *oauth2.Token {
	t.Helper()
	stored, err := a.file.Load(t.Context())
	if err != nil || stored == nil {
		t.Fatalf("the token file has %v, %v", stored, err)
	}
	return stored
}

// wantAlive expects the refresh token to be the session's last, by using it.
func (a *api) wantAlive(t *testing.T, refreshToken string) {
	t.Helper()
	r := netoauth.Refresh{URL: a.url, RefreshToken: netoauth.Secret(refreshToken)}
	if _, err := r.Token(t.Context()); err != nil {
		t.Errorf("the session is lost: %v", err)
	}
}

// awaitServed waits until the API has served n more requests of the program.
func (a *api) awaitServed(t *testing.T, name string, n int) {
	t.Helper()
	count := func() int {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.served[name]
	}
	want := count() + n
	await(t, name+" is served", func() bool { return count() >= want })
}

// await waits for a condition, and gives up after a minute.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !condition(); time.Sleep(requestEvery) {
		if time.Now().After(end) {
			t.Fatalf("waited a minute until %s", what)
		}
	}
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// requests are the token requests so far.
type requests struct{ APIKey, Password, Refresh int }

func (a *api) requests() requests {
	return requests{
		APIKey:   a.Requests(netoauthtest.APIKeyPath),
		Password: a.Requests(netoauthtest.PasswordPath),
		Refresh:  a.Requests(netoauthtest.RefreshPath),
	}
}

func (r requests) since(before requests) requests {
	return requests{r.APIKey - before.APIKey, r.Password - before.Password, r.Refresh - before.Refresh}
}
