package live_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

func TestStore_refreshTokenUsedIsTheStoredOne(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		sent := recordRefreshes(w)
		s := newStore(mustLogIn(t, w, spent))
		var want []string
		src := of(s.options()).TokenSource(w.Ctx)
		for range 3 {
			want = append(want, s.get().RefreshToken)
			got := suite.MustToken(t, src)
			suite.Diff(t, "stored token", s.get().AccessToken, got)
			time.Sleep(spent)
		}
		suite.Diff(t, "refresh tokens sent", want, sent.Take())
		// Another program's, which is spent when it is seen.
		used := s.get().RefreshToken
		renewed := renew(t, w, s.get(), s)
		want = []string{used, renewed.RefreshToken}
		time.Sleep(spent)
		suite.MustToken(t, src)
		suite.Diff(t, "refresh tokens sent", want, sent.Take())
	})
}

func TestStore_isLeftAloneByTokenOfALogIn(t *testing.T) {
	for _, flow := range []suite.Flow{suite.APIKey, suite.Password} {
		suite.RunInBubble(t, flow.Name, func(t *testing.T, w *suite.World) {
			s := newStore(mustLogIn(t, w, 0))
			if _, err := w.Credential(flow, s.options()).Token(w.Ctx); err != nil {
				t.Fatal(err)
			}
			suite.Diff(t, "calls and callbacks", []string{"OnToken", "OnExchange", "DEBUG"}, s.Take())
			suite.Diff(t, "refreshes", 0, w.Requests(netoauthtest.RefreshPath))
		})
	}
}

func TestStore_isUsedByTokenOfRefresh(t *testing.T) {
	for name, age := range map[string]time.Duration{"fresh": 0, "stale": stale, "spent": spent} {
		suite.RunInBubble(t, name, func(t *testing.T, w *suite.World) {
			sent := recordRefreshes(w)
			first := mustLogIn(t, w, age)
			s := newStore(first)
			r := refreshWith(w, "an older one", s.options())
			tok, err := r.Token(w.Ctx)
			if err != nil {
				t.Fatal(err)
			}
			suite.Diff(t, "stored tokens", plain(tok).RefreshToken, s.get().RefreshToken)
			again, err := r.Token(w.Ctx)
			if err != nil || again.AccessToken == tok.AccessToken {
				t.Errorf("the second: error %v, or the same token; want another", err)
			}
			suite.Diff(t, "refresh tokens sent", []string{first.RefreshToken, tok.RefreshToken}, sent.Take())
			once := []string{"Update", "stored", "OnToken", "OnExchange", "DEBUG"}
			suite.Diff(t, "calls and callbacks", slices.Concat(once, once), s.Take())

			s.before = failing
			_, err = r.Token(w.Ctx)
			suite.WantError(t, err, errStore)
			suite.Diff(t, "refresh tokens sent", nothing, sent.Take())
		})
	}
}

func TestStore_withoutAnyRefreshTokenSaysSoAtOnce(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		start := time.Now()
		_, err := w.Credential(suite.Refresh, newStore(nil).options()).TokenSource(w.Ctx).Token()
		if err == nil || !strings.Contains(err.Error(), "there is none in RefreshToken or the Store") {
			t.Errorf("error %v", err)
		}
		suite.Diff(t, "time taken", "0s", time.Since(start).String())
		suite.Diff(t, "token requests", 0, w.Requests(""))
	})
}

func TestStore_refreshTriesItsOwnTokenOnceWhereTheStoredOneIsRefused(t *testing.T) {
	for _, status := range []int{400, 401} {
		t.Run(fmt.Sprint(status), func(t *testing.T) { triesItsOwnTokenOnce(t, status) })
	}
}

// triesItsOwnTokenOnce checks what follows a refusal with this status.
func triesItsOwnTokenOnce(t *testing.T, status int) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		sent := recordRefreshes(w)
		own := mustLogIn(t, w, 0)
		s := newStore(&oauth2.Token{RefreshToken: "refused"})
		w.Fail(1, netoauthtest.Status(status))
		src := refreshWith(w, own.RefreshToken, s.options()).TokenSource(w.Ctx)
		got := suite.MustToken(t, src)
		suite.Diff(t, "stored token", s.get().AccessToken, got)
		suite.Diff(t, "refresh tokens sent", []string{"refused", own.RefreshToken}, sent.Take())

		// It is used up by now.
		next := s.get().RefreshToken
		w.RevokeRefreshTokens()
		time.Sleep(spent)
		for range 3 {
			src.Token()
			time.Sleep(3 * time.Minute)
		}
		suite.Diff(t, "refresh tokens sent", []string{next, next, next}, sent.Take())
	})
}

func TestStore_refreshDoesNotTryItsOwnTokenTwice(t *testing.T) {
	for _, tt := range []struct {
		name, stored, own string
		want              []string
	}{
		{"both refused", "stored", "own", []string{"stored", "own", "stored", "stored"}},
		{"the same", "stored", "stored", []string{"stored", "stored", "stored"}},
	} {
		suite.RunInBubble(t, tt.name, func(t *testing.T, w *suite.World) {
			sent := recordRefreshes(w)
			s := newStore(&oauth2.Token{RefreshToken: tt.stored})
			src := refreshWith(w, tt.own, s.options()).TokenSource(w.Ctx)
			for range 3 {
				_, err := src.Token()
				suite.WantError(t, err, netoauth.ErrRejected)
				time.Sleep(3 * time.Minute)
			}
			suite.Diff(t, "refresh tokens sent", tt.want, sent.Take())
		})
	}
}

// The stored session begins with Refresh's own refresh token, which was used up long ago, by an earlier run. To send it
// again once the refusals of, say, an IP allow list are over would end the session.
func TestStore_refusalsThatAreNotOfTheTokenLoseNoSession(t *testing.T) {
	for _, status := range []int{403, 404} {
		suite.RunInBubble(t, fmt.Sprint(status), func(t *testing.T, w *suite.World) {
			own := mustLogIn(t, w, 0)
			s := newStore(nil)
			renew(t, w, own, s)
			time.Sleep(spent)
			src := refreshWith(w, own.RefreshToken, s.options()).TokenSource(w.Ctx)
			w.Fail(-1, netoauthtest.Status(status))
			for range 3 {
				_, err := src.Token()
				suite.WantError(t, err, netoauth.ErrRejected)
				time.Sleep(2 * time.Minute)
			}
			w.Fail(0, nil)
			suite.MustToken(t, src)
		})
	}
}

func TestStore_writesThatFailNeverSendARefreshTokenAgain(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		sent := recordRefreshes(w)
		s := newStore(mustLogIn(t, w, spent))
		s.after = failing
		src := of(s.options()).TokenSource(w.Ctx)
		for range 5 {
			suite.MustToken(t, src)
			time.Sleep(spent)
		}
		s.after = nil
		for range 2 {
			suite.Diff(t, "stored token", suite.MustToken(t, src), s.get().AccessToken)
			time.Sleep(spent)
		}
		lines := sent.Take()
		suite.Diff(t, "refreshes", 7, len(lines))
		slices.Sort(lines)
		suite.Diff(t, "different refresh tokens", 7, len(slices.Compact(lines)))
		suite.Diff(t, "log-ins", 1, w.Requests("")-w.Requests(netoauthtest.RefreshPath))
	})
}

// A token taken over ends what the failed exchange before it meant: the next one may try again.
func TestStore_takeoverBringsTheQuickTriesBack(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		s := newStore(mustLogIn(t, w, spent))
		src := of(s.options()).TokenSource(w.Ctx)
		w.Fail(-1, netoauthtest.Status(503))
		if _, err := src.Token(); err == nil {
			t.Fatal("no error")
		}
		w.Fail(0, nil)
		s.put(mustLogIn(t, w, 0)) // by another program
		time.Sleep(2 * time.Second)
		suite.Diff(t, "token", s.get().AccessToken, suite.MustToken(t, src))
		time.Sleep(spent)
		w.Fail(-1, netoauthtest.Status(503))
		before := w.Requests("")
		src.Token()
		suite.Diff(t, "tries", 3, w.Requests("")-before)
	})
}
