//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A run shows no secret to ps, and ends when it is interrupted.
func TestRunning(t *testing.T) {
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
			if diff := cmp.Diff(result{1, "", "netotoken: interrupted\n"}, r, cmp.AllowUnexported(result{})); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
		})
	}
}

// An interrupt does not cost the refresh token that is on its way.
func TestInterruptedRotation(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	env := refreshEnv(t, srv)
	file := filepath.Join(t.TempDir(), "cache")
	arrived, interrupted := make(chan bool), make(chan bool)
	srv.Fail(1, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- true
		<-interrupted
		srv.ServeHTTP(w, r)
	}))
	cmd := newCommand(env, "-cache", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-arrived
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // for the signal to be there first; were it late, there would be less to test
	close(interrupted)
	cmd.Wait()
	before := count(srv)
	succeed(t, env, "-cache", file)
	wantRequests(t, srv, before)
}

func TestInterruptedStdin(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	cmd := newCommand(passwordEnv(srv), "-password-stdin")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The first interrupts may come before the command can take them, and then end it.
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		cmd.Process.Signal(os.Interrupt)
		select {
		case <-done:
			wantRequests(t, srv, requests{})
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Runs at the same time that find no usable token make one exchange between them.
func TestCacheShared(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	env := refreshEnv(t, srv)
	file := filepath.Join(t.TempDir(), "cache")
	srv.Delay(50 * time.Millisecond)
	results := make([]result, 6)
	var all sync.WaitGroup
	for i := range results {
		cmd := newCommand(env, "-cache", file)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			cmd.Wait()
			results[i] = result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
		})
	}
	all.Wait()
	for _, r := range results {
		if diff := cmp.Diff(result{0, results[0].stdout, ""}, r, cmp.AllowUnexported(result{})); diff != "" {
			t.Errorf("result (-first +this):\n%s", diff)
		}
	}
	wantRequests(t, srv, requests{Password: 1, Refresh: 1})
}

func TestCacheSpecialFiles(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	dir := t.TempDir()

	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	r := netotoken(t, apiKeyEnv(srv), "-cache", fifo)
	if r.status != 1 || !strings.Contains(r.stderr, "not a regular file") {
		t.Errorf("a pipe: status %d, stderr %q", r.status, r.stderr)
	}
	wantAccepted(t, srv, "Bearer "+r.token())
	if info, err := os.Lstat(fifo); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("the pipe was replaced: %v, %v", info, err)
	}

	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, []byte("not ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("target", link); err != nil {
		t.Fatal(err)
	}
	if r := netotoken(t, apiKeyEnv(srv), "-cache", link); r.status != 0 {
		t.Errorf("a link: status %d, stderr %q", r.status, r.stderr)
	}
	if content, err := os.ReadFile(target); err != nil || string(content) != "not ours" {
		t.Errorf("what the link pointed to is %q, %v", content, err)
	}
	readCache(t, link)
}

// A write that fails leaves the file as it was, and nothing beside it.
func TestCacheWriteFails(t *testing.T) {
	t.Parallel()
	const nobody = 65534
	root := os.Geteuid() == 0 // whom no mode stops
	for name, tt := range map[string]struct {
		mode  os.FileMode // of the directory
		owned bool        // the file is that of the user who runs the command
		says  string
	}{
		"read-only directory": {0o555, true, "permission denied"},
		"another user's file": {0o777 | os.ModeSticky, false, "operation not permitted"}, // fails at the renaming
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !root && !tt.owned {
				t.Skip("needs a second user")
			}
			srv := newServer(t)
			srv.SetLifetimes(time.Second, time.Hour)
			dir, err := os.MkdirTemp("", "netotoken")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				os.Chmod(dir, 0o700)
				os.RemoveAll(dir)
			})
			file := filepath.Join(dir, "cache")
			succeed(t, apiKeyEnv(srv), "-cache", file)
			_, before := readCache(t, file)

			cmd := newCommand(apiKeyEnv(srv), "-cache", file)
			if root {
				if tt.owned {
					if err := os.Chown(file, nobody, nobody); err != nil {
						t.Skip(err)
					}
				}
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			}
			if err := os.Chmod(dir, tt.mode); err != nil {
				t.Fatal(err)
			}
			files := ls(t, dir)

			r := finish(t, cmd)
			if r.status != 1 {
				t.Errorf("status %d", r.status)
			}
			wantAccepted(t, srv, "Bearer "+r.token())
			if !strings.Contains(r.stderr, "could not be written") || !strings.Contains(r.stderr, tt.says) {
				t.Errorf("stderr %q", r.stderr)
			}
			if _, after := readCache(t, file); after != before {
				t.Error("the file has changed")
			}
			if diff := cmp.Diff(files, ls(t, dir)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}
