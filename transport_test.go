package netoauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// A test of a program that uses the API, with no network and no credentials.
func Example() {
	srv := netoauthtest.NewServer()
	defer srv.Close()
	srv.Handle("GET /api/v1/vpc", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"data":[]}`)
	}))

	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		log.Fatal(err)
	}
	resp, err := key.Client(context.Background()).Get(srv.URL + "/api/v1/vpc")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, string(body), "token requests:", srv.Requests(""))
	// Output: 200 OK {"data":[]} token requests: 1
}

func ExampleAPIKey() {
	srv := newExampleAPI()
	defer srv.Close()
	os.Setenv("NETOSECRET", srv.Netosecret)

	key, err := netoauth.ParseAPIKey(os.Getenv("NETOSECRET"))
	if err != nil {
		log.Fatal(err)
	}
	get(key.Client(context.Background()), srv.URL+"/api/v1/whoami")

	// The same key reaches a sub-account.
	get(key.Account("branch-office").Client(context.Background()), srv.URL+"/api/v1/whoami")
	// Output:
	// 200 OK
	// 200 OK
}

func ExamplePassword() {
	srv := newExampleAPI()
	defer srv.Close()

	user := &netoauth.Password{
		URL:      srv.URL,
		Username: srv.Username,
		Password: netoauth.Secret(srv.Password),
	}
	get(user.Client(context.Background()), srv.URL+"/api/v1/whoami")
	// Output: 200 OK
}

func ExampleRefresh() {
	srv := newExampleAPI()
	defer srv.Close()
	user := &netoauth.Password{URL: srv.URL, Username: srv.Username, Password: netoauth.Secret(srv.Password)}
	tok, err := user.Token(context.Background())
	if err != nil {
		log.Fatal(err)
	}

	// Elsewhere, where the password is not known:
	session := &netoauth.Refresh{URL: srv.URL, RefreshToken: netoauth.Secret(tok.RefreshToken)}
	get(session.Client(context.Background()), srv.URL+"/api/v1/whoami")

	// The refresh token was good for one exchange. A person must log in again.
	_, err = session.Token(context.Background())
	fmt.Println(errors.Is(err, netoauth.ErrRejected))
	// Output:
	// 200 OK
	// true
}

// OnToken stores each token before it is used, and InitialToken starts from it in the next run.
func ExampleOptions() {
	srv := newExampleAPI()
	defer srv.Close()
	var stored []byte // a file, in real life, readable by its owner alone
	run := func() {
		key, err := netoauth.ParseAPIKey(srv.Netosecret)
		if err != nil {
			log.Fatal(err)
		}
		if stored != nil {
			if err := json.Unmarshal(stored, &key.InitialToken); err != nil {
				log.Fatal(err)
			}
		}
		key.OnToken = func(tok *oauth2.Token) { stored, _ = json.Marshal(tok) }
		get(key.Client(context.Background()), srv.URL+"/api/v1/whoami")
	}
	run()
	run()
	fmt.Println("token requests:", srv.Requests(""))
	// Output:
	// 200 OK
	// 200 OK
	// token requests: 1
}

// A layer inside Transport sees what goes over the wire, one outside what the program asks for.
func ExampleTransport() {
	srv := newExampleAPI()
	defer srv.Close()
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		log.Fatal(err)
	}
	logged := func(name string, next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(req)
			if err == nil {
				fmt.Println(name, req.Method, req.URL.Path, resp.StatusCode)
			}
			return resp, err
		})
	}
	client := &http.Client{Transport: logged("outside:", &netoauth.Transport{
		Source: key.TokenSource(context.Background()),
		Base:   logged("inside: ", http.DefaultTransport),
	})}
	get(client, srv.URL+"/api/v1/whoami")
	srv.RevokeAccessTokens()
	get(client, srv.URL+"/api/v1/whoami")
	// Output:
	// inside:  GET /api/v1/whoami 200
	// outside: GET /api/v1/whoami 200
	// 200 OK
	// inside:  GET /api/v1/whoami 401
	// inside:  GET /api/v1/whoami 200
	// outside: GET /api/v1/whoami 200
	// 200 OK
}

// newExampleAPI returns an API that answers one path.
func newExampleAPI() *netoauthtest.Server {
	srv := netoauthtest.NewServer()
	srv.Handle("/api/v1/whoami", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	return srv
}

func get(client *http.Client, url string) {
	resp, err := client.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

type tokenSource func() (*oauth2.Token, error)

func (f tokenSource) Token() (*oauth2.Token, error) { return f() }

// answer is a network that answers each request with status.
func answer(status int) roundTripper {
	return func(req *http.Request) (*http.Response, error) {
		if req.Body != nil {
			req.Body.Close()
		}
		return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("the API's answer")), Request: req}, nil
	}
}

// held returns a token source of the package for https://api.test that has a token in hand and cannot get another.
func held() oauth2.TokenSource {
	p := &netoauth.Password{URL: "https://api.test/api/v1", Username: "u", Password: "p"}
	p.InitialToken = &oauth2.Token{AccessToken: strings.Repeat("t", 1000), Expiry: time.Now().Add(time.Hour)}
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Transport: answer(500)})
	return p.TokenSource(ctx)
}

// api returns a server, a client signed in to it, and the client's credentials.
func api(t *testing.T) (*netoauthtest.Server, *http.Client, *netoauth.APIKey) {
	t.Helper()
	srv := netoauthtest.NewServer()
	t.Cleanup(srv.Close)
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		t.Fatal(err)
	}
	return srv, key.Client(t.Context()), key
}

type countingBody struct {
	io.Reader
	closed atomic.Int32
}

func (b *countingBody) Close() error { b.closed.Add(1); return nil }

func TestTheRequestBodyIsClosedOnceOnEveryPath(t *testing.T) {
	failing := tokenSource(func() (*oauth2.Token, error) { return nil, errors.New("no token today") })
	static := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "t"})
	blocked := tokenSource(func() (*oauth2.Token, error) { time.Sleep(time.Millisecond); return nil, nil })
	over, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name    string
		src     oauth2.TokenSource
		ctx     context.Context
		url     string
		status  int
		wantErr string
	}{
		{"no source", nil, t.Context(), "https://api.test", 200, "request not sent, no access token: netoauth: Transport's Source is nil"},
		{"failing source", failing, t.Context(), "https://api.test", 200, "request not sent, no access token: no token today"},
		{"source without a token", blocked, t.Context(), "https://api.test", 200, "request not sent, no access token: netoauth: Transport's Source returned no token"},
		{"context over", blocked, over, "https://api.test", 200, "request not sent, no access token: netoauth: waiting for an access token: context canceled"},
		{"source from elsewhere", static, t.Context(), "https://api.test", 200, ""},
		{"token in hand", held(), t.Context(), "https://api.test", 200, ""},
		{"another origin", held(), t.Context(), "https://other.test", 200, ""},
		{"401, no GetBody", held(), t.Context(), "https://api.test", 401, ""},
		{"401, source from elsewhere", static, t.Context(), "https://api.test", 401, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := &countingBody{Reader: strings.NewReader("body")}
			req, err := http.NewRequestWithContext(tt.ctx, http.MethodPost, tt.url, body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := (&netoauth.Transport{Source: tt.src, Base: answer(tt.status)}).RoundTrip(req)
			if got := fmt.Sprint(err); tt.wantErr != "" && got != tt.wantErr {
				t.Errorf("error %q, want %q", got, tt.wantErr)
			}
			if tt.wantErr == "" && (err != nil || resp.StatusCode != tt.status) {
				t.Errorf("%v, %v; want status %d", resp, err, tt.status)
			}
			if got := body.closed.Load(); got != 1 {
				t.Errorf("body closed %d times, want once", got)
			}
		})
	}
}

func TestTheCallersRequestIsNotChanged(t *testing.T) {
	for _, header := range []http.Header{nil, {}, {"X-Id": {"1", "2"}, "Authorization": {"the caller's"}}} {
		var sent *http.Request
		base := roundTripper(func(req *http.Request) (*http.Response, error) { sent = req; return answer(200)(req) })
		req, _ := http.NewRequest(http.MethodGet, "https://api.test", nil)
		req.Header = header
		before := req.Header.Clone()
		resp, err := (&netoauth.Transport{Source: held(), Base: base}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, req.Header); diff != "" {
			t.Errorf("header of the caller's request (-before +after):\n%s", diff)
		}
		if resp.Request != req {
			t.Error("the response's request is not the caller's: a layer above that logs it shows the token")
		}
		if got := sent.Header.Get("Authorization"); !strings.HasPrefix(got, "Bearer tttt") {
			t.Errorf("sent with Authorization %.12q", got)
		}
	}
}

func TestTheTokenGoesToTheAPIsOwnOriginAlone(t *testing.T) {
	tests := []struct {
		base, url string
		want      bool
	}{
		{"https://api.test", "https://api.test/any/path?x", true},
		{"https://api.test", "https://api.test:443/", true},
		{"https://api.test:443/prefix/v1", "https://api.test/", true},
		{"https://API.test", "https://api.TEST/", true},
		{"http://127.0.0.1", "http://127.0.0.1:80/", true},
		{"https://api.test", "http://api.test/", false},
		{"https://api.test", "https://api.test:8443/", false},
		{"https://api.test", "https://api.test:80/", false},
		{"https://api.test", "https://api.test./", false},
		{"https://api.test", "https://evil.api.test/", false},
		{"https://api.test", "https://api.test.evil/", false},
		{"https://api.test", "https://api.test@evil.test/", false},
		{"http://127.0.0.1:1", "http://localhost:1/", false},
	}
	for _, tt := range tests {
		r := &netoauth.Refresh{URL: tt.base, RefreshToken: "r"}
		r.InitialToken = &oauth2.Token{AccessToken: "t"}
		req, err := http.NewRequest(http.MethodGet, tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := false
		(&netoauth.Transport{Source: r.TokenSource(t.Context()), Base: roundTripper(func(req *http.Request) (*http.Response, error) {
			got = req.Header.Get("Authorization") != ""
			return answer(200)(req)
		})}).RoundTrip(req)
		if got != tt.want {
			t.Errorf("token of %s sent to %s: %v, want %v", tt.base, tt.url, got, tt.want)
		}
	}
}

func TestARequestWithoutAURLIsTheBaseTransportsMatter(t *testing.T) {
	for _, src := range []oauth2.TokenSource{held(), oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "t"})} {
		if _, err := (&netoauth.Transport{Source: src}).RoundTrip(&http.Request{}); err == nil {
			t.Error("no error for a request without a URL")
		}
	}
}

func TestNoTokenFollowsARedirectAway(t *testing.T) {
	seen := make(chan string, 10) // "server: whether it got a token"
	server := func(name string, next func() string) *httptest.Server {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen <- fmt.Sprint(name, ": ", r.Header.Get("Authorization") != "")
			if to := next(); r.URL.Path != "/end" {
				http.Redirect(w, r, to+r.URL.Path+"x", http.StatusTemporaryRedirect)
			}
		}))
		t.Cleanup(srv.Close)
		return srv
	}
	var home, away *httptest.Server
	home = server("home", func() string { return away.URL })
	n := 0
	away = server("away", func() string { // to itself, then home, then away for good
		n++
		return []string{away.URL, home.URL, away.URL, away.URL, home.URL, away.URL}[n%6]
	})
	srv, _, key := api(t)
	_ = srv
	key.URL = home.URL
	key.InitialToken = &oauth2.Token{AccessToken: "t"}
	sources := map[string]oauth2.TokenSource{
		"of the package": key.TokenSource(t.Context()),
		"from elsewhere": oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "t"}),
	}
	for name, src := range sources {
		n = -1
		client := &http.Client{Transport: &netoauth.Transport{Source: src}, CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) == 5 {
				return http.ErrUseLastResponse
			}
			return nil
		}}
		resp, err := client.Post(home.URL+"/", "text/plain", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		var got []string
		for len(seen) > 0 {
			got = append(got, <-seen)
		}
		want := []string{"home: true", "away: false", "away: false", "home: true", "away: false"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("source %s (-want +got):\n%s", name, diff)
		}
	}
}

func TestA401RenewsTheTokenAndTheRequestIsSentOnceMore(t *testing.T) {
	tests := []struct {
		name     string
		body     io.Reader
		noRewind bool
		stubborn bool
		want     int // status
		sent     int
	}{
		{name: "no body", want: 200, sent: 2},
		{name: "http.NoBody", body: http.NoBody, noRewind: true, want: 200, sent: 2},
		{name: "a body with GetBody", body: strings.NewReader("body"), want: 200, sent: 2},
		{name: "a body without", body: io.MultiReader(strings.NewReader("body")), want: 401, sent: 1},
		{name: "a second 401", stubborn: true, want: 401, sent: 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv, client, _ := api(t)
			var bodies []string
			var sent int
			client.Transport.(*netoauth.Transport).Base = roundTripper(func(req *http.Request) (*http.Response, error) {
				sent++
				return http.DefaultTransport.RoundTrip(req)
			})
			srv.Handle("/ok", http.NotFoundHandler())
			srv.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				bodies = append(bodies, string(b))
				if tt.stubborn {
					w.WriteHeader(http.StatusUnauthorized)
				}
			}))
			resp, err := client.Get(srv.URL + "/ok")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			srv.RevokeAccessTokens()

			sent = 0
			req, _ := http.NewRequest(http.MethodPost, srv.URL, tt.body)
			if tt.noRewind {
				req.GetBody = nil
			}
			resp, err = client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil || tt.want == 401 && !tt.stubborn && !strings.Contains(string(text), "message") {
				t.Errorf("the answer's body is %q, %v; want it whole", text, err)
			}
			if resp.StatusCode != tt.want || sent != tt.sent {
				t.Errorf("status %d after %d requests, want %d after %d", resp.StatusCode, sent, tt.want, tt.sent)
			}
			if strings.HasPrefix(tt.name, "a body with GetBody") && cmp.Diff([]string{"body"}, bodies) != "" {
				t.Errorf("the API read %q", bodies)
			}
		})
	}
}

func TestAnUnreadableGetBodyLeavesTheCallerThe401(t *testing.T) {
	srv, client, _ := api(t)
	srv.Handle("/", http.NotFoundHandler())
	if resp, err := client.Get(srv.URL); err != nil || resp.StatusCode != 404 {
		t.Fatal(resp, err)
	}
	srv.RevokeAccessTokens()
	req, _ := http.NewRequest(http.MethodPost, srv.URL, strings.NewReader("body"))
	req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
	if resp, err := client.Do(req); err != nil || resp.StatusCode != 401 {
		t.Errorf("%v, %v; want the 401", resp, err)
	}
}

func TestARevocationUnder64RequestsAtOnceIsUnseenAndCostsOneExchange(t *testing.T) {
	srv, client, _ := api(t)
	srv.Handle("/", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	all := func() {
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				resp, err := client.Post(srv.URL, "text/plain", strings.NewReader("body"))
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("status %s", resp.Status)
				}
			})
		}
		wg.Wait()
	}
	all()
	srv.RevokeAccessTokens()
	all()
	if got := srv.Requests(""); got != 2 {
		t.Errorf("%d token requests, want 2", got)
	}
}

func TestA401DoesNotHoldTheConnectionThatTheRenewalNeeds(t *testing.T) {
	srv, _, key := api(t)
	srv.Handle("/", http.NotFoundHandler())
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}})
	client := key.Client(ctx)
	for range 2 {
		resp, err := client.Get(srv.URL)
		if err != nil || resp.StatusCode != http.StatusNotFound {
			t.Fatal(resp, err)
		}
		resp.Body.Close()
		srv.RevokeAccessTokens()
	}
}

func TestTheRefusedAnswerIsClosedBeforeTheReplay(t *testing.T) {
	srv, client, _ := api(t)
	body := &countingBody{Reader: strings.NewReader(strings.Repeat("x", 100<<10))}
	sent := 0
	transport := client.Transport.(*netoauth.Transport)
	transport.Base = roundTripper(func(req *http.Request) (*http.Response, error) {
		if sent++; sent == 1 {
			return &http.Response{StatusCode: http.StatusUnauthorized, Body: body}, nil
		}
		if body.closed.Load() != 1 {
			t.Error("the 401's body is not closed")
		}
		return &http.Response{StatusCode: http.StatusUnauthorized}, nil // and no body at all
	})
	req, _ := http.NewRequest(http.MethodGet, srv.URL, nil)
	for range 2 {
		if resp, err := transport.RoundTrip(req); err != nil || resp.StatusCode != http.StatusUnauthorized {
			t.Error(resp, err)
		}
	}
	if sent != 3 {
		t.Errorf("%d requests, want 3: one, its replay, and one that may not force a renewal", sent)
	}
}

// A base need not say which request it answers, and may use one answer twice.
func TestAForeignSourcesTokenStaysHomeWhateverTheBaseSaysOfItsRequests(t *testing.T) {
	static := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "t"})
	var got []string
	redirects := map[string]string{"/": "https://away.test/1", "/1": "https://away.test/2", "/2": "https://api.test/end"}
	client := &http.Client{Transport: &netoauth.Transport{Source: static, Base: roundTripper(func(req *http.Request) (*http.Response, error) {
		got = append(got, req.URL.String()+" "+req.Header.Get("Authorization"))
		resp := &http.Response{StatusCode: http.StatusTemporaryRedirect, Header: http.Header{}, Body: http.NoBody}
		if to := redirects[req.URL.Path]; to != "" {
			resp.Header.Set("Location", to)
		}
		return resp, nil
	})}}
	if _, err := client.Get("https://api.test/"); err != nil {
		t.Fatal(err)
	}
	want := []string{"https://api.test/ Bearer t", "https://away.test/1 ", "https://away.test/2 ", "https://api.test/end "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}

	shared := &http.Response{StatusCode: http.StatusFound, Header: http.Header{"Location": {"https://api.test/x"}}, Body: http.NoBody}
	client.Transport.(*netoauth.Transport).Base = roundTripper(func(req *http.Request) (*http.Response, error) {
		shared.Request = req
		return shared, nil
	})
	if _, err := client.Get("https://api.test/"); err == nil || !strings.Contains(err.Error(), "10 redirects") {
		t.Errorf("error %v, want http.Client's limit of redirects", err)
	}
}

func TestASourceFromElsewhereThatEndsItsGoroutineIsAnError(t *testing.T) {
	src := tokenSource(func() (*oauth2.Token, error) { runtime.Goexit(); return nil, nil })
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.test", nil)
	if _, err := (&netoauth.Transport{Source: src}).RoundTrip(req); err == nil || t.Context().Err() != nil {
		t.Errorf("error %v, want one before the context ends", err)
	}
}

func TestTransportDropsInForThatOfOauth2(t *testing.T) {
	old := &oauth2.Transport{Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "t", TokenType: "mac"})}
	got := ""
	old.Base = roundTripper(func(req *http.Request) (*http.Response, error) {
		got = req.Header.Get("Authorization")
		return answer(200)(req)
	})
	client := &http.Client{Transport: (*netoauth.Transport)(old)}
	if _, err := client.Get("https://anywhere.test"); err != nil || got != "MAC t" {
		t.Errorf("Authorization %q, %v", got, err)
	}
}

func TestWaitingForASourceFromElsewhereEndsWithTheContext(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	src := tokenSource(func() (*oauth2.Token, error) { <-release; return nil, errors.New("too late") })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.test", nil)
	if _, err := (&netoauth.Transport{Source: src}).RoundTrip(req); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
}

func TestClientIsTheOneInTheContextWithATransportOverItsOwn(t *testing.T) {
	jar, _ := cookiejar.New(nil)
	closed := false
	inner := &http.Client{Transport: closer{answer(200), &closed}, Jar: jar, Timeout: time.Hour,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r := &netoauth.Refresh{RefreshToken: "r"}
	got := r.Client(context.WithValue(t.Context(), oauth2.HTTPClient, inner))
	if got.Jar != inner.Jar || got.Timeout != inner.Timeout || got.CheckRedirect == nil || inner.Transport != (closer{nil, &closed}) && got == inner {
		t.Errorf("got %+v", got)
	}
	got.CloseIdleConnections()
	if !closed {
		t.Error("CloseIdleConnections did not reach the base")
	}
	(&netoauth.Transport{Base: answer(200)}).CloseIdleConnections() // a base that has none to close
}

type closer struct {
	http.RoundTripper
	closed *bool
}

func (c closer) CloseIdleConnections() { *c.closed = true }

// bare does the least that a RoundTripper with a header to set can do.
type bare struct {
	base   http.RoundTripper
	header []string
}

func (b bare) RoundTrip(req *http.Request) (*http.Response, error) {
	out := req.WithContext(req.Context())
	out.Header = maps.Clone(req.Header)
	out.Header["Authorization"] = b.header
	return b.base.RoundTrip(out)
}

// contenders are the round trippers to compare, with a token of 1 kB, and a request with six headers.
func contenders() (map[string]http.RoundTripper, *http.Request) {
	resp := &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}
	base := roundTripper(func(*http.Request) (*http.Response, error) { return resp, nil })
	src := held()
	tok, _ := src.Token()
	req, _ := http.NewRequest(http.MethodGet, "https://api.test/api/v1/things", nil)
	for _, h := range []string{"Accept", "Accept-Encoding", "Content-Type", "Traceparent", "User-Agent", "X-Request-Id"} {
		req.Header.Set(h, "value of "+h)
	}
	return map[string]http.RoundTripper{
		"bare":     bare{base, []string{"Bearer " + tok.AccessToken}},
		"netoauth": &netoauth.Transport{Source: src, Base: base},
		"oauth2":   &oauth2.Transport{Source: oauth2.ReuseTokenSource(tok, nil), Base: base},
	}, req
}

func TestARequestWithATokenInHandCostsThreeAllocations(t *testing.T) {
	rts, req := contenders()
	if got := testing.AllocsPerRun(1000, func() { rts["netoauth"].RoundTrip(req) }); got != 3 {
		t.Errorf("%v allocations, want 3", got)
	}
}

func BenchmarkTransport(b *testing.B) {
	rts, req := contenders()
	for _, name := range []string{"bare", "netoauth", "oauth2"} {
		b.Run("serial/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rts[name].RoundTrip(req)
			}
		})
		b.Run("parallel/"+name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					rts[name].RoundTrip(req)
				}
			})
		})
	}
}
