//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A run shows no secret to ps, and ends when it is interrupted.
func TestNetotoken_showsNoSecretAndCanBeInterrupted(t *testing.T) {
	t.Parallel()
	for name, env := range flows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := newServer(t)
			env := env(t, srv)
			arrived := make(chan bool)
			srv.Fail(1, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				arrived <- true
				<-r.Context().Done()
			}))
			cmd := newCommand(env, "-format=json")
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			<-arrived
			if args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", cmd.Process.Pid)); err == nil {
				if !strings.Contains(string(args), "-format=json") {
					t.Errorf("not the command's arguments: %q", args)
				}
				wantNoSecret(t, "the command line", string(args), srv, env)
			}
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			r := result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
			wantResult(t, result{130, "", "netotoken: interrupted\n"}, r)
		})
	}
}

// An interrupt does not cost the refresh token that is on its way.
func TestNetotoken_losesNoSessionWhenInterrupted(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	env := refreshEnv(t, srv)
	file := newCache(t)
	arrived, interrupted := make(chan bool), make(chan bool)
	srv.Fail(1, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- true
		<-interrupted
		srv.ServeHTTP(w, r)
	}))
	cmd := newCommand(env, "-cache", file)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-arrived
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stderr).ReadString('\n')
	if err != nil || !strings.Contains(line, "waiting for the token that is on its way to the cache") {
		t.Errorf("stderr %q, %v", line, err)
	}
	close(interrupted)
	cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != 130 {
		t.Errorf("status %d", status)
	}
	before := count(srv)
	succeed(t, env, "-cache", file)
	wantRequests(t, srv, before)
}

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
			says := fmt.Sprintf("%q is not a regular file: delete it or choose another -cache", file)
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
	asUser := func() result {
		cmd := newCommand(env, "-cache", file)
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
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
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
	wantFiles(t, file, "cache", "cache.lock")
}
