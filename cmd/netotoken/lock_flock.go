//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lock keeps other runs of netotoken that lock the same file out until unlock is called or the process ends. The
// file stays, empty: were it removed, two runs could lock two of them. Where locks do not work it goes on without.
func lock(ctx context.Context, file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_RDONLY|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return func() {}, nil
	}
	for errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK) {
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("another run holds %q: %w", file, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return func() { f.Close() }, nil
}
