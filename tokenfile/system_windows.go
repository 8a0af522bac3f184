package tokenfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	errorSharingViolation syscall.Errno = 32
	errorLockViolation    syscall.Errno = 33
)

var lockFileEx = syscall.NewLazyDLL("kernel32.dll").NewProc("LockFileEx")

// private allows every file: the access rules of its folder decide, which no mode shows.
func private(string, fs.FileInfo) error { return nil }

// tryLock returns false where the file is locked through another open file.
func tryLock(file *os.File) (bool, error) {
	const failImmediately, exclusive = 1, 2
	var offset syscall.Overlapped
	locked, _, err := lockFileEx.Call(file.Fd(), failImmediately|exclusive, 0, 1, 0,
		uintptr(unsafe.Pointer(&offset)))
	if locked == 0 && !errors.Is(err, errorLockViolation) {
		return false, err
	}
	return locked != 0, nil
}

// openFile and rename use [os.Root], which lets other programs delete and rename the file while it is
// open, and follows the rules of POSIX where the file system can: a file that is open is replaced all
// the same. What package os does without a Root fails then.
func openFile(path string, flag int) (*os.File, error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.OpenFile(filepath.Base(path), flag, 0o600)
}

// rename is for two names in one folder.
func rename(from, to string) error {
	root, err := os.OpenRoot(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer root.Close()
	return root.Rename(filepath.Base(from), filepath.Base(to))
}

func remove(path string) error { return os.Remove(path) }

// patience is for a program that has a file open, such as a scanner of viruses, or is deleting it.
const patience = 10 * time.Second

// patiently calls do again as long as it fails because of such a program, but no longer than ctx and
// patience last.
func patiently(ctx context.Context, do func() error) error {
	for began := time.Now(); ; {
		err := do()
		passing := errors.Is(err, syscall.ERROR_ACCESS_DENIED) || errors.Is(err, errorSharingViolation)
		if !passing || time.Since(began) > patience {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", reason(err), ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}

// checkName refuses what names no file, or another one: a colon begins the name of a stream, a dot or
// a space at the end is dropped, and a device has its own names (Microsoft's "Naming Files, Paths, and
// Namespaces").
func checkName(path string) error {
	base := filepath.Base(path)
	special := func(r rune) bool { return r < ' ' || strings.ContainsRune(`<>:"/\|?*`, r) }
	if !filepath.IsLocal(base) || strings.TrimRight(base, ". ") != base || strings.ContainsFunc(base, special) {
		return fmt.Errorf("tokenfile: the end of %q is no name of a file on Windows: choose another one", path)
	}
	return nil
}
