//go:build unix

package session

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// A program that is stopped while it has the lock keeps the others from refreshing, not from what they have. Later
// they log in, or say what to do. None of them uses the refresh token, so that all go on once that program does.
func TestSession_waitsForAStoppedProgram(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 3*time.Second, 0)
	a.store(t, a.logIn(t))
	before := a.requests()
	refresh, password := start(t, a.program("refresh", "refresh token")), start(t, a.program("password", "password"))
	a.wantServed(t, "refresh", 1)
	a.wantServed(t, "password", 1)

	h := a.hold("stopped")
	p := a.program("stopped", "refresh token")
	p.Exchange = true
	stopped := start(t, p)
	<-h.arrived
	if err := stopped.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	a.wantServed(t, "refresh", 10)
	a.wantServed(t, "password", 10)
	for refresh.stderr.String() == "" || a.requests().Password == before.Password {
		if time.Sleep(requestEvery); t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
	}
	a.wantServed(t, "password", 10)
	if got := a.requests().since(before); got != (requests{Password: 1}) {
		t.Errorf("token requests while a program was stopped: %+v, want one log-in", got)
	}

	if err := stopped.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	close(h.release)
	stopped.wait(t)
	a.wantServed(t, "refresh", 150) // more than 3 s: that program's token, and a refresh
	a.wantServed(t, "password", 150)
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
	if log := a.requests().since(before); log.Password > 1 {
		t.Errorf("%d log-ins, want one", log.Password)
	}
	a.wantAlive(t, a.stored(t).RefreshToken)
}
