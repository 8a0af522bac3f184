//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package tokenfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// openFlags keep open from following a symbolic link, and from waiting for the other end of a pipe.
const openFlags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// private says who else may use the file.
func private(path string, info fs.FileInfo) error {
	if info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
		return fmt.Errorf("tokenfile: %q belongs to another user: choose another file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		hint := ""
		if info.Mode().Perm()&0o060 != 0 {
			hint = "; where a Kubernetes volume's fsGroup did it, set fsGroupChangePolicy: OnRootMismatch, too"
		}
		return fmt.Errorf("tokenfile: others may read or write %q: chmod 600 %[1]q, or choose another file%s", path, hint)
	}
	return nil
}

// tryLock returns false where the file is locked through another open file.
func tryLock(file *os.File) (bool, error) {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return false, nil
	}
	return err == nil, err
}
