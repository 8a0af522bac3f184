package live_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
)

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
		suite.Diff(t, "refresh tokens sent", []string{initial.RefreshToken}, sent.Take())
		suite.Diff(t, "stored token", s.get().AccessToken, got)

		sent.Take()
		time.Sleep(spent)
		want := s.get().RefreshToken
		suite.MustToken(t, of(o).TokenSource(w.Ctx))
		suite.Diff(t, "refresh tokens sent", []string{want}, sent.Take())
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

// Load failed, Update did not: the stale stored token is known by then, and serves.
func TestStore_staleTokenThatOnlyUpdateSawServes(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		stored := mustLogIn(t, w, stale)
		s := newStore(stored)
		s.load = failing
		w.Fail(-1, netoauthtest.Status(503))
		tok, err := of(s.options()).TokenSource(w.Ctx).Token()
		if err != nil || tok.AccessToken != stored.AccessToken {
			t.Errorf("error %v, want the stored token", err)
		}
	})
}

// A stored token that would be spent before the 5 s are over is not held back until then.
func TestStore_firstUseEndsBeforeTheTokenDoes(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		w.SetLifetimes(time.Minute, time.Hour)
		stored := mustLogIn(t, w, 51*time.Second) // 9 s are left, and 3 s of service
		w.Fail(-1, netoauthtest.Hang())
		start := time.Now()
		tok, err := of(newStore(stored).options()).TokenSource(w.Ctx).Token()
		if err != nil || tok.AccessToken != stored.AccessToken {
			t.Errorf("error %v after %v, want the stored token", err, time.Since(start))
		}
		if took := time.Since(start); took >= 3*time.Second {
			t.Errorf("served after %v, when nothing of its service is left", took)
		}
	})
}
