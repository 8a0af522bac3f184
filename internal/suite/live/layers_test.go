package live_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

// tapped returns an API that answers each path, and a journal of what comes to its loopback address:
// each path, and whose token it has.
func tapped(t *testing.T) (*suite.World, *suite.Journal) {
	w, tap := suite.NewWorld(t), new(suite.Journal)
	w.Handle("/", suite.Answer(200, "hello"))
	w.URL = suite.Serve(t, func(rw http.ResponseWriter, r *http.Request) {
		tap.Add(r.URL.Path + " " + accounts(r.Header["Authorization"]))
		w.ServeHTTP(rw, r)
	})
	w.Key.URL = w.URL
	return w, tap
}

// accounts names the accounts that tokens of the API are for; other values are returned as they are.
func accounts(authorization []string) string {
	var names []string
	for _, value := range authorization {
		if parts := strings.Split(value, "."); len(parts) == 3 {
			claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
			var of struct{ Shortname string }
			json.Unmarshal(claims, &of)
			value = of.Shortname
		}
		names = append(names, value)
	}
	return strings.Join(names, ", ")
}

// servesItself checks that a client gets its tokens through itself: at first, and after a revocation.
func servesItself(t *testing.T, w *suite.World, tap *suite.Journal, client *http.Client) {
	t.Helper()
	suite.Diff(t, "status", 200, suite.MustGet(t, client, w.URL+"/1"))
	w.RevokeAccessTokens()
	suite.Diff(t, "status after a revocation", 200, suite.MustGet(t, client, w.URL+"/2"))
	suite.Diff(t, "requests", []string{"/api/v1/auth/token ", "/1 example",
		"/2 example", "/api/auth/bearer/refresh ", "/2 example"}, tap.Take())
}

func TestClient_mayBeHTTPsDefaultClient(t *testing.T) {
	old := http.DefaultClient
	t.Cleanup(func() { http.DefaultClient = old })
	w, tap := tapped(t)
	http.DefaultClient = w.Key.Client(t.Context())
	servesItself(t, w, tap, http.DefaultClient)
}

func TestClient_mayBeTheOneOfItsOwnTokenRequests(t *testing.T) {
	w, tap := tapped(t)
	client := new(http.Client)
	src := w.Key.TokenSource(context.WithValue(t.Context(), oauth2.HTTPClient, client))
	client.Transport = &netoauth.Transport{Source: src}
	servesItself(t, w, tap, client)
}

func TestTransport_mayBeHTTPsDefaultTransport(t *testing.T) {
	old := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = old })
	w, tap := tapped(t)
	http.DefaultTransport = w.Key.Client(t.Context()).Transport
	servesItself(t, w, tap, http.DefaultClient)
	http.DefaultClient.CloseIdleConnections()
	servesItself(t, w, tap, w.Key.Client(t.Context()))
}

func TestClient_ofASubAccountOverTheParents(t *testing.T) {
	w, tap := tapped(t)
	parent := w.Key.Client(t.Context())
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, parent)
	sub := w.Key.Account("branch").Client(ctx)
	subsub := w.Key.Account("twig").Client(context.WithValue(t.Context(), oauth2.HTTPClient, sub))
	for _, path := range []string{"/parent", "/sub", "/subsub"} {
		client := map[string]*http.Client{"/parent": parent, "/sub": sub, "/subsub": subsub}[path]
		suite.Diff(t, "status", 200, suite.MustGet(t, client, w.URL+path))
	}
	w.RevokeAccessTokens()
	suite.Diff(t, "status after a revocation", 200, suite.MustGet(t, sub, w.URL+"/sub"))
	suite.Diff(t, "status after a revocation", 200, suite.MustGet(t, parent, w.URL+"/parent"))
	const login, refresh = "/api/v1/auth/token ", "/api/auth/bearer/refresh "
	suite.Diff(t, "requests", []string{
		login, "/parent example", login, "/sub branch", login, "/subsub twig",
		"/sub branch", refresh, "/sub branch", "/parent example", refresh, "/parent example",
	}, tap.Take())
}

type layerKey struct{}

// As long as what lies between two Transports keeps the context and the header, as one that logs does.
func TestTransport_outermostDecidesTheToken(t *testing.T) {
	layer := func(next http.RoundTripper) http.RoundTripper {
		return suite.RoundTripper(func(r *http.Request) (*http.Response, error) { return next.RoundTrip(r) })
	}
	cloning := func(next http.RoundTripper) http.RoundTripper {
		return suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
			return next.RoundTrip(r.Clone(context.WithValue(r.Context(), layerKey{}, "a value")))
		})
	}
	writing := func(write func(http.Header)) func(http.RoundTripper) http.RoundTripper {
		return func(next http.RoundTripper) http.RoundTripper {
			return suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
				write(r.Header)
				return next.RoundTrip(r)
			})
		}
	}
	adding := writing(func(h http.Header) { h.Add("Authorization", "another") })
	emptying := writing(func(h http.Header) { h.Set("Authorization", "") })
	bare := func(next http.RoundTripper) http.RoundTripper { return next }
	foreign := func(next http.RoundTripper) http.RoundTripper {
		return &netoauth.Transport{Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "x"}), Base: next}
	}
	for _, tt := range []struct {
		name    string
		between func(http.RoundTripper) http.RoundTripper
		want    string // the account
	}{
		{"at once", bare, "branch"},
		{"over a layer", layer, "branch"},
		{"over a layer that clones", cloning, "branch"},
		{"over a source from elsewhere, which counts as none and overwrites", foreign, "example"},
		{"over a layer that adds a value", adding, "example"},
		{"over a source from elsewhere, and a layer that empties its value",
			func(next http.RoundTripper) http.RoundTripper { return foreign(emptying(next)) }, "example"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, tap := tapped(t)
			inner := &netoauth.Transport{Source: w.Key.TokenSource(w.Ctx)}
			outer := netoauth.NewClient(suite.Over(w.Ctx, tt.between(inner)),
				w.Key.Account("branch").TokenSource(w.Ctx))
			for range 2 {
				suite.Diff(t, "status", 200, suite.MustGet(t, outer, w.URL+"/call"))
			}
			calls := slices.DeleteFunc(tap.Take(), func(s string) bool { return !strings.HasPrefix(s, "/call") })
			suite.Diff(t, "calls", []string{"/call " + tt.want, "/call " + tt.want}, calls)
		})
	}
}

// A request that a handler in process makes with the context of the one that it answers, be that a token request, is
// its own.
func TestTransport_aHandlersOwnRequestGetsItsOwnToken(t *testing.T) {
	w, tap := tapped(t)
	own := w.Key.Client(w.Ctx)
	inProcess := suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
		req, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, w.URL+"/for"+r.URL.Path, nil)
		resp, err := own.Do(req)
		if r.Method == http.MethodPost {
			return http.DefaultTransport.RoundTrip(r)
		}
		return resp, err
	})
	ctx := suite.Over(w.Ctx, inProcess)
	outer := netoauth.NewClient(ctx, w.Key.Account("branch").TokenSource(ctx))
	suite.Diff(t, "status", 200, suite.MustGet(t, outer, w.URL+"/call"))
	const login = "/api/v1/auth/token "
	suite.Diff(t, "requests", []string{login, "/for/api/v1/auth/token example", login, "/for/call example"}, tap.Take())
}

func TestNewClient_withoutASourceFailsEachRequest(t *testing.T) {
	_, err := netoauth.NewClient(t.Context(), nil).Get("https://api.test")
	if err == nil || !strings.Contains(err.Error(), "Transport's Source is nil") {
		t.Errorf("error %v, want it to name the Source", err)
	}
}

// Each serves its own origin, and lets through what is for the other's, token requests included.
func TestTransport_overOneForAnotherOrigin(t *testing.T) {
	home, homeTap := tapped(t)
	away, awayTap := tapped(t)
	client := new(http.Client)
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, client)
	client.Transport = &netoauth.Transport{
		Source: home.Key.TokenSource(ctx),
		Base:   &netoauth.Transport{Source: away.Key.Account("branch").TokenSource(ctx)},
	}
	for range 2 {
		suite.Diff(t, "status at home", 200, suite.MustGet(t, client, home.URL+"/home"))
		suite.Diff(t, "status away", 200, suite.MustGet(t, client, away.URL+"/away"))
		home.RevokeAccessTokens()
		away.RevokeAccessTokens()
	}
	for _, tt := range []struct {
		tap  *suite.Journal
		call string
	}{{homeTap, "/home example"}, {awayTap, "/away branch"}} {
		suite.Diff(t, "requests", []string{"/api/v1/auth/token ", tt.call,
			tt.call, "/api/auth/bearer/refresh ", tt.call}, tt.tap.Take())
	}
}

func TestTransport_ofAnUnusableCredentialPassesTokenRequests(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		client := new(netoauth.APIKey).Client(w.Ctx)
		ctx := context.WithValue(t.Context(), oauth2.HTTPClient, client)
		suite.MustToken(t, w.Key.TokenSource(ctx))
	})
}

// A gateway before the API wants its token with every request.
func TestTransport_withAForeignSourceAuthorizesTokenRequests(t *testing.T) {
	var seen []string
	gateway := &netoauth.Transport{
		Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "the gateway's"}),
		Base: suite.RoundTripper(func(req *http.Request) (*http.Response, error) {
			seen = append(seen, req.URL.Path+" "+accounts(req.Header["Authorization"]))
			return suite.Answer(200, `{"access_token":"t"}`).RoundTrip(req)
		}),
	}
	r := &netoauth.Refresh{URL: "https://api.test", RefreshToken: "r"}
	if _, err := r.Token(suite.Over(t.Context(), gateway)); err != nil {
		t.Fatal(err)
	}
	suite.Diff(t, "requests", []string{"/api/auth/bearer/refresh Bearer the gateway's"}, seen)
}

// As loggers do, which are to show no token.
func TestTransport_baseMayRedactTheAuthorization(t *testing.T) {
	for name, blot := range map[string]func(http.Header){
		"writes to the value": func(h http.Header) { h["Authorization"][0] = "***" },
		"adds a value":        func(h http.Header) { h.Add("Authorization", "***") },
		"appends to it":       func(h http.Header) { _ = append(h["Authorization"][:0], "***") },
		"sets another":        func(h http.Header) { h.Set("Authorization", "***") },
		"deletes it":          func(h http.Header) { h.Del("Authorization") },
		"clears the header":   func(h http.Header) { clear(h) },
	} {
		t.Run(name, func(t *testing.T) {
			r := &netoauth.Refresh{URL: "https://api.test", RefreshToken: "r"}
			r.InitialToken = &oauth2.Token{AccessToken: "t"}
			renewals := suite.Answer(200, `{"access_token":"t","refresh_token":"r"}`)
			base := suite.RoundTripper(func(req *http.Request) (*http.Response, error) {
				status := 200
				if got := req.Header["Authorization"]; len(got) != 1 || got[0] != "Bearer t" {
					t.Errorf("a request has Authorization %q", got)
				} else if req.URL.Path == "/refused" {
					status = 401
				}
				blot(req.Header)
				return suite.Answer(status, "").RoundTrip(req)
			})
			src := r.TokenSource(suite.Over(t.Context(), renewals))
			client := &http.Client{Transport: &netoauth.Transport{Source: src, Base: base}}
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					for range 50 {
						suite.MustGet(t, client, "https://api.test/")
						suite.MustGet(t, client, "https://api.test/refused")
					}
				})
			}
			all.Wait()
		})
	}
}

func TestTransport_foreignSourceIsAskedInTheRequestsGoroutine(t *testing.T) {
	roundTrip := func(source suite.TokenSource) (*http.Response, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.test", nil)
		return (&netoauth.Transport{Source: source, Base: suite.Answer(200, "")}).RoundTrip(req)
	}
	t.Run("a panic ends the request", func(t *testing.T) {
		defer func() { suite.Diff(t, "recovered", any("no token today"), recover()) }()
		roundTrip(func() (*oauth2.Token, error) { panic("no token today") })
		t.Error("RoundTrip returned")
	})
	t.Run("the end of the goroutine ends the request's", func(t *testing.T) {
		ended := make(chan bool)
		go func() {
			returned := false
			defer func() { ended <- !returned }()
			roundTrip(func() (*oauth2.Token, error) { runtime.Goexit(); return nil, nil })
			returned = true
		}()
		suite.Diff(t, "RoundTrip did not return", true, <-ended)
	})
	t.Run("one that hangs leaves no goroutine", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() {
					roundTrip(func() (*oauth2.Token, error) { <-release; return nil, errors.New("too late") })
				})
			}
			time.Sleep(2 * time.Second) // until the contexts are over
			stacks := make([]byte, 4<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			suite.Diff(t, "requests", 100, bytes.Count(stacks, []byte("suite.TokenSource.Token(")))
			suite.Diff(t, "goroutines that the package has started", 0,
				bytes.Count(stacks, []byte("created by github.com/netoauth/netoauth.")))
			close(release)
			all.Wait()
		})
	})
}

func TestTransport_logsARequestToAnotherOrigin(t *testing.T) {
	w, _ := tapped(t)
	away, awayTap := tapped(t)
	var log bytes.Buffer
	w.Key.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client := w.Key.Client(t.Context())
	suite.MustGet(t, client, w.URL+"/")
	log.Reset()

	suite.Diff(t, "status at home", 200, suite.MustGet(t, client, w.URL+"/"))
	suite.Diff(t, "log of a request at home", "", log.String())
	suite.Diff(t, "status away", 401, suite.MustGet(t, client, away.URL+"/secret?token=secret"))
	suite.Diff(t, "requests", []string{"/secret "}, awayTap.Take())
	var record map[string]any
	dec := json.NewDecoder(&log)
	if err := dec.Decode(&record); err != nil {
		t.Fatal(err)
	}
	delete(record, "time")
	delete(record, "msg")
	suite.Diff(t, "record", map[string]any{
		"level": "DEBUG", "flow": "API key", "account": "example", "origin": away.URL,
	}, record)
	if err := dec.Decode(&record); err != io.EOF {
		t.Errorf("another record %v, %v", record, err)
	}
}

func TestTransport_logsNoTokenRequestAsOneToAnotherOrigin(t *testing.T) {
	home, _ := tapped(t)
	away, _ := tapped(t)
	var log bytes.Buffer
	home.Key.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client := home.Key.Client(t.Context())
	if _, err := away.Key.Token(context.WithValue(t.Context(), oauth2.HTTPClient, client)); err != nil {
		t.Fatal(err)
	}
	suite.Diff(t, "log", "", log.String())
}
