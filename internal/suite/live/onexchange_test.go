package live_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
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

// signIn makes a credential of a flow that gets its first token by that flow's own endpoint.
func signIn(t *testing.T, w *suite.World, flow string, o netoauth.Options) suite.Credential {
	t.Helper()
	if flow == "refresh token" {
		return refreshWith(mustLogIn(t, w, 0).RefreshToken)(w, o)
	}
	return flows[flow](w, o)
}

func TestOptions_onExchangeIsCalledOnceAnExchange(t *testing.T) {
	accounts := map[string]string{"API key": "example", "password": "user@example.com", "refresh token": ""}
	for flow, account := range accounts {
		for _, tt := range []struct {
			name               string
			fault              http.Handler
			took               time.Duration // beside the pauses between tries
			tries              int           // of a source
			retryFrom, retryTo time.Duration // of a source; Token does not try again
		}{
			{"a token", nil, 1500 * time.Millisecond, 1, 0, 0},
			{"a transient fault", netoauthtest.Status(503), 1500 * time.Millisecond, 3,
				500 * time.Millisecond, time.Second},
			{"Retry-After", netoauthtest.Status(503, "Retry-After", "60"), 1500 * time.Millisecond, 1,
				time.Minute, 75 * time.Second},
			{"a refusal", netoauthtest.Status(401), 1500 * time.Millisecond, 1, 2500 * time.Millisecond, 5 * time.Second},
		} {
			t.Run(flow+"/"+tt.name, func(t *testing.T) {
				suite.InBubble(t, func(t *testing.T, w *suite.World) {
					var seen []netoauth.Exchange
					o := netoauth.Options{OnExchange: func(e netoauth.Exchange) { seen = append(seen, e) }}
					c := signIn(t, w, flow, o)
					w.Delay(1500 * time.Millisecond)
					w.Fail(-1, tt.fault)
					check := func(what string, tok *oauth2.Token, err error, tries int, retryFrom, retryTo time.Duration) {
						t.Helper()
						if len(seen) != 1 {
							t.Fatalf("%s: OnExchange was called %d times, want once", what, len(seen))
						}
						got := seen[0]
						seen = nil
						want := netoauth.Exchange{Flow: flow, Account: account}
						if tok != nil {
							want.Expiry = tok.Expiry
						}
						suite.Diff(t, what, want, got, cmpopts.IgnoreFields(got, "Took", "Err", "RetryIn"))
						if pauses := got.Took - time.Duration(tries)*tt.took; pauses < 0 || pauses > time.Duration(tries-1)*time.Second {
							t.Errorf("%s: Took %v, want it all", what, got.Took)
						}
						if got.RetryIn < retryFrom || got.RetryIn > retryTo {
							t.Errorf("%s: RetryIn %v, want %v to %v", what, got.RetryIn, retryFrom, retryTo)
						}
						if (got.Err == nil) != (err == nil) || err != nil && !strings.HasPrefix(err.Error(), got.Err.Error()) {
							t.Errorf("%s: Err %v, want the caller's %v", what, got.Err, err)
						}
					}
					tok, err := c.TokenSource(w.Ctx).Token()
					check("TokenSource", tok, err, tt.tries, tt.retryFrom, tt.retryTo)
					if flow == "refresh token" && tok != nil {
						c = refreshWith(tok.RefreshToken)(w, o)
					}
					tok, err = c.Token(w.Ctx)
					check("Token", tok, err, 1, 0, 0)
				})
			})
		}
	}
}

func TestOptions_onExchangeIsNotCalledForATokenInHand(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		n := 0
		src := flows["API key"](w, netoauth.Options{OnExchange: func(netoauth.Exchange) { n++ }}).TokenSource(w.Ctx)
		for range 210 {
			suite.MustToken(t, src)
			time.Sleep(time.Second)
		}
		suite.Diff(t, "calls", 1, n)
	})
}

// Took counts all that the exchange waits for, OnToken included.
func TestOptions_onExchangeTookCountsEverything(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		s := newStore(mustLogIn(t, w, spent))
		w.RevokeRefreshTokens() // the refresh, then a log-in
		w.Delay(time.Second)
		s.before = func(context.Context) error { time.Sleep(3 * time.Second); return nil }
		s.after = func(context.Context) error { time.Sleep(5 * time.Second); return nil }
		o := s.options()
		var took time.Duration
		o.OnToken = func(*oauth2.Token) { time.Sleep(7 * time.Second) }
		o.OnExchange = func(e netoauth.Exchange) { took = e.Took }
		suite.MustToken(t, flows["password"](w, o).TokenSource(w.Ctx))
		suite.Diff(t, "Took", "17s", took.String())
	})
}

// An exchange without an end of its token has no Expiry.
func TestOptions_onExchangeExpiryIsZeroForATokenWithoutEnd(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Fail(-1, netoauthtest.Answer(200, "application/json", `{"access_token":"t"}`))
		var seen []netoauth.Exchange
		o := netoauth.Options{OnExchange: func(e netoauth.Exchange) { seen = append(seen, e) }}
		suite.MustToken(t, flows["password"](w, o).TokenSource(w.Ctx))
		suite.Diff(t, "exchanges", []netoauth.Exchange{{Flow: "password", Account: w.Username}}, seen)
	})
}

// RetryIn is the very time that the source waits.
func TestOptions_onExchangeTellsWhenTheNextOneIs(t *testing.T) {
	for name, fault := range map[string]http.Handler{
		"503": netoauthtest.Status(503), "401": netoauthtest.Status(401), "Retry-After": netoauthtest.Status(429, "Retry-After", "20"),
	} {
		t.Run(name, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
				w.Fail(-1, fault)
				var last netoauth.Exchange
				n := 0
				src := flows["API key"](w, netoauth.Options{OnExchange: func(e netoauth.Exchange) { last, n = e, n+1 }}).TokenSource(w.Ctx)
				for i := range 5 {
					src.Token()
					suite.Diff(t, "exchanges", i+1, n)
					time.Sleep(last.RetryIn - time.Nanosecond)
					src.Token()
					suite.Diff(t, "exchanges before RetryIn has passed", i+1, n)
					time.Sleep(time.Nanosecond)
				}
			})
		})
	}
}

func TestOptions_callbacksComeBeforeTheCallers(t *testing.T) {
	for name, fault := range map[string]http.Handler{"a token": nil, "a refusal": netoauthtest.Status(401)} {
		t.Run(name, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
				w.Fail(-1, fault)
				j := new(journal)
				o := j.options()
				o.OnToken = func(*oauth2.Token) { time.Sleep(time.Second); j.add("OnToken") }
				o.OnExchange = func(netoauth.Exchange) { time.Sleep(time.Second); j.add("OnExchange") }
				src := flows["password"](w, o).TokenSource(w.Ctx)
				var all sync.WaitGroup
				for range 2 {
					all.Go(func() { src.Token(); j.add("caller") })
				}
				all.Wait()
				want := []string{"OnToken", "OnExchange", "DEBUG", "caller", "caller"}
				if fault != nil {
					want = []string{"OnExchange", "WARN", "caller", "caller"}
				}
				suite.Diff(t, "order", want, j.take())
			})
		})
	}
}

// records are what a JSON handler wrote.
type records struct {
	mu sync.Mutex
	bytes.Buffer
}

func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Buffer.Write(p)
}

func (r *records) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (r *records) take(t *testing.T) (all []map[string]any) {
	t.Helper()
	for line := range bytes.Lines(r.Bytes()) {
		var record map[string]any
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		delete(record, "time")
		delete(record, "msg")
		all = append(all, record)
	}
	r.Reset()
	return all
}

func TestOptions_loggerGetsOneRecordAnExchange(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Delay(1500 * time.Millisecond)
		r := new(records)
		c := flows["API key"](w, netoauth.Options{Logger: r.logger()})
		tok, err := c.Token(w.Ctx)
		if err != nil {
			t.Fatal(err)
		}
		endpoint := w.URL + netoauthtest.APIKeyPath
		suite.Diff(t, "records of a token", []map[string]any{{
			"level": "DEBUG", "flow": "API key", "account": "example", "endpoint": endpoint, "took": "1.5s",
			"expiry": tok.Expiry.Format(time.RFC3339Nano),
		}}, r.take(t))

		w.Fail(-1, netoauthtest.Status(401))
		_, err = c.Token(w.Ctx)
		suite.Diff(t, "records of a failed Token", []map[string]any{{
			"level": "WARN", "flow": "API key", "account": "example", "endpoint": endpoint, "took": "1.5s",
			"err": err.Error(), "retry_in": "0s",
		}}, r.take(t))

		var retryIn time.Duration
		key := *w.Key
		key.Logger, key.OnExchange = r.logger(), func(e netoauth.Exchange) { retryIn = e.RetryIn }
		src := key.TokenSource(w.Ctx)
		src.Token()
		src.Token() // the last error again, without an exchange
		got := r.take(t)
		suite.Diff(t, "records of a failed source", []map[string]any{{
			"level": "WARN", "flow": "API key", "account": "example", "endpoint": endpoint, "took": "1.5s",
			"err": err.Error(), "retry_in": retryIn.String(),
		}}, got)
	})
}

// The record of an exchange that sent nothing names no endpoint.
func TestOptions_loggerNamesNoEndpointWhereNothingWasSent(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		r := new(records)
		s := newStore(mustLogIn(t, w, spent))
		o := netoauth.Options{Store: s, Logger: r.logger()}
		src := flows["refresh token"](w, o).TokenSource(w.Ctx)
		suite.MustToken(t, src)
		r.take(t)
		time.Sleep(spent)
		s.before = failing
		src.Token()
		got := r.take(t)
		if len(got) != 1 || got[0]["endpoint"] != "" {
			t.Errorf("records %v, want one with an endpoint of \"\"", got)
		}
	})
}

func TestOptions_loggerWarnsOfEachFallBack(t *testing.T) {
	fallBack := []string{"account", "err", "flow", "level"}
	issued := []string{"account", "endpoint", "expiry", "flow", "level", "took"}
	for _, tt := range []struct {
		name string
		keys []string
		make func(t *testing.T, w *suite.World, o netoauth.Options) suite.Credential
	}{
		{"a refused refresh token", fallBack, func(t *testing.T, w *suite.World, o netoauth.Options) suite.Credential {
			o.InitialToken = &oauth2.Token{RefreshToken: "refused"}
			return flows["password"](w, o)
		}},
		{"a stored refresh token that is refused", fallBack, func(t *testing.T, w *suite.World, o netoauth.Options) suite.Credential {
			o.InitialToken = &oauth2.Token{RefreshToken: "refused"}
			return signIn(t, w, "refresh token", o)
		}},
		{"a wrong clock", []string{"account", "clock_off_by", "flow", "level"}, func(t *testing.T, w *suite.World, o netoauth.Options) suite.Credential {
			w.SetClock(time.Hour)
			return flows["API key"](w, o)
		}},
		{"a replaced secret", fallBack, func(t *testing.T, w *suite.World, o netoauth.Options) suite.Credential {
			return reloadings["password"].make(w, replaced, o, func(context.Context) (*reloaded, error) { return new(reloaded), nil })
		}},
		{"a Store without a lock", fallBack, func(t *testing.T, w *suite.World, o netoauth.Options) suite.Credential {
			s := newStore(nil)
			s.before = failing
			o.Store = s
			return flows["password"](w, o)
		}},
		{"a Store that cannot be written", fallBack, func(t *testing.T, w *suite.World, o netoauth.Options) suite.Credential {
			s := newStore(nil)
			s.after = failing
			o.Store = s
			return flows["password"](w, o)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
				r := new(records)
				suite.MustToken(t, tt.make(t, w, netoauth.Options{Logger: r.logger()}).TokenSource(w.Ctx))
				var levels []any
				var keys [][]string
				for _, record := range r.take(t) {
					levels = append(levels, record["level"])
					keys = append(keys, slices.Sorted(maps.Keys(record)))
				}
				suite.Diff(t, "levels", []any{"WARN", "DEBUG"}, levels)
				suite.Diff(t, "keys", [][]string{tt.keys, issued}, keys)
			})
		})
	}
}

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
		return flows["password"](w, netoauth.Options{OnToken: func(*oauth2.Token) { e.strike() }})
	},
	"OnExchange": func(w *suite.World, e *ender) suite.Credential {
		return flows["password"](w, netoauth.Options{OnExchange: func(netoauth.Exchange) { e.strike() }})
	},
	"Logger": func(w *suite.World, e *ender) suite.Credential {
		return flows["password"](w, netoauth.Options{Logger: slog.New(strikingHandler{levels{new(journal)}, e})})
	},
	"Reload": func(w *suite.World, e *ender) suite.Credential {
		return reloadings["password"].make(w, replaced, netoauth.Options{}, func(context.Context) (*reloaded, error) {
			e.strike()
			return new(reloaded), nil
		})
	},
	"Load": func(w *suite.World, e *ender) suite.Credential {
		s := newStore(nil)
		s.load = func(context.Context) error { e.strike(); return nil }
		return flows["password"](w, netoauth.Options{Store: s})
	},
	"Update, before": func(w *suite.World, e *ender) suite.Credential {
		s := newStore(nil)
		s.before = func(context.Context) error { e.strike(); return nil }
		return flows["password"](w, netoauth.Options{Store: s})
	},
	"Update, after": func(w *suite.World, e *ender) suite.Credential {
		s := newStore(nil)
		s.after = func(context.Context) error { e.strike(); return nil }
		return flows["password"](w, netoauth.Options{Store: s})
	},
	"RoundTripper": func(w *suite.World, e *ender) suite.Credential {
		network := w.InProcess().Transport
		w.Ctx = suite.Over(w.Ctx, suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
			e.strike()
			return network.RoundTrip(r)
		}))
		return flows["password"](w, netoauth.Options{})
	},
}

type strikingHandler struct {
	levels
	*ender
}

func (h strikingHandler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h strikingHandler) WithGroup(string) slog.Handler      { return h }
func (h strikingHandler) Handle(context.Context, slog.Record) error {
	h.strike()
	return nil
}

// As FailNow of a test does it.
func TestOptions_goexitLeavesNobodyWaiting(t *testing.T) {
	for place, use := range places {
		t.Run(place, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
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
		})
	}
}

// Nor does it take away a token in hand.
func TestOptions_goexitInARenewalLeavesTheTokenInHand(t *testing.T) {
	for place, use := range places {
		t.Run(place, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
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

// An OnToken that never returns makes no exchange a second.
func TestOptions_goexitBacksOff(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		e := &ender{times: -1, end: runtime.Goexit}
		src := places["OnToken"](w, e).TokenSource(w.Ctx)
		for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			src.Token()
		}
		if n := w.Requests(""); n > 90 {
			t.Errorf("%d token requests in 10 min, want them to back off as after a transient fault", n)
		}
	})
}

// The fall-back to a log-in after a fault with the refresh token says so.
func TestOptions_loggerWarnsOfALogInAfterAFault(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		j := new(journal)
		o := j.options()
		o.InitialToken = mustLogIn(t, w, spent)
		w.Fail(-1, netoauthtest.Status(500), netoauthtest.RefreshPath)
		src := flows["password"](w, o).TokenSource(w.Ctx)
		src.Token()
		j.take()
		time.Sleep(time.Second)
		suite.MustToken(t, src)
		suite.Diff(t, "callbacks", []string{"WARN", "OnToken", "OnExchange", "DEBUG"}, j.take())

		w.Fail(0, nil)
		time.Sleep(spent)
		suite.MustToken(t, src)
		suite.Diff(t, "callbacks of the refresh that follows", []string{"OnToken", "OnExchange", "DEBUG"}, j.take())
	})
}
