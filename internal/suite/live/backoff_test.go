package live_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
)

// backsOff checks that each wait between exchanges is as long as wanted, less a tenth of jitter.
func backsOff(t *testing.T, at []time.Duration, want ...time.Duration) {
	t.Helper()
	var got []time.Duration
	for i := 1; i < len(at); i++ {
		got = append(got, at[i]-at[i-1])
	}
	jitter := cmp.Comparer(func(x, y time.Duration) bool {
		return min(x, y) >= max(x, y)*9/10-20*time.Millisecond
	})
	suite.Diff(t, "waits", want, got, jitter, cmpopts.EquateEmpty())
}

func TestTokenSource_waitsAfterAFailedExchange(t *testing.T) {
	const s, min = time.Second, time.Minute
	doubling := []time.Duration{5 * s, 10 * s}
	const sent, later = "Mon, 02 Jan 2006 15:04:05 GMT", "Mon, 02 Jan 2006 15:05:05 GMT"
	tests := []struct {
		name  string
		fault http.Handler
		over  time.Duration
		want  []time.Duration
	}{
		{"refusal", netoauthtest.Status(401), 7 * min,
			[]time.Duration{5 * s, 10 * s, 20 * s, 40 * s, 80 * s, 2 * min, 2 * min}},
		{"not found", netoauthtest.Status(404), 28 * s, doubling},
		{"redirect", netoauthtest.Status(307), 28 * s, doubling},

		{"refusal, longer", retryAfter(403, "60"), 100 * s, []time.Duration{min}},
		{"refusal, shorter", retryAfter(403, "1"), 28 * s, doubling},
		{"passing", retryAfter(503, "30"), 80 * s, []time.Duration{30 * s, 30 * s}},
		{"passing, 429", retryAfter(429, "30"), 80 * s, []time.Duration{30 * s, 30 * s}},
		{"a day is 10 min", retryAfter(503, "86400"), 15 * min, []time.Duration{10 * min}},
		{"beyond any number", retryAfter(503, "99999999999999999999"), 15 * min, []time.Duration{10 * min}},
		{"a date, by the server's clock", retryAfter(503, later, sent), 100 * s, []time.Duration{min}},
		{"a date, without the server's clock", retryAfter(503, "Sat, 01 Jan 2000 00:00:40 GMT", ""), 39 * s, nil},
		{"a date that has passed", retryAfter(403, "Mon, 02 Jan 1995 15:04:05 GMT"), 28 * s, doubling},
		{"zero", retryAfter(403, "0"), 28 * s, doubling},
		{"negative", retryAfter(403, "-60"), 28 * s, doubling},
		{"garbage", retryAfter(403, "soon"), 28 * s, doubling},
		{"empty", retryAfter(403, ""), 28 * s, doubling},
		{"a garbage date", retryAfter(403, "Mon, 99 Foo 2006 15:04:05 GMT"), 28 * s, doubling},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
				w.Fail(-1, tt.fault)
				backsOff(t, w.ExchangesOver(w.Key.TokenSource(w.Ctx), tt.over), tt.want...)
			})
		})
	}
}

// retryAfter answers with the header Retry-After, and with the given Date in place of the API's.
func retryAfter(code int, value string, date ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Retry-After"] = []string{value}
		if len(date) > 0 {
			w.Header()["Date"] = date
		}
		w.WriteHeader(code)
	})
}

func TestTokenSource_waitsLessAfterPassingFaults(t *testing.T) {
	faults := map[string]http.Handler{
		"408": netoauthtest.Status(408), "425": netoauthtest.Status(425), "429": netoauthtest.Status(429),
		"500": netoauthtest.Status(500), "no connection": netoauthtest.Drop(), "cut off": netoauthtest.CutOff(),
		"not a token": netoauthtest.Answer(200, "text/html", "<html>"),
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
				src := w.Key.TokenSource(w.Ctx)
				suite.MustToken(t, src)
				time.Sleep(256 * time.Second) // stale: the exchanges are in the background, one try each
				w.Fail(-1, fault)
				at := w.ExchangesOver(src, 33*time.Second)
				backsOff(t, at, time.Second, 2*time.Second, 4*time.Second, 8*time.Second, 15*time.Second)
			})
		})
	}
}

func TestTokenSource_spreadsItsWaitsAtRandom(t *testing.T) {
	const min = time.Minute
	for _, tt := range []struct {
		name       string
		header     []string
		from, upTo time.Duration
		spread     bool
	}{
		{"our own", nil, 4500 * time.Millisecond, 5 * time.Second, true},
		{"Retry-After", []string{"Retry-After", "60"}, min, 66 * time.Second, true},
		{"Retry-After just under 10 min", []string{"Retry-After", "599"}, 599 * time.Second, 10 * min, false},
		{"Retry-After beyond 10 min", []string{"Retry-After", "3600"}, 9 * min, 10 * min, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			waits := map[time.Duration]bool{}
			for range 5 {
				suite.InBubble(t, func(t *testing.T, w *suite.World) {
					w.Fail(1, netoauthtest.Status(401, tt.header...))
					at := w.ExchangesOver(w.Key.TokenSource(w.Ctx), 11*min)
					waits[at[1]] = true
					if at[1] < tt.from || at[1] > tt.upTo+10*time.Millisecond {
						t.Errorf("a wait of %v, want it from %v to %v", at[1], tt.from, tt.upTo)
					}
				})
			}
			if tt.spread && len(waits) == 1 {
				t.Errorf("five sources waited alike: %v", waits)
			}
		})
	}
}

func TestTokenSource_eachKindOfFailureHasItsOwnBackOff(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		src := w.Key.TokenSource(w.Ctx)
		suite.MustToken(t, src)
		time.Sleep(256 * time.Second) // stale: one try each
		w.Fail(4, netoauthtest.Status(503))
		w.ExchangesOver(src, 8*time.Second) // 0, 1, 3, 7 s; the next at 15 s
		time.Sleep(7 * time.Second)
		w.Fail(-1, netoauthtest.Status(401)) // the refresh and the log-in
		at := w.ExchangesOver(src, 12*time.Second)
		backsOff(t, at[1:], 5*time.Second)
	})
}

// A flaky balancer in front of wrong credentials: the faults between do not make the refusals come
// faster.
func TestTokenSource_passingFaultsDoNotResetRefusals(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		n, refused := 0, 0
		w.Fail(-1, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if n++; n%4 != 1 {
				netoauthtest.Status(503).ServeHTTP(rw, r)
				return
			}
			refused++
			netoauthtest.Status(401).ServeHTTP(rw, r)
		}))
		w.ExchangesOver(w.User.TokenSource(w.Ctx), 10*time.Minute)
		if refused > 20 {
			t.Errorf("%d refused log-ins in 10 min, want at most 20", refused)
		}
	})
}

func TestTokenSource_successEndsTheBackOff(t *testing.T) {
	t.Run("of refusals", func(t *testing.T) {
		suite.InBubble(t, func(t *testing.T, w *suite.World) {
			w.Fail(4, netoauthtest.Status(401))
			src := w.Key.TokenSource(w.Ctx)
			w.ExchangesOver(src, 2*time.Minute)
			suite.MustToken(t, src)
			time.Sleep(5 * time.Minute)
			w.Fail(-1, netoauthtest.Status(401)) // the refresh, then the log-in, as one exchange
			backsOff(t, w.ExchangesOver(src, 13*time.Second)[1:], 5*time.Second)
		})
	})
	t.Run("of passing faults", func(t *testing.T) {
		suite.InBubble(t, func(t *testing.T, w *suite.World) {
			src := w.Key.TokenSource(w.Ctx)
			suite.MustToken(t, src)
			time.Sleep(256 * time.Second) // stale: one try each
			w.Fail(3, netoauthtest.Status(503))
			w.ExchangesOver(src, 10*time.Second) // at 0, 1, 3 and, with success, 7 s
			time.Sleep(256 * time.Second)
			w.Fail(-1, netoauthtest.Status(503))
			backsOff(t, w.ExchangesOver(src, 6*time.Second), time.Second, 2*time.Second)
		})
	})
}

func TestTokenSource_givesTheLastErrorDuringBackOff(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Fail(-1, netoauthtest.Status(401))
		src := w.Key.TokenSource(w.Ctx)
		_, first := src.Token()
		w.Delay(time.Second)
		start := time.Now()
		_, again := src.Token()
		suite.WantError(t, again, netoauth.ErrRejected)
		suite.Diff(t, "the second error", fmt.Sprint(first), fmt.Sprint(again))
		suite.Diff(t, "time until the second", "0s", time.Since(start).String())
		suite.Diff(t, "token requests", 1, w.Requests(""))
	})
}

func TestTokenSource_makesThreeTriesWhileSomebodyWaits(t *testing.T) {
	for _, tt := range []struct {
		name    string
		faults  int
		fault   http.Handler
		succeed bool
		want    int
	}{
		{"one fault", 1, netoauthtest.Status(503), true, 2},
		{"two faults", 2, netoauthtest.Drop(), true, 3},
		{"three faults", 3, netoauthtest.CutOff(), false, 3},
		{"a refusal", 1, netoauthtest.Status(401), false, 1},
		{"a Retry-After", 1, netoauthtest.Status(503, "Retry-After", "1"), false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
				w.Fail(tt.faults, tt.fault)
				start := time.Now()
				_, err := w.Key.TokenSource(w.Ctx).Token()
				if ok, got := err == nil, w.Requests(""); ok != tt.succeed || got != tt.want {
					t.Errorf("%d token requests, error %v; want %d, success %v", got, err, tt.want, tt.succeed)
				}
				if took := time.Since(start); took >= time.Duration(tt.want)*time.Second {
					t.Errorf("%d tries took %v, want them a fraction of a second apart", tt.want, took)
				}
			})
		})
	}
}

func TestTokenSource_triesNoMoreWhenNobodyWaits(t *testing.T) {
	for name, delay := range map[string]time.Duration{"during a try": 500 * time.Millisecond, "between two": 0} {
		t.Run(name, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
				w.Fail(-1, netoauthtest.Status(503))
				w.Delay(delay)
				ctx, cancel := context.WithTimeout(w.Ctx, 200*time.Millisecond)
				defer cancel()
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, w.URL, nil)
				w.Key.Client(w.Ctx).Do(req)
				time.Sleep(time.Minute)
				suite.Diff(t, "token requests", 1, w.Requests(""))
			})
		})
	}
}
