package renewal

import (
	"context"
	"slices"
	"time"
)

// Refuse records that the API has answered c with 401, and reports whether another token can be
// had: there is one by now, one is under way, or a fetch or a look may be forced. It starts nothing.
func (s *Source) Refuse(c *Token) (replaceable bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.Load() != c {
		return true
	}
	s.refused = c
	now := time.Now()
	return s.fetches() || s.forcible(now) || s.lookable(now)
}

// fetches reports whether a fetch is under way that may ask the API. s.mu must be held.
func (s *Source) fetches() bool { return s.underWay != nil && !s.underWay.LookOnly }

// forcible reports whether a 401 may start a fetch. s.mu must be held.
func (s *Source) forcible(now time.Time) bool {
	return s.underWay == nil && !now.Before(s.last.retryAt) && now.Sub(s.forcedAt) >= forcedEvery
}

// lookable reports whether a 401 may start a look, where it may not start a fetch that asks the API.
// s.mu must be held.
func (s *Source) lookable(now time.Time) bool {
	return s.underWay == nil && s.looks && now.Sub(s.lookedAt) >= lookEvery
}

// Renew starts a fetch of the token that takes the place of c, which the API has answered with 401,
// where one may be forced.
func (s *Source) Renew(c *Token) { s.force(c, false) }

// Replace returns the token that takes the place of c, which the API has answered with 401, nil
// where there is none. It waits for it as long as ctx lasts.
func (s *Source) Replace(ctx context.Context, c *Token) *Token {
	var next *Token
	if f := s.force(c, true); f != nil {
		next, _ = s.await(ctx, f, nil)
	} else if s.current.Load() != c {
		next, _ = s.Get(ctx)
	}
	if next == c {
		return nil
	}
	return next
}

// force returns the fetch that brings the token after c, and starts it where one may be forced; nil
// where there is another token by now, or no fetch. Where none may be forced, it only looks for a
// token. A caller who waits is counted in it.
func (s *Source) force(c *Token, waits bool) *Fetch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.Load() != c {
		return nil
	}
	f, now := s.underWay, time.Now()
	forced := s.forcible(now)
	switch {
	case forced || s.lookable(now):
		f = s.newFetch(inARow(s.before, c))
		f.LookOnly = !forced
	case !s.fetches():
		return nil
	}
	if waits {
		f.waiting.Add(1)
	}
	s.start(f)
	return f
}

// inARow returns c, and before it those tokens that were refused in a row with it: one that the API has
// accepted, if only after it had refused it once, begins the row.
func inARow(before []*Token, c *Token) []*Token {
	row := append(slices.Clone(before), c)
	for slices.ContainsFunc(row[1:], func(t *Token) bool { return t.accepted.Load() }) {
		row = row[1:]
	}
	return row
}

// GetUndoubted is Get for a request that cannot be sent a second time: where the current token is
// in doubt, it waits for the fetch of the next that is under way, doubtTimeout at most in all.
func (s *Source) GetUndoubted(ctx context.Context) (*Token, error) {
	start := time.Now()
	c, err := s.Get(ctx)
	if err != nil {
		return nil, err
	}
	f := s.replacing(c)
	if f == nil {
		return c, nil
	}
	defer f.waiting.Add(-1)
	timer := time.NewTimer(doubtTimeout - time.Since(start))
	defer timer.Stop()
	select {
	case <-f.done:
	case <-timer.C:
	case <-ctx.Done():
	}
	return s.Get(ctx)
}

// replacing returns the fetch under way that is to replace c, which was refused, and counts the
// caller in it; nil: there is none.
func (s *Source) replacing(c *Token) *Fetch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused != c || s.current.Load() != c || !s.fetches() {
		return nil
	}
	s.underWay.waiting.Add(1)
	return s.underWay
}
