package statemachine_test

import (
	"cmp"
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
	renewing bool // a token request was under way
}

// call makes a call and checks how long it took and what it came to. It locks mu.
func (r *run) call(c calls) {
	w, start := r.w, time.Now()
	w.mu.Lock()
	may := r.mayWait(start)
	hand, settled, offer := r.hand.token, r.settled(start), r.offerOf(c, start)
	exchanges, inDoubtNow := r.count.exchanges, r.inDoubt(start)
	refusals, frozen := r.count.refusals, r.count.frozen
	w.mu.Unlock()
	if c.what == "token" {
		r.callToken(start, hand, may, frozen)
		return
	}
	ctx, s := w.ctx, new(sent)
	if c.deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.deadline)
		defer cancel()
	}
	req := c.request(context.WithValue(ctx, sentKey{}, s))
	resp, err := r.transport.RoundTrip(req)
	if err == nil && resp.Body != nil {
		resp.Body.Close()
	}
	took := time.Since(start)
	w.mu.Lock()
	defer w.mu.Unlock()
	may = r.mightHave(may, hand, start)
	stream := strings.HasPrefix(c.what, "stream")
	same := s.with == hand && s.renewing && r.count.exchanges == exchanges
	if stream && inDoubtNow && same && s.at.Sub(start) < 5*time.Second {
		w.fail(inDoubt, "%s: %v was sent after %v with %s", r.name, c, s.at.Sub(start), hand.name)
	}
	if stream && hand != nil && (r.count.refused[hand] > 0 || r.count.refusals > refusals) {
		may = max(may, 5*time.Second) // for the renewal under way, or begun since
		// The next one may be over as it comes.
		short := w.shortest > 0 && w.shortest < time.Minute+r.count.frozen
		if short || hand.life > 0 && !start.Add(may).Before(hand.serves(false)) {
			may = longest
		}
	}
	most := longest
	if c.deadline > 0 {
		most = c.deadline + time.Second // for the body of a 401
	}
	if c.what == "stream 401" {
		most = min(most, may)
	}
	if took-(r.count.frozen-frozen) > most {
		w.fail(noWait, "%s: %v took %v, want at most %v", r.name, c, took, most)
	}
	if offer != nil && ctx.Err() == nil {
		r.wantsTaken(offer, resp, err)
	}
	if may == longest || may > 0 && ctx.Err() != nil {
		return
	}
	if s.at.IsZero() || s.at.Sub(start) > may {
		w.fail(noWait, "%s: %v was sent at %v, but had a usable token at %v: %v", r.name, c, s.at, start, err)
	}
	// A renewal of the program's own may end the token of a request that cannot be sent again.
	settled = settled && !(stream && w.history.ends)
	good := settled && hand.good(s.at) && (s.hand == nil || s.hand.good(s.at))
	good = good && (r.seen.stale == nil || r.seen.stale.good(s.at))
	good = good && !r.hand.late[r.hand.token] && req.URL.Path == "/good"
	if good && (err != nil || resp.StatusCode != http.StatusOK) {
		w.fail(nothingLost, "%s: %v came to %v, %v with a good token in hand", r.name, c, resp, err)
	}
}

// callToken asks the source for a token, which it must give within may. It locks mu.
func (r *run) callToken(start time.Time, hand *access, may, frozen time.Duration) {
	t, err := r.src.Token()
	took := time.Since(start)
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	may = r.mightHave(may, hand, start)
	if took -= r.count.frozen - frozen; took > may {
		r.w.fail(noWait, "%s: Token took %v, may wait %v", r.name, took, may)
	}
	if err == nil {
		r.carries(t.AccessToken)
	} else if may < longest {
		r.w.fail(nothingLost, "%s: Token failed with a usable token in hand: %v", r.name, err)
	}
}

// inDoubt reports whether the API has refused the token in hand, and a token request for the next one
// is under way.
func (r *run) inDoubt(now time.Time) bool {
	at, refused := r.count.refusedAt[r.hand.token]
	return refused && at.Before(now) && r.exchange.ctx != nil && r.settled(now)
}

func (c calls) request(ctx context.Context) *http.Request {
	path := map[string]string{
		"GET 401": "/refused", "stream 401": "/refused", "POST 401": "/refused",
		"GET silent 401": "/silent",
	}
	url := address + cmp.Or(path[c.what], "/good")
	method, body := http.MethodGet, io.Reader(nil)
	switch c.what {
	case "stream", "stream 401":
		method, body = http.MethodPost, io.MultiReader(strings.NewReader("once"))
	case "POST", "POST 401":
		method, body = http.MethodPost, strings.NewReader("again")
	}
	req, _ := http.NewRequestWithContext(ctx, method, url, body)
	return req
}
