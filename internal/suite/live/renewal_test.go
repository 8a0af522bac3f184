package live_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

var lifetimes = []struct{ life, serves time.Duration }{
	{10 * time.Second, 9 * time.Second},
	{time.Minute, 54 * time.Second},
	{5 * time.Minute, 290 * time.Second},
	{10 * time.Hour, 10*time.Hour - 10*time.Second},
}

func TestTokenSource_servesUntilATenthOr10sBeforeTheEnd(t *testing.T) {
	for _, tt := range lifetimes {
		suite.RunInBubble(t, tt.life.String(), func(t *testing.T, w *suite.World) {
			w.SetLifetimes(tt.life, time.Hour)
			src := w.Key.TokenSource(w.Ctx)
			first := suite.MustToken(t, src)
			w.Fail(-1, netoauthtest.Status(401))
			time.Sleep(tt.serves)
			tok, err := src.Token()
			if err != nil || tok.AccessToken != first || !tok.Valid() {
				t.Errorf("after %v: error %v; want the first token, and x/oauth2 to find it valid", tt.serves, err)
			}
			time.Sleep(time.Millisecond)
			if _, err := src.Token(); err == nil {
				t.Errorf("just after %v: a token, want an error", tt.serves)
			}
		})
	}
}

func TestTokenSource_servesUntilASecondBeforeTheEndDuringFaults(t *testing.T) {
	for _, tt := range lifetimes {
		suite.RunInBubble(t, tt.life.String(), func(t *testing.T, w *suite.World) {
			w.SetLifetimes(tt.life, time.Hour)
			src := w.Key.TokenSource(w.Ctx)
			first := suite.MustToken(t, src)
			start := time.Now()
			w.Fail(-1, netoauthtest.Drop())
			time.Sleep(tt.life * 86 / 100)
			for ; time.Since(start) <= tt.life-time.Second; time.Sleep(10 * time.Millisecond) {
				if got := suite.MustToken(t, src); got != first {
					t.Fatalf("after %v: another token", time.Since(start))
				}
			}
			if _, err := src.Token(); err == nil {
				t.Errorf("after %v: a token, want an error", time.Since(start))
			}
		})
	}
}

func TestTokenSource_renewsInTheBackgroundFrom70To85Percent(t *testing.T) {
	for _, tt := range lifetimes {
		suite.RunInBubble(t, tt.life.String(), func(t *testing.T, w *suite.World) {
			w.SetLifetimes(tt.life, 2*tt.life)
			sources := make([]oauth2.TokenSource, 40)
			for i := range sources {
				sources[i] = w.Key.TokenSource(w.Ctx)
				suite.MustToken(t, sources[i])
			}
			early := map[time.Duration]bool{} // the points at which a renewal was seen
			start := time.Now()
			for time.Since(start) < tt.life*86/100 {
				time.Sleep(tt.life / 100)
				before := w.Requests("")
				for _, src := range sources {
					suite.MustToken(t, src)
				}
				synctest.Wait()
				if since := time.Since(start); w.Requests("") > before {
					early[since*100/tt.life] = true
					if since < tt.life*70/100 {
						t.Errorf("a renewal at %v", since)
					}
				}
			}
			suite.Diff(t, "token requests by 86 % of the lifetime", 2*len(sources), w.Requests(""))
			if len(early) < 8 {
				t.Errorf("40 renewals at %d of the 16 percentages, want them spread", len(early))
			}
		})
	}
}

func TestTokenSource_doesNotRenewWhatNobodyAsksFor(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		src := w.Key.TokenSource(w.Ctx)
		suite.MustToken(t, src)
		time.Sleep(24 * time.Hour)
		suite.Diff(t, "token requests", 1, w.Requests(""))
	})
}
