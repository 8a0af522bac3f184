package netoauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/netoauth/netoauth/internal/endpoint"
	"github.com/netoauth/netoauth/internal/redact"
	"golang.org/x/oauth2"
)

// Refresh signs in with a refresh token and no credentials to log in again: once that token is
// refused, a person must get another. In the API's reference it is "via Refresh Token", POST
// /api/auth/bearer/refresh.
type Refresh struct {
	// URL is the API's base URL; "" means DefaultURL. /api/v1 or /v1 at its end is dropped, any
	// other path stays as a prefix. It must be https, unless its host is localhost or a loopback
	// address.
	URL string

	// RefreshToken is exchanged first, unless the Store or InitialToken has one: that is newer.
	// Where that one is refused, with 400 or 401, RefreshToken is tried once. "" is an error
	// without either.
	RefreshToken Secret

	Options
}

// Format prints the type alone, whatever the verb.
func (r Refresh) Format(s fmt.State, _ rune) { io.WriteString(s, "netoauth.Refresh{"+redacted+"}") }

// Token exchanges the refresh token, now: nothing is cached, and ctx bounds it. Where the API
// rotates refresh tokens, the one in r is used up: the next is in the token, in OnToken, and in the
// Store, whose refresh token is the one that is exchanged.
//
// The HTTP client is the one in ctx, see [oauth2.HTTPClient]. For the errors see [Error] and
// [ErrRejected].
func (r *Refresh) Token(ctx context.Context) (*oauth2.Token, error) {
	return once(ctx, r.flow)
}

// TokenSource returns a token source that caches the token and renews it ahead of its expiry, with
// each refresh token it gets. It takes the HTTP client and the values from ctx, not its
// cancellation.
//
// Most users will use [Refresh.Client] instead.
func (r *Refresh) TokenSource(ctx context.Context) oauth2.TokenSource {
	return newTokenSource(ctx, r.flow)
}

// Client returns the HTTP client in ctx, its timeout, jar and redirect policy included, with a
// [Transport] over its own transport and a token source as of [Refresh.TokenSource].
func (r *Refresh) Client(ctx context.Context) *http.Client {
	return newClient(ctx, r.TokenSource(ctx))
}

func (r *Refresh) flow() (*flow, error) {
	token := string(r.RefreshToken)
	if token == "" && r.InitialToken != nil {
		token = r.InitialToken.RefreshToken
	}
	required := []string{"RefreshToken", token}
	if r.Store != nil {
		required = nil
	}
	f, err := newFlow("refresh token", "", r.URL, r.Options, required...)
	if err != nil {
		return nil, err
	}
	f.refreshToken = string(r.RefreshToken)
	return f, nil
}

// exchanger is the raw token source under x/oauth2's cache: each call of Token is one exchange,
// unless another program that shares the Store has made it. It refreshes while that works, and else
// logs in. Not safe for concurrent use: the live source lets one goroutine in at a time.
//
// A session is what a log-in starts and its refresh tokens carry on. A refresh token that has been
// used with success must not be sent again: a server that rotates them ends the session then. So
// much hangs on which one is used:
//
//	the Store has                           the refresh token to use is
//	a token that it did not have before     that token's: another program has renewed the session
//	the token in hand                       that token's
//	the token that it had before, or none   the one in hand, which could not be stored
//	none, at the first look                 InitialToken's, or Refresh's own
//
// Where that one is refused, a flow that can log in does so, and Refresh tries its own, once, if a
// stored one was used in its place. After a transient fault nobody knows whether the API has used
// the refresh token up: a flow that can log in does so in the next exchange, and Refresh has no
// choice but to send it again.
type exchanger struct {
	*flow
	ctx     context.Context
	waiting atomic.Int32 // callers who wait for the exchange
	single  bool         // one exchange, whatever the Store has

	token        *cachedToken // the newest, issued or taken over
	refreshToken string       // to use next; "": none
	refreshEnd   time.Time    // of refreshToken; zero: unknown
	spare        string       // Refresh's own, to try where the stored one is refused; "": none
	seen         string       // the identity of the token that the Store had last
	noticed      *cachedToken // that token, if it came after token; nil: none did

	asked    time.Time // when an exchange last began to ask the API
	failed   bool      // the exchange before this one did
	fault    error     // the transient fault that it met with the refresh token; nil: none
	reloaded bool      // this exchange has asked Reload
	last     *Exchange // not yet told to OnExchange; nil: none
}

// newExchanger returns the raw source of f, whose exchanges ctx bounds.
func newExchanger(ctx context.Context, f *flow) *exchanger {
	return &exchanger{
		flow:         f,
		ctx:          ctx,
		token:        new(cachedToken),
		refreshToken: f.refreshToken,
		spare:        f.refreshToken,
	}
}

// once performs a single exchange: the log-in, or the refresh where there is none.
func once(ctx context.Context, credential func() (*flow, error)) (*oauth2.Token, error) {
	f, err := credential()
	if err != nil {
		return nil, err
	}
	if f.login != nil {
		f.Store, f.InitialToken = nil, new(oauth2.Token)
	}
	x := newExchanger(ctx, f)
	x.single = true
	_, err = x.Token()
	x.report(0)
	if err != nil {
		return nil, err
	}
	return &x.token.token, nil
}

// Token performs one exchange, and tells OnToken. The token is for the cache: it expires at its
// renewal point.
func (x *exchanger) Token() (*oauth2.Token, error) {
	start := time.Now()
	x.endpoint = ""
	exchanged, err := x.transact()
	x.failed = err != nil
	if !exchanged {
		return x.token.untilRenewal(), nil
	}
	x.last = &Exchange{Flow: x.name, Account: *x.account.Load(), Err: err}
	if err == nil {
		x.last.Expiry = x.token.token.Expiry
		if x.OnToken != nil {
			issued := x.token.token
			x.OnToken(&issued)
		}
	}
	x.last.Took = time.Since(start)
	if err != nil {
		return nil, err
	}
	return x.token.untilRenewal(), nil
}

// report tells OnExchange and the Logger of the exchange that Token has made, if any. The next may
// be after retryIn.
func (x *exchanger) report(retryIn time.Duration) {
	e := x.last
	if e == nil {
		return
	}
	x.last = nil
	e.RetryIn = retryIn
	if x.OnExchange != nil {
		x.OnExchange(*e)
	}
	attrs := x.attrs("endpoint", x.endpoint, "took", e.Took.String())
	if e.Err != nil {
		attrs = append(attrs, "err", e.Err, "retry_in", retryIn.String())
		x.Logger.WarnContext(x.ctx, "netoauth: no token issued", attrs...)
		return
	}
	x.Logger.DebugContext(x.ctx, "netoauth: token issued", append(attrs, "expiry", e.Expiry)...)
}

func (x *exchanger) warn(message string, err error) {
	x.Logger.WarnContext(x.ctx, "netoauth: "+message, x.attrs("err", err)...)
}

func (x *exchanger) debug(message string, attrs ...any) {
	x.Logger.DebugContext(x.ctx, "netoauth: "+message, x.attrs(attrs...)...)
}

// safe returns an error of the program's own Store or Reload with a text that quotes no credential.
func (x *exchanger) safe(err error) error {
	t := x.token.token
	access, refresh, _ := strings.Cut(x.seen, " ")
	all := append([]string{t.AccessToken, t.RefreshToken, access, refresh, x.refreshToken, x.spare},
		x.secrets...)
	return redact.NewError(redact.New(all...).Cause(err), err)
}

// load returns the token that the Store has, where it is news, or InitialToken in its place; else
// nil.
func (x *exchanger) load() *cachedToken {
	if x.Store == nil {
		return x.notice(nil)
	}
	ctx, cancel := context.WithTimeout(x.ctx, storeTimeout)
	defer cancel()
	stored, err := x.Store.Load(ctx)
	if err != nil {
		x.debug("the Store could not be read", "err", x.safe(err))
		stored = nil
	}
	return x.notice(stored)
}

// notice looks at what the Store has, and returns it where another program has put it there since
// the last look. Then its refresh token is the one to use; else that is the one in hand, which the
// Store may lack because it could not be written. Where the Store has none, a source starts from
// InitialToken.
func (x *exchanger) notice(stored *oauth2.Token) *cachedToken {
	if stored == nil && x.seen == "" {
		stored = x.InitialToken
	}
	if stored == nil {
		return nil
	}
	before := x.seen
	x.seen = identity(stored)
	if x.seen == before {
		return nil
	}
	if x.seen == identity(&x.token.token) {
		x.adopt(&x.token.token) // in the place of an older one, which a Load that lags behind gave
		return nil
	}
	x.adopt(stored)
	x.noticed = newCachedToken(stored)
	x.noticed.stored = true
	return x.noticed
}

func identity(t *oauth2.Token) string { return t.AccessToken + " " + t.RefreshToken }

// adopt makes the refresh token of t, if any, the one to use.
func (x *exchanger) adopt(t *oauth2.Token) {
	if t.RefreshToken != "" {
		x.refreshToken, x.refreshEnd, x.fault = t.RefreshToken, endpoint.RefreshEnd(t), nil
	}
}

// takeOver takes a stored token, or InitialToken, into the hand in the place of an exchange, if it
// is fresh.
func (x *exchanger) takeOver(stored *cachedToken) bool {
	if stored == nil || x.single || !stored.fresh(time.Now()) {
		return false
	}
	x.token, x.noticed, x.failed = stored, nil, false
	x.debug("stored token taken over", "expiry", stored.token.Expiry)
	return true
}

// transact gets the next token into x.token and, where there is a Store, into that, in one Update.
// It reports whether there was an exchange: there is none where another program has renewed the
// token in the meantime.
//
// The Store's own work before and after the exchange has a time of its own, so that no refresh token
// is sent with too little time left to read the answer.
func (x *exchanger) transact() (exchanged bool, err error) {
	if x.Store == nil {
		x.notice(nil) // for Token, which loads nothing
		return true, x.exchange(true)
	}
	ctx, cancel := context.WithCancelCause(x.ctx)
	defer cancel(nil)
	timer := time.AfterFunc(storeTimeout, func() { cancel(errStoreTimeout) })
	defer timer.Stop()
	called := false
	failure := x.Store.Update(ctx, func(stored *oauth2.Token) (*oauth2.Token, error) {
		if called || !timer.Stop() {
			return nil, errors.New("netoauth: Update of the Store called f too late, or twice")
		}
		called = true
		defer timer.Reset(storeTimeout)
		if x.takeOver(x.notice(stored)) {
			return nil, nil
		}
		exchanged = true
		if err = x.exchange(true); err != nil {
			return nil, err
		}
		issued := x.token.token
		return &issued, nil
	})
	if failure != nil && context.Cause(ctx) == errStoreTimeout {
		failure = fmt.Errorf("%w: %w", errStoreTimeout, failure)
	}
	if !called {
		return true, x.withoutStore(failure)
	}
	if exchanged && err == nil && failure != nil {
		x.warn("the new token could not be stored", x.safe(failure))
	}
	return exchanged, err
}

var errStoreTimeout = fmt.Errorf("the Store took over %v: %w", storeTimeout, context.DeadlineExceeded)

// withoutStore is the exchange where the Store's Update has failed before it called its function.
func (x *exchanger) withoutStore(failure error) error {
	failure = cmp.Or(failure, errors.New("its Update did not call f"))
	if x.login != nil {
		x.warn("the Store cannot be used, logging in", x.safe(failure))
		return x.exchange(false)
	}
	return redact.NewError("netoauth: refresh token: the Store cannot be used, so the refresh token was "+
		"left unused: "+x.safe(failure).Error(), failure)
}

// exchange gets a token from the API into x.token, with more tries at a transient fault while
// somebody waits for it, unless the exchange before this one failed. No further try begins in the
// second half of its time: an answer that came too late would lose the next refresh token. With
// refresh it may use the refresh token.
func (x *exchanger) exchange(refresh bool) error {
	ctx, cancel := context.WithTimeout(x.ctx, exchangeTimeout)
	defer cancel()
	if refresh && x.fault != nil && x.login != nil {
		x.warn("refreshing met a fault the last time, logging in", x.fault)
		refresh = false
	}
	x.fault, x.reloaded = nil, false
	if x.login == nil && x.refreshToken == "" {
		return errors.New("netoauth: refresh token: there is none in RefreshToken or the Store; " +
			"set it")
	}
	x.asked = time.Now()
	late := x.asked.Add(exchangeTimeout / 2)
	wanted := func() bool { return time.Now().Before(late) && x.waiting.Load() > 0 }
	for try := 1; ; try++ {
		t, err := x.try(ctx, refresh)
		if err == nil {
			x.issued(t)
			return nil
		}
		if try == maxTries || x.failed || !transient(err) || retryAfter(err) > 0 || !wanted() {
			return err
		}
		time.Sleep(minPause + rand.N(maxPause-minPause))
		if !wanted() {
			return err
		}
	}
}

// issued takes a new token into the hand.
func (x *exchanger) issued(t *oauth2.Token) {
	if end := endpoint.RefreshEnd(t); t.RefreshToken != x.refreshToken || !end.IsZero() {
		x.refreshToken, x.refreshEnd = t.RefreshToken, end
	}
	x.token, x.noticed = newCachedToken(t), nil
}

// try refreshes while that works, and else logs in.
func (x *exchanger) try(ctx context.Context, refresh bool) (*oauth2.Token, error) {
	ended := !x.refreshEnd.IsZero() && time.Now().After(x.refreshEnd)
	if refresh && x.refreshToken != "" && (x.login == nil || !ended) {
		t, err := x.refresh(ctx, x.refreshToken)
		if err == nil || transient(err) {
			x.fault = err
			return t, err
		}
		if x.login == nil {
			return x.refreshSpare(ctx, err)
		}
		x.warn("refresh token refused, logging in", err)
		x.refreshToken = ""
	}
	return x.logIn(ctx)
}

// refresh exchanges token, a refresh token. An answer without another keeps it in use (RFC 6749
// section 6).
func (x *exchanger) refresh(ctx context.Context, token string) (*oauth2.Token, error) {
	hint := "logging in follows"
	if x.login == nil {
		hint = "log in again for a new refresh token"
	}
	body := url.Values{"refresh_token": {token}}.Encode()
	t, err := x.post(ctx, "/api/auth/bearer/refresh", endpoint.Form, body, hint, token)
	if token == x.spare && (err == nil || !transient(err)) {
		x.spare = "" // used up or refused
	}
	if err == nil && t.RefreshToken == "" {
		t.RefreshToken = token
	}
	return t, err
}

// refreshSpare tries Refresh's own refresh token, once, where a stored one was refused with err. If
// that brings nothing, the stored one stays the one to use: it is the newer, and was perhaps
// refused for another's fault. A status that is not about the token, such as 403 of an IP allow
// list, is no reason to try: the stored session may begin with this very token, used up since, and
// a server that sees it again ends that session (RFC 9700 section 4.14.2).
func (x *exchanger) refreshSpare(ctx context.Context, err error) (*oauth2.Token, error) {
	e, _ := errors.AsType[*Error](err)
	ofToken := e.StatusCode == http.StatusBadRequest || e.StatusCode == http.StatusUnauthorized
	if x.spare == "" || !ofToken {
		return nil, err
	}
	x.warn("stored refresh token refused, trying RefreshToken", err)
	return x.refresh(ctx, x.spare)
}

// logIn logs in, and where that is refused asks Reload, once an exchange, and logs in with what is
// new.
func (x *exchanger) logIn(ctx context.Context) (*oauth2.Token, error) {
	t, err := x.login(ctx)
	if !errors.Is(err, ErrRejected) || x.reload == nil || x.reloaded {
		return t, err
	}
	x.reloaded = true
	changed, failure := x.reload(ctx)
	if failure != nil {
		text := fmt.Sprintf("%v; and Reload failed: %v", err, x.safe(failure))
		return nil, redact.NewError(text, errors.Join(err, failure))
	}
	if !changed {
		return t, err
	}
	x.warn("log-in refused, trying again with what Reload has returned", err)
	return x.login(ctx)
}
