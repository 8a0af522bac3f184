//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package main

import "context"

// lock does nothing: package syscall has no flock here.
func lock(context.Context, string) (unlock func(), err error) { return func() {}, nil }
