//go:build unix

package session

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// A daemon that SIGTERM meets in the middle of a renewal, whose refresh token the server has used by
// the time that it answers, stores the next one before it ends.
func TestSession_outlivesADaemonThatSIGTERMEndsInARenewal(t *testing.T) {
	t.Parallel()
	for _, flow := range []string{"API key", "password", "refresh token"} {
		t.Run(flow, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, 40*time.Second, 0)
			token := a.logIn(t)
			token.Expiry = time.Now().Add(13 * time.Second) // renewed soon, and usable for a while after that
			a.store(t, token)
			old := a.stored(t).RefreshToken
			p := a.program("daemon", flow)
			p.Daemon = true
			h := a.hold(p.Name)
			r := start(t, p)
			await(t, "it renews", func() bool { return closed(h.arrived) })
			if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			await(t, "it is told to end", func() bool { return strings.Contains(r.stderr.String(), toldToEnd) })
			time.AfterFunc(500*time.Millisecond, func() { close(h.release) }) // enough to end without waiting
			wantNoTrouble(t, p.Name, r.wait(t))
			await(t, "the renewal has ended", func() bool { return closed(h.answered) })
			kept := a.stored(t).RefreshToken
			if kept == old {
				t.Error("the file has the refresh token that is used up")
			}
			a.wantAlive(t, kept)
		})
	}
}
