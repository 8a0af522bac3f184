//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestNetotoken_keepsTheCacheToItsUser(t *testing.T) {
	srv := newServer(t)
	file := newCache(t)
	succeed(t, apiKeyEnv(srv), "-cache", file)
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	before := readFile(t, file)
	for _, mode := range []os.FileMode{0o640, 0o604, 0o602} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		says := fmt.Sprintf("others may read or write %q: chmod 600 %[1]q, or choose another -cache", file)
		wantUnusable(t, srv, file, refreshEnv(t, srv), says)
	}
	if readFile(t, file) != before {
		t.Error("the file has changed")
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	succeed(t, apiKeyEnv(srv), "-cache", file)
}

func TestNetotoken_leavesSpecialFilesAsTheyAre(t *testing.T) {
	for name, create := range map[string]func(string) error{
		"a pipe":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a link":      func(path string) error { return os.Symlink("target", path) },
		"a dead link": func(path string) error { return os.Symlink("missing", path) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := newServer(t)
			file := newCache(t)
			target := filepath.Join(filepath.Dir(file), "target")
			writeFile(t, target, "not ours")
			if err := create(file); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(file)
			if err != nil {
				t.Fatal(err)
			}
			says := fmt.Sprintf("%q is not a regular file: choose another -cache", file)
			wantUnusable(t, srv, file, refreshEnv(t, srv), says)
			if after, err := os.Lstat(file); err != nil || !os.SameFile(before, after) {
				t.Errorf("it is another one now: %v, %v", after, err)
			}
			if got := readFile(t, target); got != "not ours" {
				t.Errorf("what is beside it is %q", got)
			}
		})
	}
}

// A folder that cannot be written to lets a fresh token be printed, and a stale one be used but not renewed.
func TestNetotoken_readsACacheItCannotWrite(t *testing.T) {
	const nobody = 65534
	root := os.Geteuid() == 0 // whom no mode stops
	srv := newServer(t)
	dir, err := os.MkdirTemp("", "netotoken") // open to the user below, as t.TempDir is not
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.Chmod(dir, 0o700)
		os.RemoveAll(dir)
	})
	file := filepath.Join(dir, "cache")
	env := refreshEnv(t, srv)
	first := succeed(t, env, "-cache", file)
	program := filepath.Join(dir, "netotoken") // a copy, as the folder of the test is closed to that user
	writeFile(t, program, readFile(t, testBinary()))
	coverage, err := os.MkdirTemp("", "coverage") // open to that user, too
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(coverage) })
	if err := os.Chmod(coverage, 0o777); err != nil {
		t.Fatal(err)
	}
	asUser := func() result {
		cmd := newCommand(env, "-cache", file)
		cmd.Path, cmd.Env = program, append(cmd.Env, "GOCOVERDIR="+coverage)
		if root {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
		return finish(t, cmd)
	}
	if root {
		for _, path := range []string{file, file + ".lock"} {
			if err := os.Chown(path, nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
	}
	for path, mode := range map[string]os.FileMode{program: 0o555, dir: 0o555} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	before := count(srv)
	wantResult(t, first, asUser()) // a fresh token
	for left, printed := range map[time.Duration]string{30 * time.Second: first.stdout, 0: ""} {
		setLeft(t, file, left)
		r := asUser()
		if r.status != 1 || r.stdout != printed {
			t.Errorf("%v left: status %d, stdout %q", left, r.status, r.stdout)
		}
		wantOneLine(t, r, "the cache cannot be used", "permission denied")
	}
	wantRequests(t, srv, before)
	wantFiles(t, file, "cache", "cache.lock", "netotoken")
}
