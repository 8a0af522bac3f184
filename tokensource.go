package netoauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/netoauth/netoauth/internal/body"
	"github.com/netoauth/netoauth/internal/endpoint"
	"github.com/netoauth/netoauth/internal/origin"
	"github.com/netoauth/netoauth/internal/redact"
	"github.com/netoauth/netoauth/internal/renewal"
	"golang.org/x/oauth2"
)

// DefaultURL is the API's base URL, used where a credential's URL is "".
const DefaultURL = "https://api.netography.com"

// What a renewal waits for of the body of a 401.
const (
	keepTimeout = time.Second
	maxKept     = 64 << 10 // bytes
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
	// must know it. A token that the API has issued with no life left is among them, for its
	// refresh token. To keep tokens from run to run use Store, which other programs may share. nil:
	// not called.
	OnToken func(*oauth2.Token) `json:"-"`

	// Store keeps the session, where it is to outlive the program or several programs share it;
	// package tokenfile has one in a file, tokensql one in a table. nil: the session ends with the
	// program.
	Store Store `json:"-"`

	// OnExchange is called with what each exchange came to, before anyone gets its result: for
	// metrics and alerts. nil: not called.
	OnExchange func(Exchange) `json:"-"`

	// Logger gets one record for each exchange, Debug where it issued a token and Warn where it did
	// not; a Warn for each fall-back and for a token that could not be stored; and Debug records of
	// what the package comment lists, with the attributes. Its handler must not send through a
	// client of the token source. nil: silent.
	Logger *slog.Logger `json:"-"`
}

// Format prints no field, whatever the verb: fmt would print InitialToken's tokens.
func (Options) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) }

// Store keeps a session's token for later runs and for other programs. Its methods are called by
// exchanges, and must not use the token source. Packages tokenfile and tokensql have Stores, and
// tokenstore and netoauthtest/storetest what it takes to write another.
//
// A Load that fails counts as none. Where Update fails before it calls f, [APIKey] and [Password]
// log in, and [Refresh] sends nothing, because the next refresh token would have no place. Where it
// fails after that, the token is used all the same. Options.Logger, Exchange.StoreErr and
// [StatusOf] tell of each.
//
// A method that does not return in time is left behind, whether it heeds its context or not, and is
// not called again before it has returned.
type Store interface {
	// Load returns the stored token, nil if there is none. It does not wait for an Update. A Store
	// is safe for concurrent use. ctx ends after 5 s.
	Load(ctx context.Context) (*oauth2.Token, error)

	// Update calls f at most once with the stored token, nil if there is none. It stores what f
	// returns, unless that is nil or f fails, and returns f's error as it is. From before the one
	// to after the other it keeps out every other Update of the session, in this program and in
	// others. f talks to the API: an optimistic transaction must lock first, not call f again. ctx
	// ends after 35 s unless f has been called by then, and 20 s after f has returned.
	Update(ctx context.Context, f func(stored *oauth2.Token) (*oauth2.Token, error)) error
}

// Exchange is one attempt to get a token from the API, with all its tries, the fall-back to a
// log-in, the second signature and Reload. Taking over a stored token is none.
type Exchange struct {
	Flow      string        // "API key", "password" or "refresh token"
	Account   string        // the API key's Shortname or the password's Username; else ""
	Took      time.Duration // all of it, waiting for a Store included
	Expiry    time.Time     // of the token it issued; zero: none, or one without an end
	Refreshed bool          // it issued the token for a refresh token, not for a log-in
	Err       error         // nil: a token was issued
	StoreErr  error         // why Load or Update failed for it; nil: neither did, or there is no Store
	RetryIn   time.Duration // after a failure, how long the source waits; 0: it does not
}

// Status is what a token source knows at one moment, see [StatusOf]. The zero value is that of a
// source from elsewhere.
type Status struct {
	Flow, Account string    // as in Exchange
	Usable        bool      // a request would get a token at once; false, no Err: nobody has asked of late
	Refused       bool      // the API has answered the current token with 401
	Expiry        time.Time // of the current token; zero: none, or without an end
	SessionExpiry time.Time // of the current refresh token; zero: none, or unknown

	// Err is why the last exchange issued no token. nil: it did, or there was none, or a stored
	// token has been taken over since.
	Err error

	FailingSince time.Time // the end of the first of the failed exchanges in a row; zero: none
	RetryAt      time.Time // no exchange before this; zero, or over: whenever it is needed

	// StoreErr is why Load or Update of the Store failed, in the last exchange or the last look
	// since. nil: neither did.
	StoreErr error
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
// itself refused for good: a 401, a 400 for a refresh token, or another 4xx status than 408, 421,
// 425 and 429 with the error object of the API or, at 400, of OAuth 2.0. A person must act; trying
// again does not help. What a gateway answers in the API's place is none.
var ErrRejected = errors.New("netoauth: credentials rejected")

// Error is an exchange that the token endpoint answered, but not with a token. [errors.As] finds
// it, and an [oauth2.RetrieveError], in what Token and RoundTrip return. What quotes a credential
// is withheld from both; the RetrieveError's Body has the API's error object and nothing else, its
// Response the header fields Date, Retry-After, Server, Via and X-Request-Id.
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

	what     string    // the exchange: flow, account and endpoint
	problem  string    // what is wrong with the answer, beside the API's own words
	hint     string    // what to do next
	date     time.Time // the server's clock; zero: unknown
	rejected bool      // the API itself refused the credentials, for good
	passing  bool      // trying the same again may succeed
	causes   []error
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

// Is reports whether target is [ErrRejected] and the API has refused the credentials.
func (e *Error) Is(target error) bool { return target == ErrRejected && e.rejected }

// Unwrap returns the [oauth2.RetrieveError] and, for an answer cut off half way, its cause.
func (e *Error) Unwrap() []error { return e.causes }

// ownCause returns err, nil where it holds another exchange's [Error], which is not about this one.
func ownCause(err error) error {
	if _, other := errors.AsType[*Error](err); other {
		return nil
	}
	return err
}

// tokenSource is the live token source that all flows share. Each of its fetches asks an
// [oauth2.ReuseTokenSource] over a raw source; renewal has what those lack: the token between
// fetches, renewal ahead of its expiry, waiting with a context, back-off, and an answer to a 401.
type tokenSource struct {
	renewal *renewal.Source
	name    string   // the flow's, as in Exchange
	base    *url.URL // the API's origin and path prefix

	begin  func(*renewal.Fetch) attempt       // the flow's part in a fetch
	status func() flowStatus                  // as of the last attempt
	debug  func(message string, attrs ...any) // writes a record
}

// flowStatus is what a Status says of the flow, not of the token. Its fields are those of Status.
type flowStatus struct {
	account       string
	sessionExpiry time.Time
	storeErr      error
}

// attempt is a flow's part in one fetch.
type attempt interface {
	look() *renewal.Token             // what the Store has, if that is news and fresh; else nil
	perform() (*renewal.Token, error) // the exchange
	end()                             // called last
}

// fetch gets the next token. The cache decides whether an exchange takes place: it has the current
// token or, in its place, a stored one that look has found. If another caller has replaced the
// token since this fetch was asked for, the cache returns it without an exchange. What a 401 has
// put in doubt does not get into the cache.
func (s *tokenSource) fetch(f *renewal.Fetch) (*renewal.Token, error) {
	a := s.begin(f)
	defer a.end()
	cached := f.Current
	if f.Refused != nil {
		cached = new(renewal.Token)
	}
	if stored := a.look(); stored != nil {
		cached = stored
	} else if f.LookOnly {
		return nil, nil
	}
	r := &raw{a, cached}
	// x/oauth2 takes an early expiry of 0 for its default of 10 s.
	cache := oauth2.ReuseTokenSourceWithExpiry(cached.UntilRenewal(), r, time.Nanosecond)
	if _, err := cache.Token(); err != nil {
		return nil, err
	}
	return r.token, nil
}

// raw is the raw source under the cache, which asks it once or never.
type raw struct {
	attempt attempt
	token   *renewal.Token // in the cache, or that of the exchange
}

func (r *raw) Token() (*oauth2.Token, error) {
	t, err := r.attempt.perform()
	if err != nil {
		return nil, err
	}
	r.token = t
	return t.UntilRenewal(), nil
}

// Token returns a copy of the current token, because the caches of x/oauth2 write to the tokens
// they get.
func (s *tokenSource) Token() (*oauth2.Token, error) {
	c, err := s.renewal.Get(context.Background())
	if err != nil {
		return nil, err
	}
	t := c.Token
	return &t, nil
}

// Format names the source, whatever the verb.
func (s *tokenSource) Format(w fmt.State, _ rune) {
	fmt.Fprintf(w, "netoauth token source: %s at %s", s.name, s.base)
}

// failed is the token source of a credential that cannot be used.
type failed struct {
	flow, account string
	err           error
}

func (f *failed) Token() (*oauth2.Token, error) { return nil, f.err }

// Wait returns when the exchange of src that is under way, if any, has ended, whatever came of it,
// or with ctx's error. It does not keep later ones from starting.
//
// It is for the end of a program, which would lose the refresh token that an exchange in the
// background is about to bring; for the end of each invocation of a function, which is frozen
// between them; and for the end of a bubble of testing/synctest. The context of a program that is
// told to end is often over by then, so give Wait one of its own:
//
//	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
//	defer cancel()
//	netoauth.Wait(ctx, src)
//
// Pass what TokenSource returned, or the Source of a client's [Transport]: of a source wrapped
// around it, Wait knows nothing and returns nil.
func Wait(ctx context.Context, src oauth2.TokenSource) error {
	if s, ours := src.(*tokenSource); ours {
		return s.renewal.Wait(ctx)
	}
	return nil
}

// StatusOf says what src knows, without a request and without waiting. It may be called in the
// callbacks of Options, and tells there what was before the exchange. Of a source from elsewhere it
// is the zero Status; of a credential that cannot be used, Flow, Account and Err.
//
// A program is unhealthy where Err != nil && (Refused || !Usable). A handler whose answer decides
// about traffic calls src.Token() first, since without a need nobody asks again.
func StatusOf(src oauth2.TokenSource) Status {
	switch s := src.(type) {
	case *tokenSource:
		r, f := s.renewal.Status(), s.status()
		return Status{
			Flow: s.name, Account: f.account,
			Usable: r.Usable, Refused: r.Refused,
			Expiry: r.Current.Token.Expiry, SessionExpiry: f.sessionExpiry,
			Err: r.Err, FailingSince: r.FailingSince, RetryAt: r.RetryAt, StoreErr: f.storeErr,
		}
	case *failed:
		return Status{Flow: s.flow, Account: s.account, Err: s.err}
	}
	return Status{}
}

// Transport is an [http.RoundTripper] that authorizes requests with tokens from Source. It has the
// fields of [oauth2.Transport] and drops in for it.
//
// With a token source of this package, the token goes to the origin of the credential's URL alone,
// a request waits for a token no longer than its context lasts, and a 401 renews the token, at most
// once in 30 s, and sends the request once more if it has no body or a GetBody. With a Store, a
// token that another program has put there meanwhile is tried before the API is asked for one, so
// that a request is sent up to three times. A token request passes through without a token, so that
// a client can serve its own token source. Of several Transports for one origin in a stack the
// outermost decides the token, as long as what lies between keeps the request's context and its
// Authorization header.
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

// NewClient returns the HTTP client in ctx, which [oauth2.HTTPClient] names there, its timeout, jar
// and redirect policy included, with a [Transport] over its own transport and src. Client(ctx) of a
// credential is NewClient(ctx, TokenSource(ctx)). Unlike [oauth2.NewClient] it puts no cache above
// src. A nil src is an error of each request.
func NewClient(ctx context.Context, src oauth2.TokenSource) *http.Client {
	c := *endpoint.Client(ctx)
	c.Transport = &Transport{Source: src, Base: c.Transport}
	return &c
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
	c, err := src.tokenFor(req)
	if err != nil {
		return nil, notSent(req, err)
	}
	resp, err := t.send(req, req.Body, c.Header, c.Header)
	// A 401 has the request sent once more, and yet once more where the second token is one that
	// another program had stored, which may have been revoked with the first.
	for sent := 1; unauthorized(resp, err) && (sent == 1 || sent == 2 && c.Stored); sent++ {
		next, reqBody := src.answer401(req, resp, c)
		if next == nil {
			return resp, nil
		}
		c = next
		resp, err = t.send(req, reqBody, c.Header, c.Header)
	}
	switch {
	case unauthorized(resp, err):
		src.renewal.Refuse(c)
	case c.Stored && accepted(resp, err):
		c.Accept()
	}
	return resp, err
}

func unauthorized(resp *http.Response, err error) bool {
	return err == nil && resp != nil && resp.StatusCode == http.StatusUnauthorized
}

// accepted reports whether the API has taken the token, at which 429 and 5xx need not have looked.
func accepted(resp *http.Response, err error) bool {
	return err == nil && resp != nil && resp.StatusCode < 500 && resp.StatusCode != 429
}

// authorizes reports whether req is to get a token of s. One that bears the token of a Transport
// further out is not, nor is a token request.
func (s *tokenSource) authorizes(req *http.Request) bool {
	if origin.Borne(req) || req.Method == http.MethodPost && endpoint.Marked(req.Context()) {
		return false
	}
	if origin.Same(s.base, req.URL) {
		return true
	}
	if req.URL != nil {
		s.debug("request to another origin, sent without a token",
			"origin", req.URL.Scheme+"://"+req.URL.Host)
	}
	return false
}

// tokenFor returns the token with which req is to be sent.
func (s *tokenSource) tokenFor(req *http.Request) (*renewal.Token, error) {
	if replayable(req) {
		return s.renewal.Get(req.Context())
	}
	return s.renewal.GetUndoubted(req.Context())
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

// replayable reports whether req can be sent a second time.
func replayable(req *http.Request) bool { return !hasBody(req) || req.GetBody != nil }

// answer401 returns the token, and the body, with which req is to be sent again after resp, which
// refused c. Without a token resp is for the caller.
func (s *tokenSource) answer401(
	req *http.Request, resp *http.Response, c *renewal.Token,
) (*renewal.Token, io.ReadCloser) {
	if !s.renewal.Refuse(c) {
		return nil, nil
	}
	if !replayable(req) {
		s.renewal.Renew(c)
		return nil, nil
	}
	resp.Body = body.Keep(resp.Body, maxKept, keepTimeout) // which needs no Close
	next := s.renewal.Replace(req.Context(), c)
	if next == nil || !hasBody(req) {
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
	_, unusable := t.Source.(*failed)
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
	return t.send(req, req.Body, token.Type()+" "+token.AccessToken, "")
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
	ctx     origin.Bearing
}

// send sends a copy of req with body and an Authorization header, which the context names as the
// one that decides, or "".
func (t *Transport) send(
	req *http.Request, body io.ReadCloser, header, named string,
) (*http.Response, error) {
	out := new(authorized)
	out.header[0] = header
	out.ctx = origin.Bearing{Context: req.Context(), Header: named}
	out.request = *req.WithContext(&out.ctx)
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
