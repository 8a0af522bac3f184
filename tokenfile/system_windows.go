package tokenfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"unsafe"
)

const (
	openFlags = 0

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

// inUse reports whether a renaming failed because another program has the file open at the moment.
func inUse(err error) bool {
	return errors.Is(err, syscall.ERROR_ACCESS_DENIED) || errors.Is(err, errorSharingViolation)
}
