package netoauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/netoauth/netoauth/internal/body"
	"github.com/netoauth/netoauth/internal/clock"
	"github.com/netoauth/netoauth/internal/endpoint"
	"github.com/netoauth/netoauth/internal/origin"
	"github.com/netoauth/netoauth/internal/redact"
	"golang.org/x/oauth2"
)

// DefaultURL is the API's base URL, used where a credential's URL is "".
const DefaultURL = "https://api.netography.com"

// The policy of the token sources, every number of it.
const (
	// A token is renewed at a random point between these parts of its lifetime, so that a fleet
	// that started together does not renew together.
	renewFrom, renewTo = 70, 85 // percent

	// It serves until its end less a margin, for the way to the API and clocks that differ: a tenth
	// of its lifetime, within these bounds. The lower one holds while renewals meet transient
	// faults.
	minMargin, maxMargin = time.Second, 10 * time.Second

	exchangeTimeout = 30 * time.Second // for an exchange, all its tries included
	storeTimeout    = 20 * time.Second // for what a Store does before it, and again after it
	firstUseTimeout = 5 * time.Second  // for renewing a stored token before it is used as it is
	maxClockError   = 30 * time.Second // beyond which a refused request token is signed anew

	maxTries           = 3 // of an exchange that somebody waits for, at a transient fault
	minPause, maxPause = 400 * time.Millisecond, 800 * time.Millisecond

	// After a failed exchange the next one waits, doubling from the first to the last of these.
	firstTransient, lastTransient = time.Second, 15 * time.Second
	firstRefused, lastRefused     = 5 * time.Second, 2 * time.Minute
	maxRetryAfter                 = 10 * time.Minute
	maxRetryAfterJitter           = 15 * time.Second

	forcedEvery = 30 * time.Second // between renewals that a 401 forces
	keepTimeout = time.Second      // for the body of a 401, which a renewal waits for
	maxKept     = 64 << 10         // bytes of that body
)

// Options are the settings that all flows share. The zero value is ready to use.
//
// The functions among them are called by the exchange, which waits for them: they must not use the
// token source, nor Wait for it, and a panic in one ends the program. For one token source the
// calls come one at a time and in order; several sources with the same functions, such as those of
// a key and of its sub-accounts, may call them at once.
type Options struct {
	// InitialToken is a token to start from, as in oauth2.ReuseTokenSource(t, src): for a program
	// that was given one. It serves as any token does; a stale one is renewed before its first use.
	// Its refresh token, if any, is used before a log-in. Only TokenSource and Client use it;
	// [Refresh] takes its refresh token in Token, too. Where there is a Store, it counts only if
	// that has no token. nil: none.
	InitialToken *oauth2.Token `json:"-"`

	// OnToken is called with every newly issued token before anyone uses it: for a program that
	// must know it. To keep tokens from run to run use Store, which other programs may share. nil:
	// not called.
	OnToken func(*oauth2.Token) `json:"-"`

	// Store keeps the session, where it is to outlive the program or several programs share it;
	// package tokenfile has one in a file. nil: the session ends with the program.
	Store Store `json:"-"`

	// OnExchange is called with what each exchange came to, before anyone gets its result: for
	// metrics and alerts. nil: not called.
	OnExchange func(Exchange) `json:"-"`

	// Logger gets one record for each exchange, Debug where it issued a token and Warn where it did
	// not; a Warn for each fall-back and for a token that could not be stored; and a Debug record
	// for a Store that could not be read, for a stored token taken over, and for a request that
	// gets no token because it goes to another origin. The attributes are flow, account, took,
	// expiry, err and retry_in, as in [Exchange], with durations as text; endpoint, the URL of the
	// last token request, "" if there was none; origin; and clock_off_by, how far the server's
	// clock is ahead. The messages may change. No secret and no token is in a record. nil: silent.
	Logger *slog.Logger `json:"-"`
}

// Format prints no field, whatever the verb: fmt would print InitialToken's tokens.
func (Options) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) }

// Store keeps a session's token for later runs and for other programs. Its methods are called by
// exchanges, and must not use the token source. Package tokenfile has a Store in a file; one in a
// database is a row and its lock.
//
// A Load that fails counts as none. Where Update fails before it calls f, [APIKey] and [Password]
// log in, and [Refresh] sends nothing, because the next refresh token would have no place. Where it
// fails after that, the token is used all the same. Options.Logger is told of each.
type Store interface {
	// Load returns the stored token, nil if there is none. It does not wait for an Update.
	Load(ctx context.Context) (*oauth2.Token, error)

	// Update calls f at most once with the stored token, nil if there is none. It stores what f
	// returns, unless that is nil or f fails, and returns f's error as it is. From before the one
	// to after the other it keeps out every other Update of the session, in this program and in
	// others. f talks to the API: an optimistic transaction must lock first, not call f again. ctx
	// ends after 20 s unless f has been called by then, and 20 s after f.
	Update(ctx context.Context, f func(stored *oauth2.Token) (*oauth2.Token, error)) error
}

// Exchange is one attempt to get a token from the API, with all its tries, the fall-back to a
// log-in, the second signature and Reload. Taking over a stored token is none.
type Exchange struct {
	Flow    string        // "API key", "password" or "refresh token"
	Account string        // the API key's Shortname or the password's Username; else ""
	Took    time.Duration // all of it, waiting for a Store included
	Expiry  time.Time     // of the token it issued; zero: none, or one without an end
	Err     error         // nil: a token was issued
	RetryIn time.Duration // after a failure, how long the source waits; 0: it does not
}

const redacted = "[redacted]"

// Secret is a credential that prints, logs and marshals as "[redacted]"; string(s) is its value, ""
// is none. fmt and encoding/json do not ask a value in an unexported struct field or a map key for
// its methods, so a Secret there is as bare as a string; the credential types of this package are
// safe by pointer with %v, %+v and %#v even in an unexported field. Nor does fmt ask any value for
// them with %p, or with %w where it is not an error. encoding/gob writes a Secret in the clear.
type Secret string

// String returns "[redacted]".
func (Secret) String() string { return redacted }

// Format prints "[redacted]", whatever the verb.
func (Secret) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) }

// MarshalText returns "[redacted]"; a Secret can be read from JSON but not written to it.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText takes text for the value. "[redacted]" is an error: it is what is left of a Secret
// that was marshaled.
func (s *Secret) UnmarshalText(text []byte) error {
	if string(text) == redacted {
		return errors.New(`netoauth: "[redacted]" is not a secret but what one marshals as; ` +
			"read the secret from where it is kept")
	}
	*s = Secret(text)
	return nil
}

// LogValue returns "[redacted]".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// ErrRejected is found, with [errors.Is], in the error of an exchange whose credentials the API
// refused for good: a 4xx status other than 408, 425 and 429. A person must act; trying again does
// not help.
var ErrRejected = errors.New("netoauth: credentials rejected")

// Error is an exchange that the token endpoint answered, but not with a token. [errors.As] finds
// it, and an [oauth2.RetrieveError], in what Token and RoundTrip return. What quotes a credential
// is withheld from both; the RetrieveError's Body has the API's error object and nothing else.
type Error struct {
	// StatusCode is the HTTP status of the answer, 2xx where its body was not a usable token.
	StatusCode int `json:"status"`

	// Name and Message are from the API's error object, printable and cut to a line's length; "" if
	// it sent none.
	Name    string `json:"name"`
	Message string `json:"message"`

	// RetryAfter is how long the API asks to wait, by its Retry-After header (RFC 9110 section
	// 10.2.3); 0: it does not. A token source heeds it, 10 min at most.
	RetryAfter time.Duration `json:"-"`

	what    string    // the exchange: flow, account and endpoint
	problem string    // what is wrong with the answer, beside the API's own words
	hint    string    // what to do next
	date    time.Time // the server's clock; zero: unknown
	causes  []error
}

// Error returns one line: which flow, which endpoint, what the API said and what to do next.
func (e *Error) Error() string {
	s := fmt.Sprintf("netoauth: %s%d %s", e.what, e.StatusCode, http.StatusText(e.StatusCode))
	for _, more := range []string{e.Name, e.Message, e.problem} {
		if more != "" && more != http.StatusText(e.StatusCode) {
			s += ": " + more
		}
	}
	if e.hint != "" {
		s += "; " + e.hint
	}
	return s
}

// Is reports whether target is [ErrRejected] and the status says so.
func (e *Error) Is(target error) bool {
	return target == ErrRejected && e.StatusCode/100 == 4 && !transient(e)
}

// Unwrap returns the [oauth2.RetrieveError] and, for an answer cut off half way, its cause.
func (e *Error) Unwrap() []error { return e.causes }

// transient reports whether the same exchange may succeed later: no connection, a broken answer, or
// a status that says so (RFC 9110 sections 15.5.9 and 15.6, RFC 8470 section 5.2, RFC 6585 section
// 4).
func transient(err error) bool {
	e, answered := errors.AsType[*Error](err)
	if !answered {
		return true
	}
	switch e.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	default:
		return e.StatusCode/100 == 2 || e.StatusCode >= 500
	}
}

// retryAfter returns how long the answer in err asks to wait, 0 where there is none.
func retryAfter(err error) time.Duration {
	if e, answered := errors.AsType[*Error](err); answered {
		return e.RetryAfter
	}
	return 0
}

// flow is a credential, checked and ready to be exchanged. Only the exchange under way uses its
// functions.
type flow struct {
	Options
	name    string                 // as in Exchange
	account atomic.Pointer[string] // as in Exchange; Reload may change it
	base    *url.URL               // the API's origin and path prefix

	login        func(context.Context) (*oauth2.Token, error) // nil: there is only a refresh token
	reload       func(context.Context) (changed bool, err error)
	refreshToken string   // of Refresh; "": none
	secrets      []string // that no text may quote, beside what a request sends
	endpoint     string   // of the last request of this exchange; "": none was sent
}

// newFlow checks what all credentials have in common. required is the names and values of fields
// that must not be empty.
func newFlow(name, account, rawURL string, o Options, required ...string) (*flow, error) {
	for i := 0; i < len(required); i += 2 {
		if required[i+1] == "" {
			return nil, fmt.Errorf("netoauth: %s: %s is empty; set it", name, required[i])
		}
	}
	base, err := origin.Parse(rawURL, DefaultURL)
	if err != nil {
		return nil, fmt.Errorf("netoauth: %s: %w", name, err)
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	initial := *cmp.Or(o.InitialToken, new(oauth2.Token))
	o.InitialToken = &initial // a copy: the caller may go on with its own
	f := &flow{Options: o, name: name, base: base}
	f.account.Store(&account)
	return f, nil
}

// post sends body to the API's path and returns the token that is the answer. sent is the
// credentials in body, and hint says what to do where they are refused.
func (f *flow) post(
	ctx context.Context, path, contentType, body, hint string, sent ...string,
) (*oauth2.Token, error) {
	f.endpoint = f.base.String() + path
	what := f.name
	if account := *f.account.Load(); account != "" {
		what += fmt.Sprintf(" of %.100q", account)
	}
	what += ": POST " + f.endpoint + ": "
	r, err := endpoint.Post(ctx, endpoint.Request{
		URL:         f.endpoint,
		ContentType: contentType,
		Body:        body,
		Secrets:     redact.New(append(sent, f.secrets...)...),
	})
	if err != nil {
		text := fmt.Sprintf("netoauth: %s%v; no answer, check the network and the URL", what, err)
		return nil, redact.NewError(text, err)
	}
	if r.Token != nil && !r.Over {
		return r.Token, nil
	}
	e := &Error{
		StatusCode: r.StatusCode, Name: r.Name, Message: r.Message, RetryAfter: r.RetryAfter,
		what: what, problem: r.Problem, date: r.Date, causes: r.Causes,
	}
	switch {
	case e.StatusCode/100 == 2:
		e.hint = "does a proxy answer in the API's place?"
	case e.StatusCode/100 == 3 || e.StatusCode == http.StatusNotFound:
		e.hint = "check the URL; redirects are not followed, they would carry the credentials along"
	case transient(e):
		e.hint = "the fault may pass, try again later"
	default:
		e.hint = hint
	}
	return nil, e
}

// attrs are the attributes of each record.
func (f *flow) attrs(more ...any) []any {
	return append([]any{"flow", f.name, "account", *f.account.Load()}, more...)
}

// tokenSource is the live token source that all flows share: an [oauth2.ReuseTokenSource] over a
// raw source, and around both what that one lacks.
//
// The token in hand is in one of these states. An exchange is started only where none is under way
// and the wait after a failed one is over.
//
//	state     when                                 a caller gets             started
//	fresh     before its renewal point             the token                 nothing
//	stale     from there to its end less a margin  the token                 an exchange
//	spent     after that, or no token at all       what the exchange brings  an exchange
//	                                               or, waiting, its error
//	in doubt  refused by a 401, in any state       if refused, what the      an exchange,
//	                                               exchange brings; else     once in 30 s
//	                                               as above
//
// A stored token that is stale when it is first seen is held back: callers wait for the exchange,
// firstUseTimeout at most and no longer than half the time that the token has left to serve, and
// get it where that brings nothing.
type tokenSource struct {
	raw     *exchanger
	current atomic.Pointer[cachedToken] // in hand; callers look at it without a lock
	clock   clock.Coarse                // by which they take it for fresh

	mu       sync.Mutex         // guards what follows; never held across I/O
	cache    oauth2.TokenSource // over raw; empty for a token in doubt
	flight   *flight            // under way; nil: none
	firstUse bool               // the token in hand is a stored one that is being renewed first
	last     *flight            // that has ended; before the first, an empty one
	forcedAt time.Time          // when the last exchange began that a 401 has forced

	backOff backOff // used by the flight alone
}

// flight is one call of the cache, for all who wait for it.
type flight struct {
	done     chan struct{} // closed when the fields below are set
	serve    chan struct{} // closed when callers are to get the token of a first use as it is
	token    *cachedToken  // nil: there is none
	err      error
	retryAt  time.Time // no other flight before this
	forcedAt time.Time // when a 401 started it; zero: none did
}

// newTokenSource returns the live token source of a flow, or one that says why there is none.
func newTokenSource(ctx context.Context, credential func() (*flow, error)) oauth2.TokenSource {
	f, err := credential()
	if err != nil {
		return failed{err}
	}
	s := &tokenSource{raw: newExchanger(context.WithoutCancel(ctx), f), last: new(flight)}
	s.current.Store(s.raw.token)
	s.cache = s.newCache(s.raw.token)
	return s
}

// failed is the token source of a credential that cannot be used.
type failed struct{ err error }

func (f failed) Token() (*oauth2.Token, error) { return nil, f.err }

// Wait returns when the exchange of src that is under way, if any, has ended, whatever came of it,
// or with ctx's error. It does not keep later ones from starting.
//
// It is for the end of a program, which would lose the refresh token that an exchange in the
// background is about to bring, and for the end of a bubble of testing/synctest. Pass what
// TokenSource returned, or the Source of a client's [Transport]: of a source wrapped around it,
// Wait knows nothing and returns nil.
func Wait(ctx context.Context, src oauth2.TokenSource) error {
	s, ours := src.(*tokenSource)
	if !ours {
		return nil
	}
	s.mu.Lock()
	f := s.flight
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Token returns a copy of the token in hand, because the caches of x/oauth2 write to the tokens
// they get.
func (s *tokenSource) Token() (*oauth2.Token, error) {
	c, err := s.get(context.Background())
	if err != nil {
		return nil, err
	}
	t := c.token
	return &t, nil
}

// Format names the source, whatever the verb.
func (s *tokenSource) Format(w fmt.State, _ rune) {
	fmt.Fprintf(w, "netoauth token source: %s at %s", s.raw.name, s.raw.base)
}

// get returns the token in hand or, where there is none, waits for one as long as ctx lasts.
func (s *tokenSource) get(ctx context.Context) (*cachedToken, error) {
	c := s.current.Load()
	if c.fresh(s.clock.Now()) {
		return c, nil
	}
	if ctx.Err() != nil {
		return nil, waitError(ctx)
	}
	c, f, err := s.join()
	if f == nil {
		return c, err
	}
	return s.wait(ctx, f, f.serve)
}

func waitError(ctx context.Context) error {
	return redact.NewError("netoauth: waiting for an access token: "+ctx.Err().Error(), ctx.Err())
}

// join decides for a caller who found the token in hand not to be fresh: it returns the token that
// is in hand by now, where that can be used, or the flight to wait for, or an error. It starts a
// flight where it is time for one; if the token has been replaced since the caller looked, the
// cache will know.
func (s *tokenSource) join() (*cachedToken, *flight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	c := s.current.Load()
	serves := s.serves(c, now)
	if s.flight == nil && now.Before(s.last.retryAt) {
		if serves {
			return c, nil, nil
		}
		return nil, nil, untilRetry(s.last.err, s.last.retryAt)
	}
	waits := !serves || s.firstUse
	if waits {
		s.raw.waiting.Add(1) // before the flight starts, which makes fewer tries for nobody
	}
	if s.flight == nil {
		s.start(time.Time{})
	}
	if !waits {
		return c, nil, nil
	}
	return nil, s.flight, nil
}

// wait returns what f brings to a caller whom join or invalidate has counted as waiting, or the
// token in hand when serve is closed, which is nil for a caller whose token was refused.
func (s *tokenSource) wait(
	ctx context.Context, f *flight, serve <-chan struct{},
) (*cachedToken, error) {
	defer s.raw.waiting.Add(-1)
	for ; ; serve = nil {
		var err error
		select {
		case <-f.done:
			if f.err == nil {
				return f.token, nil
			}
			err = untilRetry(f.err, f.retryAt)
		case <-serve:
		case <-ctx.Done():
			return nil, waitError(ctx)
		}
		if c := s.inHand(); c != nil {
			return c, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// inHand returns the token in hand, nil where it is spent.
func (s *tokenSource) inHand() *cachedToken {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.current.Load(); s.serves(c, time.Now()) {
		return c
	}
	return nil
}

// untilRetry returns err with a text that says when the next exchange may be.
func untilRetry(err error, at time.Time) error {
	wait := max(0, (time.Until(at) + time.Second - 1).Truncate(time.Second)) // rounded up
	return redact.NewError(fmt.Sprintf("%v; the next try is in %v at the earliest", err, wait), err)
}

// serves reports whether c can be sent. s.mu must be held.
func (s *tokenSource) serves(c *cachedToken, now time.Time) bool {
	margin := c.margin
	if s.last.err != nil && transient(s.last.err) {
		margin = min(margin, minMargin)
	}
	return !now.After(c.end.Add(-margin))
}

// start starts a flight, which a 401 has forced if forcedAt is not zero. s.mu must be held.
func (s *tokenSource) start(forcedAt time.Time) {
	s.flight = &flight{
		done:     make(chan struct{}),
		serve:    make(chan struct{}),
		forcedAt: forcedAt,
	}
	go s.fly(s.flight, s.cache)
}

// fly gets the next token: the one that another program has stored, or what the cache says. Only
// one flight is under way at a time, so nobody meets another in the cache's lock.
func (s *tokenSource) fly(f *flight, cache oauth2.TokenSource) {
	f.err = errEnded
	defer s.land(f) // also when a callback ends the goroutine, as a test's FailNow does

	if stored := s.raw.load(); s.raw.takeOver(stored) {
		cache = s.newCache(stored)
		s.mu.Lock()
		s.cache = cache
		s.mu.Unlock()
	} else if s.beginFirstUse(stored) {
		left := time.Until(stored.end.Add(-stored.margin)) // of which the token needs some, too
		wait := min(firstUseTimeout, left/10*9)
		timer := time.AfterFunc(wait, func() { close(f.serve) })
		defer timer.Stop()
	}
	_, err := cache.Token()
	wait := s.backOff.after(err)
	f.retryAt = time.Now().Add(wait) // after a success that is at once
	s.raw.report(wait)
	if f.err = err; err == nil {
		f.token = s.raw.token
	}
}

var errEnded = errors.New("netoauth: the exchange's goroutine was ended, by a callback or by the " +
	"HTTP client; does one of them call runtime.Goexit, as FailNow of a test does?")

// beginFirstUse puts a stored token that is stale into the hand if what is there is spent. It
// reports whether it has: then callers wait for the exchange although they could have the token in
// hand.
func (s *tokenSource) beginFirstUse(stored *cachedToken) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if stored == nil || s.serves(s.current.Load(), now) || !s.serves(stored, now) {
		return false
	}
	s.current.Store(stored)
	s.firstUse = true
	return true
}

// land makes the result of f known: to s, then to those who wait.
func (s *tokenSource) land(f *flight) {
	if f.err != nil && f.retryAt.IsZero() {
		f.retryAt = time.Now().Add(s.backOff.after(f.err))
	}
	s.mu.Lock()
	s.flight, s.last, s.firstUse = nil, f, false
	if f.err == nil {
		s.current.Store(f.token)
	} else if stale := s.raw.noticed; stale != nil && stale.end.After(s.current.Load().end) {
		s.current.Store(stale)
	}
	if !f.forcedAt.IsZero() && (f.err != nil || !f.token.stored) {
		s.forcedAt = f.forcedAt
		if s.raw.asked.After(f.forcedAt) { // when the Store let it
			s.forcedAt = s.raw.asked
		}
	}
	s.mu.Unlock()
	close(f.done)
}

// newCache returns the cache that has c and takes it for expired at its renewal point. An empty c
// makes an empty cache.
func (s *tokenSource) newCache(c *cachedToken) oauth2.TokenSource {
	// x/oauth2 takes an early expiry of 0 for its default of 10 s.
	return oauth2.ReuseTokenSourceWithExpiry(c.untilRenewal(), s.raw, time.Nanosecond)
}

// replaceable reports whether a caller whose c was answered with 401 can get another token: there
// is one by now, one is under way, or may be forced. s.mu must be held.
func (s *tokenSource) replaceable(c *cachedToken) bool {
	if s.current.Load() != c || s.flight != nil {
		return true
	}
	now := time.Now()
	return !now.Before(s.last.retryAt) && now.Sub(s.forcedAt) >= forcedEvery
}

// invalidate puts c in doubt, which the API answered with 401. It returns the flight that brings
// the next token, nil where there is one by now or where none may be forced. Callers who wait for
// it are counted as waiting.
func (s *tokenSource) invalidate(c *cachedToken, waits bool) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.replaceable(c) || s.current.Load() != c {
		return nil
	}
	if waits {
		s.raw.waiting.Add(1)
	}
	if s.flight == nil {
		s.cache = s.newCache(new(cachedToken))
		s.start(time.Now())
	}
	return s.flight
}

// replace returns the token that takes the place of c, which the API answered with 401, nil where
// there is none.
func (s *tokenSource) replace(ctx context.Context, c *cachedToken) *cachedToken {
	var next *cachedToken
	if f := s.invalidate(c, true); f != nil {
		next, _ = s.wait(ctx, f, nil)
	} else if s.current.Load() != c {
		next, _ = s.get(ctx)
	}
	if next == c {
		return nil
	}
	return next
}

// cachedToken is a token in hand. It never changes. The zero value is no token, and spent.
type cachedToken struct {
	token   oauth2.Token
	header  string        // the Authorization header
	renewAt time.Time     // its renewal point
	end     time.Time     // its Expiry
	margin  time.Duration // before the end
	stored  bool          // not issued to this source, so that the API may have ended it by now
}

// never is the end of a token without an Expiry.
var never = time.Unix(1<<40, 0)

// newCachedToken draws the renewal point of a token. All its times are by the wall clock, because
// the monotonic one stands still while a machine sleeps.
func newCachedToken(t *oauth2.Token) *cachedToken {
	c := &cachedToken{token: *t, header: t.Type() + " " + t.AccessToken}
	switch {
	case t.AccessToken == "":
		return c
	case t.Expiry.IsZero():
		c.renewAt, c.end = never, never
		return c
	}
	life := endpoint.Lifetime(t)
	c.margin = min(life/10, maxMargin)
	c.end = t.Expiry.Round(0)
	left := 100 - renewTo + rand.Float64()*(renewTo-renewFrom) // percent
	c.renewAt = c.end.Add(-time.Duration(left / 100 * float64(life)))
	// Valid of x/oauth2 is to agree about how long the token serves.
	static := oauth2.StaticTokenSource(&c.token)
	valid, _ := oauth2.ReuseTokenSourceWithExpiry(nil, static, c.margin).Token()
	c.token = *valid
	return c
}

// fresh reports whether it is not yet time to renew c.
func (c *cachedToken) fresh(now time.Time) bool { return now.Before(c.renewAt) }

// untilRenewal returns a copy of the token that expires at its renewal point, for a cache to write
// to.
func (c *cachedToken) untilRenewal() *oauth2.Token {
	t := c.token
	if !t.Expiry.IsZero() {
		t.Expiry = c.renewAt
	}
	return &t
}

// backOff is how long to wait after failed exchanges. Transient faults and refusals double apart
// from each other, so that neither makes the other come sooner. The zero value is that after a
// success.
type backOff struct{ transient, refused time.Duration }

// after returns how long to wait after an exchange that ended with err: a random half to the whole
// of the doubled wait, so that clients that failed together do not come back together, or what the
// API asks for and some on top.
func (b *backOff) after(err error) time.Duration {
	if err == nil {
		*b = backOff{}
		return 0
	}
	delay, first, last := &b.transient, firstTransient, lastTransient
	if !transient(err) {
		delay, first, last = &b.refused, firstRefused, lastRefused
	}
	*delay = min(max(2**delay, first), last)
	wait := *delay/2 + rand.N(*delay/2+1)
	if asked := min(retryAfter(err), maxRetryAfter); asked > wait {
		wait = asked + rand.N(min(asked, maxRetryAfterJitter)+1)
	}
	return wait
}

// Transport is an [http.RoundTripper] that authorizes requests with tokens from Source. It has the
// fields of [oauth2.Transport] and drops in for it.
//
// With a token source of this package, the token goes to the origin of the credential's URL alone,
// a request waits for a token no longer than its context lasts, and a 401 renews the token, at most
// once in 30 s, and sends the request once more if it has no body or a GetBody. With a Store, a
// token that another program has put there meanwhile is tried before the API is asked for one, so
// that a request is sent up to three times. A token request passes through without a token, so that
// a client can serve its own token source.
//
// With any other source, which is asked in the request's own goroutine, each request gets a token
// unless it follows a redirect to another origin. A cache around a source of this package, such as
// oauth2.ReuseTokenSource(nil, key.TokenSource(ctx)), is any other source: drop that call, the
// source is a cache.
type Transport struct {
	// Source supplies the tokens. nil is an error.
	Source oauth2.TokenSource

	// Base sends the requests. nil: http.DefaultTransport, or where that is itself a Transport of
	// this package, what it was when the program started.
	Base http.RoundTripper
}

// RoundTrip authorizes a copy of req and sends it. The error of the token source comes back
// wrapped. The response's Request is req itself, so that a layer above that logs it shows no token.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	src, ours := t.Source.(*tokenSource)
	if !ours {
		return t.roundTripAny(req)
	}
	if !src.authorizes(req) {
		return t.base().RoundTrip(req)
	}
	c, err := src.get(req.Context())
	if err != nil {
		return nil, notSent(req, err)
	}
	resp, err := t.send(req, req.Body, c.header)
	// A 401 has the request sent once more, and yet once more where the second token is one that
	// another program had stored, which may have been revoked with the first.
	for sent := 1; sent == 1 || sent == 2 && c.stored; sent++ {
		if err != nil || resp == nil || resp.StatusCode != http.StatusUnauthorized {
			break
		}
		next, reqBody := src.answer401(req, resp, c)
		if next == nil {
			break
		}
		c = next
		resp, err = t.send(req, reqBody, c.header)
	}
	return resp, err
}

// authorizes reports whether req is to get a token of s. A token request, which is a POST, is not.
func (s *tokenSource) authorizes(req *http.Request) bool {
	ctx := req.Context()
	if req.Method == http.MethodPost && endpoint.Marked(ctx) {
		return false
	}
	if origin.Same(s.raw.base, req.URL) {
		return true
	}
	if req.URL != nil && s.raw.Logger.Enabled(ctx, slog.LevelDebug) {
		s.raw.Logger.DebugContext(ctx, "netoauth: request to another origin, sent without a token",
			s.raw.attrs("origin", req.URL.Scheme+"://"+req.URL.Host)...)
	}
	return false
}

// answer401 returns the token, and the body, with which req is to be sent again after resp, which
// refused c. Without a token resp is for the caller.
func (s *tokenSource) answer401(
	req *http.Request, resp *http.Response, c *cachedToken,
) (*cachedToken, io.ReadCloser) {
	hasBody := req.Body != nil && req.Body != http.NoBody
	if hasBody && req.GetBody == nil {
		s.invalidate(c, false)
		return nil, nil
	}
	s.mu.Lock()
	replaceable := s.replaceable(c)
	s.mu.Unlock()
	if !replaceable {
		return nil, nil
	}
	resp.Body = body.Keep(resp.Body, maxKept, keepTimeout)
	next := s.replace(req.Context(), c)
	if next == nil || !hasBody {
		return next, req.Body
	}
	again, err := req.GetBody()
	if err != nil {
		return nil, nil
	}
	return next, again
}

// roundTripAny is RoundTrip with a source from elsewhere.
func (t *Transport) roundTripAny(req *http.Request) (*http.Response, error) {
	_, unusable := t.Source.(failed)
	if origin.RedirectedAway(req) || unusable && endpoint.Marked(req.Context()) {
		return t.base().RoundTrip(req)
	}
	if t.Source == nil {
		return nil, notSent(req, errors.New("netoauth: Transport's Source is nil"))
	}
	token, err := t.Source.Token()
	if err == nil && token == nil {
		err = errors.New("netoauth: Transport's Source returned no token")
	}
	if err != nil {
		return nil, notSent(req, err)
	}
	return t.send(req, req.Body, token.Type()+" "+token.AccessToken)
}

// notSent closes the body of a request for which there is no token.
func notSent(req *http.Request, err error) error {
	if req.Body != nil {
		req.Body.Close()
	}
	return redact.NewError("request not sent, no access token: "+err.Error(), err)
}

// authorized is the copy of a request that is sent. Its Authorization header is its own, because
// Base may overwrite that. The other header values it shares with the caller's: to keep Base off
// those, too, takes a fifth more time.
type authorized struct {
	request http.Request
	header  [1]string
}

// send sends a copy of req with body and an Authorization header.
func (t *Transport) send(
	req *http.Request, body io.ReadCloser, header string,
) (*http.Response, error) {
	out := new(authorized)
	out.request, out.header[0] = *req, header
	out.request.Body = body
	if out.request.Header = maps.Clone(req.Header); out.request.Header == nil {
		out.request.Header = make(http.Header, 1)
	}
	out.request.Header["Authorization"] = out.header[:]
	resp, err := t.base().RoundTrip(&out.request)
	if resp != nil && resp.Request != nil {
		resp.Request = req
	}
	return resp, err
}

// CloseIdleConnections closes those of Base; [http.Client.CloseIdleConnections] calls it.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// startTransport is http.DefaultTransport as the program starts.
var startTransport = http.DefaultTransport

func (t *Transport) base() http.RoundTripper {
	if t.Base != nil {
		return t.Base
	}
	if _, ours := http.DefaultTransport.(*Transport); ours {
		return startTransport
	}
	return http.DefaultTransport
}

// newClient returns the client in ctx with a Transport over its own transport. One below for the
// same origin, such as a parent account's, would put its own token in the place of this one's, and
// is left out.
func newClient(ctx context.Context, src oauth2.TokenSource) *http.Client {
	c := *endpoint.Client(ctx)
	t := &Transport{Source: src, Base: c.Transport}
	for {
		below, ours := t.Base.(*Transport)
		if !ours || !sameOrigin(src, below.Source) {
			break
		}
		t.Base = below.Base
	}
	c.Transport = t
	return &c
}

// sameOrigin reports whether a and b are token sources of this package for one origin.
func sameOrigin(a, b oauth2.TokenSource) bool {
	x, ok := a.(*tokenSource)
	y, too := b.(*tokenSource)
	return ok && too && origin.Same(x.raw.base, y.raw.base)
}
