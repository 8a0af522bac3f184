package statemachine_test

import (
	"net/http"
	"time"
)

// offer is a good token that the Store has when a call begins whose own token has been ended, as it
// is where the other program's renewal has ended it.
type offer struct {
	of      *access
	asked   int // token requests of the program by then
	refused int // tokens of its requests that the API had refused by then, with the one in hand
	stale   int // tokens in the Store by then that nobody would take over
}

// offerOf returns the offer that the call c, which begins now, must take up, nil: none. A 401 has no
// effect within 30 s of an exchange and in the wait after one that failed, and after two stored
// tokens that the API refused before it took any, the program asks for one of its own.
func (r *run) offerOf(c calls, now time.Time) *offer {
	w := r.w
	if w.store == nil || w.store.token == nil || w.store.mode != "well" || c.what != "GET" && c.what != "POST" {
		return nil
	}
	a := w.access[w.store.token.AccessToken]
	dead := r.usable(r.hand.token, now) && r.settled(now) && r.hand.used && !r.hand.token.good(now)
	last := r.waits.reported
	waits := now.Before(r.waits.notBefore) || !last.IsZero() && now.Sub(last) < 31*time.Second
	busy := r.seen.loads > 0 || r.seen.updates > 0 || r.exchange.requests > 0
	if !dead || waits || busy || r.seen.unproven > 1 || r.seen.knows[a] || !a.good(now) || !a.fresh(now) {
		return nil
	}
	refused := len(r.count.refused)
	if r.count.refused[r.hand.token] == 0 {
		refused++
	}
	return &offer{a, r.count.asked, refused, w.store.stale}
}

// wantsTaken checks that a call has taken up o, unless the API has meanwhile ended or refused that
// token, or yet another than the one in hand, as it does on a path that takes none; or unless another
// program has stored one in its place that is stale.
func (r *run) wantsTaken(o *offer, resp *http.Response, err error) {
	switch now := time.Now(); {
	case !o.of.good(now) || !o.of.fresh(now) || r.count.refused[o.of] > 0,
		len(r.count.refused) > o.refused, r.w.store.stale > o.stale:
	case r.count.asked > o.asked:
		r.w.fail(takenOver, "%s: an exchange after a 401, although the Store has %s", r.name, o.of.name)
	case err != nil || resp.StatusCode != http.StatusOK:
		r.w.fail(takenOver, "%s: a call came to %v, %v, although the Store has %s",
			r.name, resp, err, o.of.name)
	}
}
