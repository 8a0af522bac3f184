package storetest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
)

// hold begins an Update whose f returns tok when release is called, which returns what Update does.
// It returns when f has begun, or ends the check.
func (o *opening) hold(tok *oauth2.Token) (release func() error) {
	t, begun, released, result := o.t, make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		result <- o.update(t.ctx, func(*oauth2.Token) (*oauth2.Token, error) {
			close(begun)
			select {
			case <-released:
			case <-t.over:
			}
			return tok, nil
		})
	}()
	select {
	case <-begun:
	case err := <-result:
		t.fatalf("Update failed before it called f, where nothing was in the way: %v", t.reason(err))
	}
	return func() error {
		close(released)
		return <-result
	}
}

func loadsMeanwhile(t *trial) {
	a, b := t.open(t.owner), t.open(t.owner)
	a.put(token("before"))
	release := a.hold(token("after"))
	for _, opening := range []struct {
		*opening
		where string
	}{{a, "the opening of the Update"}, {b, "another opening"}} {
		loaded := make(chan struct{})
		go func() {
			defer close(loaded)
			opening.want(token("before"), "through "+opening.where+" while f runs")
		}()
		select {
		case <-loaded:
		case <-time.After(quickly):
			t.fatalf("Load through %s waits for an Update: it must return the token from before, "+
				"without a lock", opening.where)
		}
	}
	if err := release(); err != nil {
		t.errorf("Update failed, with Loads while f ran: %v", t.reason(err))
	}
	b.want(token("after"), "after an Update")
}

// relay has an f for Updates that follow one another: each gets the token of the one before, and
// returns the next.
type relay struct {
	t       *trial
	running atomic.Int32  // how many f; one that met another counts for ever
	first   *oauth2.Token // stored before them; nil: none
	next    int           // how many have returned a token; the f that runs alone may write it
}

func nth(n int) *oauth2.Token { return token(strconv.Itoa(n)) }

func (r *relay) f(got *oauth2.Token) (*oauth2.Token, error) {
	if r.running.Add(1) > 1 {
		r.t.errorf("two Updates of one session ran f at the same time: each sends the same refresh token, " +
			"which ends the session; lock what is there before anything is stored, too")
		return token("too many"), nil
	}
	defer r.running.Add(-1)
	want := r.first
	if r.next > 0 {
		want = nth(r.next)
	}
	if diff := difference(want, got); diff != "" {
		r.t.errorf("Update gave f %s by the Update before it: read the token under the lock", diff)
	}
	time.Sleep(50 * time.Millisecond)
	r.next++
	return nth(r.next), nil
}

// excludesOthers expects Updates that start at once, two in each of four programs, to follow one
// another, where something is stored and where nothing is.
func excludesOthers(stored bool) func(*trial) {
	const programs, updates = 4, 8
	return func(t *trial) {
		var openings []*opening
		for range programs {
			openings = append(openings, t.open(t.owner))
		}
		r := &relay{t: t}
		if stored {
			r.first = token("first")
			openings[0].put(r.first)
		}
		var all sync.WaitGroup
		for i := range updates {
			all.Go(func() {
				if err := openings[i%programs].update(t.ctx, r.f); err != nil {
					t.errorf("one of %d Updates at once failed: %v: it must wait for its turn", updates, t.reason(err))
				}
			})
		}
		all.Wait()
		openings[0].want(nth(updates), "after Updates at once")
	}
}

func endsWithContext(t *trial) {
	a, b := t.open(t.owner), t.open(t.owner)
	release := a.hold(token("after"))
	for _, want := range []error{context.Canceled, context.DeadlineExceeded} {
		ctx, cancel := context.WithTimeout(t.ctx, quickly/10)
		if want == context.Canceled {
			ctx, cancel = context.WithCancel(t.ctx)
			time.AfterFunc(quickly/10, cancel)
		}
		result := make(chan error, 1)
		go func() {
			result <- b.update(ctx, func(*oauth2.Token) (*oauth2.Token, error) {
				t.errorf("Update called f while another Update of the session ran, or after its context had ended")
				return nil, nil
			})
		}()
		select {
		case err := <-result:
			if !errors.Is(err, want) {
				t.errorf("an Update whose context ended while it waited returned %v: want an error in which "+
					"errors.Is finds %v", err, want)
			}
		case <-time.After(quickly):
			t.errorf("an Update whose context ended goes on waiting for another one: heed the context")
		}
		cancel()
	}
	if err := release(); err != nil {
		t.errorf("Update failed, where others gave up waiting for it: %v", t.reason(err))
	}
	ctx, cancel := context.WithTimeout(t.ctx, quickly)
	defer cancel()
	if err := b.update(ctx, returning(token("next"))); err != nil {
		t.errorf("an Update that gave up waiting keeps the place locked: the next one failed: %v", err)
	}
}

// freesAfter expects an Update whose f ends its goroutine by end to store nothing and to give the
// place free at once.
func freesAfter(name string, end func()) func(*trial) {
	return func(t *trial) {
		a, b := t.open(t.owner), t.open(t.owner)
		a.put(token("before"))
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			defer func() { recover() }()
			err := a.update(t.ctx, func(*oauth2.Token) (*oauth2.Token, error) {
				end()
				return nil, nil
			})
			if err == nil {
				t.errorf("Update returned nil, although f ended by %s: let it through", name)
			}
		}()
		select {
		case <-ended:
		case <-time.After(quickly):
			t.errorf("Update does not return after f ended by %s: call f in the caller's goroutine", name)
		}
		ctx, cancel := context.WithTimeout(t.ctx, quickly)
		defer cancel()
		if err := b.update(ctx, returning(token("after"))); err != nil {
			t.fatalf("the place stays locked after f ended by %s, and the next Update failed: %v: "+
				"unlock in a deferred function", name, err)
		}
		b.want(token("after"), "after an Update that followed one whose f ended by "+name)
	}
}

func keepsOthersOutForLong(t *trial) {
	a, b := t.open(t.owner), t.open(t.owner)
	release := a.hold(token("first"))
	began, second := time.Now(), make(chan error, 1)
	running := new(atomic.Bool)
	running.Store(true)
	go func() {
		second <- b.update(t.ctx, func(stored *oauth2.Token) (*oauth2.Token, error) {
			if running.Load() {
				t.errorf("an Update called f while another's f ran, after %v: keep the lock for as long as f runs, "+
					"which an exchange with a slow API makes long", time.Since(began).Round(time.Second))
			} else if diff := difference(token("first"), stored); diff != "" {
				t.errorf("after an Update whose f took %v the next gave f %s", longF, diff)
			}
			return token("second"), nil
		})
	}()
	select {
	case <-time.After(longF):
	case <-t.ctx.Done():
	}
	running.Store(false)
	if err := release(); err != nil {
		t.errorf("an Update whose f took %v failed: %v: keep the lock for as long as f runs, and do not let "+
			"time limits of connections or transactions count while it does", longF, t.reason(err))
	}
	if err := <-second; err != nil {
		t.fatalf("an Update that waited for another's f of %v failed: %v: only its context ends a wait",
			longF, t.reason(err))
	}
	b.want(token("second"), "after an Update that waited for a long one")
}

func survivesCuts(t *trial) {
	a := t.open(t.owner)
	a.put(token("before"))
	err := a.update(t.ctx, func(*oauth2.Token) (*oauth2.Token, error) {
		t.cut()
		return token("after"), nil
	})
	if err != nil {
		t.errorf("connections were cut while f ran, and Update lost the token that f returned: %v: "+
			"write it over a new connection", t.reason(err))
		return
	}
	a.want(token("after"), "after an Update while which connections were cut")
	t.open(t.owner).want(token("after"), "through a new opening after an Update while which connections were cut")
}

// overwritesNothingNewer cuts connections while f runs, and lets another program in if the lock is
// lost by that. Both are right: a Store that keeps it out and then stores f's token, and one that lets
// it in and then refuses f's token.
func overwritesNothingNewer(t *trial) {
	a := t.open(t.owner)
	a.put(token("before"))
	var inBetween error
	err := a.update(t.ctx, func(*oauth2.Token) (*oauth2.Token, error) {
		t.cut()
		ctx, cancel := context.WithTimeout(t.ctx, quickly/2)
		defer cancel()
		inBetween = t.open(t.owner).update(ctx, returning(token("newer")))
		return token("older"), nil
	})
	got, loadErr := t.open(t.owner).load()
	kept := func(name string) bool { return loadErr == nil && difference(token(name), got) == "" }
	switch {
	case loadErr != nil:
		t.errorf("Load failed after connections were cut: %v", t.reason(loadErr))
	case inBetween == nil && !kept("newer"):
		t.errorf("an Update that had lost its lock overwrote a newer token: write only where the lock is still " +
			"held, or nothing has been written since")
	case inBetween == nil && err == nil:
		t.errorf("an Update that had lost its lock to another returned nil, and its token is not stored: " +
			"it must fail")
	case inBetween != nil && err == nil && !kept("older"):
		t.errorf("connections were cut while f ran, and Update returned nil without its token being stored")
	}
}
