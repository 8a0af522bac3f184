package endpoint

import (
	"context"
	"sync"
	"time"
)

const (
	// tick is how often the time that has passed is counted.
	tick = time.Second

	// stopped is how late a tick comes where the program has stood still, rather than waited for a
	// processor.
	stopped = 2 * time.Second
)

// running is a context with a deadline by the time that the program runs. A program can stand still
// for long: SIGSTOP, the closed lid of a laptop, a function that is frozen between invocations. To
// a deadline by the clock, an answer that has come meanwhile would be too late to be read.
type running struct {
	context.Context

	mu    sync.Mutex // guards what follows
	timer *time.Timer
	left  time.Duration
	last  time.Time // when left was counted
	stood bool
}

type runningKey struct{}

// WithTimeout is [context.WithTimeout] by the time that the program runs: a time that it stood
// still counts as one second, and leaves at least one more.
func WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	r := &running{Context: ctx, left: d, last: time.Now()}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer = time.AfterFunc(min(d, tick), func() { r.count(cancel) })
	return r, func() {
		cancel(context.Canceled)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.timer.Stop()
	}
}

// count takes the time since the last count off what is left, and ends r where nothing is.
func (r *running) count(cancel context.CancelCauseFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Context.Err() != nil {
		return
	}
	now := time.Now()
	// The monotonic clock stands still while a machine sleeps, the wall clock may be set.
	passed := max(now.Sub(r.last), now.Round(0).Sub(r.last.Round(0)))
	r.last = now
	r.left -= min(passed, tick)
	if passed > tick+stopped {
		r.stood = true
		r.left = max(r.left, tick)
	}
	if r.left <= 0 {
		cancel(context.DeadlineExceeded)
		return
	}
	r.timer.Reset(min(r.left, tick))
}

// Err returns context.DeadlineExceeded where the time is over.
func (r *running) Err() error {
	err := r.Context.Err()
	if err != nil && context.Cause(r.Context) == context.DeadlineExceeded {
		return context.DeadlineExceeded
	}
	return err
}

// Value returns r for runningKey.
func (r *running) Value(key any) any {
	if key == (runningKey{}) {
		return r
	}
	return r.Context.Value(key)
}

// StoodStill reports whether the program has stood still since WithTimeout made ctx or the context
// that it is derived from.
func StoodStill(ctx context.Context) bool {
	r, ok := ctx.Value(runningKey{}).(*running)
	if !ok {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	passed := time.Now().Round(0).Sub(r.last.Round(0))
	if r.Context.Err() == nil && max(passed, time.Since(r.last)) > tick+stopped {
		return true // and the tick is still to come
	}
	outer := StoodStill(r.Context)
	return r.stood || outer
}
