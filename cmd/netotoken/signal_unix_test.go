//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
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
