package statemachine_test

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/oauth2"
)

// storeView is what a run has seen of the Store, where InitialToken stands in for an empty one. The
// run's Store writes it, and takeOvers what is taken over.
type storeView struct {
	knows map[*access]bool // what it was told or given
	given *access          // last; nil: none
	news  bool             // what the Update under way gave is fresh, and news
	taken *access          // over, in an Update that has not ended

	// stale is a token that was given past its renewal point, or near it, and may be in use instead
	// of the one in hand where no other came since; nil: none.
	stale *access

	// unproven are the stored tokens taken over in a row of which the API has accepted none. An
	// accepted request and an issued token end the row.
	unproven int

	loads    int  // under way
	updates  int  // under way
	wentOn   bool // the program did something since the last one began
	inUpdate bool // while the Update runs its function
}

// isGiven notes that r is given a stored token, or if it is nil and none was given yet,
// InitialToken, and returns a copy.
func (r *run) isGiven(stored *oauth2.Token) *oauth2.Token {
	w, t := r.w, stored
	r.seen.news = false
	if t == nil && r.seen.given == nil {
		t = r.initial
	}
	if t == nil {
		return nil
	}
	r.seen.given = w.access[t.AccessToken]
	news := !r.seen.knows[r.seen.given]
	r.seen.knows[r.seen.given] = true
	r.seen.news = news && r.seen.inUpdate && r.seen.given.fresh(time.Now())
	if news && !r.seen.given.fresh(time.Now()) {
		r.seen.stale = r.seen.given
	}
	if news {
		r.refresh.doubt = "" // that one's refresh token is used, whichever it is
	}
	now := time.Now()
	spent := !r.usable(r.hand.token, now.Add(-1)) // it serves to the very instant
	if news && !r.seen.inUpdate && w.store != nil && spent && r.usable(r.seen.given, now) {
		r.hand.token, r.hand.since, r.hand.came, r.hand.used = r.seen.given, now, w.moment, false
	}
	if stored == nil {
		return nil
	}
	c := *stored
	return &c
}

// updateBegins notes the begin of an Update. It locks mu.
func (r *run) updateBegins() {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	r.seen.updates++
}

// updateEnds notes the end of an Update, and of a take-over in it. It locks mu.
func (r *run) updateEnds() {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	r.seen.updates--
	if r.seen.taken != nil {
		r.takes(r.seen.taken)
		r.seen.taken = nil
	}
}

// takeOvers is a slog.Handler that sees tokens taken over from the Store: the record has an expiry,
// but nothing took any time.
type takeOvers struct{ r *run }

func (takeOvers) Enabled(context.Context, slog.Level) bool { return true }
func (h takeOvers) WithAttrs([]slog.Attr) slog.Handler     { return h }
func (h takeOvers) WithGroup(string) slog.Handler          { return h }
func (h takeOvers) Handle(_ context.Context, record slog.Record) error {
	h.r.w.mu.Lock()
	defer h.r.w.mu.Unlock()
	keys := map[string]slog.Value{}
	record.Attrs(func(a slog.Attr) bool { keys[a.Key] = a.Value; return true })
	h.r.w.note("%s: log: %s, err %v", h.r.name, record.Message, keys["err"])
	_, expires := keys["expiry"]
	if _, took := keys["took"]; !expires || took {
		return nil
	}
	if h.r.seen.given.dead {
		h.r.w.fail(noPastEnd, "%s: takes over %s, which was over as it came", h.r.name, h.r.seen.given.name)
	}
	h.r.waits.tookOver = true
	h.r.seen.unproven++
	if h.r.seen.inUpdate {
		h.r.seen.taken = h.r.seen.given
	} else {
		h.r.takes(h.r.seen.given)
	}
	return nil
}

// accepted notes that the API has taken a.
func (r *run) accepted(a *access) {
	if a == r.hand.token {
		r.seen.unproven = 0
	}
}
