package netoauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/netoauth/netoauth/internal/endpoint"
	"github.com/netoauth/netoauth/internal/origin"
	"github.com/netoauth/netoauth/internal/redact"
	"github.com/netoauth/netoauth/internal/renewal"
	"github.com/netoauth/netoauth/internal/session"
	"golang.org/x/oauth2"
)

const exchangeTimeout = 30 * time.Second // all its tries included

// Refresh signs in with a refresh token and no credentials to log in again: once that token is
// refused, a person must get another. In the API's reference it is "via Refresh Token", POST
// /api/auth/bearer/refresh.
type Refresh struct {
	URL string // the API's base URL, as in [APIKey]; "" means DefaultURL

	// RefreshToken is exchanged first, unless the Store or InitialToken has one: that is newer.
	// Where that one is refused, with 400 or 401, RefreshToken is tried once. "" is an error
	// without either.
	RefreshToken Secret

	Options
}

// Format prints the type alone, whatever the verb.
func (r Refresh) Format(s fmt.State, _ rune) { io.WriteString(s, "netoauth.Refresh{"+redacted+"}") }

// Token exchanges the refresh token, now: nothing is cached, and ctx bounds it and has the HTTP
// client, see [oauth2.HTTPClient]. Where the API rotates refresh tokens, the one in r is used up:
// the next is in the token, in OnToken, and in the Store, whose refresh token is the one that is
// exchanged. For the errors see [Error] and [ErrRejected].
func (r *Refresh) Token(ctx context.Context) (*oauth2.Token, error) {
	return once(ctx, r.flow)
}

// TokenSource returns a token source that caches the token and renews it ahead of its expiry, with
// each refresh token it gets. It takes the HTTP client and the values from ctx, not its
// cancellation. Most users will use [Refresh.Client] instead.
func (r *Refresh) TokenSource(ctx context.Context) oauth2.TokenSource {
	return newTokenSource(ctx, r.flow)
}

// Client returns the HTTP client in ctx, its timeout, jar and redirect policy included, with a
// [Transport] over its own transport and a token source as of [Refresh.TokenSource].
func (r *Refresh) Client(ctx context.Context) *http.Client {
	return NewClient(ctx, r.TokenSource(ctx))
}

func (r *Refresh) flow(ctx context.Context) (*flow, error) {
	own := string(r.RefreshToken)
	problem := endpoint.OneLine("RefreshToken", own)
	if r.Store == nil && (r.InitialToken == nil || r.InitialToken.RefreshToken == "") {
		problem = cmp.Or(endpoint.NotEmpty("RefreshToken", own), problem)
	}
	f := newFlow(ctx, "refresh token", "", r.URL, r.Options, problem)
	f.own = own
	return f, f.unusable
}

// credential is what a flow logs in with. It never changes: what Reload returns is another one.
type credential interface {
	account() string // as in Exchange

	// secrets are what no text may quote, beside what a request sends.
	secrets() []string

	// logIn makes one log-in.
	logIn(context.Context, *exchange) (*oauth2.Token, error)

	// reload asks Reload; nil is nothing new. secrets are of what it returned, also where it failed.
	reload(context.Context) (next credential, secrets []string, err error)
}

// flow makes the exchanges of one credential, one at a time.
type flow struct {
	Options
	ctx      context.Context // of the exchanges: the HTTP client and the values in it
	name     string          // as in Exchange
	base     *url.URL        // the API's origin and path prefix
	own      string          // Refresh's own refresh token
	unusable error           // what is wrong with the credential; nil: nothing

	// The exchange under way alone uses these, and publishes what others may know in status.
	credential credential // in use; nil: there are only refresh tokens
	session    *session.Session
	silent     bool // since the last hangUp, a token request got no whole answer in time

	status atomic.Pointer[flowStatus] // known to all, as of the last exchange or look
}

// newFlow returns the flow of a credential, which the first of problems that is not nil makes
// unusable.
func newFlow(ctx context.Context, name, account, rawURL string, o Options, problems ...error) *flow {
	f := &flow{Options: o, ctx: ctx, name: name}
	f.status.Store(&flowStatus{account: account})
	f.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.InitialToken != nil {
		initial := *o.InitialToken // a copy: the caller may go on with its own
		f.InitialToken = &initial
		problems = append(problems,
			endpoint.OneLine("InitialToken's RefreshToken", initial.RefreshToken))
	}
	base, err := origin.Parse(rawURL, DefaultURL)
	f.base = base
	if f.unusable = cmp.Or(append(problems, err)...); f.unusable != nil {
		f.unusable = fmt.Errorf("netoauth: %s: %w", name, f.unusable)
	}
	return f
}

// newTokenSource returns the live token source of a flow, or one that says why there is none.
func newTokenSource(ctx context.Context, of func(context.Context) (*flow, error)) oauth2.TokenSource {
	f, err := of(context.WithoutCancel(ctx))
	if err != nil {
		return &failed{f.name, f.status.Load().account, err}
	}
	f.session = session.New(f.Store, f.own, f.InitialToken, f.credential != nil)
	s := &tokenSource{
		base:   f.base,
		begin:  func(fetch *renewal.Fetch) attempt { return &exchange{flow: f, fetch: fetch} },
		status: func() flowStatus { return *f.status.Load() },
		debug:  f.debug,
		name:   f.name,
	}
	s.renewal = renewal.New(s.fetch, fault, f.Store != nil)
	return s
}

// once performs a single exchange: the log-in, or the refresh where there is none.
func once(ctx context.Context, of func(context.Context) (*flow, error)) (*oauth2.Token, error) {
	f, err := of(ctx)
	if err != nil {
		return nil, err
	}
	if f.credential != nil {
		f.Store, f.InitialToken = nil, nil
	}
	f.session = session.New(f.Store, f.own, f.InitialToken, f.credential != nil)
	if f.Store == nil {
		f.session.Load(ctx) // InitialToken, without I/O
	}
	t, err := (&exchange{flow: f}).perform()
	if f.silent {
		endpoint.AwaitIdle(ctx)
		f.hangUp()
	}
	if err != nil {
		return nil, err
	}
	return &t.Token, nil
}

// hangUp closes the idle connections where a token request got no answer in time, because they may
// be dead. Its own is idle a moment after the request, so this is for before the next.
func (f *flow) hangUp() {
	if f.silent {
		endpoint.Client(f.ctx).CloseIdleConnections()
	}
	f.silent = false
}

func (f *flow) debug(message string, attrs ...any) {
	if f.Logger.Enabled(f.ctx, slog.LevelDebug) {
		attrs = append([]any{"flow", f.name, "account", f.status.Load().account}, attrs...)
		f.Logger.DebugContext(f.ctx, "netoauth: "+message, attrs...)
	}
}

// unasked is the error of a try in which there was nothing to ask the API with.
type unasked struct{ error }

// fault says what a failed exchange means for the next one.
func fault(err error) renewal.Fault {
	if e, answered := errors.AsType[*Error](err); answered {
		return renewal.Fault{Passing: e.passing, RetryAfter: e.RetryAfter}
	}
	_, unasked := errors.AsType[unasked](err)
	return renewal.Fault{Passing: true, Unasked: unasked}
}

// exchange is one exchange: a look at the Store first, the tries, and what came of them.
type exchange struct {
	*flow
	fetch *renewal.Fetch // for which it is made; nil: for Token

	storeErr  error         // why Load or Update failed; nil: neither did
	stuck     bool          // the Store did not answer Load
	endpoint  string        // of the last token request; "": none was sent
	refreshed bool          // the last token request sent a refresh token
	reloaded  bool          // Reload has been asked
	former    []string      // secrets that may be in use no more: refresh tokens, and credentials
	over      *oauth2.Token // the last token that was over as it came; nil: none was
}

// look returns what the Store has, or InitialToken in its place, where that is news and fresh; what
// is stale it offers. Where a token that was taken over after a 401 was refused, too, it does not
// look: a Store whose Load lags behind would show one refused token after the other.
func (x *exchange) look() *renewal.Token {
	if len(x.fetch.Refused) > 1 {
		return nil
	}
	x.fetch.EnterQueue()
	news, err := x.session.Load(x.ctx)
	x.fetch.LeaveQueue()
	if err != nil {
		_, x.stuck = errors.AsType[session.Stuck](err)
		x.storeErr = x.safe(err)
		x.debug("the Store could not be read", "err", x.storeErr)
	}
	return x.takeOver(news)
}

// takeOver returns a stored token that takes the place of an exchange; nil: it does not.
func (x *exchange) takeOver(news *oauth2.Token) *renewal.Token {
	t := x.fetch.TakeOver(news)
	if t != nil {
		x.session.Taken(news)
		x.debug("stored token taken over", "expiry", t.Token.Expiry)
	}
	return t
}

// end makes known what the exchange, or the look alone, has come to.
func (x *exchange) end() {
	x.status.Store(&flowStatus{x.account(), x.session.RefreshEnd(), x.storeErr})
}

// account is that of the credential in use, "" where there is none.
func (x *exchange) account() string {
	if x.credential == nil {
		return ""
	}
	return x.credential.account()
}

// perform makes the exchange, or takes over the token that another program has stored meanwhile,
// and tells the callbacks of what the API issued.
func (x *exchange) perform() (*renewal.Token, error) {
	start := time.Now()
	t, err := x.transact()
	if t != nil && t.Stored {
		return t, nil
	}
	e := Exchange{Flow: x.name, Account: x.account(), Err: err, StoreErr: x.storeErr}
	if err == nil {
		e.Expiry, e.Refreshed = t.Token.Expiry, x.refreshed
	}
	if issued, _ := x.issued(t, err); issued != nil && x.OnToken != nil {
		x.OnToken(issued)
	}
	e.Took = time.Since(start)
	if err != nil {
		e.RetryIn = x.fetch.Settle(err)
	}
	x.report(e)
	return t, err
}

// report tells OnExchange and the Logger.
func (x *exchange) report(e Exchange) {
	if x.OnExchange != nil {
		x.OnExchange(e)
	}
	level, message := slog.LevelDebug, "netoauth: token issued"
	outcome := []any{"expiry", e.Expiry}
	if e.Err != nil {
		level, message = slog.LevelWarn, "netoauth: no token issued"
		outcome = []any{"err", e.Err, "retry_in", e.RetryIn.String()}
	}
	x.Logger.Log(x.ctx, level, message, append([]any{"flow", e.Flow, "account", e.Account,
		"endpoint", x.endpoint, "took", e.Took.String()}, outcome...)...)
}

// warn writes a record, with the account that is in use since the last Reload, as attrs has it.
func (x *exchange) warn(message string, err error) {
	x.Logger.WarnContext(x.ctx, "netoauth: "+message, x.attrs("err", err)...)
}

func (x *exchange) attrs(more ...any) []any {
	return append([]any{"flow", x.name, "account", x.account()}, more...)
}

// safe returns an error of the Store or of Reload with a text that quotes no credential.
func (x *exchange) safe(e error) error { return redact.NewError(x.secrets().Cause(e), ownCause(e)) }

// secrets are all that x knows, and more.
func (x *exchange) secrets(more ...string) redact.Secrets {
	more = append(slices.Concat(more, x.former), x.session.Secrets()...)
	if x.credential != nil {
		more = append(more, x.credential.secrets()...)
	}
	return redact.New(more...)
}

// transact gets the next token and, where there is a Store, puts it there, in one Update.
func (x *exchange) transact() (t *renewal.Token, err error) {
	if x.Store == nil {
		return x.ask(true)
	}
	if x.stuck {
		return x.withoutStore()
	}
	x.fetch.EnterQueue()
	called, failure := x.session.Update(x.ctx, func(news *oauth2.Token) (*oauth2.Token, error) {
		x.fetch.LeaveQueue()
		if t = x.takeOver(news); t != nil {
			return nil, nil
		}
		t, err = x.ask(true)
		return x.issued(t, err)
	})
	switch {
	case !called:
		x.storeErr = x.safe(failure)
		return x.withoutStore()
	case t == nil && err == nil: // a callback has ended the goroutine
		return nil, x.safe(failure)
	case failure != nil && (err == nil || !errors.Is(failure, err)): // it is not that of the exchange
		x.storeErr = x.safe(failure)
		if x.over != nil || t != nil && !t.Stored {
			x.warn("the new token could not be stored", x.storeErr)
		}
	}
	return t, err
}

// issued returns a copy of what the API issued in an exchange that came to t or err: where it failed,
// the last token that was over as it came, for its refresh token, or else err.
func (x *exchange) issued(t *renewal.Token, err error) (*oauth2.Token, error) {
	var issued oauth2.Token
	switch {
	case err == nil:
		issued = t.Token
	case x.over != nil:
		issued = *x.over
	default:
		return nil, err
	}
	return &issued, nil
}

// withoutStore is the exchange where the Store has failed before it could take place in Update.
func (x *exchange) withoutStore() (*renewal.Token, error) {
	x.fetch.LeaveQueue()
	if x.credential != nil {
		x.warn("the Store cannot be used, logging in", x.storeErr)
		return x.ask(false)
	}
	return nil, redact.NewError("netoauth: refresh token: the Store cannot be used, so the refresh "+
		"token was left unused: "+x.storeErr.Error(), x.storeErr)
}

// ask asks the API for a token, with more tries at a passing fault while somebody waits for it.
// With mayRefresh it may send a refresh token.
func (x *exchange) ask(mayRefresh bool) (t *renewal.Token, err error) {
	ctx, cancel := endpoint.WithTimeout(x.ctx, exchangeTimeout)
	defer cancel()
	err = x.fetch.Try(exchangeTimeout, func() error {
		issued, err := x.try(ctx, mayRefresh)
		if err == nil {
			x.session.Issued(issued)
			t = renewal.NewToken(issued, endpoint.Lifetime(issued))
		}
		return err
	})
	return t, err
}

// try refreshes while that works, and else logs in. A program that stood still does not know
// whether another has used the refresh token meanwhile, and sends none any more.
func (x *exchange) try(ctx context.Context, mayRefresh bool) (*oauth2.Token, error) {
	x.hangUp()
	mayRefresh = mayRefresh && !endpoint.StoodStill(ctx)
	if x.credential == nil {
		return x.refreshOnly(ctx, mayRefresh)
	}
	token := x.session.Next()
	if err := endpoint.OneLine("the stored refresh token", token); err != nil {
		x.warn("refresh token cannot be sent, logging in", err)
		token = ""
	}
	if mayRefresh && token != "" {
		t, err := x.refresh(ctx, token)
		if err == nil || fault(err).Passing {
			return t, err
		}
		x.warn("refreshing brought no usable token, logging in", err)
	} else if mayRefresh && x.session.Left() != "" {
		x.warn("refreshing met a fault, logging in", errAside)
	}
	return x.logIn(ctx, mayRefresh)
}

var (
	errAside = errors.New("the refresh token was left aside, after a fault of the refresh before")
	errStood = unasked{errors.New("netoauth: refresh token: the program stood still during the " +
		"exchange, so the refresh token was not sent again")}
	errNone = unasked{errors.New("netoauth: refresh token: there is none in RefreshToken or the " +
		"Store; set it")}
)

// refreshOnly is a try of Refresh. Its own refresh token is tried, once, where a stored one was
// refused. A status that is not about the token, such as 403 of an IP allow list, is no reason to
// try: the stored session may begin with this very token, used up since, and a server that sees it
// again ends that session (RFC 9700 section 4.14.2).
func (x *exchange) refreshOnly(ctx context.Context, mayRefresh bool) (*oauth2.Token, error) {
	token := x.session.Next()
	switch {
	case !mayRefresh:
		return nil, errStood
	case token == "":
		return nil, errNone
	}
	if err := endpoint.OneLine("the stored one", token); err != nil {
		return nil, unasked{fmt.Errorf("netoauth: refresh token: %w", err)}
	}
	t, err := x.refresh(ctx, token)
	e, _ := errors.AsType[*Error](err)
	ofToken := e != nil && (e.StatusCode == 400 || e.StatusCode == 401)
	spare := x.session.Spare(token)
	if !ofToken || spare == "" || endpoint.StoodStill(ctx) {
		return t, err
	}
	x.warn("stored refresh token refused, trying RefreshToken", err)
	return x.refresh(ctx, spare)
}

// refresh exchanges token, a refresh token. An answer without another keeps it in use (RFC 6749
// section 6).
func (x *exchange) refresh(ctx context.Context, token string) (*oauth2.Token, error) {
	hint := "log in again for a new refresh token"
	if x.credential != nil {
		hint = "logging in follows"
	}
	x.refreshed, x.former = true, append(x.former, token)
	r, err := x.post(ctx, endpoint.Request{
		URL:         "/api/auth/bearer/refresh",
		ContentType: endpoint.Form,
		Body:        url.Values{"refresh_token": {token}}.Encode(),
		Refresh:     true,
	}, hint, token)
	switch {
	case r.Token != nil:
		r.Token.RefreshToken = cmp.Or(r.Token.RefreshToken, token)
		x.session.Used(token)
	case fault(err).Passing:
		x.session.Faulted(token, r.Unused)
	default:
		x.session.Refused(token)
	}
	return x.newToken(r, err)
}

// logIn logs in, and where that is refused asks Reload, once an exchange, and logs in with what is
// new. Where that brings nothing, a refresh token is left that was not sent because of a fault.
func (x *exchange) logIn(ctx context.Context, mayRefresh bool) (*oauth2.Token, error) {
	x.refreshed = false
	t, err := x.credential.logIn(ctx, x)
	if errors.Is(err, ErrRejected) && !x.reloaded {
		x.reloaded = true
		t, err = x.reload(ctx, err)
	}
	if err == nil {
		return t, nil
	}
	left := x.session.Left()
	x.session.LogInFailed()
	if !errors.Is(err, ErrRejected) || !mayRefresh || left == "" || endpoint.StoodStill(ctx) {
		return nil, err
	}
	x.warn("log-in refused, trying the refresh token that was left aside", err)
	t, failure := x.refresh(ctx, left)
	if failure == nil {
		return t, nil
	}
	if e, ok := errors.AsType[*Error](err); ok { // whichever of the two is to be tried later
		e.RetryAfter = max(e.RetryAfter, fault(failure).RetryAfter)
	}
	return nil, err
}

// reload asks Reload after a refusal, and logs in with what is new.
func (x *exchange) reload(ctx context.Context, refusal error) (*oauth2.Token, error) {
	next, secrets, failure := x.credential.reload(ctx)
	x.former = append(x.former, secrets...)
	if failure != nil {
		text := fmt.Sprintf("%v; and Reload failed: %v", refusal, x.safe(failure))
		return nil, redact.NewError(text, errors.Join(refusal, failure))
	}
	if next == nil {
		return nil, refusal
	}
	x.former = append(x.former, x.credential.secrets()...)
	x.flow.credential = next
	x.warn("log-in refused, trying again with what Reload has returned", refusal)
	return next.logIn(ctx, x)
}

// post sends r, whose URL is a path of the API and whose body has the credentials sent. Without a
// usable token it returns why there is none, with hint where the API refuses what was sent, beside
// what was answered, which is never nil.
func (x *exchange) post(
	ctx context.Context, r endpoint.Request, hint string, sent ...string,
) (*endpoint.Response, error) {
	r.URL = x.base.String() + r.URL
	r.Secrets = x.secrets(sent...)
	x.endpoint = r.URL
	what := x.name
	if account := x.account(); account != "" {
		what += fmt.Sprintf(" of %.100q", account)
	}
	what += ": POST " + r.URL + ": "
	answer, err := endpoint.Post(ctx, r)
	x.silent = x.silent || endpoint.Silent(answer, err)
	if err != nil {
		text := fmt.Sprintf("netoauth: %s%v; no answer, check the network and the URL", what, err)
		return &endpoint.Response{Unused: endpoint.Unsent(err)}, redact.NewError(text, ownCause(err))
	}
	switch {
	case answer.Token != nil && !answer.Over:
		return answer, nil
	case answer.Rejected:
		answer.Hint = hint
	}
	return answer, &Error{
		StatusCode: answer.StatusCode, Name: answer.Name, Message: answer.Message,
		RetryAfter: answer.RetryAfter,
		what:       what, problem: answer.Problem, hint: answer.Hint, date: answer.Date,
		rejected: answer.Rejected, passing: !answer.Rejected && !(answer.Over && r.Refresh),
		causes: answer.Causes,
	}
}

// newToken returns the token in an answer. One that is over as it comes is none, but the refresh
// token with it is the one to use from then on.
func (x *exchange) newToken(r *endpoint.Response, err error) (*oauth2.Token, error) {
	if err == nil {
		return r.Token, nil
	}
	if r.Token != nil && r.Token.RefreshToken != "" {
		x.session.Over(r.Token)
		x.over = r.Token
	}
	return nil, err
}
