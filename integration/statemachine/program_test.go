package statemachine_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

// world is the API, the Store and the programs of a history. Methods without a word on it need mu.
type world struct {
	history history
	ctx     context.Context
	begun   time.Time
	calls   sync.WaitGroup

	mu sync.Mutex
	api
	store     *store // nil: none
	handedOut int    // the number of the secret that programs get
	shortest  time.Duration
	programs  []*run // now
	runs      []*run // all
	shell     *run   // stands for the programs of a shell; it has but a name
	moment    int    // grows whenever all that goes on waits
	notes     []string
	broken    invariant // the first; 0: none
}

func newWorld(ctx context.Context, h history) *world {
	w := &world{history: h, ctx: ctx, begun: time.Now(), shortest: h.life, shell: &run{name: "a shell"}}
	w.api = api{
		access: map[string]*access{}, grants: map[string]*grant{}, ids: map[string]bool{},
		life: h.life, refLife: h.refLife,
	}
	programs := 1
	if h.store {
		w.store = &store{lock: make(chan struct{}, 1), had: map[string]bool{}}
		programs = 2
	}
	config := w.newGrant(new(session)).name
	for i := range programs {
		w.programs = append(w.programs, w.newRun(fmt.Sprintf("program %d", i), config, nil))
	}
	return w
}

// note writes down what happens.
func (w *world) note(format string, args ...any) {
	w.notes = append(w.notes, fmt.Sprintf("%12v  ", time.Since(w.begun))+fmt.Sprintf(format, args...))
}

// plays notes what the history does next, when all that goes on waits. It locks mu.
func (w *world) plays(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moment++
	w.note(format, args...)
}

// fail writes down what is broken.
func (w *world) fail(i invariant, format string, args ...any) {
	w.note("BROKEN, %v: %s", i, fmt.Sprintf(format, args...))
	if w.broken == 0 {
		w.broken = i
	}
}

// run is one run of a program: its token source, and the model of it.
type run struct {
	w         *world
	name      string
	src       oauth2.TokenSource
	transport *netoauth.Transport
	config    string        // Refresh's own refresh token
	initial   *oauth2.Token // nil: none
	secret    int           // the number of the one it began with

	last  *oauth2.Token    // told last
	knows map[*access]bool // what it was told or given
	given *access          // last, by the Store or as InitialToken; nil: none
	news  bool             // what the Update under way gave is fresh, and news
	taken *access          // over, in an Update that has not ended
	hand  *access          // the token in hand; nil: none
	since time.Time        // when it came into the hand
	came  int              // and in which of the world's moments
	used  bool             // the hand need not wait for its first use
	late  map[*access]bool // was past its end when it came

	unproven int // stored tokens taken over in a row that the API never accepted
	asked    int // all token requests

	loads      int    // under way
	inUpdate   bool   // while the Store's Update runs its function
	updated    string // how the exchange's Update ended: "", "stored" or "failed"
	underWay   int    // token requests
	requests   int    // token requests of the exchange
	transients int    // of them, which met a transient fault
	reloads    int    // of the exchange
	result     string // of the last token request
	retryAfter time.Duration
	noLogIn    bool    // the last log-in of the exchange was refused
	issued     *access // by the exchange, not told yet
	told       *access // by the exchange
	sent       string  // the refresh token in the last token request; "": none
	doubt      string  // the refresh token that a fault may have used up; "": none
	spare      string  // Refresh's own refresh token, after a stored one was refused: "" or as below

	failed                     bool          // the exchange before
	passing                    bool          // and with a transient fault
	tookOver                   bool          // since the last success
	transientWait, refusedWait time.Duration // the last whole waits
	notBefore                  time.Time     // the next exchange
	forcedAt                   time.Time     // the last forced exchange
	reported                   time.Time     // the last exchange
	refused                    map[*access]int
	exchanges, failures        int
	refusals                   int  // 401s
	accused                    bool // by one since the last token came
}

// newRun starts a program. initial is its InitialToken.
func (w *world) newRun(name, config string, initial *oauth2.Token) *run {
	r := &run{
		w: w, name: name, config: config, initial: initial, secret: w.handedOut,
		knows: map[*access]bool{}, late: map[*access]bool{}, refused: map[*access]int{},
	}
	w.runs = append(w.runs, r)
	options := netoauth.Options{
		InitialToken: initial, OnToken: r.onToken, OnExchange: r.onExchange, Logger: slog.New(takeOvers{r}),
	}
	if w.store != nil {
		options.Store = storeOf{r}
	} else if initial != nil {
		r.isGiven(nil)
		r.hand = r.given
	}
	client := &http.Client{Transport: wire{r}}
	ctx := context.WithValue(w.ctx, oauth2.HTTPClient, client)
	r.src = r.credential(options).TokenSource(ctx)
	r.transport = &netoauth.Transport{Source: r.src, Base: client.Transport}
	return r
}

type credential interface {
	TokenSource(context.Context) oauth2.TokenSource
}

func (r *run) credential(o netoauth.Options) credential {
	w := r.w
	switch w.history.flow {
	case "API key":
		key := func(n int) *netoauth.APIKey {
			return &netoauth.APIKey{
				URL: address, Shortname: "acme", AppName: "app", AppKey: "app-key-of-acme",
				SharedSecret: netoauth.Secret(w.secretNumber(n)),
			}
		}
		k := key(w.handedOut)
		k.Options = o
		if w.history.reload {
			k.Reload = func(context.Context) (*netoauth.APIKey, error) { return key(r.reload()), nil }
		}
		return k
	case "password":
		password := func(n int) *netoauth.Password {
			secret := netoauth.Secret(w.secretNumber(n))
			return &netoauth.Password{URL: address, Username: "ann", Password: secret}
		}
		p := password(w.handedOut)
		p.Options = o
		if w.history.reload {
			p.Reload = func(context.Context) (*netoauth.Password, error) { return password(r.reload()), nil }
		}
		return p
	}
	return &netoauth.Refresh{URL: address, RefreshToken: netoauth.Secret(r.config), Options: o}
}

// reload is what Reload does. It locks mu.
func (r *run) reload() int {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if r.reloads++; r.reloads > 1 {
		r.w.fail(boundedNumber, "%s: Reload was asked twice in an exchange", r.name)
	}
	return r.w.handedOut
}

// isGiven notes that r is given a stored token, or if it is nil and none was given yet,
// InitialToken, and returns a copy.
func (r *run) isGiven(stored *oauth2.Token) *oauth2.Token {
	w, t := r.w, stored
	r.news = false
	if t == nil && r.given == nil {
		t = r.initial
	}
	if t == nil {
		return nil
	}
	r.given = w.access[t.AccessToken]
	news := !r.knows[r.given]
	r.knows[r.given] = true
	r.news = news && r.inUpdate && r.given.fresh(time.Now())
	if news {
		r.doubt = "" // that one's refresh token is used, whichever it is
	}
	now := time.Now()
	spent := !r.usable(r.hand, now.Add(-1)) // it serves to the very instant
	if news && !r.inUpdate && w.store != nil && spent && r.usable(r.given, now) {
		r.hand, r.since, r.came, r.used = r.given, now, w.moment, false
	}
	if stored == nil {
		return nil
	}
	c := *stored
	return &c
}

// updateEnds notes the end of an Update, and of a take-over in it. It locks mu.
func (r *run) updateEnds() {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if r.taken != nil {
		r.takes(r.taken)
		r.taken = nil
	}
}

// takes notes that a is the token in hand, ready for use.
func (r *run) takes(a *access) {
	r.hand, r.since, r.came, r.used = a, time.Now(), r.w.moment, true
	r.failed, r.passing, r.accused, r.doubt = false, false, false, ""
	r.late[a] = a.pastEnd(time.Now())
	r.knows[a] = true
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
	h.r.tookOver = true
	h.r.unproven++
	if h.r.inUpdate {
		h.r.taken = h.r.given
	} else {
		h.r.takes(h.r.given)
	}
	return nil
}

// begins checks a token request at its begin.
func (r *run) begins(path, token string) {
	w, now := r.w, time.Now()
	if r.underWay++; r.underWay > 1 {
		w.fail(oneExchange, "%s: %d token requests at a time", r.name, r.underWay)
	}
	if r.loads > 0 {
		r.updated = "failed"
	}
	if w.store != nil && !r.inUpdate && r.updated != "failed" {
		w.fail(oneExchange, "%s: a token request outside the Store's Update", r.name)
	}
	r.requests++
	r.asked++
	switch {
	case now.Before(r.notBefore):
		w.fail(backOff, "%s: a token request %v early", r.name, r.notBefore.Sub(now))
	case r.requests == 1:
		r.exchangeBegins(now)
	case r.result == issuing:
		w.fail(boundedNumber, "%s: a token request after one that brought a token, in one exchange", r.name)
	case r.result == transient && (r.failed || r.transients > 2 || r.retryAfter > 0):
		w.fail(backOff, "%s: a further try, the exchange before failed: %v, tries %d, Retry-After %v",
			r.name, r.failed, r.transients, r.retryAfter)
	}
	refused := r.requests > 1 && r.result == refusing && r.sent == "" // the log-in before
	if token != "" && token == r.doubt && w.history.flow != "refresh token" && !refused {
		w.fail(noReuse, "%s: %s may be used up", r.name, token)
	}
	if r.sent = token; path == "refresh" {
		r.sends(token)
	} else {
		r.noLogIn = false
	}
}

// exchangeBegins checks that there is a reason for an exchange.
func (r *run) exchangeBegins(now time.Time) {
	if r.inUpdate && r.news && !r.accused {
		r.w.fail(boundedNumber, "%s: an exchange, although the Store has %s", r.name, r.given.name)
	}
	if r.hand == nil || !r.hand.fresh(now) {
		return
	}
	if r.refused[r.hand] == 0 {
		r.w.fail(boundedNumber, "%s: an exchange, although %s is fresh and not refused", r.name, r.hand.name)
	}
	if since := now.Sub(r.forcedAt); !r.forcedAt.IsZero() && since < 30*time.Second {
		r.w.fail(backOff, "%s: two forced exchanges within %v", r.name, since)
	}
	r.forcedAt = now
}

// States of Refresh's own refresh token, which it sends once more where a stored one is refused,
// until it has an answer.
const (
	sparing = "sent"
	spared  = "answered"
)

// sends checks that a refresh token has not been used with success.
func (r *run) sends(token string) {
	w, g := r.w, r.w.grants[token]
	if g == nil {
		w.fail(noReuse, "%s: refresh token %q, which was not issued", r.name, token)
		return
	}
	spare := token == r.config && g.spentBy != r &&
		(r.spare == sparing || r.spare == "" && r.requests > 1 && r.result == refusing)
	if spare {
		r.spare = sparing
	}
	mine, shared := g.spentBy == r, g.spentBy != nil && w.store != nil && !w.store.failed
	if !spare && (mine || shared) {
		w.fail(noReuse, "%s: %s was used with success by %s", r.name, token, g.spentBy.name)
	}
}

// ends notes what a token request came to.
func (r *run) ends(a *answer) {
	r.underWay--
	r.result, r.retryAfter = a.result(), a.retryAfter
	if r.spare == sparing && r.sent == r.config && r.result != transient {
		r.spare = spared
	}
	r.w.note("%s: %s %d, %v", r.name, r.result, a.status, a.err)
	switch r.result {
	case issuing:
		r.issued = a.issued
		if a.spent != nil {
			a.spent.spentBy = r
		}
	case refusing:
		r.noLogIn = r.sent == "" || r.noLogIn
	case transient:
		r.transients++
		if r.sent != "" && !a.unused() {
			r.doubt = r.sent
		}
	}
}

// onToken checks that the token is the one just issued, and is stored. It locks mu.
func (r *run) onToken(t *oauth2.Token) {
	w := r.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("%s: OnToken %s, %s", r.name, t.AccessToken, t.RefreshToken)
	a := w.access[t.AccessToken]
	if a == nil || a != r.issued || a.told {
		w.fail(toldOnce, "%s: told %s, issued %v", r.name, t.AccessToken, r.issued)
		return
	}
	if end := a.sent.Add(a.life); a.life > 0 && !t.Expiry.Equal(end) || a.life == 0 && !t.Expiry.IsZero() {
		w.fail(toldOnce, "%s: %s ends %v, want %v", r.name, t.AccessToken, t.Expiry, end)
	}
	if w.store != nil && (r.updated == "" || r.updated == "stored" && !w.store.had[t.AccessToken]) {
		w.fail(toldOnce, "%s: told %s before the Store", r.name, t.AccessToken)
	}
	told := *t
	r.last, r.issued, r.told, a.told = &told, nil, a, true
	failed := r.failed
	r.takes(a)
	r.unproven = 0
	r.failed = failed // until OnExchange
}

// onExchange checks that the exchange ended as its last token request did, and the wait. It locks
// mu.
func (r *run) onExchange(e netoauth.Exchange) {
	w := r.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("%s: OnExchange %v, retry in %v", r.name, e.Err, e.RetryIn)
	r.exchanges++
	r.reported = time.Now()
	if r.issued != nil || (e.Err == nil) != (r.told != nil) || e.Err == nil && r.result != issuing {
		w.fail(toldOnce, "%s: OnExchange %v, after %s, told %v", r.name, e.Err, r.result, r.told)
		return
	}
	rejected := r.result != issuing && r.noLogIn || w.history.flow == "refresh token" && r.result == refusing
	if r.requests > 0 && errors.Is(e.Err, netoauth.ErrRejected) != rejected {
		w.fail(backOff, "%s: %v, after a %s", r.name, e.Err, r.result)
	}
	if e.Err == nil {
		r.told.reported = true
		r.failed, r.passing, r.tookOver = false, false, false
		r.transientWait, r.refusedWait = 0, 0
	} else {
		r.fails(e)
	}
	r.updated, r.requests, r.transients, r.reloads, r.result, r.retryAfter, r.told = "", 0, 0, 0, "", 0, nil
	r.noLogIn = false
}

// fails checks the wait after a failed exchange: a random half to the whole of the doubled one, or
// what the API asks for and up to as much again, 15 s at most, on top.
func (r *run) fails(e netoauth.Exchange) {
	now := time.Now()
	r.failures++
	if now.Before(r.notBefore) {
		r.w.fail(backOff, "%s: an exchange %v early", r.name, r.notBefore.Sub(now))
	}
	wait, first, last := &r.transientWait, time.Second, 15*time.Second
	if errors.Is(e.Err, netoauth.ErrRejected) {
		wait, first, last = &r.refusedWait, 5*time.Second, 2*time.Minute
	}
	*wait = min(max(2**wait, first), last)
	low, high := *wait/2, *wait
	if r.tookOver { // after which the waits may have begun anew
		low, high = first/2, last
	}
	if asked := min(r.retryAfter, 10*time.Minute); asked > 0 {
		low, high = max(low, asked), max(high, asked+min(asked, 15*time.Second))
	}
	if e.RetryIn < low || e.RetryIn > high {
		r.w.fail(backOff, "%s: waits %v, want %v to %v", r.name, e.RetryIn, low, high)
	}
	r.failed, r.passing = true, !errors.Is(e.Err, netoauth.ErrRejected)
	r.notBefore = now.Add(e.RetryIn)
}

// carries checks that r may use the access token of that name now.
func (r *run) carries(name string) *access {
	w, a := r.w, r.w.access[name]
	switch {
	case a == nil || !r.knows[a] && a.to != r:
		w.fail(toldOnce, "%s: uses %q, which it was not given", r.name, name)
		return nil
	case a.to == r && (!a.told || !a.reported):
		w.fail(toldOnce, "%s: uses %s, told %v, reported %v", r.name, name, a.told, a.reported)
	case a.pastEnd(time.Now()) && !r.late[a]:
		w.fail(noPastEnd, "%s: uses %s, which ended %v ago", r.name, name, time.Since(a.sent.Add(a.life)))
	}
	if a == r.hand {
		r.used = true
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
	return a != nil && (a.life == 0 || now.Before(a.serves(r.passing)))
}

// longest is how long a call may take that meets no token: Load 5 s, Update 35 s, exchange 30 s and
// Update 20 s, all of it twice for a request that is refused, a second for the body of a 401, and
// one for Stores that do not heed their contexts.
const longest = 2*90*time.Second + 2*time.Second

// mayWait returns how long a call that starts now may wait for a token.
func (r *run) mayWait(now time.Time) time.Duration {
	switch {
	case !r.usable(r.hand, now) || !r.settled(now):
		return longest
	case r.used || r.hand.fresh(now):
		return 0
	}
	return min(5*time.Second, r.hand.serves(r.passing).Sub(now)) // a stored token, before its first use
}

// settled reports whether all callers meet the token in hand, and none the one before.
func (r *run) settled(now time.Time) bool { return r.since.Before(now) || r.came < r.w.moment }

// accepted notes that the API has taken a.
func (r *run) accepted(a *access) {
	if a == r.hand {
		r.unproven = 0
	}
}

// mightHave returns may, and longest where the token in hand at start served only while renewals
// met transient faults, and an exchange has been reported since.
func (r *run) mightHave(may time.Duration, hand *access, start time.Time) time.Duration {
	if may < longest && hand.life > 0 && !start.Before(hand.serves(false)) && !r.reported.Before(start) {
		return longest
	}
	return may
}

type sentKey struct{}

// sent is when a request came to the API first, and the token in the program's hand then.
type sent struct {
	at   time.Time
	hand *access
}

// call makes a call and checks how long it took and what it came to. It locks mu.
func (r *run) call(c calls) {
	w, start := r.w, time.Now()
	w.mu.Lock()
	may := r.mayWait(start)
	hand, settled, offer := r.hand, r.settled(start), r.offerOf(c, start)
	refusals := r.refusals
	w.mu.Unlock()
	if c.what == "token" {
		r.callToken(start, hand, may)
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
	if stream && hand != nil && (r.refused[hand] > 0 || r.refusals > refusals) {
		may = max(may, 5*time.Second)                       // for the renewal under way, or begun since
		short := w.shortest > 0 && w.shortest < time.Minute // the next one may be over as it comes
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
	if took > most {
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
	good := settled && hand.good(s.at) && (s.hand == nil || s.hand.good(s.at)) && !r.late[r.hand] && req.URL.Path == "/good"
	if good && (err != nil || resp.StatusCode != http.StatusOK) {
		w.fail(nothingLost, "%s: %v came to %v, %v with a good token in hand", r.name, c, resp, err)
	}
}

// callToken asks the source for a token, which it must give within may. It locks mu.
func (r *run) callToken(start time.Time, hand *access, may time.Duration) {
	t, err := r.src.Token()
	took := time.Since(start)
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	may = r.mightHave(may, hand, start)
	if took > may || took > longest {
		r.w.fail(noWait, "%s: Token took %v, may wait %v", r.name, took, may)
	}
	if err == nil {
		r.carries(t.AccessToken)
	} else if may < longest {
		r.w.fail(nothingLost, "%s: Token failed with a usable token in hand: %v", r.name, err)
	}
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
