package statemachine_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

type sentKey struct{}

// sent is when a request came to the API first.
type sent struct {
	at       time.Time
	with     *access
	hand     *access // the token in the program's hand
	renewing bool    // a token request was under way
}

// outlook is what the model knows when a call begins.
type outlook struct {
	start     time.Time
	may       time.Duration // how long the call may wait for a token
	hand      *access
	stale     *access // may be in use instead; nil: none
	settled   bool
	doubted   bool // what can be sent only once has to wait
	offer     *offer
	exchanges int // these count what has been by then
	refusals  int
	frozen    time.Duration
}

func (r *run) outlook(c calls) outlook {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	now := time.Now()
	return outlook{
		start: now, may: r.mayWait(now), hand: r.hand.token, stale: r.seen.stale, settled: r.settled(now),
		doubted: r.inDoubt(now), offer: r.offerOf(c, now),
		exchanges: r.count.exchanges, refusals: r.count.refusals, frozen: r.count.frozen,
	}
}

// took returns how long a call has taken until now, less what the program stood still.
func (r *run) took(o outlook) time.Duration {
	return time.Since(o.start) - (r.count.frozen - o.frozen)
}

// call makes a call and checks how long it took and what it came to. It locks mu.
func (r *run) call(c calls) {
	w, o := r.w, r.outlook(c)
	if c.what == "token" {
		r.callToken(o)
		return
	}
	ctx, s := w.ctx, new(sent)
	if c.deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.deadline)
		defer cancel()
	}
	resp, err := r.transport.RoundTrip(c.request(context.WithValue(ctx, sentKey{}, s)))
	if err == nil && resp.Body != nil {
		resp.Body.Close()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	may := r.mightHave(o.may, o.hand, o.start)
	if c.once() {
		r.mayDoubt(c, o, s)
		may = r.mayWaitOnce(o, may)
	}
	most := longest
	if c.deadline > 0 {
		most = c.deadline + time.Second // for the body of a 401
	}
	if c.what == "stream 401" {
		most = min(most, may)
	}
	if took := r.took(o); took > most {
		w.fail(noWait, "%s: %v took %v, want at most %v", r.name, c, took, most)
	}
	if o.offer != nil && ctx.Err() == nil {
		r.wantsTaken(o.offer, resp, err)
	}
	if may == longest || may > 0 && ctx.Err() != nil {
		return
	}
	if s.at.IsZero() || s.at.Sub(o.start) > may {
		w.fail(noWait, "%s: %v was sent at %v, but had a usable token at %v: %v", r.name, c, s.at, o.start, err)
	}
	if r.succeeds(c, o, s) && (err != nil || resp.StatusCode != http.StatusOK) {
		w.fail(nothingLost, "%s: %v came to %v, %v with a good token in hand", r.name, c, resp, err)
	}
}

// once reports whether the body of c cannot be sent again.
func (c calls) once() bool { return strings.HasPrefix(c.what, "stream") }

// succeeds reports whether c, which was sent as s without a wait, must have met a good token. A
// renewal of the program's own may end the token of a request that cannot be sent again.
func (r *run) succeeds(c calls, o outlook, s *sent) bool {
	switch stale := r.seen.stale; {
	case !o.settled || c.path() != "/good" || c.once() && r.w.history.ends:
		return false
	case s.hand != nil && !s.hand.good(s.at) || stale != nil && !stale.good(s.at):
		return false
	}
	return o.hand.good(s.at) && !r.hand.late[r.hand.token]
}

// mayWaitOnce returns how long a call may wait whose body cannot be sent again, and which else may
// wait for may.
func (r *run) mayWaitOnce(o outlook, may time.Duration) time.Duration {
	refused := r.count.refused[o.hand] + r.count.refused[o.stale]
	if o.hand == nil || refused == 0 && r.count.refusals == o.refusals {
		return may
	}
	may = max(may, 5*time.Second) // for the renewal under way, or begun since
	// The next token may be over as it comes.
	short := r.w.shortest > 0 && r.w.shortest < time.Minute+r.count.frozen
	ends := func(a *access) bool { return a.life > 0 && !o.start.Add(may).Before(a.serves(false)) }
	if short || ends(o.hand) || ends(r.hand.token) { // which may have taken the place of o.hand
		return longest
	}
	return may
}

// mayDoubt checks that c, whose body cannot be sent again, did not go out with a token in doubt while
// the renewal was under way, unless it has waited for that as long as it may.
func (r *run) mayDoubt(c calls, o outlook, s *sent) {
	same := s.with == o.hand && s.renewing && r.count.exchanges == o.exchanges
	if waited := s.at.Sub(o.start); o.doubted && same && waited < 5*time.Second {
		r.w.fail(inDoubt, "%s: %v was sent after %v with %s", r.name, c, waited, o.hand.name)
	}
}

// inDoubt reports whether the API has refused the token in hand, and a token request for the next one
// is under way.
func (r *run) inDoubt(now time.Time) bool {
	at, refused := r.count.refusedAt[r.hand.token]
	return refused && at.Before(now) && r.exchange.ctx != nil && r.settled(now)
}

// callToken asks the source for a token. It locks mu.
func (r *run) callToken(o outlook) {
	t, err := r.src.Token()
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	may := r.mightHave(o.may, o.hand, o.start)
	if took := r.took(o); took > may {
		r.w.fail(noWait, "%s: Token took %v, may wait %v", r.name, took, may)
	}
	if err == nil {
		r.carries(t.AccessToken)
	} else if may < longest {
		r.w.fail(nothingLost, "%s: Token failed with a usable token in hand: %v", r.name, err)
	}
}

func (c calls) path() string {
	switch c.what {
	case "GET 401", "stream 401", "POST 401":
		return "/refused"
	case "GET silent 401":
		return "/silent"
	}
	return "/good"
}

func (c calls) request(ctx context.Context) *http.Request {
	method, body := http.MethodGet, io.Reader(nil)
	switch c.what {
	case "stream", "stream 401":
		method, body = http.MethodPost, io.MultiReader(strings.NewReader("once"))
	case "POST", "POST 401":
		method, body = http.MethodPost, strings.NewReader("again")
	}
	req, _ := http.NewRequestWithContext(ctx, method, address+c.path(), body)
	return req
}
