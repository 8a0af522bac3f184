package live_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// ender is what a callback does to end the exchange's goroutine.
type ender struct {
	mu    sync.Mutex
	times int // how often it does; negative: always
	end   func()
}

func (e *ender) strike() {
	e.mu.Lock()
	now := e.times != 0
	if e.times > 0 {
		e.times--
	}
	e.mu.Unlock()
	if now {
		e.end()
	}
}

// places are where code of the program runs inside an exchange.
var places = map[string]func(w *suite.World, e *ender) suite.Credential{
	"OnToken": func(w *suite.World, e *ender) suite.Credential {
		return w.Credential(suite.Password, netoauth.Options{OnToken: func(*oauth2.Token) { e.strike() }})
	},
	"OnExchange": func(w *suite.World, e *ender) suite.Credential {
		return w.Credential(suite.Password, netoauth.Options{OnExchange: func(netoauth.Exchange) { e.strike() }})
	},
	"Logger": func(w *suite.World, e *ender) suite.Credential {
		return w.Credential(suite.Password, netoauth.Options{Logger: slog.New(strikingHandler{new(suite.Journal), e})})
	},
	"Reload": func(w *suite.World, e *ender) suite.Credential {
		return reloadings["password"].make(w, replaced, netoauth.Options{}, func(context.Context) (*reloaded, error) {
			e.strike()
			return new(reloaded), nil
		})
	},
	"RoundTripper": func(w *suite.World, e *ender) suite.Credential {
		watch(w, func(*http.Request) { e.strike() })
		return w.Credential(suite.Password, netoauth.Options{})
	},
}

type strikingHandler struct {
	*suite.Journal
	*ender
}

func (h strikingHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h strikingHandler) WithGroup(string) slog.Handler { return h }

func (h strikingHandler) Handle(context.Context, slog.Record) error {
	h.strike()
	return nil
}

// As FailNow of a test does it.
func TestOptions_goexitLeavesNobodyWaiting(t *testing.T) {
	for place, use := range places {
		suite.RunInBubble(t, place, func(t *testing.T, w *suite.World) {
			w.Delay(time.Second)
			src := use(w, &ender{times: 1, end: runtime.Goexit}).TokenSource(w.Ctx)
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					_, err := src.Token()
					if err == nil || !strings.Contains(err.Error(), "runtime.Goexit") {
						t.Errorf("error %v, want it to say what happened", err)
					}
					if errors.Is(err, netoauth.ErrRejected) {
						t.Errorf("error %v is a refusal", err)
					}
				})
			}
			all.Wait()
			suite.Diff(t, "Wait's error", nil, netoauth.Wait(w.Ctx, src), cmpopts.EquateErrors())
			time.Sleep(time.Second)
			suite.MustToken(t, src)

			// The session goes on, too: nothing that was used up is sent again.
			logIns := w.Requests(netoauthtest.PasswordPath)
			for range 3 {
				time.Sleep(spent)
				suite.MustToken(t, src)
			}
			suite.Diff(t, "log-ins after that", 0, w.Requests(netoauthtest.PasswordPath)-logIns)
		})
	}
}

// Nor does it take away a token in hand.
func TestOptions_goexitInARenewalLeavesTheTokenInHand(t *testing.T) {
	for place, use := range places {
		suite.RunInBubble(t, place, func(t *testing.T, w *suite.World) {
			e := &ender{end: runtime.Goexit}
			src := use(w, e).TokenSource(w.Ctx)
			want := suite.MustToken(t, src)
			time.Sleep(stale)
			e.mu.Lock()
			e.times = 1
			e.mu.Unlock()
			suite.Diff(t, "token in hand", want, suite.MustToken(t, src))
			netoauth.Wait(w.Ctx, src)
			suite.MustToken(t, src)
			time.Sleep(2 * time.Second)
			suite.MustToken(t, src)
			netoauth.Wait(w.Ctx, src)
			if suite.MustToken(t, src) == want {
				t.Error("the next exchange has brought no token")
			}
		})
	}
}

const panicPlace = "NETOAUTH_TEST_PANIC_IN"

// The child process panics in the place that the environment names; the parent looks at how it ended.
func TestOptions_panicEndsTheProgram(t *testing.T) {
	if place := os.Getenv(panicPlace); place != "" {
		w := suite.NewWorld(t)
		w.Ctx = suite.Over(t.Context(), w.InProcess().Transport)
		src := places[place](w, &ender{times: -1, end: func() { panic("of the callback in " + place) }}).TokenSource(w.Ctx)
		src.Token()
		select {} // the end of the program, not of this test, is waited for
	}
	for place := range places {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOptions_panicEndsTheProgram$", "-test.timeout=30s")
			child.Env = append(os.Environ(), panicPlace+"="+place)
			out, err := child.CombinedOutput()
			exit, ok := errors.AsType[*exec.ExitError](err)
			if want := fmt.Sprint("panic: of the callback in ", place); !ok || exit.Success() || !strings.Contains(string(out), want) {
				t.Errorf("%v, want the program to end with %q:\n%s", err, want, out)
			}
		})
	}
}

// An exchange that a callback ends in a goroutine of the Store, which alone ends then, has failed, too.
func TestStore_goexitInAGoroutineOfTheStore(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		s := newStore(nil)
		use := places["RoundTripper"](w, &ender{times: 1, end: runtime.Goexit}).(*netoauth.Password)
		use.Store = inGoroutine{s}
		src := use.TokenSource(w.Ctx)
		if _, err := src.Token(); err == nil || !strings.Contains(err.Error(), "runtime.Goexit") {
			t.Errorf("error %v, want it to say what happened", err)
		}
		time.Sleep(time.Second)
		got := suite.MustToken(t, src)
		suite.Diff(t, "what the next exchange has stored", got, s.get().AccessToken)
	})
}

// inGoroutine is a Store that calls f in a goroutine of its own.
type inGoroutine struct{ *store }

func (s inGoroutine) Update(ctx context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
	return s.store.Update(ctx, func(stored *oauth2.Token) (t *oauth2.Token, err error) {
		var all sync.WaitGroup
		all.Go(func() { t, err = f(stored) })
		all.Wait()
		return t, err
	})
}
