package statemachine_test

import (
	"errors"
	"time"

	"github.com/netoauth/netoauth"
)

// waits is when the next exchange may be. onExchange writes it, when an exchange has ended, and
// exchangeBegins forcedAt; takes ends the failure, too, since a token taken over is no exchange.
type waits struct {
	failed             bool          // the exchange before
	passing            bool          // and with a transient fault
	tookOver           bool          // since the last success
	transient, refused time.Duration // the last whole waits
	notBefore          time.Time     // the next exchange
	forcedAt           time.Time     // the last forced exchange
	reported           time.Time     // the last exchange
}

// tally is what has happened in all. It grows with each event; takes alone resets accused.
type tally struct {
	asked               int // token requests
	exchanges, failures int // reported
	refusals            int // 401s
	refused             map[*access]int
	refusedAt           map[*access]time.Time // first
	accused             bool                  // by a 401 since the last token came
	frozen              time.Duration
}

// fails checks the wait after a failed exchange: a random half to the whole of the doubled one, or
// what the API asks for and up to as much again, 15 s at most, on top.
func (r *run) fails(e netoauth.Exchange) {
	now := time.Now()
	r.count.failures++
	if now.Before(r.waits.notBefore) {
		r.w.fail(backOff, "%s: an exchange %v early", r.name, r.waits.notBefore.Sub(now))
	}
	wait, first, last := &r.waits.transient, time.Second, 15*time.Second
	refused := errors.Is(e.Err, netoauth.ErrRejected) ||
		r.w.history.flow == "refresh token" && r.exchange.result == dead
	if refused {
		wait, first, last = &r.waits.refused, 5*time.Second, 2*time.Minute
	}
	*wait = min(max(2**wait, first), last)
	low, high := *wait/2, *wait
	if r.waits.tookOver { // after which the waits may have begun anew
		low, high = first/2, last
	}
	if asked := min(r.exchange.retryAfter, 10*time.Minute); asked > 0 {
		low, high = max(low, asked), max(high, asked+min(asked, 15*time.Second))
	}
	if e.RetryIn < low || e.RetryIn > high {
		r.w.fail(backOff, "%s: waits %v, want %v to %v", r.name, e.RetryIn, low, high)
	}
	r.waits.failed, r.waits.passing = true, !refused
	r.waits.notBefore = now.Add(e.RetryIn)
}

// isBounded checks the number of exchanges: one to begin with, one for each 70 % of a life, one for
// each 401 but not more than one in 30 s, and those that failed, of which the waits limit the
// number.
func (r *run) isBounded() {
	w, elapsed := r.w, time.Since(r.w.begun)
	most := 1 + min(r.count.refusals, int(elapsed/(30*time.Second))+1) + r.count.failures
	if w.shortest > 0 {
		most += int(elapsed / (w.shortest * 7 / 10))
	}
	if r.count.exchanges > most {
		w.fail(boundedNumber, "%s: %d exchanges in %v, want at most %d", r.name, r.count.exchanges, elapsed, most)
	}
}
