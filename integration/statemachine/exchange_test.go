package statemachine_test

import (
	"context"
	"errors"
	"time"

	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

// exchange is the exchange under way. Token requests write it when they begin and end, the Store how
// its Update ends, and onToken what it told; onExchange begins a new one.
type exchange struct {
	updated    string // how its Update ended: "", "stored" or "failed"
	underWay   int    // token requests now
	requests   int    // token requests
	transients int    // of them, which met a transient fault
	reloads    int
	sent       string        // the refresh token in the last token request; "": none
	result     string        // of the last token request
	retryAfter time.Duration // of that, too
	noLogIn    bool          // the last log-in was refused
	issued     *access       // not told yet
	told       *access
	over       *access // a dead token, for which none came yet that is not; nil: none
	toldOver   *access // that was told

	ctx   context.Context // of the token request under way; nil: none
	wakes time.Time       // when the program goes on that stands still, or last did
	stood bool            // it has stood still in this exchange
}

// begins checks a token request at its begin.
func (r *run) begins(ctx context.Context, path, token string) {
	w, x, now := r.w, &r.exchange, time.Now()
	if x.underWay++; x.underWay > 1 {
		w.fail(oneExchange, "%s: %d token requests at a time", r.name, x.underWay)
	}
	if r.seen.loads > 0 {
		x.updated = "failed"
	}
	if w.store != nil && !r.seen.inUpdate && x.updated != "failed" {
		w.fail(oneExchange, "%s: a token request outside the Store's Update", r.name)
	}
	x.ctx, r.seen.wentOn = ctx, true
	x.requests++
	r.count.asked++
	passing := x.result == transient || x.result == dead && x.sent == ""
	switch {
	case now.Before(r.waits.notBefore):
		w.fail(backOff, "%s: a token request %v early", r.name, r.waits.notBefore.Sub(now))
	case x.requests == 1:
		r.exchangeBegins(now)
	case x.result == issuing:
		w.fail(boundedNumber, "%s: a token request after one that brought a token, in one exchange", r.name)
	case x.result == dead && x.sent != "" && path != "log-in":
		w.fail(backOff, "%s: %s, after a refresh that brought a dead token", r.name, path)
	case passing && (r.waits.failed || x.transients > 2 || x.retryAfter > 0):
		w.fail(backOff, "%s: a further try, the exchange before failed: %v, tries %d, Retry-After %v",
			r.name, r.waits.failed, x.transients, x.retryAfter)
	}
	refused := x.requests > 1 && x.result == refusing && x.sent == "" // the log-in before
	if token != "" && token == r.refresh.doubt && w.history.flow != "refresh token" && !refused {
		w.fail(noReuse, "%s: %s may be used up", r.name, token)
	}
	if x.sent = token; path == "refresh" {
		r.sends(token)
		if x.stood {
			w.fail(noReuse, "%s: sends %s, after it has stood still", r.name, token)
		}
	} else {
		x.noLogIn = false
	}
}

// exchangeBegins checks that there is a reason for an exchange.
func (r *run) exchangeBegins(now time.Time) {
	if r.seen.inUpdate && r.seen.news && !r.count.accused {
		r.w.fail(boundedNumber, "%s: an exchange, although the Store has %s", r.name, r.seen.given.name)
	}
	if r.hand.token == nil || !r.hand.token.fresh(now) || r.seen.stale != nil {
		return
	}
	if r.count.refused[r.hand.token] == 0 {
		r.w.fail(boundedNumber, "%s: an exchange, although %s is fresh and not refused",
			r.name, r.hand.token.name)
	}
	if since := now.Sub(r.waits.forcedAt); !r.waits.forcedAt.IsZero() && since < 30*time.Second {
		r.w.fail(backOff, "%s: two forced exchanges within %v", r.name, since)
	}
	r.waits.forcedAt = now
}

// ends notes what a token request came to.
func (r *run) ends(a *answer) {
	x := &r.exchange
	x.underWay--
	x.ctx = nil
	x.result, x.retryAfter = a.result(), a.retryAfter
	if r.refresh.spare == sparing && x.sent == r.config && x.result != transient {
		r.refresh.spare = spared
	}
	r.w.note("%s: %s %d, %v", r.name, x.result, a.status, a.err)
	if a.spent != nil && (x.result == issuing || x.result == dead) {
		a.spent.spentBy = r
	}
	switch x.result {
	case issuing:
		x.issued, x.over = a.issued, nil
	case dead:
		if x.over = a.issued; x.sent == "" {
			x.transients++
		} else {
			r.refresh.doubt = "" // what came with the token is the one to use
		}
	case refusing:
		x.noLogIn = x.sent == "" || x.noLogIn
	case transient:
		x.transients++
		if x.sent != "" && !a.unused() {
			r.refresh.doubt = x.sent
		}
	}
}

// onToken checks that the token is the one just issued, or where none was, the dead one, and is
// stored. It locks mu.
func (r *run) onToken(t *oauth2.Token) {
	w, x := r.w, &r.exchange
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("%s: OnToken %s, %s", r.name, t.AccessToken, t.RefreshToken)
	a := w.access[t.AccessToken]
	if a == nil || a != x.issued && a != x.over || a.told {
		w.fail(toldOnce, "%s: told %s, issued %v", r.name, t.AccessToken, x.issued)
		return
	}
	end, ends := a.sent.Add(a.life), a.life > 0 || a.dead
	if ends && !t.Expiry.Equal(end) || !ends && !t.Expiry.IsZero() {
		w.fail(toldOnce, "%s: %s ends %v, want %v", r.name, t.AccessToken, t.Expiry, end)
	}
	if w.store != nil && (x.updated == "" || x.updated == "stored" && !w.store.had[t.AccessToken]) {
		w.fail(toldOnce, "%s: told %s before the Store", r.name, t.AccessToken)
	}
	told := *t
	r.last, a.told = &told, true
	if a == x.over {
		x.toldOver = a
		return
	}
	x.issued, x.told = nil, a
	failed := r.waits.failed
	r.takes(a)
	r.seen.unproven = 0
	r.waits.failed = failed // until OnExchange
}

// onExchange checks that the exchange ended as its last token request did, and the wait. It locks
// mu.
func (r *run) onExchange(e netoauth.Exchange) {
	w, x := r.w, &r.exchange
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("%s: OnExchange %v, retry in %v", r.name, e.Err, e.RetryIn)
	r.count.exchanges++
	r.waits.reported, r.seen.wentOn = time.Now(), true
	if x.issued != nil || (e.Err == nil) != (x.told != nil) || e.Err == nil && x.result != issuing {
		w.fail(toldOnce, "%s: OnExchange %v, after %s, told %v", r.name, e.Err, x.result, x.told)
		return
	}
	if x.toldOver != x.over {
		w.fail(toldOnce, "%s: OnExchange %v, over as it came %v, told %v", r.name, e.Err, x.over, x.toldOver)
	}
	mayLogIn := w.history.flow != "refresh token"
	if mayLogIn && x.result == dead && x.sent != "" && !x.noLogIn {
		w.fail(backOff, "%s: no log-in after a refresh that brought a dead token", r.name)
	}
	rejected := x.result != issuing && x.noLogIn || !mayLogIn && x.result == refusing
	if x.requests > 0 && errors.Is(e.Err, netoauth.ErrRejected) != rejected {
		w.fail(backOff, "%s: %v, after a %s", r.name, e.Err, x.result)
	}
	if e.Err == nil {
		x.told.reported = true
		r.waits.failed, r.waits.passing, r.waits.tookOver = false, false, false
		r.waits.transient, r.waits.refused = 0, 0
	} else {
		r.fails(e)
	}
	*x = exchange{}
}
