package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/netoauth/netoauth/internal/endpoint"
	"golang.org/x/oauth2"
)

const (
	loadTimeout   = 5 * time.Second  // for Load
	updateTimeout = 35 * time.Second // for Update before f: longer than another's exchange takes
	writeTimeout  = 20 * time.Second // for Update after f
	grace         = 50 * time.Millisecond
)

// Store is what keeps sessions for later runs and other programs, as netoauth.Store says.
type Store interface {
	Load(ctx context.Context) (*oauth2.Token, error)
	Update(ctx context.Context, f func(stored *oauth2.Token) (*oauth2.Token, error)) error
}

var (
	errBusy  = errors.New("an earlier call of the Store has not returned yet")
	errLate  = errors.New("netoauth: Update of the Store called f too late, or twice")
	errNoF   = errors.New("its Update did not call f")
	errEnded = errors.New("the goroutine was ended, does it call runtime.Goexit?")
)

// call is a method of the Store under way in a goroutine of its own, because the method may ignore
// its context. Then it is left behind, and until it returns the Store is not called that way again.
type call struct{ done chan struct{} } // nil: there was none yet

// busy reports whether the method, left behind, has not returned yet.
func (c *call) busy() bool {
	select {
	case <-c.done:
		return false
	default:
		return c.done != nil
	}
}

// begin runs method. The channel that it returns gets what that returned.
func (c *call) begin(method func() (*oauth2.Token, error)) <-chan result {
	done, results := make(chan struct{}), make(chan result, 1)
	c.done = done
	go func() {
		r := result{err: errEnded} // as where the method ends the goroutine
		defer func() {
			close(done) // first, so that whoever has the result finds it not busy any more
			results <- r
		}()
		r.token, r.err = method()
	}()
	return results
}

type result struct {
	token *oauth2.Token
	err   error
}

// within returns what results gets before ctx ends, or shortly after: a method that heeds its
// context says best what has held it up. over is put before that.
func within(ctx context.Context, results <-chan result, over error) result {
	var late <-chan time.Time
	done := ctx.Done()
	for {
		select {
		case r := <-results:
			if r.err != nil && ctx.Err() != nil {
				r.err = join(over, r.err)
			}
			return r
		case <-done:
			done, late = nil, time.After(grace)
		case <-late:
			return result{err: over}
		}
	}
}

// join puts over before what a method said at its context's end, unless that is nothing else.
func join(over, said error) error {
	if said == context.Canceled || said == context.DeadlineExceeded {
		return over
	}
	return fmt.Errorf("%w: %w", over, said)
}

// overtime says that method has used up d.
func overtime(method string, d time.Duration) error {
	return fmt.Errorf("%s of the Store took over %v: %w", method, d, context.DeadlineExceeded)
}

// Stuck is the error of a Load that used up its time, or was not made because an earlier one has
// not returned yet: such a Store is not to be asked for Update.
type Stuck struct{ error }

// Unwrap returns what happened.
func (s Stuck) Unwrap() error { return s.error }

// Load returns what the Store has, or the initial token in its place, if it is news. A Load that
// fails counts as none, and its error is returned beside what stands in.
func (s *Session) Load(ctx context.Context) (news *oauth2.Token, err error) {
	var stored *oauth2.Token
	if s.store != nil {
		stored, err = s.load(ctx)
	}
	return s.notice(stored), err
}

func (s *Session) load(ctx context.Context) (*oauth2.Token, error) {
	if s.loads.busy() {
		return nil, Stuck{errBusy}
	}
	ctx, cancel := endpoint.WithTimeout(ctx, loadTimeout)
	defer cancel()
	began := time.Now() // by which more may have passed than ctx counts, where the program is slow
	results := s.loads.begin(func() (*oauth2.Token, error) { return s.store.Load(ctx) })
	r := within(ctx, results, overtime("Load", loadTimeout))
	switch {
	case r.err == nil:
		return r.token, nil
	case ctx.Err() != nil || time.Since(began) >= loadTimeout:
		return nil, Stuck{r.err}
	default:
		return nil, r.err
	}
}

// Update has the Store call f, and returns the Store's error. f gets what the Store has by then, if
// that is news; what it returns is stored. called reports whether f was called. Until then the end
// of ctx ends Update, too; from then on nothing does but the time limit after f, so that the token
// that f has got finds its place.
func (s *Session) Update(
	ctx context.Context, f func(news *oauth2.Token) (*oauth2.Token, error),
) (called bool, err error) {
	if s.loads.busy() || s.updates.busy() {
		return false, errBusy
	}
	waiting, stopWaiting := endpoint.WithTimeout(ctx, updateTimeout)
	defer stopWaiting()
	kept, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()

	var turn atomic.Bool // taken by f, or by the end of waiting, whichever comes first
	entered, left := make(chan struct{}), make(chan struct{})
	var issued *oauth2.Token
	ended := errEnded // as where f ends its goroutine, which may be one of the Store's own
	results := s.updates.begin(func() (*oauth2.Token, error) {
		return nil, s.store.Update(kept, func(stored *oauth2.Token) (*oauth2.Token, error) {
			if !turn.CompareAndSwap(false, true) {
				return nil, errLate
			}
			close(entered)
			defer close(left)
			t, err := f(s.notice(stored))
			ended = nil
			if err == nil {
				issued = t
			}
			return t, err
		})
	})
	select {
	case <-entered:
	case <-s.updates.done:
	case <-waiting.Done():
	}
	if turn.CompareAndSwap(false, true) {
		cancel()
		over := waiting.Err()
		if ctx.Err() == nil {
			over = overtime("Update", updateTimeout)
		}
		r := within(waiting, results, over)
		return false, cmp.Or(r.err, errNoF)
	}
	<-left
	writing, stopWriting := endpoint.WithTimeout(kept, writeTimeout)
	defer stopWriting()
	defer context.AfterFunc(writing, cancel)()
	r := within(writing, results, overtime("Update", writeTimeout))
	if r.err == nil && issued != nil {
		s.seen = issued
	}
	return true, cmp.Or(r.err, ended)
}
