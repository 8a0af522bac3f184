package endpoint

import (
	"context"
	"sync"
	"time"
)

// A program stands still where it does not run for a while and knows nothing of it: stopped by a
// signal or a debugger, on a computer whose lid is closed, or as a function whose instance is frozen
// between its invocations. An answer that came meanwhile lies in the socket, and is lost where the
// deadline is over on waking.
const (
	glance  = time.Second     // between two looks at the clocks
	counted = time.Second     // of what has passed between two looks, at most
	stopped = 3 * time.Second // has passed: the program stood still, and was not just slow
	reading = time.Second     // is left at least after that, to read the answer
)

// running is a context that ends after a time that the program runs, or with its parent.
type running struct {
	context.Context               // the parent
	done            chan struct{} // closed after err is set

	mu    sync.Mutex
	err   error
	left  time.Duration
	seen  time.Time // when the clocks were looked at last, by both
	stood bool      // the program has stood still
}

type runningKey struct{}

// WithTimeout is context.WithTimeout, but the timeout counts the time that the program runs: a time
// that it stood still counts a second at most, and a second is left after it. The context ends with
// [context.DeadlineExceeded] and has no Deadline beyond its parent's, since nobody can know it.
func WithTimeout(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	r := &running{Context: parent, done: make(chan struct{}), left: d, seen: time.Now()}
	if parent.Err() != nil {
		r.end(parent.Err())
	} else if d <= 0 {
		r.end(context.DeadlineExceeded)
	}
	ctx, cancel := context.WithCancel(r) // whose children need no goroutine each to follow r
	if ctx.Err() == nil {
		go r.watch(ctx.Done(), min(d, glance))
	}
	return ctx, cancel
}

// StoodStill reports whether the program has stood still, for 3 s or more, since WithTimeout
// made ctx or a parent of it, and before that ended.
func StoodStill(ctx context.Context) bool {
	for {
		r, ok := ctx.Value(runningKey{}).(*running)
		if !ok {
			return false
		}
		if r.look(time.Now()); r.hasStood() {
			return true
		}
		ctx = r.Context
	}
}

func (r *running) hasStood() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stood
}

// Done returns a channel that is closed when r ends.
func (r *running) Done() <-chan struct{} { return r.done }

// Err returns why r has ended.
func (r *running) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Value returns r itself for StoodStill, and else the parent's value.
func (r *running) Value(key any) any {
	if key == (runningKey{}) {
		return r
	}
	return r.Context.Value(key)
}

// watch ends r when its time is over or its parent ends, and returns then or when r is canceled. It
// looks at the clocks after first, and then every glance.
func (r *running) watch(canceled <-chan struct{}, first time.Duration) {
	timer := time.NewTimer(first)
	defer timer.Stop()
	for {
		select {
		case <-r.Context.Done():
			r.end(r.Context.Err())
			return
		case <-canceled:
			r.end(context.Canceled)
			return
		case <-timer.C:
			left := r.look(time.Now())
			if left <= 0 {
				r.end(context.DeadlineExceeded)
				return
			}
			timer.Reset(min(left, glance))
		}
	}
}

// look takes what has passed since the last look from what is left, and returns that. Of a
// computer that sleeps the monotonic clock stands still, and the wall clock may be set: the one that
// has gone further counts.
func (r *running) look(now time.Time) (left time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0
	}
	passed := max(now.Sub(r.seen), now.Round(0).Sub(r.seen.Round(0)))
	r.seen = now
	r.left -= min(passed, counted)
	if passed >= stopped {
		r.stood = true
		r.left = max(r.left, reading)
	}
	return r.left
}

// end ends r with err.
func (r *running) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
	close(r.done)
}
