package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// printVersion prints the version of the module that this was built from, as go install knows it, and
// what it was built with and for.
func printVersion(w io.Writer) error {
	version := "(unknown)"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = cmp.Or(info.Main.Version, version)
	}
	platform := runtime.GOOS + "/" + runtime.GOARCH
	_, err := fmt.Fprintln(w, "netotoken", version, runtime.Version(), platform)
	return err
}
