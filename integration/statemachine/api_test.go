package statemachine_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing/iotest"
	"time"

	"golang.org/x/oauth2"
)

const address = "https://api.example"

// api is the API. It knows every token that it issued. The world's mutex guards it.
type api struct {
	access  map[string]*access
	grants  map[string]*grant
	ids     map[string]bool // of the request tokens it has seen
	numbers int             // of the tokens it has issued

	faults        []faults      // to come, one at a time
	slow          time.Duration // what a token request takes
	life, refLife time.Duration
	ahead         time.Duration // its clock
	secret        int           // the number of the shared secret or password
}

// access is an access token.
type access struct {
	name    string
	to      *run // whose token request brought it; nil: that of a shell
	session *session
	sent    time.Time     // when that request was sent
	life    time.Duration // 0: without an end
	dead    bool          // issued with an expires_in below 0
	revoked bool

	told, reported bool // to OnToken and OnExchange
}

// grant is a refresh token.
type grant struct {
	name    string
	session *session
	end     time.Time // zero: none
	revoked bool
	used    bool // another took its place
	spentBy *run // which got the other
}

type session struct{ ended bool }

func (a *access) pastEnd(now time.Time) bool {
	return a.dead || a.life > 0 && now.After(a.sent.Add(a.life))
}

// fresh reports whether no renewal that was not forced can have begun.
func (a *access) fresh(now time.Time) bool {
	return !a.dead && (a.life == 0 || now.Before(a.sent.Add(a.life*7/10)))
}

// good reports whether the API takes it.
func (a *access) good(now time.Time) bool {
	return !a.revoked && !a.session.ended && !a.pastEnd(now)
}

// newGrant issues a refresh token.
func (w *world) newGrant(s *session) *grant {
	w.numbers++
	g := &grant{name: fmt.Sprintf("refresh-token-%d", w.numbers), session: s}
	if w.refLife > 0 {
		g.end = time.Now().Add(w.refLife)
	}
	w.grants[g.name] = g
	return g
}

// wire is the way of a run to the API.
type wire struct{ r *run }

func (t wire) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		req.Body.Close()
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	switch req.URL.Path {
	case "/api/v1/auth/token", "/api/auth/bearer/token":
		return t.r.tokenRequest(req.Context(), "log-in", body)
	case "/api/auth/bearer/refresh":
		return t.r.tokenRequest(req.Context(), "refresh", body)
	}
	return t.r.resource(req), nil
}

// resource answers a request that is no token request.
func (r *run) resource(req *http.Request) *http.Response {
	w := r.w
	w.mu.Lock()
	defer w.mu.Unlock()
	_, name, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	a := r.carries(name)
	if s, ok := req.Context().Value(sentKey{}).(*sent); ok && s.at.IsZero() {
		*s = sent{time.Now(), a, r.hand.token, r.exchange.ctx != nil}
	}
	if a != nil && a.good(time.Now()) && req.URL.Path == "/good" {
		r.accepted(a)
		return w.response(http.StatusOK, 0, io.NopCloser(strings.NewReader("{}")))
	}
	if a != nil {
		if r.count.refused[a]++; r.count.refused[a] == 1 {
			r.count.refusedAt[a] = time.Now()
		}
		r.count.refusals++
		r.count.accused = true
	}
	if req.URL.Path == "/silent" {
		silent, _ := io.Pipe()
		return w.response(http.StatusUnauthorized, 0, silent)
	}
	return w.response(http.StatusUnauthorized, 0, io.NopCloser(strings.NewReader("refused")))
}

// answer is what a token request comes to.
type answer struct {
	status     int
	retryAfter time.Duration
	body       string
	cut        bool    // in the middle
	err        error   // instead of an answer
	issued     *access // in body
	spent      *grant  // what another one in body takes the place of
}

// token returns what a brings to who has sent the refresh token sent.
func (a *answer) token(sent string) *oauth2.Token {
	t := &oauth2.Token{RefreshToken: sent}
	json.Unmarshal([]byte(a.body), t)
	if life := a.issued.life; life > 0 {
		t.Expiry = a.issued.sent.Add(life)
	}
	return t
}

// result of a token request, for the model.
const (
	issuing   = "token"
	dead      = "dead token" // which counts as a refusal of a refresh, as a transient fault of a log-in
	refusing  = "refusal"
	transient = "transient fault"
)

func (a *answer) result() string {
	switch {
	case a.err != nil || a.cut:
		return transient
	case a.issued != nil && a.issued.dead:
		return dead
	case a.issued != nil:
		return issuing
	case a.status == http.StatusUnauthorized || a.status == http.StatusBadRequest:
		return refusing
	}
	return transient
}

// tokenRequest answers a token request: what it comes to is settled at once, and it is told when
// the time has come.
func (r *run) tokenRequest(ctx context.Context, path string, body []byte) (*http.Response, error) {
	w := r.w
	w.mu.Lock()
	form, _ := url.ParseQuery(string(body))
	fault := w.takeFault(path)
	w.note("%s: token request, %s %s, fault %q", r.name, path, form.Get("refresh_token"), fault)
	r.begins(ctx, path, form.Get("refresh_token"))
	a := w.settle(r, path, fault, form, body)
	took := w.slow
	w.mu.Unlock()
	switch fault {
	case "hang":
		took = time.Hour
	case "dead": // which ends at the instant that it is asked for: no answer comes in that
		took = max(took, time.Millisecond)
	}
	if a.err == nil || a.issued != nil {
		if err := r.sleep(ctx, took); err != nil {
			a = &answer{err: err}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r.ends(a)
	if a.err != nil {
		return nil, a.err
	}
	var content io.Reader = strings.NewReader(a.body)
	if a.cut {
		half := strings.NewReader(a.body[:len(a.body)/2])
		content = io.MultiReader(half, iotest.ErrReader(io.ErrUnexpectedEOF))
	}
	return w.response(a.status, a.retryAfter, io.NopCloser(content)), nil
}

// sleep waits d for an answer, or for ctx's end, whose error it returns. A program that stands still
// meanwhile reads the answer once it goes on, and must not have given it up. It locks mu.
func (r *run) sleep(ctx context.Context, d time.Duration) error {
	for stood := false; ; stood = true {
		err := sleep(ctx, d)
		r.w.mu.Lock()
		rest := time.Until(r.exchange.wakes)
		if err != nil && stood {
			r.w.fail(nothingLost, "%s: an answer that came while it stood still was not read", r.name)
		}
		r.w.mu.Unlock()
		if err != nil || rest < 0 {
			return err
		}
		d = rest + reads
	}
}

// sleep returns after d, or with ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *world) response(status int, retryAfter time.Duration, body io.ReadCloser) *http.Response {
	header := http.Header{"Date": {time.Now().Add(w.ahead).UTC().Format(http.TimeFormat)}}
	if retryAfter > 0 {
		header.Set("Retry-After", fmt.Sprint(int(retryAfter.Seconds())))
	}
	return &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: header, Body: body}
}

// takeFault returns the kind of the next fault for path, "" where there is none.
func (w *world) takeFault(path string) string {
	for i := range w.faults {
		if f := &w.faults[i]; f.n > 0 && (f.path == "" || f.path == path) {
			f.n--
			return f.kind
		}
	}
	return ""
}

var faultAnswers = map[string]answer{
	"hang":          {status: 500},
	"500":           {status: 500},
	"408":           {status: 408},
	"429":           {status: 429},
	"429 for 2 s":   {status: 429, retryAfter: 2 * time.Second},
	"429 for 1 h":   {status: 429, retryAfter: time.Hour},
	"503 for 40 s":  {status: 503, retryAfter: 40 * time.Second},
	"no token":      {status: 200},
	"503":           {status: 503},
	"no connection": {err: &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}},
}

// unused reports whether a token request that came to a was certainly not carried out: there was no
// connection, or the API says so, in its own words where it is 503.
func (a *answer) unused() bool {
	_, dial := errors.AsType[*net.OpError](a.err)
	return dial || a.err == nil && !a.cut && (a.status == 408 || a.status == 429 || a.status == 503)
}

// settle decides what a token request comes to. "cut off" and "lost" lose an answer that has had
// its effect.
func (w *world) settle(r *run, path, fault string, form url.Values, body []byte) *answer {
	if a, ok := faultAnswers[fault]; ok {
		a.body = fmt.Sprintf(`{"status":%d,"name":"Error","message":"trouble"}`, a.status)
		return &a
	}
	s, spent := w.authenticate(path, form, body)
	if s == nil || fault == "refusal" {
		status := map[string]int{"log-in": http.StatusUnauthorized, "refresh": http.StatusBadRequest}[path]
		return &answer{status: status, body: `{"status":400,"name":"Error","message":"no"}`}
	}
	w.numbers++
	name := fmt.Sprintf("access-token-%d", w.numbers)
	a := &access{name: name, to: r, session: s, sent: time.Now(), life: w.life}
	if fault == "dead" {
		a.life, a.dead = 0, true
	}
	if spent != nil && w.history.ends {
		w.endAccess(s)
	}
	w.access[a.name] = a
	fields := map[string]any{"access_token": a.name, "token_type": "bearer"}
	switch {
	case a.dead:
		fields["expires_in"] = -60
	case a.life > 0:
		fields["expires_in"] = int(a.life.Seconds())
	}
	result := &answer{status: http.StatusOK, issued: a, cut: fault == "cut off"}
	if fault == "lost" {
		result.err = errors.New("connection reset")
	}
	if next := w.nextGrant(s, spent); next != nil {
		fields["refresh_token"] = next.name
		if !next.end.IsZero() {
			fields["refresh_expires_in"] = int(time.Until(next.end).Seconds())
		}
		if spent != nil && next != spent {
			spent.used, result.spent = true, spent
		}
	}
	text, _ := json.Marshal(fields)
	result.body = string(text)
	return result
}

// endAccess ends the access tokens of s.
func (w *world) endAccess(s *session) {
	for _, a := range w.access {
		a.revoked = a.revoked || a.session == s
	}
}

// nextGrant returns the refresh token that goes with an access token, nil: none.
func (w *world) nextGrant(s *session, spent *grant) *grant {
	switch {
	case spent == nil || w.history.refreshes == "another":
		return w.newGrant(s)
	case w.history.refreshes == "same":
		if w.refLife > 0 {
			spent.end = time.Now().Add(w.refLife)
		}
		return spent
	}
	return nil
}

// authenticate returns the session that a token request is for, nil where it is refused, and the
// refresh token that was sent. One that is used twice ends its session (RFC 9700 section 4.14.2).
func (w *world) authenticate(path string, form url.Values, body []byte) (*session, *grant) {
	if path == "refresh" {
		g := w.grants[form.Get("refresh_token")]
		if g == nil || g.revoked || g.session.ended || !g.end.IsZero() && time.Now().After(g.end) {
			return nil, nil
		}
		if g.used {
			g.session.ended = true
			return nil, nil
		}
		return g.session, g
	}
	if w.history.flow == "password" && form.Get("password") == w.secretNumber(w.secret) ||
		w.history.flow == "API key" && w.signed(body) {
		return new(session), nil
	}
	return nil, nil
}

func (w *world) secretNumber(n int) string { return fmt.Sprintf("secret-number-%d", n) }

// signed reports whether body has a request token that is signed with the secret, timely by the
// API's clock, and new.
func (w *world) signed(body []byte) bool {
	var fields struct{ JWT string }
	json.Unmarshal(body, &fields)
	text, signature, _ := cutLast(fields.JWT, ".")
	mac := hmac.New(sha256.New, []byte(w.secretNumber(w.secret)))
	io.WriteString(mac, text)
	if signature != base64.RawURLEncoding.EncodeToString(mac.Sum(nil)) {
		return false
	}
	var claims struct {
		Iat int64
		Jti string
	}
	_, payload, _ := strings.Cut(text, ".")
	decoded, _ := base64.RawURLEncoding.DecodeString(payload)
	json.NewDecoder(bytes.NewReader(decoded)).Decode(&claims)
	off := time.Unix(claims.Iat, 0).Sub(time.Now().Add(w.ahead))
	if w.ids[claims.Jti] || off.Abs() > time.Minute {
		return false
	}
	w.ids[claims.Jti] = true
	return true
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// least returns the smallest of the times, where 0 is none.
func least(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return cmp.Or(a, b)
	}
	return min(a, b)
}
