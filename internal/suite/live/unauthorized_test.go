package live_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
)

func TestTransport_401ForcesARenewalAtMostOnceIn30s(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.SetLifetimes(time.Hour, 2*time.Hour)
		w.Handle("/", netoauthtest.Status(401))
		client := w.Key.Client(w.Ctx)
		var exchanges []string // when, and how many until then
		for start, seen := time.Now(), 0; time.Since(start) < 100*time.Second; time.Sleep(time.Second) {
			suite.Diff(t, "status for the caller", 401, suite.MustGet(t, client, w.URL))
			if n := w.Requests(""); n > seen {
				exchanges, seen = append(exchanges, fmt.Sprint(time.Since(start), " ", n)), n
			}
		}
		suite.Diff(t, "exchanges, the first one included", []string{"0s 2", "30s 3", "1m0s 4", "1m30s 5"}, exchanges)
	})
}

// However soon after a forced renewal, a 401 waits for one that is under way. That one does not
// count as forced.
func TestTransport_401JoinsARenewalWithoutForcingOne(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.SetLifetimes(20*time.Second, time.Hour)
		w.Handle("/", suite.Answer(200, ""))
		client := w.Key.Client(w.Ctx)
		suite.MustGet(t, client, w.URL)
		w.RevokeAccessTokens()
		suite.MustGet(t, client, w.URL)      // forces a renewal, at 0 s
		time.Sleep(17200 * time.Millisecond) // stale
		w.RevokeAccessTokens()
		w.Delay(time.Second)
		// Starts a renewal in the background, and is refused meanwhile.
		suite.Diff(t, "status from the renewal under way", 200, suite.MustGet(t, client, w.URL))
		w.Delay(0)
		time.Sleep(12 * time.Second) // 30.2 s; the token of 18.2 s is fresh
		w.RevokeAccessTokens()
		suite.Diff(t, "status when nothing was forced for 30 s", 200, suite.MustGet(t, client, w.URL))
	})
}

// Though the renewal was not forced, so that the 30 s would let one be.
func TestTransport_second401IsTheCallersAfterARenewalItJoined(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		src := w.Key.TokenSource(w.Ctx)
		suite.MustToken(t, src)
		time.Sleep(stale)
		w.Delay(time.Second)
		sent := 0
		base := suite.RoundTripper(func(req *http.Request) (*http.Response, error) {
			sent++
			return suite.Answer(401, "").RoundTrip(req)
		})
		client := &http.Client{Transport: &netoauth.Transport{Source: src, Base: base}}
		suite.Diff(t, "status", 401, suite.MustGet(t, client, w.URL))
		netoauth.Wait(w.Ctx, src)
		suite.Diff(t, "times the request was sent", 2, sent)
		suite.Diff(t, "token requests", 2, w.Requests(""))
	})
}

func TestTransport_401ToAReplacedTokenRenewsNothing(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		var seen atomic.Int32
		w.Handle("/", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			if seen.Add(1) == 1 {
				time.Sleep(5 * time.Minute) // until the token with which it came is long replaced
				rw.WriteHeader(401)
			}
		}))
		client := w.Key.Client(w.Ctx)
		var all sync.WaitGroup
		all.Go(func() {
			resp, err := client.Get(w.URL)
			if err != nil || resp.StatusCode != 200 {
				t.Errorf("%v, %v; want a replay with the current token", resp, err)
			}
		})
		for range 310 {
			time.Sleep(time.Second)
			suite.MustGet(t, client, w.URL)
		}
		all.Wait()
		suite.Diff(t, "token requests: the first and the renewal", 2, w.Requests(""))
	})
}
