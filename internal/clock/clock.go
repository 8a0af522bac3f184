// Package clock has a coarse clock, for a path on which reading the time is a good part of the cost.
package clock

import (
	"sync/atomic"
	"time"
)

// Lag is how far a Coarse clock may be behind.
const Lag = 10 * time.Millisecond

// Coarse is a wall clock that is up to Lag behind, as CLOCK_REALTIME_COARSE of Linux is. The zero
// value is ready to use, by any number of goroutines.
type Coarse struct{ last atomic.Pointer[time.Time] }

// Now returns the time as it was when the wall clock was last read. It reads that anew once Lag has
// passed by the monotonic clock, which costs half as much to read, but stands still while a machine
// sleeps.
func (c *Coarse) Now() time.Time {
	if last := c.last.Load(); last != nil {
		// In a bubble of testing/synctest, a reading from outside it is of another time.
		if age := time.Since(*last); 0 <= age && age < Lag {
			return *last
		}
	}
	now := time.Now()
	c.last.Store(&now)
	return now
}
