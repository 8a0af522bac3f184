package live_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// store is a Store in memory, and a journal of its calls. The lock is a channel, because the clock of a bubble stands
// still while somebody waits for a sync.Mutex. The funcs stand in the way, where they are set: an error of theirs is
// the call's.
type store struct {
	suite.Journal
	lock   chan struct{}               // holds one element while an Update is under way
	load   func(context.Context) error // in Load
	before func(context.Context) error // in Update, before f
	after  func(context.Context) error // in Update, before it stores
	calls  int                         // of f in each Update

	mu    sync.Mutex
	token *oauth2.Token // guarded by mu
}

func newStore(tok *oauth2.Token) *store {
	s := &store{lock: make(chan struct{}, 1), calls: 1}
	s.put(tok)
	return s
}

// put stores tok without what JSON would not keep.
func (s *store) put(tok *oauth2.Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = plain(tok)
}

func (s *store) get() *oauth2.Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	return plain(s.token)
}

func plain(tok *oauth2.Token) *oauth2.Token {
	if tok == nil {
		return nil
	}
	return &oauth2.Token{AccessToken: tok.AccessToken, TokenType: tok.TokenType, RefreshToken: tok.RefreshToken,
		Expiry: tok.Expiry.Round(0), ExpiresIn: tok.ExpiresIn}
}

func (s *store) options() netoauth.Options {
	o := s.Journal.Options()
	o.Store = s
	return o
}

func (s *store) Load(ctx context.Context) (*oauth2.Token, error) {
	s.Add("Load")
	if s.load != nil {
		if err := s.load(ctx); err != nil {
			return &oauth2.Token{AccessToken: "of a failed Load"}, err
		}
	}
	return s.get(), nil
}

func (s *store) Update(ctx context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
	s.Add("Update")
	select {
	case s.lock <- struct{}{}:
		defer func() { <-s.lock }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.before != nil {
		if err := s.before(ctx); err != nil {
			return err
		}
	}
	for range s.calls {
		tok, err := f(s.get())
		if err != nil || tok == nil {
			return err
		}
		if s.after != nil {
			if err := s.after(ctx); err != nil {
				return err
			}
		}
		s.put(tok)
		s.Add("stored")
	}
	return nil
}

// hold keeps every Update waiting until the func that it returns is called.
func (s *store) hold() (release func()) {
	s.lock <- struct{}{}
	return func() { <-s.lock }
}

var errStore = errors.New("the disk is full")

func failing(context.Context) error { return errStore }

func hanging(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// refreshWith returns credentials with this refresh token.
func refreshWith(w *suite.World, token string, o netoauth.Options) suite.Credential {
	return &netoauth.Refresh{URL: w.URL, RefreshToken: netoauth.Secret(token), Options: o}
}

// mustLogIn returns a token that was issued so long ago; it lasts for 5 minutes, and is stale from 255 s to 290 s.
func mustLogIn(t *testing.T, w *suite.World, ago time.Duration) *oauth2.Token {
	t.Helper()
	tok, err := w.User.Token(w.Ctx)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(ago)
	return tok
}

var nothing []string

const (
	stale = 270 * time.Second
	spent = 6 * time.Minute
)

// renew does what another program does with a session: it refreshes, and stores what that brings, if store is not nil.
func renew(t *testing.T, w *suite.World, tok *oauth2.Token, s *store) *oauth2.Token {
	t.Helper()
	r := &netoauth.Refresh{URL: w.URL, RefreshToken: netoauth.Secret(tok.RefreshToken)}
	next, err := r.Token(w.Ctx)
	if err != nil {
		t.Fatal(err)
	}
	if s != nil {
		s.put(next)
	}
	return next
}

// watch makes w's client show each request before it sends it.
func watch(w *suite.World, see func(*http.Request)) {
	network := w.InProcess().Transport
	w.Ctx = suite.Over(w.Ctx, suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
		see(r)
		return network.RoundTrip(r)
	}))
}

// recordRefreshes makes w's client write down the refresh tokens that it sends.
func recordRefreshes(w *suite.World) *suite.Journal {
	j := new(suite.Journal)
	watch(w, func(r *http.Request) {
		if r.URL.Path == netoauthtest.RefreshPath {
			copied := r.Clone(r.Context())
			copied.Body, _ = r.GetBody()
			j.Add(copied.FormValue("refresh_token"))
		}
	})
	return j
}

// eachFlow runs test for each of the three flows, in a bubble.
func eachFlow(t *testing.T, test func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential)) {
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		suite.InBubble(t, func(t *testing.T, w *suite.World) {
			test(t, w, func(o netoauth.Options) suite.Credential { return w.Credential(f, o) })
		})
	})
}

// firstUse checks what the first caller of a new source gets and how long it waits, and that no later one waits.
func firstUse(t *testing.T, w *suite.World, c suite.Credential, stored *oauth2.Token, upTo time.Duration, renewed bool) {
	t.Helper()
	src := c.TokenSource(w.Ctx)
	start := time.Now()
	got := suite.MustToken(t, src)
	if took := time.Since(start); took > upTo || upTo > 2*time.Second && took != upTo {
		t.Errorf("the first caller waited %v, want %v", took, upTo)
	}
	suite.Diff(t, "the first caller's token is a new one", renewed, got != stored.AccessToken)
	for end := time.Now().Add(9 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		asked := time.Now()
		suite.MustToken(t, src)
		if took := time.Since(asked); took != 0 {
			t.Fatalf("a later caller waited %v", took)
		}
	}
}
