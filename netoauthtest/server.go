// Package netoauthtest runs a Netography API inside a test, in the manner of net/http/httptest. A
// user's test starts one, points the program at it and answers the calls it is interested in:
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
// The server has the three token endpoints of the API reference and is strict about requests to
// them: method, headers, closed schemas, the signature and the claims of a request token. Handlers
// added with [Server.Handle] are behind the check of the access token.
//
// A session begins with a log-in and goes on through every refresh. Request tokens and refresh
// tokens are good for one use, and a refresh token that is used twice ends its session: the second
// use is answered 400, and from then on so is the session's latest refresh token, and its access
// tokens get 401. Servers do so because one of the two users must have stolen the token, and they
// cannot tell which (RFC 9700, section 4.14.2). So two programs that start with the same refresh
// token throw each other out here, as they would at a real server. A refresh token that is expired,
// revoked or unknown is refused and ends nothing.
//
// The server makes trouble on demand: [Server.Fail] with a fault such as [Status] or [Drop],
// [Server.Delay], [Server.RevokeAccessTokens], [Server.RevokeRefreshTokens], [Server.RotateKey],
// [Server.SetAccounts], [Server.SetLifetimes], [Server.SetClock]. Trouble for some calls or accounts
// alone is a handler's own business: [AccountOf] tells it whose request it has.
//
// # Virtual time
//
// To test hours of renewals in no time, use [Server.InProcess] in a bubble of testing/synctest. The
// server has a listener and is created outside; the context inside carries the client for token
// requests; and as a bubble must not end with an exchange under way in the background,
// netoauth.Wait comes last:
//
//	func TestDay(t *testing.T) {
//		srv := netoauthtest.NewServer()
//		defer srv.Close()
//		srv.Handle("GET /api/v1/ip/list", netoauthtest.Answer(200, "application/json", `["192.0.2.7"]`))
//		key, err := netoauth.ParseAPIKey(srv.Netosecret)
//		if err != nil {
//			t.Fatal(err)
//		}
//		synctest.Test(t, func(t *testing.T) {
//			ctx := context.WithValue(t.Context(), oauth2.HTTPClient, srv.InProcess())
//			src := key.TokenSource(ctx)
//			defer netoauth.Wait(context.WithoutCancel(ctx), src)
//			client := netoauth.NewClient(ctx, src)
//			for range 24 {
//				if got := report(client, srv.URL); got != "1 address" {
//					t.Errorf("report: %q", got)
//				}
//				time.Sleep(time.Hour)
//			}
//		})
//	}
package netoauthtest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
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

// Server is a Netography API for tests. All methods may be called while it serves. Its secrets are
// made up anew for each Server, so a test can look for them where they must not turn up. A refresh
// token used twice ends its session, as the package comment says.
type Server struct {
	URL string // base URL, without a slash at its end

	// Netosecret is an API key that the server accepts, for any sub-account unless SetAccounts
	// names some. As in the documented sample it is base64 without padding, its url ends in
	// /api/v1, and its shared secret has 14 bytes: fewer than the 32 that some JOSE libraries
	// insist on for HS256. RotateKey puts another in its place and leaves this field alone.
	Netosecret string

	// Username and Password are accepted at [PasswordPath]. The password has characters that a form
	// must escape. Do not change them.
	Username, Password string

	tokenKey []byte // signs the tokens that the server issues
	mux      *http.ServeMux
	http     *httptest.Server
	stop     context.CancelFunc // ends the context of every request over the network

	mu              sync.Mutex
	key             apiKey
	access, refresh time.Duration // lifetimes
	offset          time.Duration // of the server's clock
	delay           time.Duration
	fault           http.Handler
	faults          int      // requests that fault still answers; negative: all
	faultPaths      []string // of those requests; none: all token endpoints
	accounts        []string // that the API key reaches; none: any
	requests        map[string]int
	issued          int
	accessTokens    map[string]accessToken
	sessions        map[string]*session  // by id
	jtis            map[string]time.Time // of accepted request tokens, to their iat
}

// NewServer starts a server on the loopback interface. The caller should call Close when finished,
// to shut it down.
func NewServer() *Server { return start("http", (*httptest.Server).Start) }

// NewTLSServer is NewServer with https. Its certificate is one that only [Server.Client] trusts.
func NewTLSServer() *Server { return start("https", (*httptest.Server).StartTLS) }

func start(scheme string, listen func(*httptest.Server)) *Server {
	s := &Server{
		Username:     "user@example.com",
		Password:     rand.Text() + " &=+%ü",
		tokenKey:     []byte(rand.Text()),
		mux:          http.NewServeMux(),
		requests:     make(map[string]int),
		accessTokens: make(map[string]accessToken),
		sessions:     make(map[string]*session),
		jtis:         make(map[string]time.Time),
	}
	s.SetLifetimes(5*time.Minute, 30*time.Minute)

	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.http = httptest.NewUnstartedServer(s)
	s.http.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	s.URL = scheme + "://" + s.http.Listener.Addr().String()
	s.key = newAPIKey(s.URL + "/api/v1")
	s.Netosecret = s.key.netosecret()
	listen(s.http) // last, so that the handlers see all of the above
	return s
}

// Close shuts the server down: it ends the context of each request under way over the network,
// closes the connections and waits for the handlers. Closing it again does nothing.
func (s *Server) Close() {
	s.stop()
	// httptest.Server.Close alone would wait for connections with a request whose body is still on
	// its way.
	s.http.CloseClientConnections()
	s.http.Close()
}

// Client returns an HTTP client that trusts the server's certificate. It adds no token to its
// requests.
func (s *Server) Client() *http.Client { return s.http.Client() }

// Handle adds a handler for requests that bring a good access token; without one the server answers
// 401. [AccountOf] tells the handler whose token it was. The pattern is one of [http.ServeMux],
// which also says when Handle panics. A handler for a token endpoint is never called; see
// [Server.Fail] for that.
func (s *Server) Handle(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// SetLifetimes sets how long tokens serve that are issued from now on: 5 and 30 minutes unless set.
// With refresh 0, refresh_expires_in is 0 too, which says "no known end", and the refresh token
// does not expire. An access lifetime of 0 or less makes tokens that the server refuses at once.
// Answers and claims have whole seconds; a fraction is dropped there.
func (s *Server) SetLifetimes(access, refresh time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.access, s.refresh = access, refresh
}

// SetClock sets the server's clock fast by offset, or slow where it is negative; 0 sets it right.
// The clock shows in the Date header and in iat and exp of the tokens. A request token whose iat is
// ahead of it, be it by a fraction of a second, or over a minute behind it is refused.
func (s *Server) SetClock(offset time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset = offset
}

// SetAccounts names the accounts (shortnames) that the API key reaches, from the next token request
// on. Without names, and unless set, it reaches any. A log-in with a request token for another
// account is answered 401. So that a test can take an account away from a running program, a
// refresh for it is refused too, with 400, as the reference has it for a removed user or API key;
// the session goes on once the account is named again. Access tokens stay good; see
// [Server.RevokeAccessTokens]. The log-in with [Server.Username] needs no API key and is not
// concerned.
func (s *Server) SetAccounts(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts = slices.Clone(names)
}

// RevokeAccessTokens makes the server answer 401 to every access token issued so far. A netoauth
// client renews for a 401 at most once in 30 s, so a second call within that time shows; InProcess
// in a bubble lets the time pass.
func (s *Server) RevokeAccessTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.accessTokens)
}

// RevokeRefreshTokens makes the server answer 400 to every refresh token issued so far, used or
// not. It does not concern access tokens.
func (s *Server) RevokeRefreshTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions)
}

// Delay makes every token request wait for d, from the next one on, before the server takes it up.
// If the client goes away in that time, nothing happens and a refresh token stays unused. 0 ends
// it.
func (s *Server) Delay(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = d
}

// Fail makes fault answer the next n token requests instead of the endpoints, which then never see
// them; n < 0: all, until the next call. With paths, such as [RefreshPath], it concerns only
// requests for those, and n counts only those; without, the requests for all three. Fail panics for
// a path of no token endpoint.
//
// A later call replaces the earlier one, also where it names other paths; n = 0 or a nil fault ends
// it. A fault may be any handler: beside the ready-made ones, [Status], [Answer], [Drop], [CutOff]
// and [Hang], one that looks at the request; it can read the body.
func (s *Server) Fail(n int, fault http.Handler, paths ...string) {
	for _, path := range paths {
		if _, ok := endpoints[path]; !ok {
			panic(fmt.Sprintf("netoauthtest: Fail: %q is not the path of a token endpoint", path))
		}
	}
	if fault == nil {
		n = 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.fault, s.faultPaths = n, fault, slices.Clone(paths)
}

// Requests returns how many requests have arrived for a token endpoint, such as [RefreshPath],
// refused and faulted ones included; for "", how many for all three.
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

// ServeHTTP makes the Server a handler, so that a test can put it behind one of its own, or into
// another server.
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
	account, ok := s.authorize(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		writeError(w, http.StatusUnauthorized,
			"the access token is missing, expired, revoked, of an ended session or not from this server")
		return
	}
	s.mux.ServeHTTP(w, withAccount(r, account))
}

// authorize returns the account that the access token of r is for, if it has a good one.
func (s *Server) authorize(r *http.Request) (account string, ok bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.accessTokens[token]
	if !ok || !strings.EqualFold(scheme, "Bearer") || !time.Now().Before(a.end) {
		return "", false
	}
	return a.session.shortname, true
}

// setDate sets the Date header from the server's clock, which net/http would set from the
// machine's.
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
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(v) // an error here is the client's leaving
}
