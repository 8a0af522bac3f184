package live_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// renewing returns a source of a password that has begun a renewal in the background, which takes the given time.
func renewing(t *testing.T, w *suite.World, o netoauth.Options, takes time.Duration) oauth2.TokenSource {
	t.Helper()
	o.InitialToken = mustLogIn(t, w, 0)
	src := w.Credential(suite.Password, o).TokenSource(w.Ctx)
	suite.MustToken(t, src)
	time.Sleep(stale)
	w.Delay(takes)
	suite.MustToken(t, src)
	synctest.Wait()
	return src
}

func mustWait(t *testing.T, ctx context.Context, src oauth2.TokenSource, want time.Duration) {
	t.Helper()
	start := time.Now()
	if err := netoauth.Wait(ctx, src); err != nil {
		t.Errorf("Wait: %v, want nil", err)
	}
	suite.Diff(t, "time that Wait took", want.String(), time.Since(start).String())
}

func TestWait_untilTheExchangeUnderWayHasEndedWhateverCameOfIt(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault http.Handler
		want  time.Duration
	}{
		{"a token", nil, 2 * time.Second},
		{"a transient fault", netoauthtest.Status(503), 2 * time.Second},
		{"no connection", netoauthtest.Drop(), 2 * time.Second},
		{"a refused refresh and a refused log-in", netoauthtest.Status(401), 4 * time.Second},
		{"silence", netoauthtest.Hang(), 30 * time.Second},
	} {
		suite.RunInBubble(t, tt.name, func(t *testing.T, w *suite.World) {
			w.Fail(-1, tt.fault, netoauthtest.RefreshPath)
			var seen []netoauth.Exchange
			o := netoauth.Options{OnExchange: func(e netoauth.Exchange) { seen = append(seen, e) }}
			src := renewing(t, w, o, 2*time.Second)
			w.Fail(-1, tt.fault)
			mustWait(t, w.Ctx, src, tt.want)
			if len(seen) != 1 || (seen[0].Err != nil) != (tt.fault != nil) {
				t.Errorf("exchanges when Wait returned: %+v, want one", seen)
			}
			mustWait(t, w.Ctx, src, 0)
		})
	}
}

// The tries that an exchange makes while somebody waits for it are parts of it.
func TestWait_untilTheQuickTriesAreOver(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Fail(-1, netoauthtest.Status(503))
		src := w.Key.TokenSource(w.Ctx)
		var answered time.Time
		go func() {
			src.Token()
			answered = time.Now()
		}()
		time.Sleep(time.Millisecond)
		if err := netoauth.Wait(w.Ctx, src); err != nil {
			t.Error(err)
		}
		ended := time.Now()
		synctest.Wait()
		suite.Diff(t, "tries", 3, w.Requests(""))
		suite.Diff(t, "time between the caller's answer and Wait's end", "0s", ended.Sub(answered).String())
	})
}

// A Store's lock and write are parts of the exchange, and so are the callbacks.
func TestWait_untilTheTokenIsStoredAndTold(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		s := newStore(mustLogIn(t, w, 0))
		s.after = func(context.Context) error { time.Sleep(3 * time.Second); return nil }
		o := s.options()
		o.OnToken = func(*oauth2.Token) { time.Sleep(4 * time.Second) }
		o.OnExchange = func(netoauth.Exchange) { time.Sleep(5 * time.Second) }
		time.AfterFunc(stale+2*time.Second, s.hold())
		src := renewing(t, w, o, time.Second)
		mustWait(t, w.Ctx, src, 15*time.Second)
	})
}

func TestWait_endsWithItsContextAndTheExchangeGoesOn(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		src := renewing(t, w, netoauth.Options{}, 3*time.Second)
		old := suite.MustToken(t, src)
		ctx, cancel := context.WithTimeout(w.Ctx, time.Second)
		defer cancel()
		start := time.Now()
		suite.Diff(t, "error", true, netoauth.Wait(ctx, src) == context.DeadlineExceeded)
		suite.Diff(t, "time that Wait took", "1s", time.Since(start).String())
		ctx, cancel = context.WithCancel(w.Ctx)
		cancel()
		suite.Diff(t, "error of a context that is over", true, netoauth.Wait(ctx, src) == context.Canceled)

		mustWait(t, w.Ctx, src, 2*time.Second)
		if suite.MustToken(t, src) == old {
			t.Error("the exchange has brought no token")
		}
	})
}

func TestWait_returnsAtOnceWhereNothingIsUnderWay(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		s := newStore(nil)
		src := w.Credential(suite.APIKey, s.options()).TokenSource(w.Ctx)
		over, cancel := context.WithCancel(w.Ctx)
		cancel()
		wait := func(when string) {
			t.Helper()
			before := w.Requests("")
			s.Take()
			mustWait(t, w.Ctx, src, 0)
			mustWait(t, over, src, 0)
			synctest.Wait()
			suite.Diff(t, "token requests that Wait started "+when, 0, w.Requests("")-before)
			suite.Diff(t, "calls of the Store "+when, nothing, s.Take())
		}
		wait("before the first use")
		suite.MustToken(t, src)
		wait("with a fresh token")
		time.Sleep(stale)
		wait("with a stale token")
		time.Sleep(time.Hour)
		wait("with a spent token")
		w.Fail(-1, netoauthtest.Status(503))
		src.Token()
		wait("after a failed exchange")
	})
}

func TestWait_knowsNothingOfOtherSources(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		src := renewing(t, w, netoauth.Options{}, 3*time.Second)
		for name, other := range map[string]oauth2.TokenSource{
			"nil":                     nil,
			"wrapped":                 oauth2.ReuseTokenSource(nil, src),
			"foreign":                 oauth2.StaticTokenSource(new(oauth2.Token)),
			"of a function":           suite.TokenSource(func() (*oauth2.Token, error) { panic("Wait asked for a token") }),
			"of an unusable password": new(netoauth.Password).TokenSource(w.Ctx),
			"of an unusable API key":  new(netoauth.APIKey).TokenSource(w.Ctx),
			"of no refresh token":     new(netoauth.Refresh).TokenSource(w.Ctx),
		} {
			start := time.Now()
			if err := netoauth.Wait(w.Ctx, other); err != nil || time.Since(start) != 0 {
				t.Errorf("%s: %v after %v, want nil at once", name, err, time.Since(start))
			}
		}
		client := &http.Client{Transport: &netoauth.Transport{Source: src}}
		mustWait(t, w.Ctx, client.Transport.(*netoauth.Transport).Source, 3*time.Second)
	})
}

// It waits for one exchange, not for all that follow, and does not keep those from starting.
func TestWait_isForOneExchange(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.SetLifetimes(time.Second, time.Hour)
		w.Delay(2 * time.Second) // each token is spent when it comes
		src := w.Key.TokenSource(w.Ctx)
		var all sync.WaitGroup
		stop := time.Now().Add(20 * time.Second)
		all.Go(func() {
			for time.Now().Before(stop) {
				src.Token()
			}
		})
		synctest.Wait()
		for range 3 { // at once
			all.Go(func() { mustWait(t, w.Ctx, src, 2*time.Second) })
		}
		all.Wait()
		suite.Diff(t, "token requests", 10, w.Requests(""))
	})
}

// Without Wait a goroutine would be left, which package synctest reports as a deadlock.
func TestWait_endsABubbleInOrder(t *testing.T) {
	for name, use := range map[string]func(t *testing.T, w *suite.World) oauth2.TokenSource{
		"in an outage, during the quick tries": func(t *testing.T, w *suite.World) oauth2.TokenSource {
			w.Fail(-1, netoauthtest.Status(503))
			client := w.Key.Client(w.Ctx)
			err := getWithin(w, client, 100*time.Millisecond)
			suite.WantError(t, err, context.DeadlineExceeded)
			return client.Transport.(*netoauth.Transport).Source
		},
		"in an outage, during the back-off": func(t *testing.T, w *suite.World) oauth2.TokenSource {
			w.Fail(-1, netoauthtest.Status(503))
			src := w.Key.TokenSource(w.Ctx)
			for range 100 {
				src.Token()
				time.Sleep(100 * time.Millisecond)
			}
			return src
		},
		"in an outage, during a renewal": func(t *testing.T, w *suite.World) oauth2.TokenSource {
			w.Fail(-1, netoauthtest.Hang(), netoauthtest.RefreshPath)
			return renewing(t, w, netoauth.Options{}, 0)
		},
		"while a stored token is in use for a slow renewal": func(t *testing.T, w *suite.World) oauth2.TokenSource {
			s := newStore(mustLogIn(t, w, stale))
			w.Delay(10 * time.Second)
			src := w.Credential(suite.Refresh, s.options()).TokenSource(w.Ctx)
			suite.MustToken(t, src)
			return src
		},
		"while the Store is locked": func(t *testing.T, w *suite.World) oauth2.TokenSource {
			s := newStore(mustLogIn(t, w, stale))
			s.hold()
			src := w.Credential(suite.Refresh, s.options()).TokenSource(w.Ctx)
			suite.MustToken(t, src)
			return src
		},
		"during a renewal that a 401 forced": func(t *testing.T, w *suite.World) oauth2.TokenSource {
			w.Handle("/", netoauthtest.Status(401))
			client := w.Key.Client(w.Ctx)
			src := client.Transport.(*netoauth.Transport).Source
			suite.MustToken(t, src)
			w.Delay(20 * time.Second)
			getWithin(w, client, time.Second)
			return src
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := suite.NewWorld(t)
			synctest.Test(t, func(t *testing.T) {
				w.Ctx = suite.Over(t.Context(), w.InProcess().Transport)
				src := use(t, w)
				if err := netoauth.Wait(context.Background(), src); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
