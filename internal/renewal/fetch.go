package renewal

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
)

// Fetch is one call of a Source's function. Its exported fields and its methods are for that
// function alone, in one goroutine at a time. The methods accept a nil Fetch, too.
type Fetch struct {
	// Current is the token that was current when the fetch began, with an empty AccessToken where
	// there was none.
	Current *Token

	// Refused are the tokens that the API has answered with 401, where that is why this fetch was
	// started: the last is Current, and those before it, if any, were each replaced by a stored
	// token that the API never accepted, in this order. nil: no 401 has forced it.
	Refused []*Token

	// LookOnly is set where the API must not be asked: the wait after a failed fetch is not over, or
	// a 401 has forced one not long ago.
	LookOnly bool

	source  *Source
	began   time.Time
	retries bool         // the fetch before this one did not fail
	waiting atomic.Int32 // callers who wait for it

	release chan struct{} // closed when held callers are to get the current token
	done    chan struct{} // closed when token, err and retryAt are set

	// Written in the fetch's goroutine before done is closed, read by others after it.
	token   *Token // nil: there is none
	err     error
	retryAt time.Time // no other fetch before this

	// Guarded by Source.mu.
	queued  bool        // waits for its turn, not for the API
	holds   bool        // callers wait although they could have the current token
	hold    *time.Timer // ends that; nil: they never had to
	askedAt time.Time   // since when it waits for no turn
	offered *Token      // to become current where no other comes; nil: none
}

// newFetch returns a fetch that is not yet started; s.mu must be held.
func (s *Source) newFetch(refused []*Token) *Fetch {
	now := time.Now()
	return &Fetch{
		Current: s.current.Load(), Refused: refused,
		source: s, began: now, askedAt: now, retries: s.last.failingSince.IsZero(),
		release: make(chan struct{}), done: make(chan struct{}),
	}
}

// start runs f, unless it runs already. s.mu must be held.
func (s *Source) start(f *Fetch) {
	if s.underWay != f {
		s.underWay = f
		go s.run(f)
	}
}

var errEnded = errors.New("netoauth: the exchange's goroutine was ended, by a callback or the " +
	"HTTP client; does one of them call runtime.Goexit, as FailNow of a test does?")

// run makes the call and publishes what came of it.
func (s *Source) run(f *Fetch) {
	f.err = errEnded
	defer s.publish(f) // also when a callback ends the goroutine
	f.token, f.err = s.fetch(f)
}

// publish makes the result of f known: to s, then to those who wait.
func (s *Source) publish(f *Fetch) {
	if f.token == nil && !f.LookOnly && f.retryAt.IsZero() {
		f.Settle(f.err)
	}
	s.mu.Lock()
	defer close(f.done)
	defer s.mu.Unlock()
	s.underWay = nil
	if f.hold != nil {
		f.hold.Stop()
	}
	if f.token != nil {
		s.succeeded(f)
	} else {
		s.failed(f)
	}
}

// succeeded makes the token of f current. s.mu must be held.
func (s *Source) succeeded(f *Fetch) {
	f.err, s.backOff = nil, backOff{}
	s.current.Store(f.token)
	if f.token.Stored {
		s.before, s.last = f.Refused, s.last.recovered()
		return
	}
	s.before, s.last = nil, outcome{}
	s.asked(f)
}

// failed records that f has brought no token, and uses a stale one that it was offered, if that
// lasts longer than the current one. s.mu must be held.
func (s *Source) failed(f *Fetch) {
	if f.offered != nil && f.offered.end.After(s.current.Load().end) {
		s.current.Store(f.offered)
	}
	now := time.Now()
	if f.LookOnly {
		s.lookedAt = now
		return
	}
	since := s.last.failingSince
	if since.IsZero() {
		since = now
	}
	s.last = outcome{f.err, s.classify(f.err).Passing, since, f.retryAt}
	s.asked(f)
}

// asked records when f has asked the API, where a 401 is why. s.mu must be held.
func (s *Source) asked(f *Fetch) {
	if f.Refused != nil {
		s.forcedAt = f.askedAt
	}
}

// A failed try of a fetch is followed by another, after a pause, up to maxTries.
const (
	maxTries           = 3
	minPause, maxPause = 400 * time.Millisecond, 800 * time.Millisecond
)

// Try calls try, and again where that meets a fault that may pass, as long as somebody waits and if
// the fetch before this one did not fail. No further try begins in the second half of limit, which
// is for all tries together: an answer that came too late would lose what it brings. Without a
// fetch, f being nil, nobody waits.
func (f *Fetch) Try(limit time.Duration, try func() error) error {
	late := time.Now().Add(limit / 2)
	wanted := func() bool {
		return f != nil && f.retries && f.waiting.Load() > 0 && time.Now().Before(late)
	}
	for n := 1; ; n++ {
		err := try()
		if err == nil || n == maxTries || !wanted() {
			return err
		}
		if fault := f.source.classify(err); !fault.Passing || fault.Unasked || fault.RetryAfter > 0 {
			return err
		}
		time.Sleep(minPause + rand.N(maxPause-minPause))
		if !wanted() {
			return err
		}
	}
}

// EnterQueue tells that the fetch waits for its turn among other programs, not for the API. Until
// LeaveQueue is called, the current token is usable to lastMargin before its end.
func (f *Fetch) EnterQueue() {
	if f == nil {
		return
	}
	f.source.mu.Lock()
	defer f.source.mu.Unlock()
	f.queued = true
}

// LeaveQueue tells that the fetch waits for no turn any more, and may ask the API from now on.
func (f *Fetch) LeaveQueue() {
	if f == nil {
		return
	}
	f.source.mu.Lock()
	defer f.source.mu.Unlock()
	f.queued, f.askedAt = false, time.Now()
}

// maxRefused is how many tokens may be refused in a row before no stored one is tried any more.
const maxRefused = 3

// TakeOver returns stored, a token that another program has got, where it can take the place of an
// exchange: it is fresh, and the API has refused neither it nor maxRefused others in a row. One that
// is stale is used where the fetch brings no other.
func (f *Fetch) TakeOver(stored *oauth2.Token) *Token {
	if f == nil || stored == nil || len(f.Refused) >= maxRefused {
		return nil
	}
	same := func(r *Token) bool { return r.Token.AccessToken == stored.AccessToken }
	if slices.ContainsFunc(f.Refused, same) {
		return nil
	}
	now := time.Now()
	t := NewStoredToken(stored, now)
	if !t.Fresh(now) {
		f.offer(t)
		return nil
	}
	return t
}

// offer offers a stored token that is stale, to be used where the fetch brings no other. Where the
// current one has expired, it becomes the current one at once, held back until the fetch has ended:
// for holdTimeout since the fetch began, and at most nine tenths of what the token has left.
func (f *Fetch) offer(t *Token) {
	s := f.source
	s.mu.Lock()
	defer s.mu.Unlock()
	f.offered = t
	now := time.Now()
	if s.usable(s.current.Load(), now) || !s.usable(t, now) {
		return
	}
	s.current.Store(t)
	if f.hold == nil {
		f.holds = true
		left := t.end.Add(-t.margin).Sub(now)
		f.hold = time.AfterFunc(min(holdTimeout-now.Sub(f.began), left/10*9), f.letGo)
	}
}

// letGo gives the callers who are held back the current token.
func (f *Fetch) letGo() {
	f.source.mu.Lock()
	defer f.source.mu.Unlock()
	f.holds = false
	close(f.release)
}

// Settle returns how long the next fetch has to wait after this one, which failed with err. Where
// the function does not call it, the Source does.
func (f *Fetch) Settle(err error) time.Duration {
	if f == nil {
		return 0
	}
	wait := f.source.backOff.after(f.source.classify(err))
	f.retryAt = time.Now().Add(wait)
	return wait
}
