package statemachine_test

import "time"

// inHand is the token that calls get. takes writes it when one is issued or taken over, isGiven when
// a stale one is seen in the Store, newRun when there is an InitialToken, and carries when a call
// has got it.
type inHand struct {
	token *access   // nil: none
	since time.Time // when it came into the hand
	came  int       // and in which of the world's moments
	used  bool      // it need not wait for its first use

	late map[*access]bool // was past its end when it came
}

// takes notes that a is the token in hand, ready for use.
func (r *run) takes(a *access) {
	r.hand.token, r.hand.since, r.hand.came, r.hand.used = a, time.Now(), r.w.moment, true
	r.waits.failed, r.waits.passing, r.count.accused, r.refresh.doubt = false, false, false, ""
	r.hand.late[a] = a.pastEnd(time.Now())
	r.seen.knows[a], r.seen.stale, r.seen.wentOn = true, nil, true
}

// carries checks that r may use the access token of that name now.
func (r *run) carries(name string) *access {
	w, a := r.w, r.w.access[name]
	switch {
	case a == nil || !r.seen.knows[a] && a.to != r:
		w.fail(toldOnce, "%s: uses %q, which it was not given", r.name, name)
		return nil
	case a.dead:
		w.fail(noPastEnd, "%s: uses %s, which was over as it came", r.name, name)
	case a.to == r && (!a.told || !a.reported):
		w.fail(toldOnce, "%s: uses %s, told %v, reported %v", r.name, name, a.told, a.reported)
	case a.pastEnd(time.Now()) && !r.hand.late[a]:
		w.fail(noPastEnd, "%s: uses %s, which ended %v ago", r.name, name, time.Since(a.sent.Add(a.life)))
	}
	if a == r.hand.token {
		r.hand.used = true
	}
	return a
}

// serves returns until when a serves, by the contract: its end less a tenth of its life, 10 s at
// most, and while renewals meet transient faults 1 s at most.
func (a *access) serves(passing bool) time.Time {
	margin := min(a.life/10, 10*time.Second)
	if passing {
		margin = min(margin, time.Second)
	}
	return a.sent.Add(a.life - margin)
}

func (r *run) usable(a *access, now time.Time) bool {
	return a != nil && !a.dead && (a.life == 0 || now.Before(a.serves(r.waits.passing)))
}

// longest is how long a call may take that meets no token: Load 5 s, Update 35 s, exchange 30 s and
// Update 20 s, all of it twice for a request that is refused, a second for the body of a 401, and
// one for Stores that do not heed their contexts.
const longest = 2*90*time.Second + 2*time.Second

// mayWait returns how long a call that starts now may wait for a token.
func (r *run) mayWait(now time.Time) time.Duration {
	switch {
	case !r.usable(r.hand.token, now) || !r.settled(now):
		return longest
	case r.hand.used || r.hand.token.fresh(now):
		return 0
	}
	// A stored token, before its first use.
	return min(5*time.Second, r.hand.token.serves(r.waits.passing).Sub(now))
}

// settled reports whether all callers meet the token in hand, and none the one before.
func (r *run) settled(now time.Time) bool {
	return r.hand.since.Before(now) || r.hand.came < r.w.moment
}

// mightHave returns may, and longest where the token in hand at start served only while renewals
// met transient faults, and an exchange has been reported since.
func (r *run) mightHave(may time.Duration, hand *access, start time.Time) time.Duration {
	lasting := may < longest && hand.life > 0 && !start.Before(hand.serves(false))
	if lasting && !r.waits.reported.Before(start) {
		return longest
	}
	return may
}
