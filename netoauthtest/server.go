// Package netoauthtest runs a Netography API inside a test, in the manner of
// net/http/httptest. A user's test starts one, points the program at it and
// answers the calls it is interested in:
//
//	func TestReport(t *testing.T) {
//		srv := netoauthtest.NewServer()
//		defer srv.Close()
//		srv.Handle("GET /api/v1/ip/list", netoauthtest.Answer(200, "application/json", `["192.0.2.7"]`))
//		key, err := netoauth.ParseAPIKey(srv.Netosecret)
//		if err != nil {
//			t.Fatal(err)
//		}
//		if got := report(key.Client(t.Context()), srv.URL); got != "1 address" {
//			t.Errorf("report: %q", got)
//		}
//	}
//
// The server has the three token endpoints of the API reference and is strict
// about requests to them: method, headers, closed schemas, the signature and
// the claims of a request token; request tokens and refresh tokens are good for
// one use. Handlers added with [Server.Handle] are behind the check of the
// access token.
//
// It makes trouble on demand: [Server.Fail] with a fault such as [Status] or
// [Drop], [Server.Delay], [Server.RevokeAccessTokens], [Server.SetLifetimes],
// [Server.SetClock].
//
// To test hours of renewals in no time, use [Server.InProcess] in a bubble of
// testing/synctest.
package netoauthtest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// The paths of the token endpoints, from the API reference.
const (
	APIKeyPath   = "/api/v1/auth/token"       // log-in with a request token signed with the API key
	PasswordPath = "/api/auth/bearer/token"   // log-in with user name and password
	RefreshPath  = "/api/auth/bearer/refresh" // new tokens for a refresh token
)

// Server is a Netography API for tests. All methods may be called while it
// serves. Its secrets are made up anew for each Server, so a test can look for
// them where they must not turn up.
type Server struct {
	URL string // base URL, without a slash at its end

	// Netosecret is an API key that the server accepts, for any sub-account.
	// As in the documented sample it is base64 without padding, its url ends in
	// /api/v1, and its shared secret has 14 bytes: fewer than the 32 that some
	// JOSE libraries insist on for HS256.
	Netosecret string

	// Username and Password are accepted at [PasswordPath]. The password has
	// characters that a form must escape. Do not change them.
	Username, Password string

	key      apiKey
	tokenKey []byte // signs the tokens that the server issues
	mux      *http.ServeMux
	http     *httptest.Server
	stop     context.CancelFunc // ends the context of every request over the network

	mu              sync.Mutex
	access, refresh time.Duration // lifetimes
	offset          time.Duration // of the server's clock
	delay           time.Duration
	fault           http.Handler
	faults          int // requests that fault still answers; negative: all
	requests        map[string]int
	issued          int
	accessTokens    map[string]time.Time // to the end of their lifetime
	refreshTokens   map[string]grant
	jtis            map[string]time.Time // of accepted request tokens, to their iat
}

// apiKey is the JSON object inside a NETOSECRET.
type apiKey struct {
	URL          string `json:"url"`
	Shortname    string `json:"shortname"`
	AppName      string `json:"appname"`
	SharedSecret string `json:"sharedsecret"`
	AppKey       string `json:"appkey"`
}

// NewServer starts a server on the loopback interface. The caller should call
// Close when finished, to shut it down.
func NewServer() *Server { return start("http", (*httptest.Server).Start) }

// NewTLSServer is NewServer with https. Its certificate is one that only
// [Server.Client] trusts.
func NewTLSServer() *Server { return start("https", (*httptest.Server).StartTLS) }

func start(scheme string, listen func(*httptest.Server)) *Server {
	s := &Server{
		Username:      "user@example.com",
		Password:      rand.Text() + " &=+%ü",
		tokenKey:      []byte(rand.Text()),
		mux:           http.NewServeMux(),
		requests:      make(map[string]int),
		accessTokens:  make(map[string]time.Time),
		refreshTokens: make(map[string]grant),
		jtis:          make(map[string]time.Time),
	}
	s.SetLifetimes(5*time.Minute, 30*time.Minute)

	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.http = httptest.NewUnstartedServer(s)
	s.http.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	s.URL = scheme + "://" + s.http.Listener.Addr().String()
	s.key = apiKey{s.URL + "/api/v1", "example", "netoauthtest", rand.Text()[:14], rand.Text()}
	sample, _ := json.MarshalIndent(s.key, "", "  ") // a struct of strings has no error
	s.Netosecret = base64.RawStdEncoding.EncodeToString(sample)
	listen(s.http) // last, so that the handlers see all of the above
	return s
}

// Close shuts the server down: it ends the context of each request under way
// over the network, closes the connections and waits for the handlers.
// Closing it again does nothing.
func (s *Server) Close() {
	s.stop()
	// httptest.Server.Close alone would wait for connections with a request
	// whose body is still on its way.
	s.http.CloseClientConnections()
	s.http.Close()
}

// Client returns an HTTP client that trusts the server's certificate. It adds
// no token to its requests.
func (s *Server) Client() *http.Client { return s.http.Client() }

// Handle adds a handler for requests that bring a good access token; without
// one the server answers 401. Access tokens are JWTs: their claims sub and
// shortname say who signed in, and to which account. The pattern is one of
// [http.ServeMux], which also says when Handle panics. A handler for a token
// endpoint is never called; see [Server.Fail] for that.
func (s *Server) Handle(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// SetLifetimes sets how long tokens serve that are issued from now on: 5 and 30
// minutes unless set. With refresh 0, refresh_expires_in is 0 too, which says
// "no known end", and the refresh token does not expire. An access lifetime of 0
// or less makes tokens that the server refuses at once. Answers and claims have
// whole seconds; a fraction is dropped there.
func (s *Server) SetLifetimes(access, refresh time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.access, s.refresh = access, refresh
}

// SetClock sets the server's clock fast by offset, or slow where it is
// negative; 0 sets it right. The clock shows in the Date header and in iat and
// exp of the tokens, and the iat of a request token is checked against it.
func (s *Server) SetClock(offset time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset = offset
}

// RevokeAccessTokens makes the server answer 401 to every access token issued
// so far. A netoauth client renews for a 401 at most once in 30 s, so a second
// call within that time shows; InProcess in a bubble lets the time pass.
func (s *Server) RevokeAccessTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.accessTokens)
}

// RevokeRefreshTokens makes the server answer 400 to every refresh token issued
// so far.
func (s *Server) RevokeRefreshTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.refreshTokens)
}

// Delay makes every token request wait for d, from the next one on, before the
// server takes it up. If the client goes away in that time, nothing happens and
// a refresh token stays unused. 0 ends it.
func (s *Server) Delay(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = d
}

// Fail makes fault answer the next n token requests instead of the endpoints,
// which then never see them; n < 0: all, until the next call. n = 0 or a nil
// fault ends it. A fault may be any handler: beside the ready-made ones,
// [Status], [Answer], [Drop], [CutOff] and [Hang], one that looks at the
// request; it can read the body.
func (s *Server) Fail(n int, fault http.Handler) {
	if fault == nil {
		n = 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.fault = n, fault
}

// Requests returns how many requests have arrived for a token endpoint, such as
// [RefreshPath], refused and faulted ones included; for "", how many for all
// three.
func (s *Server) Requests(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if path != "" {
		return s.requests[path]
	}
	sum := 0
	for _, n := range s.requests {
		sum += n
	}
	return sum
}

// ServeHTTP makes the Server a handler, so that a test can put it behind one of
// its own, or into another server.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if e, ok := endpoints[r.URL.Path]; ok {
		s.serveToken(w, r, e)
		return
	}
	s.setDate(w)
	if h, pattern := s.mux.Handler(r); pattern == "" {
		// What ServeMux would answer, but with the API's error object.
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", rec.Header().Get("Allow"))
			writeError(w, rec.Code, "the path has no such method")
			return
		}
		writeError(w, http.StatusNotFound, "no such path")
		return
	}
	if !s.authorized(r) {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		writeError(w, http.StatusUnauthorized, "the access token is missing, expired, revoked or not from this server")
		return
	}
	s.mux.ServeHTTP(w, r)
}

func (s *Server) authorized(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	s.mu.Lock()
	defer s.mu.Unlock()
	end, ok := s.accessTokens[token]
	return ok && strings.EqualFold(scheme, "Bearer") && time.Now().Before(end)
}

// setDate sets the Date header from the server's clock, which net/http would
// set from the machine's.
func (s *Server) setDate(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
}

// now is the time on the server's clock. s.mu must be held.
func (s *Server) now() time.Time { return time.Now().Add(s.offset) }

// writeError answers with the API's error object.
func writeError(w http.ResponseWriter, code int, message string) {
	writeJSON(w, code, struct {
		Status  int    `json:"status"`
		Name    string `json:"name"`
		Message string `json:"message"`
	}{code, http.StatusText(code), message})
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(v) // an error here is the client's leaving
}
