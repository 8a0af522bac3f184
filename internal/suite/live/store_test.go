package live_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// journal keeps what happened, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

// take returns the lines since the last call.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

// options are callbacks that write to the journal. Of a log record it has the level, because messages may change.
func (j *journal) options() netoauth.Options {
	return netoauth.Options{
		OnToken:    func(*oauth2.Token) { j.add("OnToken") },
		OnExchange: func(netoauth.Exchange) { j.add("OnExchange") },
		Logger:     slog.New(levels{j}),
	}
}

// levels is a slog.Handler.
type levels struct{ j *journal }

func (l levels) Enabled(context.Context, slog.Level) bool { return true }
func (l levels) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l levels) WithGroup(string) slog.Handler            { return l }
func (l levels) Handle(_ context.Context, r slog.Record) error {
	l.j.add(r.Level.String())
	return nil
}

// store is a Store in memory, and a journal of its calls. The lock is a channel, because the clock of a bubble stands
// still while somebody waits for a sync.Mutex. The funcs stand in the way, where they are set: an error of theirs is
// the call's.
type store struct {
	journal
	lock   chan struct{}               // holds one element while an Update is under way
	load   func(context.Context) error // in Load
	before func(context.Context) error // in Update, before f
	after  func(context.Context) error // in Update, before it stores
	calls  int                         // of f in each Update

	token *oauth2.Token // guarded by journal.mu
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
	o := s.journal.options()
	o.Store = s
	return o
}

func (s *store) Load(ctx context.Context) (*oauth2.Token, error) {
	s.add("Load")
	if s.load != nil {
		if err := s.load(ctx); err != nil {
			return &oauth2.Token{AccessToken: "of a failed Load"}, err
		}
	}
	return s.get(), nil
}

func (s *store) Update(ctx context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
	s.add("Update")
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
		s.add("stored")
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

// The credentials of each flow. Refresh has a refresh token only where the options or the test bring one.
var flows = map[string]func(*suite.World, netoauth.Options) suite.Credential{
	"API key": func(w *suite.World, o netoauth.Options) suite.Credential {
		key := *w.Key
		key.Options = o
		return &key
	},
	"password": func(w *suite.World, o netoauth.Options) suite.Credential {
		user := *w.User
		user.Options = o
		return &user
	},
	"refresh token": refreshWith(""),
}

func refreshWith(token string) func(*suite.World, netoauth.Options) suite.Credential {
	return func(w *suite.World, o netoauth.Options) suite.Credential {
		return &netoauth.Refresh{URL: w.URL, RefreshToken: netoauth.Secret(token), Options: o}
	}
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

// recordRefreshes makes w's client write down the refresh tokens that it sends.
func recordRefreshes(w *suite.World) *journal {
	j, network := new(journal), w.InProcess().Transport
	w.Ctx = suite.Over(w.Ctx, suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == netoauthtest.RefreshPath {
			copied := r.Clone(r.Context())
			copied.Body, _ = r.GetBody()
			j.add(copied.FormValue("refresh_token"))
		}
		return network.RoundTrip(r)
	}))
	return j
}

// eachFlow runs test for each of the three flows, in a bubble.
func eachFlow(t *testing.T, test func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential)) {
	for name, flow := range flows {
		t.Run(name, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
				test(t, w, func(o netoauth.Options) suite.Credential { return flow(w, o) })
			})
		})
	}
}

func TestStore_isNotReadUntilATokenIsNeeded(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		s := newStore(mustLogIn(t, w, 0))
		src := of(s.options()).TokenSource(w.Ctx)
		of(s.options()).Client(w.Ctx)
		netoauth.Wait(w.Ctx, src)
		time.Sleep(time.Hour)
		suite.Diff(t, "calls and callbacks", nothing, s.take())
	})
}

// Neither a lock, nor an exchange, nor a callback; one Debug record.
func TestStore_freshTokenIsTakenOver(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		stored := mustLogIn(t, w, 0)
		s := newStore(stored)
		src := of(s.options()).TokenSource(w.Ctx)
		for range 3 {
			suite.Diff(t, "token", stored.AccessToken, suite.MustToken(t, src))
		}
		suite.Diff(t, "calls and callbacks", []string{"Load", "DEBUG"}, s.take())
		suite.Diff(t, "token requests", 1, w.Requests(""))
	})
}

func TestStore_renewalTakesOverWhatAnotherProgramStored(t *testing.T) {
	for name, age := range map[string]time.Duration{"stale": stale, "spent": spent} {
		t.Run(name, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
				s := newStore(mustLogIn(t, w, 0))
				src := flows["refresh token"](w, s.options()).TokenSource(w.Ctx)
				suite.MustToken(t, src)
				time.Sleep(age)
				next := renew(t, w, s.get(), s)
				s.take()
				src.Token()
				netoauth.Wait(w.Ctx, src)
				suite.Diff(t, "token", next.AccessToken, suite.MustToken(t, src))
				suite.Diff(t, "calls and callbacks", []string{"Load", "DEBUG"}, s.take())
				suite.Diff(t, "token requests", 2, w.Requests(""))
			})
		})
	}
}

func TestStore_updateLooksOnceMore(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		s := newStore(mustLogIn(t, w, stale))
		next := renew(t, w, s.get(), nil)
		s.before = func(context.Context) error { s.put(next); return nil }
		src := of(s.options()).TokenSource(w.Ctx)
		suite.Diff(t, "token", next.AccessToken, suite.MustToken(t, src))
		suite.Diff(t, "calls and callbacks", []string{"Load", "Update", "DEBUG"}, s.take())
		suite.Diff(t, "token requests", 2, w.Requests(""))
	})
}

// An exchange before it is told once.
func TestStore_takeoverInUpdateTellsOfNoExchange(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		s := newStore(mustLogIn(t, w, spent))
		src := of(s.options()).TokenSource(w.Ctx)
		suite.MustToken(t, src)
		time.Sleep(spent)
		next := renew(t, w, s.get(), nil)
		s.before = func(context.Context) error { s.put(next); return nil }
		s.take()
		suite.Diff(t, "token", next.AccessToken, suite.MustToken(t, src))
		suite.Diff(t, "calls and callbacks", []string{"Load", "Update", "DEBUG"}, s.take())
	})
}

func TestStore_refreshTokenUsedIsTheStoredOne(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		sent := recordRefreshes(w)
		s := newStore(mustLogIn(t, w, spent))
		var want []string
		src := of(s.options()).TokenSource(w.Ctx)
		for range 3 {
			want = append(want, s.get().RefreshToken)
			got := suite.MustToken(t, src)
			suite.Diff(t, "stored token", s.get().AccessToken, got)
			time.Sleep(spent)
		}
		// Another program's, which is spent when it is seen.
		renewed := renew(t, w, s.get(), s)
		want = append(want, sent.lines[3], renewed.RefreshToken)
		time.Sleep(spent)
		suite.MustToken(t, src)
		suite.Diff(t, "refresh tokens sent", want, sent.take())
	})
}

func TestStore_hasTheNewTokenBeforeAnybodyElse(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		s := newStore(mustLogIn(t, w, spent))
		src := of(s.options()).TokenSource(w.Ctx)
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				suite.MustToken(t, src)
				s.add("caller")
			})
		}
		all.Wait()
		want := []string{"Load", "Update", "stored", "OnToken", "OnExchange", "DEBUG", "caller", "caller"}
		suite.Diff(t, "order", want, s.take())
	})
}

func TestStore_failedExchangeStoresNothing(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		s := newStore(mustLogIn(t, w, spent))
		before := s.get()
		w.Fail(-1, netoauthtest.Status(503, "Retry-After", "1"))
		src := of(s.options()).TokenSource(w.Ctx)
		if _, err := src.Token(); err == nil {
			t.Error("a token, want an error")
		}
		suite.Diff(t, "stored token's refresh token", before.RefreshToken, s.get().RefreshToken)
		suite.Diff(t, "calls and callbacks", []string{"Load", "Update", "OnExchange", "WARN"}, s.take())
	})
}

// A stored token past its renewal point is renewed before its first use, for which callers wait 5 s at most. Where that
// brings nothing it serves as any stale token does.
func TestStore_staleTokenIsRenewedBeforeItsFirstUse(t *testing.T) {
	const at5s, soon = 5 * time.Second, 2 * time.Second
	for _, tt := range []struct {
		name    string
		trouble func(w *suite.World, s *store)
		upTo    time.Duration // the first caller's wait
		renewed bool
	}{
		{"at once", func(*suite.World, *store) {}, 0, true},
		{"in 4 s", func(w *suite.World, _ *store) { w.Delay(4 * time.Second) }, 4 * time.Second, true},
		{"in 6 s", func(w *suite.World, _ *store) { w.Delay(6 * time.Second) }, at5s, false},
		{"503", func(w *suite.World, _ *store) { w.Fail(-1, netoauthtest.Status(503)) }, soon, false},
		{"503 in 1 s", func(w *suite.World, _ *store) {
			w.Delay(time.Second)
			w.Fail(-1, netoauthtest.Status(503, "Retry-After", "1"))
		}, time.Second, false},
		{"refusal", func(w *suite.World, _ *store) { w.Fail(-1, netoauthtest.Status(400)) }, 0, false},
		{"no connection", func(w *suite.World, _ *store) { w.Fail(-1, netoauthtest.Drop()) }, soon, false},
		{"silence", func(w *suite.World, _ *store) { w.Fail(-1, netoauthtest.Hang()) }, at5s, false},
		{"held lock", func(_ *suite.World, s *store) { time.AfterFunc(time.Minute, s.hold()) }, at5s, false},
		{"failing Update", func(w *suite.World, s *store) {
			s.before = failing
			w.Fail(-1, netoauthtest.Status(401)) // the log-in
		}, soon, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
				stored := mustLogIn(t, w, stale)
				s := newStore(stored)
				tt.trouble(w, s)
				firstUse(t, w, of(s.options()), stored, tt.upTo, tt.renewed)
			})
		})
		if strings.Contains(tt.name, "lock") || strings.Contains(tt.name, "Update") {
			continue
		}
		t.Run(tt.name+", InitialToken", func(t *testing.T) {
			eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
				stored := mustLogIn(t, w, stale)
				tt.trouble(w, nil)
				firstUse(t, w, of(netoauth.Options{InitialToken: plain(stored)}), stored, tt.upTo, tt.renewed)
			})
		})
	}
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

// A program that has been idle for longer than its token lasts.
func TestStore_staleTokenOfAnotherProgramServesWhereTheOneInHandIsSpent(t *testing.T) {
	for name, fault := range map[string]http.Handler{
		"503": netoauthtest.Status(503), "refusal": netoauthtest.Status(400), "silence": netoauthtest.Hang(),
	} {
		t.Run(name, func(t *testing.T) {
			eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
				s := newStore(mustLogIn(t, w, 0))
				src := of(s.options()).TokenSource(w.Ctx)
				suite.MustToken(t, src)
				time.Sleep(spent)
				next := renew(t, w, s.get(), s)
				time.Sleep(stale)
				w.Fail(-1, fault)
				start := time.Now()
				tok, err := src.Token()
				if err != nil || tok.AccessToken != next.AccessToken {
					t.Errorf("error %v, want the stored token, which is good for another 20 s", err)
				}
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("the caller waited %v, want at most 5s", took)
				}
			})
		})
	}
}

func TestStore_initialTokenCountsOnlyWhereItHasNone(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		initial, stored := mustLogIn(t, w, 0), mustLogIn(t, w, 0)
		s := newStore(stored)
		o := s.options()
		o.InitialToken = initial
		suite.Diff(t, "token beside a stored one", stored.AccessToken, suite.MustToken(t, of(o).TokenSource(w.Ctx)))

		s.put(nil)
		src := of(o).TokenSource(w.Ctx)
		suite.Diff(t, "token without a stored one", initial.AccessToken, suite.MustToken(t, src))
		time.Sleep(spent)
		sent := recordRefreshes(w)
		src = of(o).TokenSource(w.Ctx)
		got := suite.MustToken(t, src)
		suite.Diff(t, "refresh tokens sent", []string{initial.RefreshToken}, sent.take())
		suite.Diff(t, "stored token", s.get().AccessToken, got)

		sent.take()
		time.Sleep(spent)
		want := s.get().RefreshToken
		suite.MustToken(t, of(o).TokenSource(w.Ctx))
		suite.Diff(t, "refresh tokens sent", []string{want}, sent.take())
	})
}

func TestStore_loadThatFailsCountsAsNone(t *testing.T) {
	for name, load := range map[string]func(context.Context) error{"at once": failing, "in time": hanging} {
		t.Run(name, func(t *testing.T) {
			eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
				sent := recordRefreshes(w)
				stored := mustLogIn(t, w, spent)
				s := newStore(stored)
				s.load = load
				start := time.Now()
				got := suite.MustToken(t, of(s.options()).TokenSource(w.Ctx))
				if took := time.Since(start); took > 20*time.Second {
					t.Errorf("Load had %v, want at most 20s", took)
				}
				suite.Diff(t, "stored token", s.get().AccessToken, got)
				suite.Diff(t, "refresh tokens sent", []string{stored.RefreshToken}, sent.take())
			})
		})
	}
}

// Refresh would have no place for the next refresh token and sends nothing. The others log in.
func TestStore_updateThatFailsBeforeItsExchange(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(s *store)
		in   time.Duration
	}{
		{"at once", func(s *store) { s.before = failing }, 0},
		{"after 20 s", func(s *store) { s.before = hanging }, 20 * time.Second},
		{"held lock", func(s *store) { time.AfterFunc(40*time.Second, s.hold()) }, 20 * time.Second},
		{"without an error", func(s *store) { s.calls = 0 }, 0},
		{"function called too late", func(s *store) {
			s.before = func(context.Context) error { time.Sleep(25 * time.Second); return nil }
		}, 25 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
				sent := recordRefreshes(w)
				s := newStore(mustLogIn(t, w, spent))
				before := s.get().AccessToken
				tt.make(s)
				o := s.options()
				var exchanges []netoauth.Exchange
				o.OnExchange = func(e netoauth.Exchange) { s.add("OnExchange"); exchanges = append(exchanges, e) }
				c := of(o)
				start := time.Now()
				_, err := c.TokenSource(w.Ctx).Token()
				suite.Diff(t, "time taken", tt.in.String(), time.Since(start).String())
				suite.Diff(t, "refresh tokens sent", nothing, sent.take())
				suite.Diff(t, "stored token", before, s.get().AccessToken)

				want := []string{"Load", "Update", "WARN", "OnToken", "OnExchange", "DEBUG"}
				if _, ok := c.(*netoauth.Refresh); ok {
					want = []string{"Load", "Update", "OnExchange", "WARN"}
					if tt.name == "at once" {
						suite.WantError(t, err, errStore)
					}
					if len(exchanges) != 1 || exchanges[0].Err == nil || exchanges[0].RetryIn < 500*time.Millisecond ||
						exchanges[0].RetryIn > time.Second || errors.Is(err, netoauth.ErrRejected) {
						t.Errorf("%+v, error %v; want a failure to be tried again as after a transient fault", exchanges, err)
					}
				} else if err != nil {
					t.Error(err)
				}
				suite.Diff(t, "calls and callbacks", want, s.take())
			})
		})
	}
}

func TestStore_updateThatFailsAfterItsExchange(t *testing.T) {
	for name, make := range map[string]func(s *store){
		"at once":    func(s *store) { s.after = failing },
		"after 20 s": func(s *store) { s.after = hanging },
	} {
		t.Run(name, func(t *testing.T) {
			eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
				s := newStore(mustLogIn(t, w, spent))
				before := s.get().AccessToken
				make(s)
				start := time.Now()
				got := suite.MustToken(t, of(s.options()).TokenSource(w.Ctx))
				if took := time.Since(start); name == "after 20 s" && took != 20*time.Second {
					t.Errorf("Update had %v after its exchange, want 20s", took)
				}
				suite.Diff(t, "stored token", before, s.get().AccessToken)
				if got == before {
					t.Error("the token is the stored one")
				}
				suite.Diff(t, "calls and callbacks",
					[]string{"Load", "Update", "WARN", "OnToken", "OnExchange", "DEBUG"}, s.take())
			})
		})
	}
}

// An optimistic transaction, which the interface forbids.
func TestStore_updateThatCallsItsFunctionTwice(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		s := newStore(mustLogIn(t, w, spent))
		s.calls = 2
		got := suite.MustToken(t, of(s.options()).TokenSource(w.Ctx))
		suite.Diff(t, "stored token", s.get().AccessToken, got)
		suite.Diff(t, "token requests", 2, w.Requests(""))
		suite.Diff(t, "calls and callbacks",
			[]string{"Load", "Update", "stored", "WARN", "OnToken", "OnExchange", "DEBUG"}, s.take())
	})
}

func TestStore_lockAndExchangeHaveTheirOwnTime(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		s := newStore(mustLogIn(t, w, spent))
		time.AfterFunc(19*time.Second, s.hold())
		w.Delay(25 * time.Second)
		s.after = func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(19 * time.Second):
				return nil
			}
		}
		start := time.Now()
		got := suite.MustToken(t, of(s.options()).TokenSource(w.Ctx))
		suite.Diff(t, "time taken", "1m3s", time.Since(start).String())
		suite.Diff(t, "stored token", s.get().AccessToken, got)
	})
}

func TestStore_callersContextEndsItsOwnWaitAlone(t *testing.T) {
	for name, hold := range map[string]func(*suite.World, *store){
		"during Load": func(_ *suite.World, s *store) {
			s.load = func(context.Context) error { time.Sleep(3 * time.Second); return nil }
		},
		"before the lock":     func(_ *suite.World, s *store) { time.AfterFunc(3*time.Second, s.hold()) },
		"during the exchange": func(w *suite.World, _ *store) { w.Delay(3 * time.Second) },
		"while it is stored": func(_ *suite.World, s *store) {
			s.after = func(context.Context) error { time.Sleep(3 * time.Second); return nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
				w.Handle("/", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
				s := newStore(mustLogIn(t, w, spent))
				hold(w, s)
				client := flows["refresh token"](w, s.options()).Client(w.Ctx)
				ctx, cancel := context.WithTimeout(w.Ctx, time.Second)
				defer cancel()
				start := time.Now()
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, w.URL, nil)
				_, err := client.Do(req)
				suite.WantError(t, err, context.DeadlineExceeded)
				suite.Diff(t, "the first caller's wait", "1s", time.Since(start).String())
				suite.Diff(t, "the second caller's status", 200, suite.MustGet(t, client, w.URL))
				suite.Diff(t, "time until the second caller was served", "3s", time.Since(start).String())
				suite.Diff(t, "token requests", 2, w.Requests(""))
			})
		})
	}
}

func TestStore_isLeftAloneByTokenOfALogIn(t *testing.T) {
	for _, flow := range []string{"API key", "password"} {
		t.Run(flow, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
				s := newStore(mustLogIn(t, w, 0))
				if _, err := flows[flow](w, s.options()).Token(w.Ctx); err != nil {
					t.Fatal(err)
				}
				suite.Diff(t, "calls and callbacks", []string{"OnToken", "OnExchange", "DEBUG"}, s.take())
				suite.Diff(t, "refreshes", 0, w.Requests(netoauthtest.RefreshPath))
			})
		})
	}
}

func TestStore_isUsedByTokenOfRefresh(t *testing.T) {
	for name, age := range map[string]time.Duration{"fresh": 0, "stale": stale, "spent": spent} {
		t.Run(name, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
				sent := recordRefreshes(w)
				first := mustLogIn(t, w, age)
				s := newStore(first)
				r := refreshWith("an older one")(w, s.options())
				tok, err := r.Token(w.Ctx)
				if err != nil {
					t.Fatal(err)
				}
				suite.Diff(t, "stored tokens", plain(tok).RefreshToken, s.get().RefreshToken)
				again, err := r.Token(w.Ctx)
				if err != nil || again.AccessToken == tok.AccessToken {
					t.Errorf("the second: error %v, or the same token; want another", err)
				}
				suite.Diff(t, "refresh tokens sent", []string{first.RefreshToken, tok.RefreshToken}, sent.take())
				once := []string{"Update", "stored", "OnToken", "OnExchange", "DEBUG"}
				suite.Diff(t, "calls and callbacks", slices.Concat(once, once), s.take())

				s.before = failing
				_, err = r.Token(w.Ctx)
				suite.WantError(t, err, errStore)
				suite.Diff(t, "refresh tokens sent", nothing, sent.take())
			})
		})
	}
}

func TestStore_withoutAnyRefreshTokenSaysSoAtOnce(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		start := time.Now()
		_, err := flows["refresh token"](w, newStore(nil).options()).TokenSource(w.Ctx).Token()
		if err == nil || !strings.Contains(err.Error(), "neither in RefreshToken nor in the Store") {
			t.Errorf("error %v", err)
		}
		suite.Diff(t, "time taken", "0s", time.Since(start).String())
		suite.Diff(t, "token requests", 0, w.Requests(""))
	})
}

func TestStore_refreshTriesItsOwnTokenOnceWhereTheStoredOneIsRefused(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		sent := recordRefreshes(w)
		own := mustLogIn(t, w, 0)
		s := newStore(&oauth2.Token{RefreshToken: "refused"})
		src := refreshWith(own.RefreshToken)(w, s.options()).TokenSource(w.Ctx)
		got := suite.MustToken(t, src)
		suite.Diff(t, "stored token", s.get().AccessToken, got)
		suite.Diff(t, "refresh tokens sent", []string{"refused", own.RefreshToken}, sent.take())

		// It is used up by now.
		next := s.get().RefreshToken
		w.RevokeRefreshTokens()
		time.Sleep(spent)
		for range 3 {
			src.Token()
			time.Sleep(3 * time.Minute)
		}
		suite.Diff(t, "refresh tokens sent", []string{next, next, next}, sent.take())
	})
}

func TestStore_refreshDoesNotTryItsOwnTokenTwice(t *testing.T) {
	for _, tt := range []struct {
		name, stored, own string
		want              []string
	}{
		{"both refused", "stored", "own", []string{"stored", "own", "stored", "stored"}},
		{"the same", "stored", "stored", []string{"stored", "stored", "stored"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
				sent := recordRefreshes(w)
				s := newStore(&oauth2.Token{RefreshToken: tt.stored})
				src := refreshWith(tt.own)(w, s.options()).TokenSource(w.Ctx)
				for range 3 {
					_, err := src.Token()
					suite.WantError(t, err, netoauth.ErrRejected)
					time.Sleep(3 * time.Minute)
				}
				suite.Diff(t, "refresh tokens sent", tt.want, sent.take())
			})
		})
	}
}

// RefreshToken was used up long ago, by an earlier run. To send it again once the fault has passed would end the
// session.
func TestStore_refusalsThatPassLoseNoSession(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		own := mustLogIn(t, w, 0)
		s := newStore(nil)
		renew(t, w, own, s)
		time.Sleep(spent)
		src := refreshWith(own.RefreshToken)(w, s.options()).TokenSource(w.Ctx)
		w.Fail(-1, netoauthtest.Status(403)) // an IP allow list
		for range 3 {
			_, err := src.Token()
			suite.WantError(t, err, netoauth.ErrRejected)
			time.Sleep(2 * time.Minute)
		}
		w.Fail(0, nil)
		suite.MustToken(t, src)
	})
}

func TestStore_writesThatFailNeverSendARefreshTokenAgain(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		sent := recordRefreshes(w)
		s := newStore(mustLogIn(t, w, spent))
		s.after = failing
		src := of(s.options()).TokenSource(w.Ctx)
		for range 5 {
			suite.MustToken(t, src)
			time.Sleep(spent)
		}
		s.after = nil
		for range 2 {
			suite.Diff(t, "stored token", suite.MustToken(t, src), s.get().AccessToken)
			time.Sleep(spent)
		}
		lines := sent.take()
		suite.Diff(t, "refreshes", 7, len(lines))
		slices.Sort(lines)
		suite.Diff(t, "different refresh tokens", 7, len(slices.Compact(lines)))
		suite.Diff(t, "log-ins", 1, w.Requests("")-w.Requests(netoauthtest.RefreshPath))
	})
}

func TestStore_isSharedByPrograms(t *testing.T) {
	for _, programs := range []int{2, 5} {
		t.Run(fmt.Sprint(programs), func(t *testing.T) {
			eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
				w.Handle("/", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
				s := newStore(mustLogIn(t, w, 0))
				w.Delay(200 * time.Millisecond)
				var all sync.WaitGroup
				start := time.Now()
				for range programs {
					client := of(s.options()).Client(w.Ctx)
					all.Go(func() {
						for ; time.Since(start) < time.Hour; time.Sleep(time.Second) {
							suite.Diff(t, "status", 200, suite.MustGet(t, client, w.URL))
						}
					})
				}
				all.Wait()
				if n := w.Requests(netoauthtest.RefreshPath); n < 3600/255 || n > 3600/210 {
					t.Errorf("%d refreshes in an hour, want one for each 3.5 to 4.25 min", n)
				}
				suite.Diff(t, "log-ins", 1, w.Requests("")-w.Requests(netoauthtest.RefreshPath))
			})
		})
	}
}

func TestStore_isNotForASubAccount(t *testing.T) {
	s := newStore(nil)
	key := &netoauth.APIKey{Options: s.options()}
	key.InitialToken = new(oauth2.Token)
	sub := key.Account("sub")
	if sub.InitialToken != nil || sub.OnToken != nil || sub.Store != nil || sub.OnExchange == nil || sub.Logger == nil {
		t.Error("the sub-account's key has the parent's session, or not its OnExchange and Logger")
	}
	if key.InitialToken == nil || key.OnToken == nil || key.Store == nil {
		t.Error("the parent's key has lost its session")
	}
}

// The refresh token's end is in Extra, which no Store keeps: so it is tried.
func TestStore_doesNotKnowWhenTheRefreshTokenEnds(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		s := newStore(mustLogIn(t, w, time.Hour))
		suite.MustToken(t, flows["password"](w, s.options()).TokenSource(w.Ctx))
		suite.Diff(t, "refreshes", 1, w.Requests(netoauthtest.RefreshPath))
		suite.Diff(t, "log-ins", 2, w.Requests(netoauthtest.PasswordPath))
	})
}

// What another program has stored meanwhile is taken over and sent. Where that is refused too, an exchange follows.
func TestStore_401(t *testing.T) {
	for _, tt := range []struct {
		name    string
		first   bool // the token in hand is one taken over
		revoked bool // what the other program stored is refused, too
		late    bool // it is stored only when Update is under way
		want    int  // token requests after the 401
		sends   int  // of the request
	}{
		{name: "the stored one is good", want: 0, sends: 2},
		{name: "in hand is one taken over", first: true, want: 0, sends: 2},
		{name: "the stored one is refused, too", revoked: true, want: 1, sends: 3},
		{name: "in hand is one taken over, the stored one is refused, too", first: true, revoked: true, want: 1, sends: 3},
		{name: "stored late", late: true, want: 0, sends: 2},
		{name: "stored late, and refused, too", late: true, revoked: true, want: 1, sends: 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
				w.Handle("/", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
				age := spent
				if tt.first {
					age = 0
				}
				s := newStore(mustLogIn(t, w, age))
				sends, network := 0, w.InProcess().Transport
				w.Ctx = suite.Over(w.Ctx, suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
					if r.URL.Path == "/" {
						sends++
					}
					return network.RoundTrip(r)
				}))
				client := of(s.options()).Client(w.Ctx)
				suite.MustGet(t, client, w.URL+"/")
				for range 2 { // 30 s do not matter: a takeover does not count for them
					w.RevokeAccessTokens()
					next := renew(t, w, s.get(), nil)
					if tt.late {
						s.before = func(context.Context) error { s.put(next); s.before = nil; return nil }
					} else {
						s.put(next)
					}
					if tt.revoked {
						w.RevokeAccessTokens()
					}
					before := w.Requests("")
					sends = 0
					suite.Diff(t, "status", 200, suite.MustGet(t, client, w.URL+"/"))
					suite.Diff(t, "token requests", tt.want, w.Requests("")-before)
					suite.Diff(t, "times the request was sent", tt.sends, sends)
					if tt.revoked {
						time.Sleep(30 * time.Second)
					}
				}
			})
		})
	}
}

func TestStore_401LeadsToThreeRequestsAtMost(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		s := newStore(mustLogIn(t, w, 0))
		n, sends, network := 0, 0, w.InProcess().Transport
		s.load = func(context.Context) error { // another program stores one after the other
			n++
			s.put(&oauth2.Token{AccessToken: fmt.Sprint("token ", n), Expiry: time.Now().Add(time.Hour)})
			return nil
		}
		w.Ctx = suite.Over(w.Ctx, suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
			if sends++; sends > 10 {
				t.Error("the request is sent again and again")
				return suite.Answer(200, "").RoundTrip(r)
			}
			return network.RoundTrip(r)
		}))
		w.Handle("/", netoauthtest.Status(401))
		suite.Diff(t, "status", 401, suite.MustGet(t, flows["password"](w, s.options()).Client(w.Ctx), w.URL))
		suite.Diff(t, "times the request was sent", 3, sends)
	})
}

func TestStore_401LeadsToOneExchangeForAllPrograms(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Handle("/", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		s := newStore(mustLogIn(t, w, 0))
		w.Delay(time.Second)
		clients := make([]*http.Client, 5)
		for i := range clients {
			clients[i] = flows["refresh token"](w, s.options()).Client(w.Ctx)
			suite.MustGet(t, clients[i], w.URL)
		}
		w.RevokeAccessTokens()
		var all sync.WaitGroup
		for _, c := range clients {
			all.Go(func() { suite.Diff(t, "status", 200, suite.MustGet(t, c, w.URL)) })
		}
		all.Wait()
		synctest.Wait()
		suite.Diff(t, "token requests", 2, w.Requests(""))
	})
}

func TestStore_401WithABodySendsItEachTime(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		s := newStore(mustLogIn(t, w, 0))
		j, network := new(journal), w.InProcess().Transport
		n := 0
		w.Ctx = suite.Over(w.Ctx, suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path != "/" {
				return network.RoundTrip(r)
			}
			b := new(strings.Builder)
			r.Write(b)
			_, text, _ := strings.Cut(b.String(), "\r\n\r\n")
			j.add(text)
			if n++; n < 3 {
				return suite.Answer(401, "").RoundTrip(r)
			}
			return suite.Answer(200, "").RoundTrip(r)
		}))
		client := flows["refresh token"](w, s.options()).Client(w.Ctx)
		suite.MustToken(t, client.Transport.(*netoauth.Transport).Source)
		renew(t, w, s.get(), s)
		resp, err := client.Post(w.URL+"/", "text/plain", strings.NewReader("body"))
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("%v, %v; want 200", resp, err)
		}
		suite.Diff(t, "bodies sent", []string{"body", "body", "body"}, j.take())
	})
}

// Its first use counts, not when the source was made.
func TestOptions_initialTokenThatHasBecomeStaleIsRenewedBeforeItsFirstUse(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		initial := mustLogIn(t, w, 0)
		idle := of(netoauth.Options{InitialToken: initial}).TokenSource(w.Ctx)
		busy := of(netoauth.Options{InitialToken: initial}).TokenSource(w.Ctx)
		suite.MustToken(t, busy)
		time.Sleep(stale)
		w.Delay(time.Second)
		start := time.Now()
		if suite.MustToken(t, idle) == initial.AccessToken || time.Since(start) != time.Second {
			t.Errorf("the stale token, or another after %v; want another after 1s", time.Since(start))
		}
		suite.Diff(t, "token that has been used before", initial.AccessToken, suite.MustToken(t, busy))
	})
}

// Another program's success with another refresh token says that refreshing works again.
func TestStore_refreshesWithATokenTakenOverAfterAFault(t *testing.T) {
	for _, flow := range []string{"API key", "password"} {
		t.Run(flow, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
				s := newStore(mustLogIn(t, w, 0))
				src := flows[flow](w, s.options()).TokenSource(w.Ctx)
				suite.MustToken(t, src)
				time.Sleep(stale)
				w.Fail(1, netoauthtest.Status(503))
				suite.MustToken(t, src)
				netoauth.Wait(w.Ctx, src)
				renew(t, w, s.get(), s)
				time.Sleep(2 * time.Second)
				suite.MustToken(t, src)
				netoauth.Wait(w.Ctx, src) // has taken it over
				logIns := w.Requests("") - w.Requests(netoauthtest.RefreshPath)
				time.Sleep(spent)
				suite.MustToken(t, src)
				suite.Diff(t, "log-ins", logIns, w.Requests("")-w.Requests(netoauthtest.RefreshPath))
			})
		})
	}
}

// The fall-back to a log-in after a fault with the refresh token says so.
func TestOptions_loggerWarnsOfALogInAfterAFault(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		j := new(journal)
		o := j.options()
		o.InitialToken = mustLogIn(t, w, spent)
		w.Fail(-1, netoauthtest.Status(500), netoauthtest.RefreshPath)
		src := flows["password"](w, o).TokenSource(w.Ctx)
		src.Token()
		j.take()
		time.Sleep(time.Second)
		suite.MustToken(t, src)
		suite.Diff(t, "callbacks", []string{"WARN", "OnToken", "OnExchange", "DEBUG"}, j.take())

		w.Fail(0, nil)
		time.Sleep(spent)
		suite.MustToken(t, src)
		suite.Diff(t, "callbacks of the refresh that follows", []string{"OnToken", "OnExchange", "DEBUG"}, j.take())
	})
}
