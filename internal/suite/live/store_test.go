package live_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

func TestStore_isNotReadUntilATokenIsNeeded(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		s := newStore(mustLogIn(t, w, 0))
		src := of(s.options()).TokenSource(w.Ctx)
		of(s.options()).Client(w.Ctx)
		netoauth.Wait(w.Ctx, src)
		time.Sleep(time.Hour)
		suite.Diff(t, "calls and callbacks", nothing, s.Take())
	})
}

// Neither a lock, nor an exchange, nor a callback; one Debug record.
func TestStore_freshTokenIsTakenOver(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		stored := mustLogIn(t, w, 0)
		s := newStore(stored)
		src := of(s.options()).TokenSource(w.Ctx)
		for range 3 {
			suite.Diff(t, "token", stored.AccessToken, suite.MustToken(t, src))
		}
		suite.Diff(t, "calls and callbacks", []string{"Load", "DEBUG"}, s.Take())
		suite.Diff(t, "token requests", 1, w.Requests(""))
	})
}

func TestStore_renewalTakesOverWhatAnotherProgramStored(t *testing.T) {
	for name, age := range map[string]time.Duration{"stale": stale, "spent": spent} {
		suite.RunInBubble(t, name, func(t *testing.T, w *suite.World) {
			s := newStore(mustLogIn(t, w, 0))
			src := w.Credential(suite.Refresh, s.options()).TokenSource(w.Ctx)
			suite.MustToken(t, src)
			time.Sleep(age)
			next := renew(t, w, s.get(), s)
			s.Take()
			src.Token()
			netoauth.Wait(w.Ctx, src)
			suite.Diff(t, "token", next.AccessToken, suite.MustToken(t, src))
			suite.Diff(t, "calls and callbacks", []string{"Load", "DEBUG"}, s.Take())
			suite.Diff(t, "token requests", 2, w.Requests(""))
		})
	}
}

func TestStore_isSharedByPrograms(t *testing.T) {
	for _, programs := range []int{2, 5} {
		t.Run(fmt.Sprint(programs), func(t *testing.T) {
			eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
				w.Handle("/", suite.Answer(200, ""))
				s := newStore(mustLogIn(t, w, 0))
				w.Delay(200 * time.Millisecond)
				var all sync.WaitGroup
				start := time.Now()
				for range programs {
					client := of(s.options()).Client(w.Ctx)
					all.Go(func() {
						for ; time.Since(start) < time.Hour; time.Sleep(time.Second) {
							suite.Diff(t, "status", 200, suite.MustGet(t, client, w.URL))
						}
					})
				}
				all.Wait()
				if n := w.Requests(netoauthtest.RefreshPath); n < 3600/255 || n > 3600/210 {
					t.Errorf("%d refreshes in an hour, want one for each 3.5 to 4.25 min", n)
				}
				suite.Diff(t, "log-ins", 1, w.Requests("")-w.Requests(netoauthtest.RefreshPath))
			})
		})
	}
}

func TestStore_isNotForASubAccount(t *testing.T) {
	s := newStore(nil)
	key := &netoauth.APIKey{Options: s.options()}
	key.InitialToken = new(oauth2.Token)
	sub := key.Account("sub")
	if sub.InitialToken != nil || sub.OnToken != nil || sub.Store != nil || sub.OnExchange == nil || sub.Logger == nil {
		t.Error("the sub-account's key has the parent's session, or not its OnExchange and Logger")
	}
	if key.InitialToken == nil || key.OnToken == nil || key.Store == nil {
		t.Error("the parent's key has lost its session")
	}
}
