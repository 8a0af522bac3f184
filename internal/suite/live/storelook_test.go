package live_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// A program that was told to wait for 10 minutes sees what another has got meanwhile.
func TestStore_isLookedAtInTheWaitAfterAFailure(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		s := newStore(mustLogIn(t, w, spent))
		w.Fail(-1, netoauthtest.Status(429, "Retry-After", "600"))
		src := of(s.options()).TokenSource(w.Ctx)
		if _, err := src.Token(); err == nil {
			t.Fatal("a token, want an error")
		}
		s.Take()
		time.Sleep(time.Second)
		for range 10 {
			src.Token()
			time.Sleep(100 * time.Millisecond)
		}
		suite.Diff(t, "calls within a second", []string{"Load"}, s.Take())

		w.Fail(0, nil)
		renewed := mustLogIn(t, w, 0)
		s.put(renewed)
		time.Sleep(time.Second)
		suite.Diff(t, "token", renewed.AccessToken, suite.MustToken(t, src))
		suite.Diff(t, "no error", true, netoauth.StatusOf(src).Err == nil)
	})
}

// A Store that does not answer costs a first token 5 s, and the next exchanges no more.
func TestStore_thatHangsCostsFiveSeconds(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		s := newStore(mustLogIn(t, w, spent))
		var calls atomic.Int32
		s.load = func(context.Context) error { // the first hangs, whatever its context says
			if calls.Add(1) == 1 {
				time.Sleep(time.Hour)
			}
			return nil
		}
		src := w.Credential(suite.Password, s.options()).TokenSource(w.Ctx)
		start := time.Now()
		suite.MustToken(t, src)
		if took := time.Since(start); took < 5*time.Second || took > 5100*time.Millisecond {
			t.Errorf("the first token took %v, want 5 s", took)
		}
		for range 5 {
			time.Sleep(spent)
			start = time.Now()
			suite.MustToken(t, src)
			suite.Diff(t, "wait", time.Duration(0), time.Since(start))
		}
		suite.Diff(t, "calls", 1, strings.Count(strings.Join(s.Take(), " "), "Load"))
		time.Sleep(time.Hour)
		suite.MustToken(t, src)
		suite.Diff(t, "once it has returned it is asked again", true,
			strings.Contains(strings.Join(s.Take(), " "), "Load"))
	})
}

// Programs that queue behind a slow exchange wait for it, longer than it can take.
func TestStore_queueBehindASlowExchange(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		s := newStore(mustLogIn(t, w, spent))
		w.Delay(25 * time.Second)
		done := make(chan error)
		for range 50 {
			src := w.Credential(suite.APIKey, s.options()).TokenSource(w.Ctx)
			go func() {
				_, err := src.Token()
				done <- err
			}()
		}
		for range 50 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		suite.Diff(t, "log-ins", 0, w.Requests(netoauthtest.APIKeyPath))
		suite.Diff(t, "refreshes", 1, w.Requests(netoauthtest.RefreshPath))
	})
}

// Replicas that lag behind each other show one revoked token after the other. The API is asked all
// the same.
func TestStore_replicasThatLagKeepNobodyFromAskingTheAPI(t *testing.T) {
	for replicas := 2; replicas < 5; replicas++ {
		suite.InBubble(t, func(t *testing.T, w *suite.World) {
			w.Handle("/", suite.Answer(200, ""))
			tokens := make([]*oauth2.Token, replicas)
			for i := range tokens {
				tokens[i] = mustLogIn(t, w, 0)
			}
			s := newStore(tokens[0])
			n := 0
			s.load = func(context.Context) error { n++; s.put(tokens[n%replicas]); return nil }
			client := w.Credential(suite.Password, s.options()).Client(w.Ctx)
			suite.MustGet(t, client, w.URL)
			w.RevokeAccessTokens()
			suite.Diff(t, "status", 200, suite.MustGet(t, client, w.URL))
		})
	}
}

// The session that another program left ends there: the refresh token of before is not sent.
func TestStore_newerTokenWithoutARefreshToken(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		sent := recordRefreshes(w)
		s := newStore(mustLogIn(t, w, 0))
		src := w.Credential(suite.Password, s.options()).TokenSource(w.Ctx)
		suite.MustToken(t, src)
		s.put(&oauth2.Token{AccessToken: "newer", Expiry: time.Now().Add(5 * time.Minute), ExpiresIn: 300})
		time.Sleep(spent)
		suite.MustToken(t, src)
		suite.Diff(t, "refresh tokens sent", nothing, sent.Take())
	})
}

// By whoever put it there. The others log in.
func TestStore_refreshTokenWithALineBreak(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		sent := recordRefreshes(w)
		s := newStore(&oauth2.Token{RefreshToken: "refresh token\n"})
		c := of(s.options())
		_, err := c.TokenSource(w.Ctx).Token()
		if _, only := c.(*netoauth.Refresh); only {
			if err == nil || !strings.Contains(err.Error(), "line break") || errors.Is(err, netoauth.ErrRejected) {
				t.Errorf("error %v, want one that says so", err)
			}
		} else if err != nil {
			t.Error(err)
		}
		suite.Diff(t, "refresh tokens sent", nothing, sent.Take())
	})
}

// While a renewal waits for a Store, a token serves to a second before its end.
func TestStore_noRequestWaitsWhileARenewalWaitsForIt(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.SetLifetimes(time.Minute, time.Hour)
		w.Handle("/", suite.Answer(200, ""))
		s := newStore(nil)
		client := w.Credential(suite.APIKey, s.options()).Client(w.Ctx)
		suite.MustGet(t, client, w.URL)
		s.load = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		for begun := time.Now(); time.Since(begun) < 10*time.Minute; time.Sleep(100 * time.Millisecond) {
			mustGetAtOnce(t, client, w.URL)
		}
	})
}

// A log-in in the place of a Store that cannot be used does not wait for that: a token serves as
// long as during any renewal.
func TestStore_requestsWaitForALogInWithoutIt(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.SetLifetimes(time.Minute, time.Hour)
		s := newStore(nil)
		s.before = failing
		src := w.Credential(suite.APIKey, s.options()).TokenSource(w.Ctx)
		first := suite.MustToken(t, src)
		time.Sleep(53 * time.Second)
		w.Delay(5 * time.Second)
		suite.Diff(t, "token before its margin", first, suite.MustToken(t, src))
		time.Sleep(2 * time.Second)
		suite.Diff(t, "in its margin, the same token", false, first == suite.MustToken(t, src))
	})
}
