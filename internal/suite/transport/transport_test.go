// Package transport_test holds what netoauth.Transport promises as an http.RoundTripper.
package transport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// sourceWithToken returns a token source of the package for https://api.test that has a token in hand and
// cannot get another.
func sourceWithToken() oauth2.TokenSource {
	p := &netoauth.Password{URL: "https://api.test/api/v1", Username: "u", Password: "p"}
	p.InitialToken = &oauth2.Token{
		AccessToken: strings.Repeat("t", 1000),
		Expiry:      time.Now().Add(time.Hour),
	}
	return p.TokenSource(suite.Over(context.Background(), suite.Answer(500, "")))
}

// foreign is a token source from elsewhere.
var foreign = oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "t"})

// anAnswer is what the API says.
var anAnswer = suite.Answer(200, "the API's answer")

func TestTransport_closesTheRequestBodyOnce(t *testing.T) {
	failing := suite.TokenSource(func() (*oauth2.Token, error) { return nil, errors.New("no token today") })
	empty := suite.TokenSource(func() (*oauth2.Token, error) { return nil, nil })
	spent := (&netoauth.Refresh{URL: "https://api.test", RefreshToken: "r"}).TokenSource(t.Context())
	over, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name    string
		src     oauth2.TokenSource
		ctx     context.Context
		url     string
		status  int
		wantErr string // after what all errors begin with
	}{
		{"no source", nil, t.Context(), "https://api.test", 200, "netoauth: Transport's Source is nil"},
		{"failing source", failing, t.Context(), "https://api.test", 200, "no token today"},
		{"source without a token", empty, t.Context(), "https://api.test", 200,
			"netoauth: Transport's Source returned no token"},
		{"context over", spent, over, "https://api.test", 200,
			"netoauth: waiting for an access token: context canceled"},
		{"foreign source", foreign, t.Context(), "https://api.test", 200, ""},
		{"token in hand", sourceWithToken(), t.Context(), "https://api.test", 200, ""},
		{"another origin", sourceWithToken(), t.Context(), "https://other.test", 200, ""},
		{"401, no GetBody", sourceWithToken(), t.Context(), "https://api.test", 401, ""},
		{"401, foreign source", foreign, t.Context(), "https://api.test", 401, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := &suite.CountingBody{Reader: strings.NewReader("body")}
			req, err := http.NewRequestWithContext(tt.ctx, http.MethodPost, tt.url, body)
			if err != nil {
				t.Fatal(err)
			}
			transport := &netoauth.Transport{Source: tt.src, Base: suite.Answer(tt.status, "")}
			resp, err := transport.RoundTrip(req)
			if tt.wantErr != "" {
				suite.Diff(t, "error", "request not sent, no access token: "+tt.wantErr, fmt.Sprint(err))
			} else if err != nil || resp.StatusCode != tt.status {
				t.Errorf("%v, %v; want status %d", resp, err, tt.status)
			}
			suite.Diff(t, "times the body was closed", int64(1), body.Closed.Load())
		})
	}
}

func TestTransport_doesNotChangeTheRequest(t *testing.T) {
	for _, header := range []http.Header{nil, {}, {"X-Id": {"1", "2"}, "Authorization": {"the caller's"}}} {
		var sent *http.Request
		base := suite.RoundTripper(func(req *http.Request) (*http.Response, error) {
			sent = req
			return anAnswer.RoundTrip(req)
		})
		req, _ := http.NewRequest(http.MethodGet, "https://api.test", nil)
		req.Header = header
		before := req.Header.Clone()
		resp, err := (&netoauth.Transport{Source: sourceWithToken(), Base: base}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		suite.Diff(t, "header of the caller's request, before and after", before, req.Header)
		if resp.Request != req {
			t.Error("the response's request is not the caller's: whoever logs it shows the token")
		}
		if got := sent.Header.Get("Authorization"); !strings.HasPrefix(got, "Bearer tttt") {
			t.Errorf("sent with Authorization %.12q", got)
		}
	}
}

func TestTransport_sendsTheTokenToItsOriginOnly(t *testing.T) {
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
		{"https://api.test:8443", "http://api.test:8443/", false},
		{"https://api.test", "https://api.test:8443/", false},
		{"https://api.test", "https://api.test:80/", false},
		{"https://api.test", "https://api.test./", false},
		{"https://api.test", "https://evil.api.test/", false},
		{"https://api.test", "https://api.test.evil/", false},
		{"https://api.test", "https://api.test@evil.test/", false},
		{"http://127.0.0.1:1", "http://localhost:1/", false},
	}
	for _, tt := range tests {
		t.Run(tt.url+" of "+tt.base, func(t *testing.T) {
			r := &netoauth.Refresh{URL: tt.base, RefreshToken: "r"}
			r.InitialToken = &oauth2.Token{AccessToken: "t"}
			var authorized []bool
			base := suite.RoundTripper(func(req *http.Request) (*http.Response, error) {
				authorized = append(authorized, req.Header.Get("Authorization") == "Bearer t")
				return anAnswer.RoundTrip(req)
			})
			transport := &netoauth.Transport{Source: r.TokenSource(t.Context()), Base: base}
			client := &http.Client{Transport: transport}
			suite.Diff(t, "status", 200, suite.MustGet(t, client, tt.url))
			suite.Diff(t, "requests, whether they got the token", []bool{tt.want}, authorized)
		})
	}
}

func TestTransport_leavesARequestWithoutAURLToItsBase(t *testing.T) {
	for _, src := range []oauth2.TokenSource{sourceWithToken(), foreign} {
		if _, err := (&netoauth.Transport{Source: src}).RoundTrip(&http.Request{}); err == nil {
			t.Error("no error for a request without a URL")
		}
	}
}

func TestTransport_sendsNoTokenAfterARedirectAway(t *testing.T) {
	seen := make(chan string, 10) // "server: whether it got a token"
	server := func(name string, next func() string) string {
		return suite.Serve(t, func(w http.ResponseWriter, r *http.Request) {
			seen <- fmt.Sprint(name, ": ", r.Header.Get("Authorization") != "")
			http.Redirect(w, r, next()+r.URL.Path+"x", http.StatusTemporaryRedirect)
		})
	}
	var home, away string
	var fromAway []string // where it redirects to, in turn
	home = server("home", func() string { return away })
	away = server("away", func() (to string) { to, fromAway = fromAway[0], fromAway[1:]; return to })
	own := &netoauth.Refresh{URL: home, RefreshToken: "r"}
	own.InitialToken = &oauth2.Token{AccessToken: "t"}
	sources := map[string]oauth2.TokenSource{"of the package": own.TokenSource(t.Context()), "foreign": foreign}
	for name, src := range sources {
		t.Run(name, func(t *testing.T) {
			fromAway = []string{away, home, away}
			client := &http.Client{
				Transport: &netoauth.Transport{Source: src},
				CheckRedirect: func(_ *http.Request, via []*http.Request) error {
					if len(via) == 5 {
						return http.ErrUseLastResponse
					}
					return nil
				},
			}
			resp, err := client.Post(home+"/", "text/plain", strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			var got []string
			for len(seen) > 0 {
				got = append(got, <-seen)
			}
			want := []string{"home: true", "away: false", "away: false", "home: true", "away: false"}
			suite.Diff(t, "requests", want, got)
		})
	}
}

// A base need not say which request it answers, and a client may follow more redirects than
// http.Client's ten.
func TestTransport_foreignTokenFollowsNoRedirectAway(t *testing.T) {
	const home = "https://api.test:8443"
	awayAndBack := []string{"https://away.test/1", "https://away.test/2", home + "/end"}
	tests := []struct {
		name      string
		mute      bool // the base, of which request it answers
		redirects []string
		want      []bool // whether the requests got the token
	}{
		{"away and back", false, awayAndBack, []bool{true, false, false, true}},
		{"away and back, which nobody can know", true, awayAndBack, []bool{true, false, false, false}},
		{"to plain http", false, []string{"http://api.test:8443/"}, []bool{true, false}},
		{"many at home", false, slices.Repeat([]string{home}, 30), slices.Repeat([]bool{true}, 31)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []bool
			base := suite.RoundTripper(func(req *http.Request) (*http.Response, error) {
				answer := anAnswer
				if n := len(got); n < len(tt.redirects) {
					answer = suite.Answer(307, "", "Location", tt.redirects[n])
				}
				got = append(got, req.Header.Get("Authorization") == "Bearer t")
				resp, err := answer.RoundTrip(req)
				if tt.mute {
					resp.Request = nil
				}
				return resp, err
			})
			client := &http.Client{
				Transport:     &netoauth.Transport{Source: foreign, Base: base},
				CheckRedirect: func(*http.Request, []*http.Request) error { return nil },
			}
			suite.Diff(t, "status", 200, suite.MustGet(t, client, home))
			suite.Diff(t, "requests, whether they got the token", tt.want, got)
		})
	}
}

func TestTransport_baseMayUseOneAnswerTwice(t *testing.T) {
	shared, _ := suite.Answer(302, "", "Location", "https://api.test/x").RoundTrip(&http.Request{})
	base := suite.RoundTripper(func(req *http.Request) (*http.Response, error) {
		shared.Request = req
		return shared, nil
	})
	client := &http.Client{Transport: &netoauth.Transport{Source: foreign, Base: base}}
	_, err := client.Get("https://api.test/")
	if err == nil || !strings.Contains(err.Error(), "10 redirects") {
		t.Errorf("error %v, want http.Client's limit of redirects", err)
	}
}

func TestTransport_renewsAfterA401AndSendsTheRequestAgain(t *testing.T) {
	tests := []struct {
		name     string
		body     io.Reader
		change   func(*http.Request)
		stubborn bool // the API, which refuses each POST
		want     int  // status
		sent     []string
	}{
		{name: "no body", want: 200, sent: []string{"", ""}},
		{name: "http.NoBody", body: http.NoBody, want: 200, sent: []string{"", ""}, change: func(r *http.Request) {
			r.GetBody = nil
		}},
		{name: "GetBody", body: strings.NewReader("body"), want: 200, sent: []string{"body", "body"}},
		{name: "no GetBody", body: io.MultiReader(strings.NewReader("body")), want: 401, sent: []string{"body"}},
		{name: "a second 401", stubborn: true, want: 401, sent: []string{"", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := suite.NewWorld(t)
			w.Handle("/", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if tt.stubborn && r.Method == http.MethodPost {
					netoauthtest.Status(401).ServeHTTP(rw, r)
				}
			}))
			client := w.Key.Client(w.Ctx)
			suite.MustGet(t, client, w.URL)
			w.RevokeAccessTokens()

			var sent []string
			transport := client.Transport.(*netoauth.Transport)
			transport.Base = suite.RoundTripper(func(req *http.Request) (*http.Response, error) {
				var body []byte
				if req.Body != nil {
					body, _ = io.ReadAll(req.Body)
					req.Body = io.NopCloser(bytes.NewReader(body))
				}
				sent = append(sent, string(body))
				return http.DefaultTransport.RoundTrip(req)
			})
			req, _ := http.NewRequest(http.MethodPost, w.URL, tt.body)
			if tt.change != nil {
				tt.change(req)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode == 401 && !strings.Contains(string(text), "message") {
				t.Errorf("the answer's body is %q, %v; want it whole", text, err)
			}
			suite.Diff(t, "status", tt.want, resp.StatusCode)
			suite.Diff(t, "bodies sent", tt.sent, sent)
		})
	}
}

func TestTransport_closesA401BeforeTheReplay(t *testing.T) {
	w := suite.NewWorld(t)
	body := &suite.CountingBody{Reader: strings.NewReader(strings.Repeat("x", 100<<10))}
	sent := 0
	transport := w.Key.Client(w.Ctx).Transport.(*netoauth.Transport)
	transport.Base = suite.RoundTripper(func(req *http.Request) (*http.Response, error) {
		if sent++; sent == 1 {
			return &http.Response{StatusCode: http.StatusUnauthorized, Body: body}, nil
		}
		suite.Diff(t, "times the 401's body was closed", int64(1), body.Closed.Load())
		return &http.Response{StatusCode: http.StatusUnauthorized}, nil // and no body at all
	})
	req, _ := http.NewRequest(http.MethodGet, w.URL, nil)
	for range 2 {
		if resp, err := transport.RoundTrip(req); err != nil || resp.StatusCode != http.StatusUnauthorized {
			t.Error(resp, err)
		}
	}
	suite.Diff(t, "requests: one, its replay, and one that may not force a renewal", 3, sent)
}

func TestTransport_dropsInForThatOfOauth2(t *testing.T) {
	token := &oauth2.Token{AccessToken: "t", TokenType: "mac"}
	old := &oauth2.Transport{Source: oauth2.StaticTokenSource(token)}
	got := ""
	old.Base = suite.RoundTripper(func(req *http.Request) (*http.Response, error) {
		got = req.Header.Get("Authorization")
		return anAnswer.RoundTrip(req)
	})
	suite.MustGet(t, &http.Client{Transport: (*netoauth.Transport)(old)}, "https://anywhere.test")
	suite.Diff(t, "Authorization", "MAC t", got)
}

// A Transport over the context client's own, in a client like it; that one stays as it is.
func TestClient_isLikeTheOneInTheContext(t *testing.T) {
	jar, _ := cookiejar.New(nil)
	base := &closer{RoundTripper: anAnswer}
	last := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	inner := &http.Client{Transport: base, Jar: jar, Timeout: time.Hour, CheckRedirect: last}
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, inner)
	got := (&netoauth.Refresh{RefreshToken: "r"}).Client(ctx)
	if got == inner || inner.Transport != base {
		t.Errorf("the client in the context has changed: %+v", inner)
	}
	if transport, ok := got.Transport.(*netoauth.Transport); !ok || transport.Base != base {
		t.Errorf("the Transport is %+v, want one over the client's own", got.Transport)
	}
	if got.Jar != inner.Jar || got.Timeout != inner.Timeout || got.CheckRedirect == nil ||
		got.CheckRedirect(nil, nil) != http.ErrUseLastResponse {
		t.Errorf("Jar, Timeout or CheckRedirect is not the client's: %+v", got)
	}
	got.CloseIdleConnections()
	if !base.closed {
		t.Error("CloseIdleConnections did not reach the base")
	}
	(&netoauth.Transport{Base: anAnswer}).CloseIdleConnections() // a base that has none to close
}

type closer struct {
	http.RoundTripper
	closed bool
}

func (c *closer) CloseIdleConnections() { c.closed = true }
