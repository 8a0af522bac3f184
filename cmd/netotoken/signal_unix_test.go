//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/netoauth/netoauth/netoauthtest"
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

// interrupt starts a run with a cache, and sends it a signal while a token is on its way there, which
// arrives when answer is called.
func interrupt(t *testing.T, srv *netoauthtest.Server, cmd *exec.Cmd, sig os.Signal) (answer func()) {
	t.Helper()
	arrived, interrupted := make(chan bool), make(chan bool)
	srv.Fail(1, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- true
		<-interrupted
		srv.ServeHTTP(w, r)
	}))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-arrived
	if err := cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stderr).ReadString('\n')
	if err != nil || !strings.Contains(line, "waiting for the token that is on its way to the cache") {
		t.Errorf("stderr %q, %v", line, err)
	}
	return func() { close(interrupted) }
}

// An interrupt does not cost the refresh token that is on its way.
func TestNetotoken_losesNoSessionWhenInterrupted(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			if signal.Ignored(sig) {
				t.Skip("it is ignored here, as nohup has it, and so by what is started from here")
			}
			srv := newServer(t)
			env := refreshEnv(t, srv)
			file := newCache(t)
			cmd := newCommand(env, "-cache", file)
			interrupt(t, srv, cmd, sig)()
			cmd.Wait()
			if status := cmd.ProcessState.ExitCode(); status != 130 {
				t.Errorf("status %d", status)
			}
			before := count(srv)
			succeed(t, env, "-cache", file)
			wantRequests(t, srv, before)
		})
	}
}

func TestNetotoken_endsAtOnceWhenInterruptedAgain(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	cmd := newCommand(refreshEnv(t, srv), "-cache", newCache(t))
	answer := interrupt(t, srv, cmd, os.Interrupt)
	defer answer()
	ended := make(chan error)
	go func() { ended <- cmd.Wait() }()
	for cmd.Process.Signal(os.Interrupt) == nil { // the first ones may come too early
	}
	<-ended
	if cmd.ProcessState.Exited() {
		t.Errorf("it was not the signal that ended it: %v", cmd.ProcessState)
	}
}

// A reader that has gone is an error as any other: it does not end the process, whose next refresh
// token may still be on its way to the cache.
func TestNetotoken_survivesAReaderThatHasGone(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	file := newCache(t)
	gone := func(cmd *exec.Cmd) result {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		defer w.Close()
		var stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = w, &stderr
		cmd.Run()
		return result{cmd.ProcessState.ExitCode(), "", stderr.String()}
	}
	env := refreshEnv(t, srv)
	// In this order: there is no status of a cache that nobody has filled yet.
	for _, test := range []struct {
		name string
		cmd  *exec.Cmd
	}{
		{"token", newCommand(apiKeyEnv(srv))},
		{"json", newCommand(apiKeyEnv(srv), "-format=json")},
		{"jwt", newCommand(apiKeyEnv(srv), "-format=jwt")},
		{"help", newCommand(nil, "-h")},
		{"demo", newCommand(nil, "-demo")},
		{"cache", newCommand(env, "-cache", file)},
		{"renew", newCommand(env, "-cache", file, "-renew")},
		{"status", newCommand(env, "-cache", file, "-status")},
	} {
		r := gone(test.cmd)
		if r.status != 1 {
			t.Errorf("%s: status %d", test.name, r.status)
		}
		wantOneLine(t, r, "broken pipe")
	}
	before := count(srv)
	succeed(t, env, "-cache", file)
	wantRequests(t, srv, before)
}
