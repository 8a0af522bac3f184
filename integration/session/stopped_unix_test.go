//go:build unix

package session

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// A program that is stopped while it has the lock keeps the others from refreshing, not from what
// they have. Later they log in, or say what to do. None of them uses the refresh token, so that all
// go on once that program does.
func TestSession_waitsForAStoppedProgram(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 4*time.Second, 0)
	a.store(t, a.logIn(t))
	refresh := start(t, a.program("refresh", "refresh token"))
	password := start(t, a.program("password", "password"))
	a.awaitServed(t, "refresh", 1)
	a.awaitServed(t, "password", 1)

	h := a.hold("stopped")
	p := a.program("stopped", "refresh token")
	p.Exchange = true
	stopped := start(t, p)
	await(t, "it has the lock", func() bool { return closed(h.arrived) })
	if err := stopped.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	before := a.requests()
	a.awaitServed(t, "refresh", 10)
	a.awaitServed(t, "password", 10)
	await(t, "one program fails and the other logs in", func() bool {
		return refresh.stderr.String() != "" && a.requests().Password > before.Password
	})
	a.awaitServed(t, "password", 10)
	if got := a.requests().since(before); got != (requests{Password: 1}) {
		t.Errorf("token requests while a program was stopped: %+v, want one log-in", got)
	}

	if err := stopped.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	close(h.release)
	stopped.wait(t)
	await(t, "another program refreshes, too", func() bool { return a.requests().Refresh > before.Refresh+1 })
	a.awaitServed(t, "refresh", 10)
	a.awaitServed(t, "password", 10)
	wantNoTrouble(t, "password", password.stop(t))
	got := refresh.stop(t)
	if got.Failed == 0 || got.Rejected > 0 || got.Unauthorized > 0 || got.Exchanges == 0 {
		t.Errorf("a program without a log-in: %+v", got)
	}
	for _, says := range []string{"the Store cannot be used, so the refresh token was left unused",
		"another program holds", a.file.Path + ".lock", "end it or try later"} {
		if !strings.Contains(got.Error, says) {
			t.Errorf("error %q, want %q in it", got.Error, says)
		}
	}
	if made := a.requests().since(before); made.Password > 1 {
		t.Errorf("%d log-ins, want one", made.Password)
	}
	a.wantAlive(t, a.stored(t).RefreshToken)
}
