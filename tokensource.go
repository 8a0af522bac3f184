package netoauth

import (
	"bufio"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"golang.org/x/oauth2"
)

// DefaultURL is the API's base URL, used where a credential's URL is "".
const DefaultURL = "https://api.netography.com"

// ErrRejected is found, with [errors.Is], in the error of an exchange whose credentials the API
// refused for good: a 4xx status other than 408, 425 and 429. A person must act; trying again does not help.
var ErrRejected = errors.New("netoauth: credentials rejected")

const (
	maxAnswer       = 1 << 20          // bytes read of a token endpoint's answer
	exchangeTimeout = 30 * time.Second // of an exchange's context, its tries included
	maxTries        = 3                // at a passing fault, while somebody waits
	maxRetryAfter   = 10 * time.Minute
	forcedEvery     = 30 * time.Second // between renewals that a 401 forces
	redacted        = "[redacted]"
)

// Options are the settings that all flows share. The zero value is ready to use.
type Options struct {
	// InitialToken is a stored token to start from, as in oauth2.ReuseTokenSource(t, src): it serves
	// until it expires, and its refresh token, if any, is used before a log-in. nil: none.
	// Only TokenSource and Client use it; [Refresh] takes its refresh token in Token, too.
	InitialToken *oauth2.Token `json:"-"`

	// OnToken is called with every newly issued token before anyone uses it: the place to store a
	// rotated refresh token. For one token source the calls come one at a time and in order. The
	// exchange waits for it, so it must not ask the same token source for a token. nil: not called.
	OnToken func(*oauth2.Token) `json:"-"`

	// Logger gets a Debug record for each exchange and a Warn for a failed renewal or a fall-back,
	// never a secret or a token. Like OnToken, it must not use the token source. nil: silent.
	Logger *slog.Logger `json:"-"`
}

// Format prints no field, whatever the verb: fmt would print InitialToken's tokens.
func (Options) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) }

// Secret is a credential that prints, logs and marshals as "[redacted]"; string(s) is its value, "" is none.
// fmt and encoding/json do not ask a value in an unexported struct field or a map key for its methods,
// so a Secret there is as bare as a string; the credential types of this package are safe by pointer
// with %v, %+v and %#v even in an unexported field.
type Secret string

// String returns "[redacted]".
func (Secret) String() string { return redacted }

// Format prints "[redacted]", whatever the verb.
func (Secret) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) }

// MarshalText returns "[redacted]"; a Secret can be read from JSON but not written to it.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns "[redacted]".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Error is an exchange that the token endpoint answered, but not with a token. [errors.As] finds
// it, and an [oauth2.RetrieveError], in what Token and RoundTrip return. In both, credentials are blotted out
// of what the API said; the RetrieveError's Body has the API's error object and nothing else.
type Error struct {
	StatusCode int `json:"status"` // HTTP status of the answer, 2xx where its body was not a usable token

	// Name and Message are from the API's error object, printable and cut to a line's length; "" if it sent none.
	Name    string `json:"name"`
	Message string `json:"message"`

	what       string // the exchange: flow and endpoint
	reason     string // what is wrong with the answer, beside the API's own words
	hint       string // what to do next
	retryAfter time.Duration
	serverTime time.Time // the answer's Date; zero: none
	causes     []error   // the oauth2.RetrieveError, and why the body could not be read
}

// Error returns one line: which flow, which endpoint, what the API said and what to do next.
func (e *Error) Error() string {
	s := fmt.Sprintf("netoauth: %s%d %s", e.what, e.StatusCode, http.StatusText(e.StatusCode))
	for _, more := range []string{e.Name, e.Message, e.reason} {
		if more != "" {
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
	return target == ErrRejected && e.StatusCode/100 == 4 && !passing(e)
}

// Unwrap returns the [oauth2.RetrieveError] and, for an answer cut off half way, its cause.
func (e *Error) Unwrap() []error { return e.causes }

// failure is an error with a text of its own over its cause.
type failure struct {
	text  string
	cause error
}

func (e *failure) Error() string { return e.text }
func (e *failure) Unwrap() error { return e.cause }

// Timeout is for [url.Error], in which http.Client wraps e, and which does not look at causes.
func (e *failure) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.cause, &t) && t.Timeout()
}

// opaque is a cause that errors.Is and As can ask but nobody can print, not even with a verb that fmt does not
// know: net/http quotes what a server sent, which may be our credentials.
type opaque struct{ cause func() error }

func (*opaque) Error() string          { return "the cause is not shown, it may quote credentials" }
func (o *opaque) Is(target error) bool { return errors.Is(o.cause(), target) }
func (o *opaque) As(target any) bool   { return errors.As(o.cause(), target) }

// passing reports whether the same exchange may succeed later: no connection, a broken answer,
// or a status that says so (RFC 9110 sections 15.5.9 and 15.6, RFC 8470 section 5.2, RFC 6585 section 4).
func passing(err error) bool {
	switch code := answerIn(err).StatusCode; code {
	case 0, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	default:
		return code/100 == 2 || code >= 500
	}
}

// answerIn returns the answer in err, the zero Error where the exchange got none.
func answerIn(err error) (e *Error) {
	if !errors.As(err, &e) {
		e = new(Error)
	}
	return e
}

// flow is a credential, checked and ready to be exchanged. It is shared by goroutines and never changes.
type flow struct {
	Options
	name string   // for people: "API key", "password" or "refresh token"
	hint string   // for people: what to do when the credential is refused
	base *url.URL // the API's origin and path prefix

	login        func(context.Context) (*oauth2.Token, error) // nil: only a refresh token
	refreshToken string                                       // to begin with; "": none
	secrets      []string                                     // to blot out, beside what an exchange sends
}

// newFlow checks what all credentials have in common. required is the names and values of fields that
// must not be empty.
func newFlow(name, rawURL string, o Options, required ...string) (*flow, error) {
	for i := 0; i < len(required); i += 2 {
		if required[i+1] == "" {
			return nil, fmt.Errorf("netoauth: %s: %s is empty; set it", name, required[i])
		}
	}
	base, err := parseURL(rawURL)
	if err != nil {
		return nil, fmt.Errorf("netoauth: %s: %w", name, err)
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	o.InitialToken = cmp.Or(o.InitialToken, new(oauth2.Token))
	return &flow{Options: o, name: name, base: base, refreshToken: o.InitialToken.RefreshToken}, nil
}

// parseURL returns the base URL that raw stands for. Its errors show no part of raw: whoever pastes
// credentials into a URL must not find them in a log.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(cmp.Or(raw, DefaultURL))
	switch {
	case err != nil:
		return nil, errors.New("URL is not a URL")
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return nil, errors.New("URL must be absolute, like " + DefaultURL)
	case u.User != nil:
		return nil, errors.New("URL must not have user info")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(raw, "#"):
		return nil, errors.New("URL must not have a query or fragment")
	case u.Scheme == "http" && !strings.EqualFold(u.Hostname(), "localhost") && !net.ParseIP(u.Hostname()).IsLoopback():
		return nil, errors.New("URL must be https, unless its host is localhost or a loopback address")
	}
	u.RawPath = strings.TrimRight(u.EscapedPath(), "/")
	if p, ok := strings.CutSuffix(u.RawPath, "/v1"); ok {
		u.RawPath = strings.TrimRight(strings.TrimSuffix(p, "/api"), "/")
	}
	u.Path, err = url.PathUnescape(u.RawPath)
	return u, err
}

// post performs one exchange: one POST of body to the API's path, and the token in its answer.
// sent is the secrets in body.
func (f *flow) post(ctx context.Context, path, contentType, body string, sent ...string) (*oauth2.Token, error) {
	endpoint := f.base.String() + path
	what := f.name + ": POST " + endpoint + ": "
	blot := blotter(append(sent, f.secrets...))

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", contentType)
	client := *contextClient(ctx)
	client.Transport = locationFilter{baseOf(client.Transport)}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

	start := time.Now().Round(0) // the wall clock's reading alone: a token ages while the machine sleeps
	resp, err := client.Do(req)
	if err != nil {
		var wrapper *url.Error // says again which endpoint
		if errors.As(err, &wrapper) {
			err = wrapper.Err
		}
		text := "netoauth: " + what + line(blot.Replace(err.Error())) + "; no answer, check the network and the URL"
		f.Logger.DebugContext(ctx, "netoauth: no answer", "flow", f.name, "err", text)
		return nil, &failure{text, &opaque{func() error { return err }}}
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	resp.Body.Close()
	fields := decode(answer)
	e := &Error{StatusCode: resp.StatusCode, what: what}
	switch {
	case err != nil:
		e.reason = "the answer was cut off: " + line(blot.Replace(err.Error()))
		e.causes = append(e.causes, &opaque{func() error { return err }})
	case len(answer) == maxAnswer:
		e.reason = "the answer is 1 MiB or more"
	case fields == nil:
		e.reason = "the answer is not a JSON object"
	case e.StatusCode/100 == 2:
		var t *oauth2.Token
		if t, e.reason = newToken(fields, start); t != nil {
			f.Logger.DebugContext(ctx, "netoauth: token issued", "flow", f.name, "endpoint", endpoint,
				"expiry", t.Expiry, "took", time.Since(start))
			return t, nil
		}
	}
	switch {
	case e.StatusCode/100 == 2:
		e.hint = "does a proxy answer in the API's place?"
	case e.StatusCode/100 == 3 || e.StatusCode == http.StatusNotFound:
		e.hint = "check the URL; redirects are not followed, they would carry the credentials along"
	case passing(e):
		e.hint = "the fault may pass, try again later"
	default:
		e.hint = f.hint
	}
	e.quote(req, resp.Header, fields, blot)
	f.Logger.DebugContext(ctx, "netoauth: no token in the answer", "flow", f.name, "err", e)
	return nil, e
}

// quote takes over what the answer to req says, free of credentials, and adds e as x/oauth2 has it.
func (e *Error) quote(req *http.Request, header http.Header, fields map[string]any, blot *strings.Replacer) {
	e.serverTime, _ = http.ParseTime(header.Get("Date"))
	e.retryAfter = parseRetryAfter(header.Get("Retry-After"), e.serverTime)
	text := func(field string) string { s, _ := fields[field].(string); return line(blot.Replace(s)) }
	e.Name = cmp.Or(text("name"), text("error"))
	e.Message = cmp.Or(text("message"), text("error_description"))

	r := &oauth2.RetrieveError{
		Response: &http.Response{
			Status:     fmt.Sprintf("%d %s", e.StatusCode, http.StatusText(e.StatusCode)),
			StatusCode: e.StatusCode,
			Header:     make(http.Header),
			Body:       http.NoBody,
			Request:    &http.Request{Method: req.Method, URL: req.URL},
		},
		ErrorCode:        text("error"),
		ErrorDescription: text("error_description"),
	}
	for name, values := range header {
		for _, v := range values {
			r.Response.Header.Add(blot.Replace(name), blot.Replace(v))
		}
	}
	if e.Name+e.Message != "" {
		r.Body, _ = json.Marshal(e) // which cannot fail
	}
	e.causes = append(e.causes, r)
}

// contextClient returns the HTTP client in ctx, where x/oauth2 looks for it, too.
func contextClient(ctx context.Context) *http.Client {
	c, _ := ctx.Value(oauth2.HTTPClient).(*http.Client)
	return cmp.Or(c, http.DefaultClient)
}

// locationFilter drops a Location that is not a URL: http.Client would fail on it before it asks CheckRedirect.
type locationFilter struct{ http.RoundTripper }

func (t locationFilter) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(req)
	if resp != nil {
		if _, err := resp.Location(); err != nil {
			resp.Header.Del("Location")
		}
	}
	return resp, err
}

// baseOf returns rt, or what http.Client takes for nil.
func baseOf(rt http.RoundTripper) http.RoundTripper {
	if rt == nil {
		return http.DefaultTransport
	}
	return rt
}

// blotter replaces secrets, none of them "", by "[redacted]", also in the forms in which a server or net/http
// would quote them.
func blotter(secrets []string) *strings.Replacer {
	var forms []string
	for _, s := range secrets {
		inJSON, _ := json.Marshal(s)
		for _, quoted := range []string{string(inJSON), strconv.Quote(s), strconv.QuoteToASCII(s)} {
			forms = append(forms, quoted[1:len(quoted)-1])
		}
		forms = append(forms, s, url.QueryEscape(s), url.PathEscape(s), html.EscapeString(s))
	}
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) }) // one secret may begin with another
	var pairs []string
	for _, form := range forms {
		pairs = append(pairs, form, redacted)
	}
	return strings.NewReplacer(pairs...)
}

// line makes s fit to be a part of one log line: printable, and at most 300 runes.
func line(s string) string {
	words := strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
	runes := []rune(strings.Join(words, " "))
	if len(runes) > 300 {
		runes = append(runes[:300], '…')
	}
	return strings.TrimSpace(string(runes))
}

// decode returns the fields of a JSON object, nil for anything else. A number beyond float64 is null.
func decode(body []byte) (fields map[string]any) {
	var beyond *json.UnmarshalTypeError
	if err := json.Unmarshal(body, &fields); err != nil && !errors.As(err, &beyond) {
		return nil
	}
	return fields
}

// newToken returns the token of an answer to a request sent at start, or what is wrong with the answer.
func newToken(fields map[string]any, start time.Time) (t *oauth2.Token, wrong string) {
	access, _ := fields["access_token"].(string)
	kind, _ := fields["token_type"].(string)
	refresh, _ := fields["refresh_token"].(string)
	switch {
	case access == "":
		return nil, "the answer has no access_token"
	case strings.ContainsFunc(access, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, "the access_token has characters that no header takes" // RFC 6750 section 2.1
	case kind != "" && !strings.EqualFold(kind, "bearer"):
		return nil, "the token_type is not bearer" // RFC 6749 section 7.1
	}
	t = &oauth2.Token{AccessToken: access, TokenType: kind, RefreshToken: refresh}
	if life := cmp.Or(seconds(fields["expires_in"]), jwtLifetime(access)); life > 0 {
		t.Expiry, t.ExpiresIn = start.Add(life), int64(life/time.Second)
	}
	return t.WithExtra(fields), ""
}

// seconds returns v, a JSON number or numeric string, as whole seconds, and 0 where it is neither or not
// positive. x/oauth2 has the same upper bound of about 68 years.
func seconds(v any) time.Duration {
	f, _ := v.(float64)
	if s, _ := v.(string); json.Valid([]byte(s)) {
		f, _ = strconv.ParseFloat(strings.TrimSpace(s), 64) // ±Inf when out of range
	}
	if f < 1 {
		return 0
	}
	return time.Duration(min(f, math.MaxInt32)) * time.Second
}

// jwtLifetime returns exp − iat of a JWT (RFC 7519 section 4.1), and 0 for anything else.
func jwtLifetime(token string) time.Duration {
	_, rest, _ := strings.Cut(token, ".")
	middle, _, _ := strings.Cut(rest, ".")
	payload, err := base64.RawURLEncoding.DecodeString(middle)
	var claims struct{ Iat, Exp float64 }
	if err != nil || json.Unmarshal(payload, &claims) != nil || claims.Iat <= 0 {
		return 0
	}
	return seconds(claims.Exp - claims.Iat)
}

// lifetime returns how long t was issued for, as far as t tells. Without an Expiry t has no end, whatever this says.
func lifetime(t *oauth2.Token) time.Duration {
	return max(0, cmp.Or(seconds(float64(t.ExpiresIn)), jwtLifetime(t.AccessToken), time.Until(t.Expiry)))
}

// parseRetryAfter returns how long a Retry-After asks to wait (RFC 9110 section 10.2.3): seconds, or a date by the
// server's clock, for which the zero time stands for ours.
func parseRetryAfter(v string, serverTime time.Time) time.Duration {
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(cmp.Or(serverTime, time.Now())), 0)
	}
	return seconds(v)
}

// live is the token source that all flows share: oauth2.ReuseTokenSource, and what that one lacks.
//
// A token is fresh, then stale, then spent. Fresh, it is used as it is. Stale, it is used while one exchange
// in the background gets the next. Spent or missing, callers wait for the exchange under way.
type live struct {
	flow    *flow
	under   *renewal             // one exchange a Token call
	current atomic.Pointer[held] // what requests look at, without a lock

	mu       sync.Mutex // guards what follows; never held across I/O
	underWay *exchange  // nil: none
	err      error      // of the last exchange
	retryAt  time.Time  // after a failed exchange: no other before this
	forcedAt time.Time  // when a 401 last forced a renewal

	passingDelay, refusedDelay time.Duration // before jitter; 0 since the last success
}

// held is a token in hand, with x/oauth2's cache of it.
type held struct {
	token  oauth2.Token       // Valid until it is spent
	cached *oauth2.Token      // the same, Valid while it is fresh
	cache  oauth2.TokenSource // gives cached, and exchanges once that is stale
	header []string           // the Authorization header

	since time.Time
	sure  atomic.Int64 // a time.Duration after since, up to which the token is fresh by the monotonic clock
}

// fresh reports whether it is not yet time to renew. The wall clock decides, because the monotonic one stands still
// while a machine sleeps; but that one costs half as much to read, and will do for the next 10 ms.
func (h *held) fresh() bool {
	elapsed := time.Since(h.since) // negative in a bubble of testing/synctest, for a source made outside
	if 0 <= elapsed && elapsed < time.Duration(h.sure.Load()) {
		return true
	}
	if !h.cached.Valid() {
		return false
	}
	h.sure.Store(int64(elapsed + 10*time.Millisecond))
	return true
}

// exchange is one that callers can wait for.
type exchange struct {
	done    chan struct{} // closed when held and err are set
	held    *held
	err     error
	waiting int // callers; guarded by live.mu
}

// newSource returns the live token source of a flow, or one that says why there is none.
func newSource(ctx context.Context, credential func() (*flow, error)) oauth2.TokenSource {
	f, err := credential()
	if err != nil {
		return failed{err}
	}
	l := &live{flow: f}
	l.under = &renewal{
		flow:         f,
		ctx:          context.WithoutCancel(ctx),
		waitedFor:    l.waitedFor,
		refreshToken: f.refreshToken,
		refreshEnds:  refreshEnds(f.InitialToken),
	}
	l.current.Store(l.hold(f.InitialToken))
	return l
}

// failed is the token source of a credential that cannot be used.
type failed struct{ err error }

func (f failed) Token() (*oauth2.Token, error) { return nil, f.err }

// newClient returns the client in ctx with Transport over its own transport.
func newClient(ctx context.Context, src oauth2.TokenSource) *http.Client {
	c := *contextClient(ctx)
	c.Transport = &Transport{Source: src, Base: c.Transport}
	return &c
}

// hold puts t into a cache that takes it for expired at a random point from 70 % to 85 % of its lifetime,
// so that a fleet that started together does not renew together.
func (l *live) hold(t *oauth2.Token) *held {
	life := lifetime(t)
	cached := *t
	h := &held{
		token:  *t,
		cached: &cached,
		header: []string{t.Type() + " " + t.AccessToken},
		since:  time.Now(),
	}
	// The early expiry of a token is set on its way into a cache, and nowhere else.
	h.cache = oauth2.ReuseTokenSourceWithExpiry(h.cached, l.under, life/100*15+rand.N(life/100*15+1))
	oauth2.ReuseTokenSourceWithExpiry(&h.token, nil, min(life/10, 10*time.Second))
	return h
}

// Token returns a copy of the token in hand, because the caches of x/oauth2 write to the tokens they get.
func (l *live) Token() (*oauth2.Token, error) {
	h, err := l.get(context.Background())
	if err != nil {
		return nil, err
	}
	t := h.token
	return &t, nil
}

// Format names the source, whatever the verb.
func (l *live) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "netoauth token source: %s at %s", l.flow.name, l.flow.base)
}

// get returns the token in hand or, where there is none, waits for one as long as ctx lasts.
func (l *live) get(ctx context.Context) (*held, error) {
	if h := l.current.Load(); h.fresh() {
		return h, nil
	}
	h, x, err := l.next(ctx)
	if x == nil {
		return h, err
	}
	select {
	case <-x.done:
		return x.held, x.err
	case <-ctx.Done():
		l.mu.Lock()
		x.waiting--
		l.mu.Unlock()
		return nil, waitError(ctx)
	}
}

func waitError(ctx context.Context) error {
	return &failure{"netoauth: waiting for an access token: " + ctx.Err().Error(), ctx.Err()}
}

// next decides, for a caller who found no fresh token: it returns a token to use, an exchange to wait for,
// or an error, and starts an exchange where it is time for one.
func (l *live) next(ctx context.Context) (*held, *exchange, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.current.Load()
	fresh := h.fresh() // renewed since the caller looked
	usable := fresh || h.token.Valid()
	switch {
	case fresh:
	case l.underWay != nil:
	case time.Now().Before(l.retryAt):
		if !usable {
			return nil, nil, l.err
		}
	case !usable && ctx.Err() != nil:
		return nil, nil, waitError(ctx)
	default:
		l.underWay = &exchange{done: make(chan struct{}), err: errors.New("netoauth: OnToken did not return")}
		go l.renew(l.underWay, h.cache)
	}
	if usable {
		return h, nil, nil
	}
	l.underWay.waiting++
	return nil, l.underWay, nil
}

// waitedFor reports whether a caller waits for the exchange under way.
func (l *live) waitedFor() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.underWay.waiting > 0
}

// renew performs the exchange x. Only one runs at a time, so nobody meets another in the cache's lock.
func (l *live) renew(x *exchange, cache oauth2.TokenSource) {
	defer l.finish(x) // also when OnToken ends the goroutine, as a test's FailNow does
	t, err := cache.Token()
	if x.err = err; err == nil {
		x.held = l.hold(t)
	}
}

// finish makes the result of x known: to live, then to those who wait.
func (l *live) finish(x *exchange) {
	l.mu.Lock()
	l.underWay, l.err = nil, x.err
	if x.held != nil {
		l.current.Store(x.held)
		l.passingDelay, l.refusedDelay = 0, 0
	} else {
		l.backOff(x.err)
	}
	wait := time.Until(l.retryAt)
	l.mu.Unlock()
	close(x.done)
	if x.err != nil {
		l.flow.Logger.WarnContext(l.under.ctx, "netoauth: no new token", "flow", l.flow.name, "err", x.err, "next", wait)
	}
}

// backOff sets when the next exchange may start. The jitter takes up to a tenth off a wait of our own, and
// adds as much to one that the API asked for, within the ten minutes that are the most it gets.
func (l *live) backOff(err error) {
	delay, first, most := &l.passingDelay, time.Second, 15*time.Second
	if !passing(err) {
		delay, first, most = &l.refusedDelay, 5*time.Second, 2*time.Minute
	}
	*delay = min(max(2**delay, first), most)
	wait := *delay - rand.N(*delay/10)
	if asked := answerIn(err).retryAfter; asked > maxRetryAfter {
		wait = maxRetryAfter - rand.N(maxRetryAfter/10)
	} else if asked > wait {
		wait = min(asked+rand.N(asked/10), maxRetryAfter)
	}
	l.retryAt = time.Now().Add(wait)
}

// drop takes h, which the API answered with 401, out of use. It reports whether asking again can give
// another token: not if h is still in use and no renewal is under way or may start now, because one was
// forced a moment ago or has failed.
func (l *live) drop(h *held) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current.Load() != h {
		return true
	}
	if now := time.Now(); l.underWay == nil {
		if now.Before(l.retryAt) || now.Sub(l.forcedAt) < forcedEvery {
			return false
		}
		l.forcedAt = now
	}
	l.current.Store(l.hold(&oauth2.Token{}))
	return true
}

// Transport is an [http.RoundTripper] that authorizes requests with tokens from Source. It has the fields
// of [oauth2.Transport] and drops in for it.
//
// With a token source of this package, the token goes to the origin of the credential's URL alone, a
// request waits for a token no longer than its context lasts, and a 401 renews the token, at most once in
// 30 s, and sends the request once more if it has no body or a GetBody. With any other source, each request
// gets a token unless it follows a redirect to another origin.
type Transport struct {
	// Source supplies the tokens. nil is an error.
	Source oauth2.TokenSource

	// Base sends the requests. nil: http.DefaultTransport.
	Base http.RoundTripper
}

// RoundTrip authorizes a copy of req and sends it. The error of the token source comes back wrapped.
// The response's Request is req itself, so that a layer above that logs it shows no token.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	src, ours := t.Source.(*live)
	if ours && !sameOrigin(src.flow.base, req.URL) || !ours && strayed(req) {
		return baseOf(t.Base).RoundTrip(req)
	}
	var h *held
	var err error
	if ours {
		h, err = src.get(req.Context())
	} else {
		h, err = ask(req.Context(), t.Source)
	}
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, &failure{"request not sent, no access token: " + err.Error(), err}
	}
	resp, err := t.send(req, req.Body, h)
	if !ours || err != nil || resp == nil || resp.StatusCode != http.StatusUnauthorized || !src.drop(h) {
		return resp, err
	}

	body := req.Body
	if body != nil && body != http.NoBody && req.GetBody == nil {
		return resp, nil
	}
	if resp.Body != nil {
		// Read, it frees its connection, which the renewal may need where their number is limited.
		buffered := bufio.NewReaderSize(resp.Body, 64<<10)
		buffered.Peek(64 << 10)
		resp.Body = struct {
			io.Reader
			io.Closer
		}{buffered, resp.Body}
	}
	if h, err = src.get(req.Context()); err != nil {
		return resp, nil
	}
	if body != nil && body != http.NoBody {
		if body, err = req.GetBody(); err != nil {
			return resp, nil
		}
	}
	if resp.Body != nil {
		resp.Body.Close()
	}
	return t.send(req, body, h)
}

// CloseIdleConnections closes those of Base; [http.Client.CloseIdleConnections] calls it.
func (t *Transport) CloseIdleConnections() {
	if c, ok := baseOf(t.Base).(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// send sends a copy of req with body and h's header. The copy shares the header values, which nobody may change.
func (t *Transport) send(req *http.Request, body io.ReadCloser, h *held) (*http.Response, error) {
	out := req.WithContext(req.Context())
	out.Body = body
	if out.Header = maps.Clone(req.Header); out.Header == nil {
		out.Header = make(http.Header, 1)
	}
	out.Header["Authorization"] = h.header
	resp, err := baseOf(t.Base).RoundTrip(out)
	if resp != nil && resp.Request != nil {
		resp.Request = req
	}
	return resp, err
}

// ask asks a source from elsewhere, which knows no context, for no longer than ctx lasts.
func ask(ctx context.Context, src oauth2.TokenSource) (*held, error) {
	if src == nil {
		return nil, errors.New("netoauth: Transport's Source is nil")
	}
	var t *oauth2.Token
	var err error
	answered := make(chan struct{})
	fetch := func() {
		defer close(answered) // also when Token ends the goroutine
		t, err = src.Token()
	}
	if ctx.Done() == nil {
		fetch()
	} else {
		go fetch()
	}
	select {
	case <-answered:
	case <-ctx.Done():
		return nil, waitError(ctx)
	}
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, errors.New("netoauth: Transport's Source returned no token")
	}
	return &held{header: []string{t.Type() + " " + t.AccessToken}}, nil
}

// strayed reports whether req follows redirects and is not sure to be back at the first request's origin.
func strayed(req *http.Request) bool {
	first := req
	for hops := 0; first.Response != nil; hops++ {
		if first = first.Response.Request; first == nil || hops == 100 {
			return true
		}
	}
	return first != req && !sameOrigin(first.URL, req.URL)
}

// sameOrigin compares scheme, host and port (RFC 6454 section 5).
func sameOrigin(a, b *url.URL) bool {
	if a == nil || b == nil {
		return false
	}
	if a.Scheme == b.Scheme && a.Host == b.Host {
		return true
	}
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	return cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)])
}
