package live_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

func TestOptions_onTokenGetsEachTokenBeforeItIsUsed(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		var mu sync.Mutex
		var issued, used []string
		r := &netoauth.Refresh{URL: w.URL, RefreshToken: netoauth.Secret(mustLogIn(t, w, 0).RefreshToken)}
		r.OnToken = func(tok *oauth2.Token) {
			time.Sleep(time.Second) // a slow disk
			mu.Lock()
			defer mu.Unlock()
			issued = append(issued, tok.AccessToken+tok.RefreshToken)
			*tok = oauth2.Token{}
		}
		src := r.TokenSource(w.Ctx)
		for range 20 {
			tok, err := src.Token()
			if err != nil {
				t.Fatal(err)
			}
			if got := tok.AccessToken + tok.RefreshToken; len(used) == 0 || used[len(used)-1] != got {
				used = append(used, got)
				mu.Lock()
				if len(issued) != len(used) {
					t.Errorf("token %d is in use, OnToken was called %d times", len(used), len(issued))
				}
				mu.Unlock()
			}
			time.Sleep(4*time.Minute + 20*time.Second)
		}
		synctest.Wait()
		if diff := cmp.Diff(issued[:len(used)], used); diff != "" || len(used) < 10 {
			t.Errorf("tokens used (-issued +used):\n%s", diff)
		}
	})
}
