//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package tokenfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
)

const openFlags = 0

var errUnsupported = fmt.Errorf("tokenfile: no token files on %s: %w", runtime.GOOS, errors.ErrUnsupported)

// Nothing here locks files, and a session that is shared without a lock is soon lost.

func private(string, fs.FileInfo) error { return errUnsupported }
func tryLock(*os.File) (bool, error)    { return false, errUnsupported }
