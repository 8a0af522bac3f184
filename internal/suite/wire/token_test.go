package wire_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// newServer starts a strict API, outside of any bubble.
func newServer(t *testing.T) *netoauthtest.Server {
	srv := netoauthtest.NewServer()
	t.Cleanup(srv.Close)
	return srv
}

// credentials returns credentials of each flow that srv accepts. The refresh token is good once.
func credentials(t *testing.T, srv *netoauthtest.Server, o netoauth.Options) map[string]credential {
	t.Helper()
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		t.Fatal(err)
	}
	user := &netoauth.Password{URL: srv.URL, Username: srv.Username, Password: netoauth.Secret(srv.Password)}
	tok, err := user.Token(within(t.Context(), srv))
	if err != nil {
		t.Fatal(err)
	}
	key.Options, user.Options = o, o
	return map[string]credential{
		apiKey.name:   key,
		password.name: user,
		refresh.name:  &netoauth.Refresh{URL: srv.URL, RefreshToken: netoauth.Secret(tok.RefreshToken), Options: o},
	}
}

// within returns a context whose HTTP client reaches srv without a network.
func within(ctx context.Context, srv *netoauthtest.Server) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, srv.InProcess())
}

func TestTheThreeFlowsGetTokensFromAStrictServerThatItsAPITakes(t *testing.T) {
	srv := newServer(t)
	srv.Handle("GET /api/v1/things", netoauthtest.Answer(200, "application/json", "[]"))
	for name, c := range credentials(t, srv, netoauth.Options{}) {
		tok, err := c.Token(t.Context())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		req, err := http.NewRequest("GET", srv.URL+"/api/v1/things", nil)
		if err != nil {
			t.Fatal(err)
		}
		tok.SetAuthHeader(req)
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		diff(t, name+": status", 200, resp.StatusCode)
	}
}

func TestExpiryCountsFromBeforeTheRequestWasSent(t *testing.T) {
	srv := newServer(t)
	srv.SetLifetimes(time.Minute, time.Hour)
	synctest.Test(t, func(t *testing.T) {
		all := credentials(t, srv, netoauth.Options{})
		srv.Delay(12 * time.Second)
		for name, c := range all {
			start := time.Now()
			tok, err := c.Token(within(t.Context(), srv))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			diff(t, name+": time taken", "12s", time.Since(start).String())
			diff(t, name+": Expiry, from before the request", "1m0s", tok.Expiry.Sub(start).String())
			diff(t, name+": ExpiresIn", int64(60), tok.ExpiresIn)
		}
	})
}

func TestExpiryIsWallClockTimeSoThatATokenAgesWhileTheMachineSleeps(t *testing.T) {
	srv := newServer(t)
	for name, c := range credentials(t, srv, netoauth.Options{}) {
		tok, err := c.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s := tok.Expiry.String(); strings.Contains(s, " m=") {
			t.Errorf("%s: Expiry %s has a monotonic reading", name, s)
		}
	}
}

func TestTheContextBoundsToken(t *testing.T) {
	srv := newServer(t)
	srv.Fail(-1, netoauthtest.Hang())
	ends := map[string]struct {
		begin func(context.Context) (context.Context, context.CancelFunc)
		want  error
	}{
		"canceled before": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		}, context.Canceled},
		"canceled meanwhile": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(2*time.Second, cancel)
			return ctx, cancel
		}, context.Canceled},
		"deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 2*time.Second)
		}, context.DeadlineExceeded},
	}
	eachFlow(t, func(t *testing.T, f flow) {
		for name, end := range ends {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := end.begin(within(t.Context(), srv))
					defer cancel()
					start := time.Now()
					_, err := f.new(srv.URL, netoauth.Options{}).Token(ctx)
					if !errors.Is(err, end.want) || errors.Is(err, netoauth.ErrRejected) {
						t.Errorf("%v, want %v in it", err, end.want)
					}
					if took := time.Since(start); took > 2*time.Second {
						t.Errorf("Token took %v", took)
					}
					mentions(t, err.Error(), f.name)
				})
			})
		}
	})
}

func TestTheContextBoundsTokenOverTheNetwork(t *testing.T) {
	srv := newServer(t)
	srv.Fail(-1, netoauthtest.Hang())
	eachFlow(t, func(t *testing.T, f flow) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := f.new(srv.URL, netoauth.Options{}).Token(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want DeadlineExceeded in it", err)
		}
	})
}

func TestAHangingEndpointIsCutOffAfter30s(t *testing.T) {
	srv := newServer(t)
	srv.Fail(-1, netoauthtest.Hang())
	eachFlow(t, func(t *testing.T, f flow) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			_, err := f.new(srv.URL, netoauth.Options{}).Token(within(t.Context(), srv))
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, want DeadlineExceeded in it", err)
			}
			diff(t, "time taken", "30s", time.Since(start).String())
			mentions(t, err.Error(), f.name, srv.URL+f.path)
		})
	})
}

// drip is a body that gives one byte a second for ever, until its request's context ends: what net/http makes of
// a server that is slow in this way.
type drip struct{ ctx context.Context }

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		p[0] = ' '
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func TestABodyThatDripsForeverIsCutOffAfter30s(t *testing.T) {
	eachFlow(t, func(t *testing.T, f flow) {
		for _, code := range []int{200, 401, 500} {
			synctest.Test(t, func(t *testing.T) {
				ctx := over(t.Context(), roundTripper(func(r *http.Request) (*http.Response, error) {
					resp := respond(r, code, "")
					resp.Body, resp.ContentLength = io.NopCloser(drip{r.Context()}), -1
					return resp, nil
				}))
				start := time.Now()
				_, err := f.new("https://api.test", netoauth.Options{}).Token(ctx)
				diff(t, "StatusCode", code, answered(t, f, "https://api.test", err).StatusCode)
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v, want DeadlineExceeded in it", err)
				}
				diff(t, "time taken", "30s", time.Since(start).String())
			})
		}
	})
}

func TestOnTokenGetsEachIssuedTokenBeforeTheCallerDoes(t *testing.T) {
	eachFlow(t, func(t *testing.T, f flow) {
		srv := serve(t, answer(200, `{"access_token":"good","refresh_token":"another","token_type":"bearer","expires_in":300,"scope":"profile"}`))
		var issued []oauth2.Token
		c := f.new(srv.URL, netoauth.Options{OnToken: func(tok *oauth2.Token) { issued = append(issued, *tok) }})
		for n := 1; n <= 3; n++ {
			tok, err := c.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(issued) != n {
				t.Fatalf("OnToken was called %d times for %d tokens", len(issued), n)
			}
			got := issued[n-1]
			diff(t, "OnToken's token", []any{tok.AccessToken, tok.RefreshToken, tok.TokenType, tok.ExpiresIn, tok.Expiry, tok.Extra("scope")},
				[]any{got.AccessToken, got.RefreshToken, got.TokenType, got.ExpiresIn, got.Expiry, got.Extra("scope")})
		}
	})
}

func TestWhatOnTokenDoesToItsTokenStaysThere(t *testing.T) {
	eachFlow(t, func(t *testing.T, f flow) {
		srv := serve(t, answer(200, `{"access_token":"good","refresh_token":"another","expires_in":300}`))
		o := netoauth.Options{OnToken: func(tok *oauth2.Token) { *tok = oauth2.Token{AccessToken: "evil"} }}
		tok1, err1 := f.new(srv.URL, o).Token(t.Context())
		tok2, err2 := f.new(srv.URL, o).TokenSource(t.Context()).Token()
		for i, err := range []error{err1, err2} {
			tok := []*oauth2.Token{tok1, tok2}[i]
			if err != nil || tok.AccessToken != "good" || tok.RefreshToken != "another" || tok.Expiry.IsZero() {
				t.Errorf("%+v, %v", tok, err)
			}
		}
	})
}

func TestWhatACallerDoesToItsTokenStaysThere(t *testing.T) {
	eachFlow(t, func(t *testing.T, f flow) {
		srv := serve(t, answer(200, good))
		src := f.new(srv.URL, netoauth.Options{}).TokenSource(t.Context())
		for range 2 {
			tok, err := src.Token()
			if err != nil || tok.AccessToken != "good" {
				t.Fatalf("%+v, %v", tok, err)
			}
			*tok = oauth2.Token{AccessToken: "evil"}
		}
		if n := len(srv.seen()); n != 1 {
			t.Errorf("%d exchanges, want 1", n)
		}
	})
}

func TestOnTokenIsNotCalledForAnInitialTokenOrAFailure(t *testing.T) {
	eachFlow(t, func(t *testing.T, f flow) {
		srv := serve(t, answer(401, ""))
		o := netoauth.Options{OnToken: func(tok *oauth2.Token) { t.Errorf("OnToken(%+v)", tok) }}
		if _, err := f.new(srv.URL, o).Token(t.Context()); err == nil {
			t.Error("no error")
		}
		o.InitialToken = &oauth2.Token{AccessToken: "stored", RefreshToken: "stored"}
		tok, err := f.new(srv.URL, o).TokenSource(t.Context()).Token()
		if err != nil || tok.AccessToken != "stored" {
			t.Errorf("%+v, %v", tok, err)
		}
	})
}

func TestACredentialTakesPartInManyExchangesAtOnce(t *testing.T) {
	const callers = 50
	eachFlow(t, func(t *testing.T, f flow) {
		var mu sync.Mutex
		issued := 0
		n := 0
		srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			n++
			body := fmt.Sprintf(`{"access_token":"token%d","expires_in":300}`, n)
			mu.Unlock()
			answer(200, body)(w, r)
		}))
		c := f.new(srv.URL, netoauth.Options{OnToken: func(*oauth2.Token) {
			mu.Lock()
			defer mu.Unlock()
			issued++
		}})
		tokens := make(chan string, callers)
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				tok, err := c.Token(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				tokens <- tok.AccessToken
			})
		}
		all.Wait()
		close(tokens)
		distinct := make(map[string]bool)
		for tok := range tokens {
			distinct[tok] = true
		}
		if len(distinct) != callers || len(srv.seen()) != callers || issued != callers {
			t.Errorf("%d callers got %d tokens, OnToken %d", callers, len(distinct), issued)
		}
	})
}

func TestManyAPIKeysAtOnceNeverShareARequestToken(t *testing.T) {
	srv := newServer(t) // which refuses a replayed jti
	c := credentials(t, srv, netoauth.Options{})[apiKey.name]
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := c.Token(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
