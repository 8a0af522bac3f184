package live_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// signIn makes a credential of a flow that gets its first token by that flow's own endpoint.
func signIn(t *testing.T, w *suite.World, flow suite.Flow, o netoauth.Options) suite.Credential {
	t.Helper()
	if flow == suite.Refresh {
		return refreshWith(w, mustLogIn(t, w, 0).RefreshToken, o)
	}
	return w.Credential(flow, o)
}

func TestOptions_onExchangeIsCalledOnceAnExchange(t *testing.T) {
	accounts := map[suite.Flow]string{suite.APIKey: "example", suite.Password: "user@example.com", suite.Refresh: ""}
	for flow, account := range accounts {
		for _, tt := range []struct {
			name               string
			fault              http.Handler
			took               time.Duration // beside the pauses between tries
			tries              int           // of a source
			retryFrom, retryTo time.Duration // of a source; Token does not try again
		}{
			{"a token", nil, 1500 * time.Millisecond, 1, 0, 0},
			{"a token without an end", suite.Answer(200, `{"access_token":"t"}`), 1500 * time.Millisecond, 1, 0, 0},
			{"a transient fault", netoauthtest.Status(503), 1500 * time.Millisecond, 3,
				500 * time.Millisecond, time.Second},
			{"Retry-After", netoauthtest.Status(503, "Retry-After", "60"), 1500 * time.Millisecond, 1,
				time.Minute, 75 * time.Second},
			{"a refusal", netoauthtest.Status(401), 1500 * time.Millisecond, 1, 2500 * time.Millisecond, 5 * time.Second},
		} {
			suite.RunInBubble(t, flow.Name+"/"+tt.name, func(t *testing.T, w *suite.World) {
				var seen []netoauth.Exchange
				o := netoauth.Options{OnExchange: func(e netoauth.Exchange) { seen = append(seen, e) }}
				c := signIn(t, w, flow, o)
				w.Delay(1500 * time.Millisecond)
				w.Fail(-1, tt.fault)
				check := func(what string, tok *oauth2.Token, err error, tries int, retryFrom, retryTo time.Duration) {
					t.Helper()
					if len(seen) != 1 {
						t.Fatalf("%s: OnExchange was called %d times, want once", what, len(seen))
					}
					got := seen[0]
					seen = nil
					want := netoauth.Exchange{Flow: flow.Name, Account: account}
					if tok != nil {
						want.Expiry, want.Refreshed = tok.Expiry, flow == suite.Refresh
					}
					suite.Diff(t, what, want, got, cmpopts.IgnoreFields(got, "Took", "Err", "RetryIn"))
					if pauses := got.Took - time.Duration(tries)*tt.took; pauses < 0 || pauses > time.Duration(tries-1)*time.Second {
						t.Errorf("%s: Took %v, want it all", what, got.Took)
					}
					if got.RetryIn < retryFrom || got.RetryIn > retryTo {
						t.Errorf("%s: RetryIn %v, want %v to %v", what, got.RetryIn, retryFrom, retryTo)
					}
					if (got.Err == nil) != (err == nil) || err != nil && !strings.HasPrefix(err.Error(), got.Err.Error()) {
						t.Errorf("%s: Err %v, want the caller's %v", what, got.Err, err)
					}
				}
				src := c.TokenSource(w.Ctx)
				tok, err := src.Token()
				src.Token() // the same, or the same error, without an exchange
				check("TokenSource", tok, err, tt.tries, tt.retryFrom, tt.retryTo)
				if flow == suite.Refresh && tok != nil {
					c = refreshWith(w, tok.RefreshToken, o)
				}
				tok, err = c.Token(w.Ctx)
				check("Token", tok, err, 1, 0, 0)
			})
		}
	}
}

func TestOptions_onExchangeTellsOfALogInAfterARefusedRefresh(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		var seen []bool
		suite.MustToken(t, w.Credential(suite.Password, netoauth.Options{
			InitialToken: &oauth2.Token{RefreshToken: "refused"},
			OnExchange:   func(e netoauth.Exchange) { seen = append(seen, e.Refreshed) },
		}).TokenSource(w.Ctx))
		suite.Diff(t, "Refreshed", []bool{false}, seen)
	})
}

// Took counts all that the exchange waits for, OnToken included.
func TestOptions_onExchangeTookCountsEverything(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		s := newStore(mustLogIn(t, w, spent))
		w.RevokeRefreshTokens() // the refresh, then a log-in
		w.Delay(time.Second)
		s.before = func(context.Context) error { time.Sleep(3 * time.Second); return nil }
		s.after = func(context.Context) error { time.Sleep(5 * time.Second); return nil }
		o := s.options()
		var took time.Duration
		o.OnToken = func(*oauth2.Token) { time.Sleep(7 * time.Second) }
		o.OnExchange = func(e netoauth.Exchange) { took = e.Took }
		suite.MustToken(t, w.Credential(suite.Password, o).TokenSource(w.Ctx))
		suite.Diff(t, "Took", "17s", took.String())
	})
}

// RetryIn is the very time that the source waits.
func TestOptions_onExchangeTellsWhenTheNextOneIs(t *testing.T) {
	for name, fault := range map[string]http.Handler{
		"503": netoauthtest.Status(503), "401": netoauthtest.Status(401), "Retry-After": netoauthtest.Status(429, "Retry-After", "20"),
	} {
		suite.RunInBubble(t, name, func(t *testing.T, w *suite.World) {
			w.Fail(-1, fault)
			var last netoauth.Exchange
			n := 0
			src := w.Credential(suite.APIKey, netoauth.Options{OnExchange: func(e netoauth.Exchange) { last, n = e, n+1 }}).TokenSource(w.Ctx)
			for i := range 5 {
				src.Token()
				suite.Diff(t, "exchanges", i+1, n)
				time.Sleep(last.RetryIn - time.Nanosecond)
				src.Token()
				suite.Diff(t, "exchanges before RetryIn has passed", i+1, n)
				time.Sleep(time.Nanosecond)
			}
		})
	}
}

func TestOptions_storeAndCallbacksComeBeforeTheCallers(t *testing.T) {
	for name, fault := range map[string]http.Handler{"a token": nil, "a refusal": netoauthtest.Status(401)} {
		suite.RunInBubble(t, name, func(t *testing.T, w *suite.World) {
			w.Fail(-1, fault)
			s := newStore(nil)
			o := s.options()
			o.OnToken = func(*oauth2.Token) { time.Sleep(time.Second); s.Add("OnToken") }
			o.OnExchange = func(netoauth.Exchange) { time.Sleep(time.Second); s.Add("OnExchange") }
			src := w.Credential(suite.Password, o).TokenSource(w.Ctx)
			var all sync.WaitGroup
			for range 2 {
				all.Go(func() { src.Token(); s.Add("caller") })
			}
			all.Wait()
			want := []string{"Load", "Update", "stored", "OnToken", "OnExchange", "DEBUG", "caller", "caller"}
			if fault != nil {
				want = []string{"Load", "Update", "OnExchange", "WARN", "caller", "caller"}
			}
			suite.Diff(t, "order", want, s.Take())
		})
	}
}
