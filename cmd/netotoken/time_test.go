package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth/netoauthtest"
	"github.com/netoauth/netoauth/tokenfile"
	"golang.org/x/oauth2"
)

// timed remembers when it was first written to.
type timed struct {
	bytes.Buffer
	at time.Time
}

func (w *timed) Write(p []byte) (int, error) {
	if w.at.IsZero() {
		w.at = time.Now()
	}
	return w.Buffer.Write(p)
}

// outcome is result with times from the start of the run.
type outcome struct {
	result
	printed, ended time.Duration
}

// runNow runs the command in this process, whose time may be that of a bubble.
func runNow(ctx context.Context, env []string, args ...string) outcome {
	getenv := func(name string) string {
		for _, v := range env {
			if value, found := strings.CutPrefix(v, name+"="); found {
				return value
			}
		}
		return ""
	}
	var stdout timed
	var stderr bytes.Buffer
	start := time.Now()
	c := &command{getenv: getenv, stdout: &stdout, stderr: &stderr}
	status := c.run(ctx, args)
	o := outcome{result{status, stdout.String(), stderr.String()}, 0, time.Since(start)}
	if !stdout.at.IsZero() {
		o.printed = stdout.at.Sub(start)
	}
	return o
}

func wantOutcome(t *testing.T, want, got outcome) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{}, result{})); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
}

// session is one for a refresh token, in a cache.
type session struct {
	*netoauthtest.Server
	client *http.Client
	env    []string
	file   string
	first  outcome // of the run that has stored a token of 200 s
}

// run runs the command with the cache.
func (s *session) run(ctx context.Context, args ...string) outcome {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, s.client)
	return runNow(ctx, s.env, append([]string{"-cache", s.file}, args...)...)
}

// withSession runs test in a bubble.
func withSession(t *testing.T, test func(t *testing.T, s *session)) {
	t.Helper()
	srv := newServer(t)
	s := &session{Server: srv, env: refreshEnv(t, srv), file: newCache(t)}
	srv.SetLifetimes(200*time.Second, 0)
	synctest.Test(t, func(t *testing.T) {
		s.client = srv.InProcess()
		s.first = s.run(t.Context())
		wantResult(t, result{0, readCache(t, s.file).Token.AccessToken + "\n", ""}, s.first.result)
		test(t, s)
		time.Sleep(time.Minute) // for exchanges that the run has not waited for
	})
}

// The life that -h promises: what has 15 % left is renewed before it is printed, what has 30 % is not.
func TestNetotoken_renewsWhatHasLittleLifeLeft(t *testing.T) {
	for age, renewed := range map[time.Duration]bool{
		0:                 false,
		139 * time.Second: false,
		171 * time.Second: true,
		198 * time.Second: true,
		2 * time.Hour:     true,
	} {
		t.Run(age.String(), func(t *testing.T) {
			withSession(t, func(t *testing.T, s *session) {
				time.Sleep(age)
				r := s.run(t.Context())
				if another := r.stdout != s.first.stdout; r.status != 0 || r.stderr != "" || another != renewed {
					t.Errorf("status %d, stderr %q, another token: %v", r.status, r.stderr, another)
				}
			})
		})
	}
}

// A stored token that cannot be renewed is printed as long as it serves.
func TestNetotoken_printsAStoredTokenWhereItMust(t *testing.T) {
	refuse := func(srv *netoauthtest.Server) { srv.RevokeRefreshTokens() }
	fail := func(srv *netoauthtest.Server) { srv.Fail(-1, netoauthtest.Status(503, "Retry-After", "7")) }
	for name, tt := range map[string]struct {
		age     time.Duration
		trouble func(*netoauthtest.Server)
		printed bool
		says    string
	}{
		"refused, 11 s left":          {189 * time.Second, refuse, true, "400"},
		"refused, 9 s left":           {191 * time.Second, refuse, false, "400"},
		"cannot be reached, 11 s":     {189 * time.Second, fail, true, "503"},
		"cannot be reached, ended":    {201 * time.Second, fail, false, "503"},
		"cannot be reached, half 1 s": {199500 * time.Millisecond, fail, false, "503"},
	} {
		t.Run(name, func(t *testing.T) {
			withSession(t, func(t *testing.T, s *session) {
				time.Sleep(tt.age)
				tt.trouble(s.Server)
				r := s.run(t.Context())
				want := result{1, "", r.stderr}
				if tt.printed {
					want = result{0, s.first.stdout, r.stderr}
					wantOneLine(t, r.result, "warning", "near its end")
				}
				wantResult(t, want, r.result)
				wantOneLine(t, r.result, tt.says)
				if strings.Contains(r.stderr, "next try") {
					t.Errorf("stderr promises another try: %q", r.stderr)
				}
			})
		})
	}
}

// A run ends when the session is safe, which can be after its token is printed.
func TestNetotoken_waitsForTheExchangeUnderWay(t *testing.T) {
	for name, tt := range map[string]struct {
		delay  time.Duration
		args   []string
		status int
		says   string
		ended  time.Duration
	}{
		"slow":             {8 * time.Second, nil, 0, "", 8 * time.Second},
		"within the grace": {14 * time.Second, []string{"-timeout=6s"}, 0, "", 14 * time.Second},
		"beyond the grace": {29 * time.Second, []string{"-timeout=6s"}, 1, "not in the", 16 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			withSession(t, func(t *testing.T, s *session) {
				time.Sleep(170 * time.Second)
				s.Delay(tt.delay)
				r := s.run(t.Context(), tt.args...)
				if !strings.Contains(r.stderr, tt.says) || (r.stderr == "") != (tt.says == "") {
					t.Errorf("stderr %q", r.stderr)
				}
				want := outcome{result{tt.status, s.first.stdout, r.stderr}, 5 * time.Second, tt.ended}
				wantOutcome(t, want, r)
				s.Delay(0)
				next := s.run(t.Context())
				if tt.status == 0 && (next.status != 0 || next.stdout == s.first.stdout) {
					t.Errorf("the next run: %+v", next)
				}
			})
		})
	}
}

// An interrupt, or the timeout, does not cost the refresh token that is on its way.
func TestNetotoken_losesNoSessionWhenItMustEnd(t *testing.T) {
	const never, sec = time.Hour, time.Second
	for name, tt := range map[string]struct {
		delay       time.Duration
		timeout     string
		interrupted time.Duration
		status      int
		says        string
		ended       time.Duration
	}{
		"interrupted":            {9 * sec, "5m", sec, 130, "interrupted\n", 9 * sec},
		"timed out":              {9 * sec, "1s", never, 1, "within 1s (-timeout)", 9 * sec},
		"interrupted, and stuck": {25 * sec, "5m", sec, 130, "interrupted\n", 11 * sec},
		"timed out, and stuck":   {25 * sec, "1s", never, 1, "within 1s (-timeout)", 11 * sec},
	} {
		t.Run(name, func(t *testing.T) {
			withSession(t, func(t *testing.T, s *session) {
				time.Sleep(time.Hour)
				s.Delay(tt.delay)
				ctx, interrupt := context.WithCancel(t.Context())
				defer time.AfterFunc(tt.interrupted, interrupt).Stop()
				r := s.run(ctx, "-timeout", tt.timeout)
				if r.status != tt.status || r.stdout != "" || r.ended != tt.ended {
					t.Errorf("it ended after %v with %+v", r.ended, r.result)
				}
				if !strings.Contains(r.stderr, tt.says) || !strings.Contains(r.stderr, "10s at most") {
					t.Errorf("stderr %q", r.stderr)
				}
				time.Sleep(30 * time.Second) // for the stuck ones, whose process would have ended
				before := count(s.Server)
				if next := s.run(t.Context()); next.status != 0 || next.stdout == s.first.stdout {
					t.Errorf("the next run: %+v", next)
				}
				wantRequests(t, s.Server, before)
			})
		})
	}
}

// What was printed is not unprinted by an interrupt, and the run says that it was interrupted.
func TestNetotoken_canBeInterruptedWhileItWaits(t *testing.T) {
	withSession(t, func(t *testing.T, s *session) {
		time.Sleep(170 * time.Second)
		s.Fail(1, netoauthtest.Hang())
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(6*time.Second, cancel)
		want := result{130, s.first.stdout, "netotoken: interrupted\n"}
		wantOutcome(t, outcome{want, 5 * time.Second, 16 * time.Second}, s.run(ctx))
	})
}

// A lock that another program holds for long is a cache that cannot be used.
func TestNetotoken_endsWithALockHeld(t *testing.T) {
	srv := newServer(t)
	file := newCache(t)
	held := &tokenfile.File{Path: file, Owner: owners["API key"](srv, nil)}
	errHeld := errors.New("held")
	synctest.Test(t, func(t *testing.T) {
		ctx := context.WithValue(t.Context(), oauth2.HTTPClient, srv.InProcess())
		err := held.Update(ctx, func(*oauth2.Token) (*oauth2.Token, error) {
			r := runNow(ctx, apiKeyEnv(srv), "-cache", file)
			if r.status != 1 || r.stdout == "" || r.ended < 20*time.Second || r.ended > 40*time.Second {
				t.Errorf("it ended after %v with %+v", r.ended, r.result)
			}
			wantOneLine(t, r.result, "was printed", "another program holds "+strconv.Quote(file+".lock"))
			r = runNow(ctx, apiKeyEnv(srv), "-cache", file, "-timeout=1s")
			if r.status != 1 || r.stdout != "" {
				t.Errorf("with a timeout: %+v", r.result)
			}
			return nil, errHeld
		})
		if err != errHeld {
			t.Error(err)
		}
		time.Sleep(time.Minute)
	})
}
