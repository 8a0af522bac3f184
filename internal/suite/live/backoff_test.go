package live_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
)

// wait is a random one, from the one to the other.
type wait struct{ least, most time.Duration }

// ownWaits are a random half to the whole of each d.
func ownWaits(d ...time.Duration) (waits []wait) {
	for _, most := range d {
		waits = append(waits, wait{most / 2, most})
	}
	return waits
}

// askedWaits are each d, which the API asks for, and as much again but 15 s at most on top.
func askedWaits(d ...time.Duration) (waits []wait) {
	for _, least := range d {
		waits = append(waits, wait{least, least + min(least, 15*time.Second)})
	}
	return waits
}

// longest is the longest time that the waits take one after the other.
func longest(waits []wait) (d time.Duration) {
	for _, w := range waits {
		d += w.most
	}
	return d
}

// backsOff checks the first waits between exchanges, which ExchangesOver sees every 10 ms.
func backsOff(t *testing.T, at []time.Duration, want []wait) {
	t.Helper()
	const blink = 20 * time.Millisecond
	if len(at) <= len(want) {
		t.Fatalf("exchanges at %v, want %d waits between them", at, len(want))
	}
	for i, w := range want {
		if got := at[i+1] - at[i]; got < w.least-blink || got > w.most+blink {
			t.Errorf("wait %d is %v, want %v to %v", i, got, w.least, w.most)
		}
	}
}

func TestTokenSource_waitsAfterAFailedExchange(t *testing.T) {
	const s, min = time.Second, time.Minute
	doubling := ownWaits(5*s, 10*s)
	const sent, later = "Mon, 02 Jan 2006 15:04:05 GMT", "Mon, 02 Jan 2006 15:05:05 GMT"
	tests := []struct {
		name  string
		fault http.Handler
		want  []wait
	}{
		{"refusal", netoauthtest.Status(401), ownWaits(5*s, 10*s, 20*s, 40*s, 80*s, 2*min, 2*min)},
		{"not found", netoauthtest.Status(404), doubling},

		{"refusal, longer", refused("60"), askedWaits(min)},
		{"refusal, shorter", refused("1"), doubling},
		{"passing", retryAfter(503, "30"), askedWaits(30*s, 30*s)},
		{"passing, 429", retryAfter(429, "30"), askedWaits(30*s, 30*s)},
		{"as much again", retryAfter(503, "3"), askedWaits(3*s, 3*s)},
		{"a day is 10 min", retryAfter(503, "86400"), askedWaits(10*min, 10*min)},
		{"beyond any number", retryAfter(503, "99999999999999999999"), askedWaits(10 * min)},
		{"a date, by the server's clock", retryAfter(503, later, sent), askedWaits(min)},
		{"a date, without the server's clock", retryAfter(503, "Sat, 01 Jan 2000 00:00:40 GMT", ""), askedWaits(40 * s)},
		{"a date that has passed", refused("Mon, 02 Jan 1995 15:04:05 GMT"), doubling},
		{"zero", refused("0"), doubling},
		{"negative", refused("-60"), doubling},
		{"garbage", refused("soon"), doubling},
		{"empty", refused(""), doubling},
		{"a garbage date", refused("Mon, 99 Foo 2006 15:04:05 GMT"), doubling},
	}
	for _, tt := range tests {
		suite.RunInBubble(t, tt.name, func(t *testing.T, w *suite.World) {
			w.Fail(-1, tt.fault)
			backsOff(t, w.ExchangesOver(w.Key.TokenSource(w.Ctx), longest(tt.want)+time.Second), tt.want)
		})
	}
}

// refused answers with the API's error object and the header Retry-After.
func refused(retryAfter string) http.Handler {
	return netoauthtest.Status(403, "Retry-After", retryAfter)
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

func TestTokenSource_waitsLessAfterTransientFaults(t *testing.T) {
	faults := map[string]http.Handler{
		"408": netoauthtest.Status(408), "425": netoauthtest.Status(425), "429": netoauthtest.Status(429),
		"500": netoauthtest.Status(500), "no connection": netoauthtest.Drop(), "cut off": netoauthtest.CutOff(),
		"404 of a gateway": netoauthtest.Answer(404, "text/html", "<html>"), "redirect": netoauthtest.Status(302),
		"not a token": netoauthtest.Answer(200, "text/html", "<html>"),
	}
	for name, fault := range faults {
		suite.RunInBubble(t, name, func(t *testing.T, w *suite.World) {
			src := w.Key.TokenSource(w.Ctx)
			suite.MustToken(t, src)
			time.Sleep(256 * time.Second) // stale: the exchanges are in the background, one try each
			w.Fail(-1, fault)
			want := ownWaits(time.Second, 2*time.Second, 4*time.Second, 8*time.Second, 15*time.Second)
			backsOff(t, w.ExchangesOver(src, longest(want)+time.Second), want)
		})
	}
}

func TestTokenSource_spreadsItsWaitsAtRandom(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header []string
		want   []wait
	}{
		{"our own", nil, ownWaits(5 * time.Second)},
		{"Retry-After", []string{"Retry-After", "60"}, askedWaits(time.Minute)},
		{"Retry-After just under 10 min", []string{"Retry-After", "599"}, askedWaits(599 * time.Second)},
		{"Retry-After beyond 10 min", []string{"Retry-After", "3600"}, askedWaits(10 * time.Minute)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			least, most := time.Hour, time.Duration(0)
			for range 20 {
				suite.InBubble(t, func(t *testing.T, w *suite.World) {
					w.Fail(1, netoauthtest.Status(401, tt.header...))
					src := w.Key.TokenSource(w.Ctx)
					src.Token()
					time.Sleep(tt.want[0].least - 20*time.Millisecond)
					at := w.ExchangesOver(src, 16*time.Second)
					wait := tt.want[0].least - 20*time.Millisecond + at[0]
					backsOff(t, []time.Duration{0, wait}, tt.want)
					least, most = min(least, wait), max(most, wait)
				})
			}
			// 20 at random are closer together once in fifty million times.
			if spread := tt.want[0].most - tt.want[0].least; most-least < spread/3 {
				t.Errorf("20 sources waited %v to %v, want them spread over %v", least, most, spread)
			}
		})
	}
}

func TestTokenSource_successEndsTheBackOff(t *testing.T) {
	suite.RunInBubble(t, "of refusals", func(t *testing.T, w *suite.World) {
		w.Fail(4, netoauthtest.Status(401))
		src := w.Key.TokenSource(w.Ctx)
		w.ExchangesOver(src, 2*time.Minute)
		suite.MustToken(t, src)
		time.Sleep(5 * time.Minute)
		w.Fail(-1, netoauthtest.Status(401)) // the refresh, then the log-in, as one exchange
		backsOff(t, slices.Compact(w.ExchangesOver(src, 6*time.Second)), ownWaits(5*time.Second))
	})
	suite.RunInBubble(t, "of passing faults", func(t *testing.T, w *suite.World) {
		src := w.Key.TokenSource(w.Ctx)
		suite.MustToken(t, src)
		time.Sleep(256 * time.Second) // stale: one try each
		w.Fail(3, netoauthtest.Status(503))
		w.ExchangesOver(src, 10*time.Second) // three that fail, and one with success by 7 s
		time.Sleep(256 * time.Second)
		w.Fail(-1, netoauthtest.Status(503))
		backsOff(t, w.ExchangesOver(src, 4*time.Second), ownWaits(time.Second, 2*time.Second))
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
		suite.RunInBubble(t, tt.name, func(t *testing.T, w *suite.World) {
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
	}
}

// A gateway may take most of an exchange's 30 s to give up. The answer to a refresh token that is sent
// then comes too late, and with it the next refresh token.
func TestTokenSource_triesNoMoreWhenLittleTimeIsLeft(t *testing.T) {
	for delay, want := range map[time.Duration]int{13 * time.Second: 2, 29 * time.Second: 1} {
		suite.RunInBubble(t, delay.String(), func(t *testing.T, w *suite.World) {
			w.Fail(-1, netoauthtest.Status(504))
			w.Delay(delay)
			w.Key.TokenSource(w.Ctx).Token()
			suite.Diff(t, "token requests", want, w.Requests(""))
		})
	}
}
