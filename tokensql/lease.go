package tokensql

import (
	"context"
	"crypto/rand"
	"database/sql/driver"
	"errors"
	"fmt"
	randv2 "math/rand/v2"
	"time"

	"github.com/netoauth/netoauth/internal/redact"
)

const (
	leaseFor = 15 * time.Second // without a sign of life, before another may take it
	tryFor   = 5 * time.Second  // for a statement, the wait for a connection included
	patience = 5 * time.Second  // with failures in a row

	freeFor   = 2 * time.Second // for giving the lease free, with this between two tries
	freePause = 100 * time.Millisecond

	// Between two looks of a waiter, a random half to the whole of a time within these bounds.
	minPause, maxPause = 20 * time.Millisecond, 1500 * time.Millisecond
)

// lease is the right to use a session's refresh token, as one Update or Remove waits for it, has it
// and gives it free. The row's holder says who has it; the row's beat is the sign that the holder
// lives.
type lease struct {
	*place
	me    string // random, so that nobody else has that name
	was   row    // when the lease was taken
	asked bool   // it may be ours, whatever came back
}

func (p *place) lease() *lease { return &lease{place: p, me: rand.Text()} }

// take waits until the lease is ours. Where it fails, the caller still gives the lease free.
func (l *lease) take(ctx context.Context) error {
	var w watch
	var problem error     // of the last try, unless ctx has ended it
	var failing time.Time // since then no try was answered; zero: the last was
	for {
		began := time.Now()
		taken, err := l.try(ctx, &w)
		switch {
		case ctx.Err() != nil:
		case taken:
			return nil
		case err == nil:
			problem, failing = nil, time.Time{}
		case failing.IsZero():
			problem, failing = err, began
		default:
			problem = err
		}
		wait := w.pause(time.Since(began))
		if problem != nil && ctx.Err() == nil {
			left := patience - time.Since(failing)
			if left <= 0 {
				return l.fault(redact.Secrets{}, "cannot be used", problem)
			}
			wait = min(wait, left)
		}
		if err := pause(ctx, wait); err != nil {
			return l.ended(err, w, problem)
		}
	}
}

// try looks once, and takes the lease where it is free or its holder dead. A lease of our own is
// free, too: then an earlier try has taken it after all, and only the answer was lost.
//
// It takes only what it has seen: whoever changes the row in between has the beat grow.
func (l *lease) try(ctx context.Context, w *watch) (taken bool, err error) {
	began := time.Now()
	r, err := l.peek(ctx)
	if err != nil {
		return false, err
	}
	dead := w.see(r, began, time.Now())
	switch {
	case !r.found:
		// A last that nobody has written: an Update that saw no row, and slept, must not take a row
		// for the same that another made meanwhile.
		r.last, l.asked = rand.Text(), true
		taken, err = l.change(ctx, tryFor, l.say.insert, l.id, l.me, r.last)
	case r.holder == "" || r.holder == l.me || dead:
		l.asked = true
		taken, err = l.change(ctx, tryFor, l.say.take, l.me, l.id, r.holder, r.beat)
	}
	l.was = r
	return taken, err
}

// peek is a waiter's look. Where another has the lease it closes the connection: the programs of a
// fleet that waited with one each would use up what the engine allows, and keep out the one that
// they wait for.
func (l *lease) peek(ctx context.Context) (row, error) {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	conn, err := l.db.Conn(ctx)
	if err != nil {
		return row{}, err
	}
	defer conn.Close()
	r, err := l.scan(conn.QueryRowContext(ctx, l.say.look, l.id))
	if l.limited && r.holder != "" && r.holder != l.me {
		conn.Raw(func(any) error { return driver.ErrBadConn }) // for which the pool closes it
	}
	return r, err
}

// watch is what a waiter knows of another's life, by no clock but its own monotonic one.
type watch struct {
	holder string
	beat   int64
	since  time.Time // from here on every look has seen these two
	met    time.Time // from here on every look has seen this holder
	last   time.Time // when the last look was answered
}

// see notes what a look saw, and reports whether the holder has given no sign of life for as long
// as the lease lasts. A hole in the looks says nothing of the holder, which may have found no way
// to the engine either; then the time begins anew.
func (w *watch) see(r row, began, answered time.Time) (dead bool) {
	if w.met.IsZero() || w.holder != r.holder {
		w.met = answered
	}
	if w.since.IsZero() || w.holder != r.holder || w.beat != r.beat || answered.Sub(w.last) > leaseFor/2 {
		w.holder, w.beat, w.since = r.holder, r.beat, answered
	}
	w.last = answered
	return began.Sub(w.since) >= leaseFor
}

// pause returns for how long to look away after a look that took so long. It is a part of the time for
// which the holder has had the lease, so that a waiter is not much later than it, and several times
// what the look took, so that a fleet of waiters does not keep an engine busy that is slow already.
func (w *watch) pause(took time.Duration) time.Duration {
	wait := 4 * took
	if !w.met.IsZero() {
		wait = max(wait, time.Since(w.met)/4)
	}
	wait = min(max(wait, minPause), maxPause)
	return wait/2 + randv2.N(wait/2)
}

// ended says what take was waiting for when its context ended.
func (l *lease) ended(ended error, w watch, problem error) error {
	switch {
	case problem != nil:
		return l.fault(redact.Secrets{}, "cannot be used", errors.Join(problem, ended))
	case w.holder != "":
		return fmt.Errorf("tokensql: another program renews the session in table %s: "+
			"try later, or look why it takes so long: %w", l.table, ended)
	}
	return fmt.Errorf("tokensql: no answer about table %s: "+
		"check the database, and whether others hold the connections of DB: %w", l.table, ended)
}

// keep keeps the lease up until the func that it returns is called, which waits for the end of all
// that. A beat that fails is as good as none, and the next comes sooner.
func (l *lease) keep(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for next := leaseFor / 4; pause(ctx, next) == nil; {
			next = leaseFor / 4
			if _, err := l.change(ctx, leaseFor/4, l.say.beat, l.id, l.me); err != nil {
				next = leaseFor / 16
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// free gives the lease free, if it is ours. Where that fails for freeFor, it is free when it is over.
func (l *lease) free(ctx context.Context) {
	if !l.asked {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), freeFor)
	defer cancel()
	for {
		if _, err := l.change(ctx, freeFor, l.say.free, l.id, l.me); err == nil || pause(ctx, freePause) != nil {
			return
		}
	}
}
