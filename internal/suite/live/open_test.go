package live_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
)

// Load failed, Update did not: the stale stored token is known by then, and serves.
func TestStore_staleTokenThatOnlyUpdateSawServes(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		stored := mustLogIn(t, w, stale)
		s := newStore(stored)
		s.load = failing
		w.Fail(-1, netoauthtest.Status(503))
		tok, err := of(s.options()).TokenSource(w.Ctx).Token()
		if err != nil || tok.AccessToken != stored.AccessToken {
			t.Errorf("error %v, want the stored token", err)
		}
	})
}

// An OnToken that never returns makes no exchange a second.
func TestOptions_goexitBacksOff(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		e := &ender{times: -1, end: runtime.Goexit}
		src := places["OnToken"](w, e).TokenSource(w.Ctx)
		for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			src.Token()
		}
		if n := w.Requests(""); n > 90 {
			t.Errorf("%d token requests in 10 min, want them to back off as after a transient fault", n)
		}
	})
}
