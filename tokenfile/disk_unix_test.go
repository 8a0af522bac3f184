//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package tokenfile_test

import (
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/oauth2"
)

// room is less than what an Update reserves, and more than go test has written by now about the
// files that tests open: the tests here come first, by the name of their file.
const room = 60 << 10

// fillDisk lets no file of this process grow beyond room bytes, until empty is called, as if the disk
// were full.
func fillDisk(t *testing.T) (empty func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	full := before
	full.Cur = room
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
		signal.Reset(syscall.SIGXFSZ)
	}
}

// A disk that has no room for a token fails before the exchange.
func TestUpdate_fullDisk(t *testing.T) {
	f := newFile(t)
	write(t, f.Path, good)
	empty := fillDisk(t)
	err := f.Update(t.Context(), mustNotRun(t))
	empty()
	wantError(t, err, fmt.Sprintf("cannot write %q", f.Path+".tmp"), "make room")
	if !errors.Is(err, syscall.EFBIG) {
		t.Errorf("not EFBIG: %v", err)
	}
	wantContent(t, f.Path, good)
	wantFiles(t, f, "token", "token.lock")
}

// A token that cannot be written leaves the file from before whole, and nothing beside it.
func TestUpdate_cannotWrite(t *testing.T) {
	f := newFile(t)
	write(t, f.Path, good)
	empty := func() {}
	err := f.Update(t.Context(), func(*oauth2.Token) (*oauth2.Token, error) {
		empty = fillDisk(t)
		return &oauth2.Token{AccessToken: strings.Repeat("a", room)}, nil
	})
	empty()
	if wantError(t, err, fmt.Sprintf("not in %q", f.Path)); !errors.Is(err, syscall.EFBIG) {
		t.Errorf("not EFBIG: %v", err)
	}
	wantContent(t, f.Path, good)
	wantFiles(t, f, "token", "token.lock")
}
