package tokenfile_test

import (
	"errors"
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
