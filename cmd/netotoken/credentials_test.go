package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
)

func TestNetotoken_takesTheFirstCredentials(t *testing.T) {
	srv := newServer(t)
	all := append(append(refreshEnv(t, srv), passwordEnv(srv)...), apiKeyEnv(srv)...)
	before := count(srv)
	succeed(t, all)
	wantRequests(t, srv, requests{before.APIKey + 1, before.Password, before.Refresh})
	succeed(t, append(all, "NETOSECRET="))
	wantRequests(t, srv, requests{before.APIKey + 1, before.Password + 1, before.Refresh})
	r := netotoken(t, append(all, "NETOSECRET=", "NETO_USERNAME="))
	wantRequests(t, srv, requests{before.APIKey + 1, before.Password + 1, before.Refresh + 1})
	if r.status != 0 {
		t.Errorf("status %d", r.status)
	}
	wantOneLine(t, r, "warning", "NETO_REFRESH_TOKEN", "-cache")
	srv.Fail(1, netoauthtest.Answer(200, "application/json", `{"access_token":"a","expires_in":300}`))
	succeed(t, append(all, "NETOSECRET=", "NETO_USERNAME=")) // which leaves the refresh token in use
}

// The line's end is not part of the password, and nothing else is taken from it.
func TestNetotoken_readsThePasswordFromStdin(t *testing.T) {
	srv := newServer(t)
	env := []string{"NETO_URL=" + srv.URL, "NETO_USERNAME=" + srv.Username, "NETO_PASSWORD=not this one"}
	for name, tt := range map[string]struct {
		stdin  string
		status int
		says   string
	}{
		"no line end":      {srv.Password, 0, ""},
		"line end":         {srv.Password + "\n", 0, ""},
		"of Windows":       {srv.Password + "\r\n", 0, ""},
		"another line":     {srv.Password + "\nanother line\n", 0, ""},
		"space at its end": {srv.Password + " \n", 1, "401"},
		"empty":            {"", 2, "no password in the first line"},
		"empty line":       {"\n" + srv.Password, 2, "no password in the first line"},
		"line break in it": {srv.Password + "\r\r\n", 2, "line break"},
		"without an end":   {strings.Repeat("a", 1<<20), 2, "longer than any password"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := newCommand(env, "-password-stdin")
			cmd.Stdin = strings.NewReader(tt.stdin)
			r := finish(t, cmd)
			if r.status != tt.status || (r.stdout != "") != (tt.status == 0) {
				t.Errorf("status %d, stdout %q", r.status, r.stdout)
			}
			if tt.says != "" {
				wantOneLine(t, r, tt.says)
			} else if r.stderr != "" {
				t.Errorf("stderr %q", r.stderr)
			}
		})
	}
}

// A password that nobody writes holds up a run no longer than anything else.
func TestNetotoken_endsWhileItWaitsForThePassword(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	for name, tt := range map[string]struct {
		ctx    context.Context
		status int
		says   string
	}{
		"interrupted": {ended, 130, "interrupted"},
		"timed out":   {t.Context(), 1, "within 50ms (-timeout)"},
	} {
		t.Run(name, func(t *testing.T) {
			stdin, never := io.Pipe()
			defer never.Close()
			var stdout, stderr bytes.Buffer
			getenv := func(name string) string { return map[string]string{"NETO_USERNAME": "ann"}[name] }
			c := &command{getenv: getenv, stdin: stdin, stdout: &stdout, stderr: &stderr}
			status := c.run(tt.ctx, []string{"-password-stdin", "-timeout=50ms"})
			r := result{status, stdout.String(), stderr.String()}
			wantResult(t, result{tt.status, "", r.stderr}, r)
			wantOneLine(t, r, tt.says)
		})
	}
}

// Beside a NETOSECRET, NETO_URL may be there but not be another.
func TestNetotoken_takesNoOtherURLThanTheKeys(t *testing.T) {
	srv := newServer(t)
	for url, same := range map[string]bool{
		"":                  true,
		srv.URL:             true,
		srv.URL + "/":       true,
		srv.URL + "/api/v1": true,
		srv.URL + "/v1//":   true,
		strings.ToUpper(srv.URL[:4]) + srv.URL[4:]: true,
		srv.URL + "/prefix":                        false,
		srv.URL + "0":                              false,
		netoauth.DefaultURL:                        false,
		"http://example.com":                       false,
		"nonsense":                                 false,
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			env := append(apiKeyEnv(srv), "NETO_URL="+url)
			if same {
				succeed(t, env)
				return
			}
			for _, args := range [][]string{nil, {"-format=jwt"}, {"-status", "-cache", newCache(t)}} {
				r := netotoken(t, env, args...)
				if r.status != 2 || r.stdout != "" {
					t.Errorf("%q: status %d, stdout %q", args, r.status, r.stdout)
				}
				wantOneLine(t, r, "NETO_URL")
			}
		})
	}
}
