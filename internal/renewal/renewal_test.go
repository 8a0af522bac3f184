package renewal_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth/internal/clock"
	"github.com/netoauth/netoauth/internal/renewal"
	"golang.org/x/oauth2"
)

// life is the lifetime of all tokens here: renewed from 70 s to 85 s, usable until 90 s.
const life = 100 * time.Second

var (
	errPassing = errors.New("a fault that may pass")
	errRefused = errors.New("refused")
)

func classify(err error) renewal.Fault { return renewal.Fault{Passing: !errors.Is(err, errRefused)} }

// desk is what the fetches of a Source do, one after the other.
type desk struct {
	mu      sync.Mutex
	fetches int
	takes   time.Duration        // each fetch
	err     error                // of each fetch
	stored  *renewal.Token       // what a fetch finds without asking
	meet    func(*renewal.Fetch) // called in each fetch, before it takes its time
}

func (d *desk) fetch(f *renewal.Fetch) (*renewal.Token, error) {
	d.mu.Lock()
	d.fetches++
	n, takes, err, stored, meet := d.fetches, d.takes, d.err, d.stored, d.meet
	d.mu.Unlock()
	if meet != nil {
		meet(f)
	}
	time.Sleep(takes)
	switch {
	case stored != nil:
		return stored, nil
	case f.LookOnly:
		return nil, nil
	case err != nil:
		return nil, err
	default:
		return issued(n), nil
	}
}

func (d *desk) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *desk) made() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fetches
}

// issued returns the token of the n-th fetch, which begins to live now.
func issued(n int) *renewal.Token {
	t := &oauth2.Token{AccessToken: fmt.Sprint("token ", n), Expiry: time.Now().Add(life)}
	return renewal.NewToken(t, life)
}

// storedToken returns a token of another program that has lived for so long.
func storedToken(age time.Duration) *renewal.Token {
	t := renewal.NewToken(&oauth2.Token{AccessToken: "stored", Expiry: time.Now().Add(life - age)}, life)
	t.Stored = true
	return t
}

// inBubble runs test on a Source whose fetches d makes.
func inBubble(t *testing.T, looks bool, test func(t *testing.T, s *renewal.Source, d *desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := new(desk)
		test(t, renewal.New(d.fetch, classify, looks), d)
		time.Sleep(time.Hour) // in which nothing may be left
	})
}

// got returns what a caller gets, and after how long.
func got(get func() (*renewal.Token, error)) string {
	start := time.Now()
	c, err := get()
	if err != nil {
		text, _, _ := strings.Cut(err.Error(), ";")
		return fmt.Sprintf("%s after %v", text, time.Since(start))
	}
	return fmt.Sprintf("%s after %v", c.Token.AccessToken, time.Since(start))
}

func get(t *testing.T, s *renewal.Source) string {
	return got(func() (*renewal.Token, error) { return s.Get(t.Context()) })
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestSource_states(t *testing.T) {
	for _, tt := range []struct {
		state   string
		age     time.Duration
		fails   bool // the renewal
		want    string
		fetches int // started by the caller
	}{
		{"fresh", 69 * time.Second, false, "token 1 after 0s", 0},
		{"stale", 86 * time.Second, false, "token 1 after 0s", 1},
		{"expired", 91 * time.Second, false, "token 2 after 3s", 1},
		{"expired, and none comes", 98 * time.Second, true, "a fault that may pass after 3s", 1},
	} {
		t.Run(tt.state, func(t *testing.T) {
			inBubble(t, false, func(t *testing.T, s *renewal.Source, d *desk) {
				diff(t, "first", "token 1 after 0s", get(t, s))
				time.Sleep(tt.age)
				d.set(func() {
					d.takes = 3 * time.Second
					if tt.fails {
						d.err = errPassing
					}
				})
				diff(t, "then", tt.want, get(t, s))
				synctest.Wait()
				diff(t, "fetches", tt.fetches, d.made()-1)
			})
		})
	}
}

// While renewals fail for a fault that may pass, and while one waits for its turn.
func TestSource_tokenServesToASecondBeforeItsEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(d *desk)
		want bool
	}{
		{"a fault that may pass", func(d *desk) { d.err = errPassing }, true},
		{"a refusal", func(d *desk) { d.err = errRefused }, false},
		{"a queue", func(d *desk) { d.takes, d.meet = time.Hour, (*renewal.Fetch).EnterQueue }, true},
		{"a slow API", func(d *desk) { d.takes = time.Hour }, false},
		{"a slow API, after a queue", func(d *desk) {
			d.takes, d.meet = time.Hour, func(f *renewal.Fetch) { f.EnterQueue(); f.LeaveQueue() }
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, false, func(t *testing.T, s *renewal.Source, d *desk) {
				get(t, s)
				d.set(func() { tt.set(d) })
				time.Sleep(86 * time.Second)
				get(t, s)
				synctest.Wait()
				time.Sleep(9 * time.Second)
				diff(t, "usable at 95 s", tt.want, s.Status().Usable)
				time.Sleep(4*time.Second + 1)
				diff(t, "usable after 99 s", false, s.Status().Usable)
			})
		})
	}
}

// Nobody starts a fetch of their own, and whoever leaves leaves alone.
func TestSource_oneFetchForAll(t *testing.T) {
	inBubble(t, false, func(t *testing.T, s *renewal.Source, d *desk) {
		d.takes = 3 * time.Second
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { diff(t, "a caller", "token 1 after 3s", get(t, s)) })
		}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			diff(t, "one in a hurry", "netoauth: waiting for an access token: context deadline exceeded after 1s",
				got(func() (*renewal.Token, error) { return s.Get(ctx) }))
		})
		all.Wait()
		diff(t, "fetches", 1, d.made())
	})
}

func TestSource_callersOfAFailedFetchGetItsErrorUntilTheNextMayBe(t *testing.T) {
	inBubble(t, false, func(t *testing.T, s *renewal.Source, d *desk) {
		d.err = errRefused
		diff(t, "first", "refused after 0s", get(t, s))
		for range 5 {
			diff(t, "in the wait", "refused after 0s", get(t, s))
		}
		diff(t, "fetches", 1, d.made())
		status := s.Status()
		diff(t, "since", time.Now(), status.FailingSince)
		time.Sleep(time.Until(status.RetryAt))
		diff(t, "after it", "refused after 0s", get(t, s))
		diff(t, "fetches", 2, d.made())
		diff(t, "since, still", status.FailingSince, s.Status().FailingSince)
	})
}

// The first in each second waits for what the look finds, the others get the error at once.
func TestSource_looksForATokenInTheWait(t *testing.T) {
	inBubble(t, true, func(t *testing.T, s *renewal.Source, d *desk) {
		d.err = errRefused
		get(t, s)
		d.set(func() { d.takes = 200 * time.Millisecond })
		for second := range 2 {
			var all sync.WaitGroup
			for i := range 5 {
				all.Go(func() {
					time.Sleep(time.Duration(i) * time.Millisecond)
					want := "refused after 0s"
					if i == 0 {
						want = "refused after 200ms"
					}
					diff(t, "a caller", want, get(t, s))
				})
			}
			all.Wait()
			time.Sleep(999 * time.Millisecond)
			diff(t, "a caller within a second of its end", "refused after 0s", get(t, s))
			diff(t, "fetches, looks among them", 2+second, d.made())
			time.Sleep(time.Millisecond)
		}
		d.set(func() { d.stored = storedToken(0) })
		diff(t, "what a look has found", "stored after 200ms", get(t, s))
		diff(t, "error, and since when", []any{nil, time.Time{}}, []any{s.Status().Err, s.Status().FailingSince})
	})
}

// A stored token past its renewal point is renewed before its first use.
func TestFetch_staleTokenIsHeldBack(t *testing.T) {
	for _, tt := range []struct {
		name        string
		left        time.Duration // of its life of 1000 s, when it is found
		looks, asks time.Duration
		err         error
		want        string
	}{
		{"the renewal is quick", 140 * time.Second, 0, time.Second, nil, "token 1 after 1s"},
		{"the renewal fails", 140 * time.Second, 0, time.Second, errPassing, "stored after 1s"},
		{"the renewal is slow", 140 * time.Second, 0, time.Minute, nil, "stored after 5s"},
		{"finding it is part of it", 140 * time.Second, 2 * time.Second, time.Minute, nil, "stored after 5s"},
		{"it has little left", 12 * time.Second, 0, time.Minute, nil, "stored after 1.8s"},
		{"it has expired", -time.Second, 0, 7 * time.Second, nil, "token 1 after 7s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, false, func(t *testing.T, s *renewal.Source, d *desk) {
				d.takes, d.err = tt.asks, tt.err
				d.meet = func(f *renewal.Fetch) {
					time.Sleep(tt.looks)
					stored := &oauth2.Token{
						AccessToken: "stored", ExpiresIn: 1000, Expiry: time.Now().Add(tt.left),
					}
					if f.TakeOver(stored) != nil {
						t.Error("it was taken over, want it renewed")
					}
				}
				diff(t, "a caller", tt.want, get(t, s))
				d.set(func() { d.takes, d.meet = 0, nil })
			})
		})
	}
}

// A token is not used at its end any more (RFC 7519 section 4.1.4), and so one that was over as it came
// never is.
func TestFetch_tokenThatWasOverAsItCameIsNotUsed(t *testing.T) {
	inBubble(t, false, func(t *testing.T, s *renewal.Source, d *desk) {
		d.takes, d.err = 7*time.Second, errPassing
		d.meet = func(f *renewal.Fetch) {
			f.TakeOver(&oauth2.Token{AccessToken: "over", ExpiresIn: -60, Expiry: time.Now()})
			diff(t, "Usable", false, s.Status().Usable)
			diff(t, "current", "", s.Status().Current.Token.AccessToken)
		}
		diff(t, "a caller", errPassing.Error()+" after 7s", get(t, s))
	})
}

func TestSource_401(t *testing.T) {
	inBubble(t, false, func(t *testing.T, s *renewal.Source, d *desk) {
		c, _ := s.Get(t.Context())
		d.set(func() { d.takes = 2 * time.Second })
		diff(t, "replaceable", true, s.Refuse(c))
		diff(t, "status", true, s.Status().Refused)
		var all sync.WaitGroup
		replace := func() (*renewal.Token, error) { return s.Replace(t.Context(), c), nil }
		for range 3 {
			all.Go(func() { diff(t, "refused", "token 2 after 2s", got(replace)) })
		}
		synctest.Wait()
		all.Go(func() { diff(t, "anybody else", "token 1 after 0s", get(t, s)) })
		all.Go(func() {
			diff(t, "sent once", "token 2 after 2s",
				got(func() (*renewal.Token, error) { return s.GetUndoubted(t.Context()) }))
		})
		all.Wait()
		diff(t, "fetches", 2, d.made())
		diff(t, "late", "token 2 after 0s", got(replace))

		next, _ := s.Get(t.Context())
		diff(t, "replaceable again within 30 s", false, s.Refuse(next))
		if s.Replace(t.Context(), next) != nil {
			t.Error("it was replaced within 30 s")
		}
		time.Sleep(30 * time.Second)
		diff(t, "replaceable after 30 s", true, s.Refuse(next))
	})
}

// One that is not sent yet waits for the renewal 5 s at most, and only where the token is in doubt.
func TestSource_getUndoubted(t *testing.T) {
	inBubble(t, false, func(t *testing.T, s *renewal.Source, d *desk) {
		once := func() (*renewal.Token, error) { return s.GetUndoubted(t.Context()) }
		diff(t, "no token yet", "token 1 after 0s", got(once))
		d.set(func() { d.takes = 7 * time.Second })
		diff(t, "no doubt", "token 1 after 0s", got(once))
		time.Sleep(86 * time.Second)
		diff(t, "stale", "token 1 after 0s", got(once))
		diff(t, "no doubt, a renewal under way", "token 1 after 0s", got(once))
		s.Wait(t.Context())
		c, _ := s.Get(t.Context())
		s.Refuse(c)
		diff(t, "no renewal", "token 2 after 0s", got(once))
		s.Renew(c)
		diff(t, "a renewal under way", "token 2 after 5s", got(once))
		diff(t, "its end", "token 3 after 2s", got(once))
	})
}

// Each stored token that takes the place of a refused one may have been ended with it, unless the API
// has accepted it since.
func TestFetch_knowsWhichTokensWereRefused(t *testing.T) {
	inBubble(t, false, func(t *testing.T, s *renewal.Source, d *desk) {
		var seen [][]string
		d.meet = func(f *renewal.Fetch) {
			names := []string{}
			for _, r := range f.Refused {
				names = append(names, r.Token.AccessToken)
			}
			seen = append(seen, names)
		}
		first, _ := s.Get(t.Context())
		d.set(func() { d.stored = storedToken(0) })
		second := s.Replace(t.Context(), first)
		d.set(func() { d.stored = nil })
		third := s.Replace(t.Context(), second)
		time.Sleep(30 * time.Second)
		d.set(func() { d.stored = storedToken(0) })
		fourth := s.Replace(t.Context(), third)
		fourth.Accept()
		d.set(func() { d.stored = storedToken(0) })
		fifth := s.Replace(t.Context(), fourth)
		d.set(func() { d.stored = storedToken(0) })
		sixth := s.Replace(t.Context(), fifth)
		fifth.Accept() // by a request that had another answer than the one before
		s.Replace(t.Context(), sixth)
		diff(t, "refused", [][]string{
			{}, {"token 1"}, {"token 1", "stored"}, {"token 3"}, {"stored"}, {"stored", "stored"}, {"stored", "stored"},
		}, seen)
	})
}

// Up to three times at a fault that may pass, while somebody waits, unless the fetch before failed.
func TestFetch_tries(t *testing.T) {
	for _, tt := range []struct {
		name    string
		waits   time.Duration // the caller
		takes   time.Duration // each try
		fault   renewal.Fault
		want    int
		instead int // tries of the fetch after it
	}{
		{"a fault that may pass", time.Hour, time.Second, renewal.Fault{Passing: true}, 3, 1},
		{"a refusal", time.Hour, time.Second, renewal.Fault{}, 1, 1},
		{"a wait that the API asks for", time.Hour, time.Second, renewal.Fault{Passing: true, RetryAfter: 1}, 1, 1},
		{"nothing to ask with", time.Hour, time.Second, renewal.Fault{Passing: true, Unasked: true}, 1, 1},
		{"the caller leaves in a try", time.Second / 2, time.Second, renewal.Fault{Passing: true}, 1, 1},
		{"the caller leaves in a pause", 1200 * time.Millisecond, time.Second, renewal.Fault{Passing: true}, 1, 1},
		{"half of the time is over", time.Hour, 16 * time.Second, renewal.Fault{Passing: true}, 1, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			tries := 0
			s := renewal.New(func(f *renewal.Fetch) (*renewal.Token, error) {
				return nil, f.Try(30*time.Second, func() error { tries++; time.Sleep(tt.takes); return errPassing })
			}, func(error) renewal.Fault { return tt.fault }, false)
			for _, want := range []int{tt.want, tt.instead} {
				tries = 0
				ctx, cancel := context.WithTimeout(t.Context(), tt.waits)
				s.Get(ctx)
				cancel()
				s.Wait(t.Context())
				diff(t, tt.name, want, tries)
				time.Sleep(time.Hour)
			}
		})
	}
	diff(t, "without a fetch", errPassing.Error(),
		(*renewal.Fetch)(nil).Try(time.Second, func() error { return errPassing }).Error())
}

// Whoever waits after a 401 counts as one who waits, too.
func TestFetch_triesForRequestsThatA401HoldsUp(t *testing.T) {
	for _, tt := range []struct {
		name string
		meet func(context.Context, *renewal.Source, *renewal.Token)
		want int
	}{
		{"the refused request", func(ctx context.Context, s *renewal.Source, c *renewal.Token) { s.Replace(ctx, c) }, 3},
		{"one that can be sent only once", func(ctx context.Context, s *renewal.Source, c *renewal.Token) {
			s.Renew(c)
			s.GetUndoubted(ctx)
		}, 3},
		{"nobody", func(_ context.Context, s *renewal.Source, c *renewal.Token) { s.Renew(c) }, 1},
	} {
		inBubble(t, false, func(t *testing.T, s *renewal.Source, d *desk) {
			c, _ := s.Get(t.Context())
			tries := 0
			d.set(func() {
				d.meet = func(f *renewal.Fetch) {
					f.Try(30*time.Second, func() error { tries++; time.Sleep(time.Second); return errPassing })
				}
			})
			s.Refuse(c)
			tt.meet(t.Context(), s, c)
			s.Wait(t.Context())
			diff(t, tt.name, tt.want, tries)
		})
	}
}

// The clock by which callers take a token for fresh may be behind.
func TestToken_isNotFreshByAClockThatLags(t *testing.T) {
	const life = 2 * clock.Lag
	now := time.Now()
	brief := renewal.NewToken(&oauth2.Token{AccessToken: "brief", Expiry: now.Add(life)}, life)
	diff(t, "at its end", false, brief.Fresh(now.Add(life-clock.Lag)))
	over := renewal.NewStoredToken(&oauth2.Token{AccessToken: "over", ExpiresIn: -60, Expiry: now}, now)
	diff(t, "when one is found that was over as it came", false, over.Fresh(now.Add(-clock.Lag)))
}

func TestSource_endOfAFetchsGoroutineIsAnError(t *testing.T) {
	inBubble(t, false, func(t *testing.T, s *renewal.Source, d *desk) {
		d.meet = func(*renewal.Fetch) { runtime.Goexit() }
		_, err := s.Get(t.Context())
		if err == nil || !strings.Contains(err.Error(), "runtime.Goexit") {
			t.Errorf("error %v, want it to say what happened", err)
		}
		if s.Status().RetryAt.IsZero() {
			t.Error("the next fetch does not wait")
		}
	})
}

func TestSource_wait(t *testing.T) {
	inBubble(t, false, func(t *testing.T, s *renewal.Source, d *desk) {
		diff(t, "none under way", nil, s.Wait(t.Context()))
		d.takes = 3 * time.Second
		go s.Get(t.Context())
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		diff(t, "a context that ends", "context deadline exceeded", fmt.Sprint(s.Wait(ctx)))
		start := time.Now()
		diff(t, "error", nil, s.Wait(t.Context()))
		diff(t, "time", "2s", time.Since(start).String())
	})
}

func TestFault_waits(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name        string
		faults      []renewal.Fault // one after the other, the last for ever
		least, most []time.Duration
	}{
		{"passing", []renewal.Fault{{Passing: true}}, []time.Duration{s / 2, s, 2 * s, 4 * s, 7500 * time.Millisecond},
			[]time.Duration{s, 2 * s, 4 * s, 8 * s, 15 * s}},
		{"refused", []renewal.Fault{{}}, []time.Duration{2500 * time.Millisecond, 5 * s, 10 * s, 20 * s, 40 * s, 60 * s},
			[]time.Duration{5 * s, 10 * s, 20 * s, 40 * s, 80 * s, 120 * s}},
		{"asked for", []renewal.Fault{{Passing: true, RetryAfter: 30 * s}}, []time.Duration{30 * s}, []time.Duration{45 * s}},
		{"asked for a day", []renewal.Fault{{RetryAfter: 24 * time.Hour}}, []time.Duration{600 * s}, []time.Duration{615 * s}},
		{"a balancer that flickers before a refusal: each kind has its own",
			[]renewal.Fault{{Passing: true}, {Passing: true}, {Passing: true}, {Passing: true}, {}, {Passing: true}, {}},
			[]time.Duration{s / 2, s, 2 * s, 4 * s, 2500 * time.Millisecond, 7500 * time.Millisecond, 5 * s},
			[]time.Duration{s, 2 * s, 4 * s, 8 * s, 5 * s, 15 * s, 10 * s}},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			src := renewal.New(func(*renewal.Fetch) (*renewal.Token, error) { return nil, errPassing },
				func(error) renewal.Fault { return tt.faults[min(n, len(tt.faults)-1)] }, false)
			for i := range tt.least {
				n = i
				src.Get(t.Context())
				wait := time.Until(src.Status().RetryAt)
				if wait < tt.least[i] || wait > tt.most[i] {
					t.Errorf("%s: wait %d is %v, want %v to %v", tt.name, i, wait, tt.least[i], tt.most[i])
				}
				time.Sleep(wait)
			}
		})
	}
}

func TestToken_agreesWithValidOfOauth2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := issued(1)
		time.Sleep(90*time.Second - time.Nanosecond)
		diff(t, "Valid before the margin", true, c.Token.Valid())
		time.Sleep(2 * time.Nanosecond)
		diff(t, "Valid in the margin", false, c.Token.Valid())
		diff(t, "Expiry", time.Now().Add(10*time.Second-time.Nanosecond), c.Token.Expiry)
	})
}

func TestToken_staleWhateverItsLifetime(t *testing.T) {
	c := renewal.NewStoredToken(&oauth2.Token{AccessToken: "t", ExpiresIn: 300}, time.Now())
	diff(t, "Fresh", false, c.Fresh(time.Now()))
	endless := renewal.NewToken(&oauth2.Token{AccessToken: "t"}, 0)
	diff(t, "Fresh without an end", true, endless.Fresh(time.Now().Add(100*365*24*time.Hour)))
	diff(t, "Expiry until its renewal", time.Time{}, endless.UntilRenewal().Expiry)
	diff(t, "Fresh of no token", false, new(renewal.Token).Fresh(time.Now()))
}
