package tokenfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// open opens a regular file that is this user's alone, and neither waits for nor acts on anything
// else.
func open(ctx context.Context, path string, flag int) (*os.File, error) {
	info, err := os.Lstat(path) // opening a device can act on it
	if err == nil && !info.Mode().IsRegular() {
		return nil, irregular(path, info)
	}
	var file *os.File
	err = patiently(ctx, func() error {
		file, err = openFile(path, flag)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tokenfile: cannot open %q: %w", path, reason(err))
	}
	switch info, err = file.Stat(); {
	case err != nil:
		err = fmt.Errorf("tokenfile: cannot open %q: %w", path, reason(err))
	case !info.Mode().IsRegular():
		err = irregular(path, info)
	default:
		err = private(path, info)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func irregular(path string, info fs.FileInfo) error {
	if info.IsDir() {
		return fmt.Errorf("tokenfile: %q is a folder: choose another file", path)
	}
	// It may be a device of the system's: nobody is told to delete it.
	return fmt.Errorf("tokenfile: %q is not a regular file: choose another file", path)
}

// lock waits until the file named path is locked, or for the end of ctx. Closing the file unlocks
// it. It tries again and again, because a call that waits could not be ended.
func lock(ctx context.Context, path string) (*os.File, error) {
	file, err := open(ctx, path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	for {
		locked, err := tryLock(file)
		if locked {
			return file, nil
		}
		if err != nil {
			file.Close()
			return nil, fmt.Errorf("tokenfile: cannot lock %q: %w: choose a file on another disk", path, err)
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("tokenfile: another program holds %q: end it or try later: %w", path, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}

// syncFolder makes the names in the file's folder last. Not every system can, and none needs to for
// the file to be found.
func syncFolder(path string) {
	if folder, err := os.Open(filepath.Dir(path)); err == nil {
		folder.Sync()
		folder.Close()
	}
}

// reason is err without the path that package os puts before it, unquoted.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}
