//go:build !windows

package tokenfile

import (
	"context"
	"os"
)

func openFile(path string, flag int) (*os.File, error) {
	return os.OpenFile(path, flag|openFlags, 0o600)
}

func rename(from, to string) error { return os.Rename(from, to) }
func remove(path string) error     { return os.Remove(path) }

// What keeps a file from being opened, deleted or renamed for a moment, and which names are none, is
// about Windows.

func patiently(_ context.Context, do func() error) error { return do() }
func checkName(string) error                             { return nil }
