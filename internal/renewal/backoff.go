package renewal

import (
	"math/rand/v2"
	"time"
)

// After a failed fetch that asked the API the next one waits, doubling from the first to the last
// of these.
const (
	firstPassing, lastPassing = time.Second, 15 * time.Second
	firstRefused, lastRefused = 5 * time.Second, 2 * time.Minute
	maxRetryAfter             = 10 * time.Minute
	maxRetryAfterJitter       = 15 * time.Second
)

// Fault is what a failed fetch means for the next one.
type Fault struct {
	Passing    bool          // the same may succeed later; else a person must act
	Unasked    bool          // the API was not asked at all, and so no other try will do better
	RetryAfter time.Duration // what the API asks to wait; 0: it does not
}

// backOff is how long to wait after failed fetches. Passing faults and refusals double apart from
// each other, so that neither makes the other come sooner. The zero value is that after a success.
type backOff struct{ passing, refused time.Duration }

// after returns how long to wait after one more failure: a random half to the whole of the doubled
// wait, so that clients that failed together do not come back together, or what the API asks for
// and some on top.
func (b *backOff) after(fault Fault) time.Duration {
	delay, first, last := &b.passing, firstPassing, lastPassing
	if !fault.Passing {
		delay, first, last = &b.refused, firstRefused, lastRefused
	}
	*delay = min(max(2**delay, first), last)
	wait := *delay/2 + rand.N(*delay/2+1)
	if asked := min(fault.RetryAfter, maxRetryAfter); asked > wait {
		wait = asked + rand.N(min(asked, maxRetryAfterJitter)+1)
	}
	return wait
}
