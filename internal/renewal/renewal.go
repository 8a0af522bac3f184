// Package renewal decides when the next token is fetched, and who waits for it.
//
// A fetch is one call of the function that gets a token, by asking the API or by taking over what
// another program has got; one at a time, for all who wait. The current token is in one of these
// states. A fetch is started only where none is under way and the wait after a failed one is over.
//
//	state     when                                 a caller gets              started
//	fresh     before its renewal point             the token                  nothing
//	stale     from there to its end less a margin  the token                  a fetch
//	expired   after that, or no token at all       what the fetch brings      a fetch
//	                                               or, waiting, its error
//	in doubt  refused by a 401, in any state       if refused, what the       a fetch,
//	                                               fetch brings; else as      once in 30 s
//	                                               above, but a request that
//	                                               can be sent only once
//	                                               waits for the fetch, 5 s
//	                                               at most
//	held      stale when it is first seen          what the fetch brings or,  a fetch
//	                                               after 5 s, the token
//
// In the wait after a failed fetch, a caller without a usable token has the function look for a
// token without asking the API, if it can, once a second. So has one whose token was refused, there
// and where a 401 may not force a fetch yet.
//
// The package sends nothing, and knows no way to sign in and no store.
package renewal

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/netoauth/netoauth/internal/clock"
	"github.com/netoauth/netoauth/internal/redact"
)

const (
	holdTimeout  = 5 * time.Second  // for renewing a stale token before its first use
	doubtTimeout = 5 * time.Second  // for replacing one in doubt, for a request sent only once
	forcedEvery  = 30 * time.Second // between fetches that a 401 forces
	lookEvery    = time.Second      // where the API must not be asked
)

// Source has the current token and fetches the next. Any number of goroutines may use it.
type Source struct {
	fetch    func(*Fetch) (*Token, error)
	classify func(error) Fault
	looks    bool // whether fetch can look for a token without asking the API

	current atomic.Pointer[Token] // written under mu; callers look at it without
	clock   clock.Coarse          // by which they take it for fresh

	mu       sync.Mutex // guards what follows; never held across I/O
	underWay *Fetch     // nil: none
	refused  *Token     // the last one that the API answered with 401; nil: none
	before   []*Token   // refused in a row, each replaced by a stored one that the API never accepted
	forcedAt time.Time  // when the API was last asked because of a 401
	lookedAt time.Time  // when the last look ended
	last     outcome    // of the fetches that asked the API

	backOff backOff // written by the fetch under way alone
}

// outcome is what the last fetch that asked the API came to. The zero value is a success.
type outcome struct {
	err          error     // for callers without a usable token until retryAt
	passing      bool      // err is a fault that may pass
	failingSince time.Time // the end of the first of the failed ones in a row; zero: a token came since
	retryAt      time.Time // no other before this
}

// recovered is o once a stored token has come. The API is left alone as it asked to be.
func (o outcome) recovered() outcome { return outcome{err: o.err, retryAt: o.retryAt} }

// New returns a Source without a token. fetch gets the next one: it runs in a goroutine of its own,
// one at a time, and classify says what its error means. With looks, fetch is also called to look
// for a token without asking the API, between fetches that failed.
func New(fetch func(*Fetch) (*Token, error), classify func(error) Fault, looks bool) *Source {
	s := &Source{fetch: fetch, classify: classify, looks: looks}
	s.current.Store(new(Token))
	return s
}

// Get returns the current token or, where it has expired, waits for the next as long as ctx lasts.
func (s *Source) Get(ctx context.Context) (*Token, error) {
	c := s.current.Load()
	if c.Fresh(s.clock.Now()) {
		return c, nil
	}
	for {
		if ctx.Err() != nil {
			return nil, waitError(ctx)
		}
		c, f, err := s.join()
		if f == nil {
			return c, err
		}
		c, err = s.await(ctx, f, f.release)
		if c != nil || err != nil {
			return c, err
		}
	}
}

func waitError(ctx context.Context) error {
	return redact.NewError("netoauth: waiting for an access token: "+ctx.Err().Error(), ctx.Err())
}

// join decides for a caller who found the token not to be fresh. It returns the token that is
// current by now, where that can be used, or the fetch to wait for, in which the caller is counted,
// or an error. It starts a fetch where it is time for one; if the token has been replaced since the
// caller looked, the fetch finds that out without asking the API.
func (s *Source) join() (*Token, *Fetch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	c, f := s.current.Load(), s.underWay
	usable := s.usable(c, now)
	waiting := now.Before(s.last.retryAt) && (f == nil || f.LookOnly)
	switch {
	case waiting && usable:
		return c, nil, nil
	case waiting && (f != nil || !s.looks || now.Sub(s.lookedAt) < lookEvery):
		return nil, nil, s.last.untilRetry()
	case f == nil:
		f = s.newFetch(nil)
		f.LookOnly = waiting
	}
	waits := !usable || f.holds
	if waits {
		f.waiting.Add(1) // before the fetch starts, which makes fewer tries for nobody
	}
	s.start(f)
	if !waits {
		return c, nil, nil
	}
	return nil, f, nil
}

// await returns what f brings to a caller who is counted in it, or the current token once release
// is closed; release is nil for a caller whose token was refused. It returns neither a token nor an
// error where f was only a look that found none.
func (s *Source) await(ctx context.Context, f *Fetch, release <-chan struct{}) (*Token, error) {
	defer f.waiting.Add(-1)
	select {
	case <-f.done:
		return s.brought(f)
	case <-release:
	case <-ctx.Done():
		return nil, waitError(ctx)
	}
	if c := s.usableNow(); c != nil {
		return c, nil
	}
	select {
	case <-f.done:
		return s.brought(f)
	case <-ctx.Done():
		return nil, waitError(ctx)
	}
}

// brought returns what f, which has ended, brought: its token, or the current one where it brought
// none and that can be used, or its error.
func (s *Source) brought(f *Fetch) (*Token, error) {
	if f.token != nil {
		return f.token, nil
	}
	if c := s.usableNow(); c != nil {
		return c, nil
	}
	if f.err == nil {
		return nil, nil
	}
	return nil, outcome{err: f.err, retryAt: f.retryAt}.untilRetry()
}

// usableNow returns the current token, nil where it has expired.
func (s *Source) usableNow() *Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.current.Load(); s.usable(c, time.Now()) {
		return c
	}
	return nil
}

// usable reports whether c can be sent. s.mu must be held.
func (s *Source) usable(c *Token, now time.Time) bool {
	margin := c.margin
	if s.last.passing || s.underWay != nil && s.underWay.queued {
		margin = min(margin, lastMargin)
	}
	return !now.After(c.end.Add(-margin)) && now.Before(c.end)
}

// untilRetry returns the error with a text that says when the next fetch may be.
func (o outcome) untilRetry() error {
	wait := max(0, (time.Until(o.retryAt) + time.Second - 1).Truncate(time.Second)) // rounded up
	text := fmt.Sprintf("%v; the next try is in %v at the earliest", o.err, wait)
	return redact.NewError(text, o.err)
}

// Wait returns when the fetch under way, if any, has ended, or with ctx's error.
func (s *Source) Wait(ctx context.Context) error {
	s.mu.Lock()
	f := s.underWay
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Status is what a Source knows at one moment.
type Status struct {
	Current      *Token    // never nil
	Usable       bool      // a caller would get Current without waiting
	Refused      bool      // the API has answered Current with 401
	Err          error     // of the last fetch that asked the API; nil: a token has come since
	FailingSince time.Time // the end of the first of the failed ones in a row; zero: none
	RetryAt      time.Time // no fetch asks the API before this
}

// Status returns what s knows, without waiting.
func (s *Source) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.current.Load()
	status := Status{
		Current:      c,
		Usable:       s.usable(c, time.Now()) && (s.underWay == nil || !s.underWay.holds),
		Refused:      s.refused == c,
		FailingSince: s.last.failingSince,
		RetryAt:      s.last.retryAt,
	}
	if !s.last.failingSince.IsZero() {
		status.Err = s.last.err
	}
	return status
}
