package tokenfile_test

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/netoauth/netoauth/tokenfile"
)

// A process's memory is a regular file of its user's, mode 0600, and nothing can be read at its
// start.
func TestLoad_cannotRead(t *testing.T) {
	f := &tokenfile.File{Path: "/proc/self/mem", Owner: owner}
	_, err := f.Load(t.Context())
	if wantError(t, err, `cannot read "/proc/self/mem"`); !errors.Is(err, syscall.EIO) {
		t.Errorf("not EIO: %v", err)
	}
}

// Root makes a device of its own, so that nothing can happen to the system's.
func TestFile_refusesDevices(t *testing.T) {
	f := newFile(t)
	if os.Geteuid() != 0 {
		f.Path = "/dev/null"
	} else if err := syscall.Mknod(f.Path, syscall.S_IFCHR|0o600, 1<<8|3); err != nil { // another /dev/null
		t.Fatal(err)
	}
	wantRefused(t, f, fmt.Sprintf("%q is not a regular file", f.Path))
	if info, err := os.Lstat(f.Path); err != nil || info.Mode()&os.ModeDevice == 0 {
		t.Errorf("it is no device now: %v, %v", info, err)
	}
}
