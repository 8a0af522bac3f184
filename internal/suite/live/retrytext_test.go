package live_test

import (
	"errors"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

var nextTry = regexp.MustCompile(`; the next try is in (.*) at the earliest$`)

// nextTryIn returns when the next exchange may be, by the text of err.
func nextTryIn(t *testing.T, err error) time.Duration {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	found := nextTry.FindStringSubmatch(err.Error())
	if found == nil {
		t.Fatalf("error %q does not say when the next try is", err)
	}
	d, err := time.ParseDuration(found[1])
	if err != nil || d%time.Second != 0 {
		t.Fatalf("a duration of %q, want whole seconds", found[1])
	}
	return d
}

// In whole seconds, rounded up: in the last of them there is a try, and before it there is none.
func TestTokenSource_errorSaysWhenTheNextTryIs(t *testing.T) {
	for name, fault := range map[string]http.Handler{
		"refused":       netoauthtest.Status(401),
		"broken":        netoauthtest.Status(502),
		"no connection": netoauthtest.Drop(),
		"Retry-After":   netoauthtest.Status(429, "Retry-After", "90"),
	} {
		suite.RunInBubble(t, name, func(t *testing.T, w *suite.World) {
			w.Fail(-1, fault)
			src := w.Key.TokenSource(w.Ctx)
			_, err := src.Token()
			wait := nextTryIn(t, err)
			tries := w.Requests("")
			for left := wait; left > 0; left -= time.Second {
				_, err = src.Token()
				suite.Diff(t, "the next try by a later error", left.String(), nextTryIn(t, err).String())
				suite.Diff(t, "token requests", tries, w.Requests(""))
				if left > time.Second {
					time.Sleep(time.Second)
				}
			}
			time.Sleep(time.Second)
			w.Fail(0, nil)
			suite.MustToken(t, src)
		})
	}
}

func TestTokenSource_errorDuringBackOffIsTheLastOne(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Fail(-1, netoauthtest.Status(403, "Retry-After", "60"))
		client := w.Key.Client(w.Ctx)
		client.Get(w.URL)
		w.Delay(time.Second)
		for range 3 {
			start := time.Now()
			_, err := client.Get(w.URL)
			suite.Diff(t, "time until the error", "0s", time.Since(start).String())
			suite.WantError(t, err, netoauth.ErrRejected)
			e, answered := errors.AsType[*netoauth.Error](err)
			if !answered || e.StatusCode != 403 || e.RetryAfter != time.Minute {
				t.Errorf("the Error in it is %+v", e)
			}
			if re, ok := errors.AsType[*oauth2.RetrieveError](err); !ok || re.Response.StatusCode != 403 {
				t.Errorf("the RetrieveError in it is %v", re)
			}
			nextTryIn(t, err)
			time.Sleep(10 * time.Second)
		}
		suite.Diff(t, "token requests", 1, w.Requests(""))
	})
}
