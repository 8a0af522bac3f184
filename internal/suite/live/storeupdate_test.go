package live_test

import (
	"cmp"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

func TestStore_updateLooksOnceMore(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		s := newStore(mustLogIn(t, w, stale))
		next := renew(t, w, s.get(), nil)
		s.before = func(context.Context) error { s.put(next); return nil }
		src := of(s.options()).TokenSource(w.Ctx)
		suite.Diff(t, "token", next.AccessToken, suite.MustToken(t, src))
		suite.Diff(t, "calls and callbacks", []string{"Load", "Update", "DEBUG"}, s.Take())
		suite.Diff(t, "token requests", 2, w.Requests(""))
	})
}

func TestStore_loadThatFailsCountsAsNone(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		sent := recordRefreshes(w)
		stored := mustLogIn(t, w, spent)
		s := newStore(stored)
		s.load = failing
		got := suite.MustToken(t, of(s.options()).TokenSource(w.Ctx))
		suite.Diff(t, "stored token", s.get().AccessToken, got)
		suite.Diff(t, "refresh tokens sent", []string{stored.RefreshToken}, sent.Take())
	})
}

// Refresh would have no place for the next refresh token and sends nothing. The others log in.
func TestStore_updateThatFailsBeforeItsExchange(t *testing.T) {
	for _, tt := range []struct {
		name  string
		make  func(s *store)
		in    time.Duration
		cause error // of Refresh
	}{
		{"at once", func(s *store) { s.before = failing }, 0, errStore},
		{"after 35 s", func(s *store) { s.before = hanging }, 35 * time.Second, context.DeadlineExceeded},
		{"held lock", func(s *store) { time.AfterFunc(40*time.Second, s.hold()) }, 35 * time.Second, context.DeadlineExceeded},
		{"without an error", func(s *store) { s.calls = 0 }, 0, nil},
		{"function called too late", func(s *store) {
			s.before = func(context.Context) error { time.Sleep(40 * time.Second); return nil }
		}, 35*time.Second + 50*time.Millisecond, context.DeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
				sent := recordRefreshes(w)
				s := newStore(mustLogIn(t, w, spent))
				before := s.get().AccessToken
				tt.make(s)
				o := s.options()
				var exchanges []netoauth.Exchange
				o.OnExchange = func(e netoauth.Exchange) { s.Add("OnExchange"); exchanges = append(exchanges, e) }
				c := of(o)
				start := time.Now()
				_, err := c.TokenSource(w.Ctx).Token()
				suite.Diff(t, "time taken", tt.in.String(), time.Since(start).String())
				suite.Diff(t, "refresh tokens sent", nothing, sent.Take())
				suite.Diff(t, "stored token", before, s.get().AccessToken)

				want := []string{"Load", "Update", "WARN", "OnToken", "OnExchange", "DEBUG"}
				if _, ok := c.(*netoauth.Refresh); ok {
					want = []string{"Load", "Update", "OnExchange", "WARN"}
					if tt.cause != nil {
						suite.WantError(t, err, tt.cause)
					}
					if len(exchanges) != 1 || exchanges[0].Err == nil || exchanges[0].RetryIn < 500*time.Millisecond ||
						exchanges[0].RetryIn > time.Second || errors.Is(err, netoauth.ErrRejected) {
						t.Errorf("%+v, error %v; want a failure to be tried again as after a transient fault", exchanges, err)
					}
				} else if err != nil {
					t.Error(err)
				}
				suite.Diff(t, "calls and callbacks", want, s.Take())
			})
		})
	}
}

func TestStore_updateThatFailsAfterItsExchange(t *testing.T) {
	for name, make := range map[string]func(s *store){
		"at once":    func(s *store) { s.after = failing },
		"after 20 s": func(s *store) { s.after = hanging },
	} {
		t.Run(name, func(t *testing.T) {
			eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
				s := newStore(mustLogIn(t, w, spent))
				before := s.get().AccessToken
				make(s)
				start := time.Now()
				got := suite.MustToken(t, of(s.options()).TokenSource(w.Ctx))
				if took := time.Since(start); name == "after 20 s" && took != 20*time.Second {
					t.Errorf("Update had %v after its exchange, want 20s", took)
				}
				suite.Diff(t, "stored token", before, s.get().AccessToken)
				if got == before {
					t.Error("the token is the stored one")
				}
				suite.Diff(t, "calls and callbacks",
					[]string{"Load", "Update", "WARN", "OnToken", "OnExchange", "DEBUG"}, s.Take())
			})
		})
	}
}

// What the Store says of itself after an exchange that failed is told beside what the API said.
func TestStore_updateThatFailsAfterAFailedExchange(t *testing.T) {
	for name, tt := range map[string]struct{ update, want error }{"of its own": {errStore, errStore}, "the exchange's": {}} {
		suite.RunInBubble(t, name, func(t *testing.T, w *suite.World) {
			w.Fail(-1, netoauthtest.Status(503, "Retry-After", "1"))
			s := newStore(nil)
			o := s.options()
			o.Store = unlocking{s, tt.update}
			var e netoauth.Exchange
			o.OnExchange = func(of netoauth.Exchange) { e = of }
			src := w.Credential(suite.Password, o).TokenSource(w.Ctx)
			src.Token()
			suite.Diff(t, "StoreErr", tt.want, e.StoreErr, cmpopts.EquateErrors())
			suite.Diff(t, "StoreErr of StatusOf", tt.want, netoauth.StatusOf(src).StoreErr, cmpopts.EquateErrors())
			apiErr, _ := errors.AsType[*netoauth.Error](e.Err)
			suite.Diff(t, "the API's answer", 503, apiErr.StatusCode)
		})
	}
}

// unlocking is a Store whose Update ends with err where that is not nil, whatever its function returned.
type unlocking struct {
	*store
	err error
}

func (u unlocking) Update(ctx context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
	err := u.store.Update(ctx, f)
	return cmp.Or(u.err, err)
}

func TestStore_lockAndExchangeHaveTheirOwnTime(t *testing.T) {
	eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
		s := newStore(mustLogIn(t, w, spent))
		time.AfterFunc(34*time.Second, s.hold())
		w.Delay(25 * time.Second)
		s.after = func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(19 * time.Second):
				return nil
			}
		}
		start := time.Now()
		got := suite.MustToken(t, of(s.options()).TokenSource(w.Ctx))
		suite.Diff(t, "time taken", "1m18s", time.Since(start).String())
		suite.Diff(t, "stored token", s.get().AccessToken, got)
	})
}

func TestStore_callersContextEndsItsOwnWaitAlone(t *testing.T) {
	for name, hold := range map[string]func(*suite.World, *store){
		"during Load": func(_ *suite.World, s *store) {
			s.load = func(context.Context) error { time.Sleep(3 * time.Second); return nil }
		},
		"before the lock":     func(_ *suite.World, s *store) { time.AfterFunc(3*time.Second, s.hold()) },
		"during the exchange": func(w *suite.World, _ *store) { w.Delay(3 * time.Second) },
		"while it is stored": func(_ *suite.World, s *store) {
			s.after = func(context.Context) error { time.Sleep(3 * time.Second); return nil }
		},
	} {
		suite.RunInBubble(t, name, func(t *testing.T, w *suite.World) {
			w.Handle("/", suite.Answer(200, ""))
			s := newStore(mustLogIn(t, w, spent))
			hold(w, s)
			client := w.Credential(suite.Refresh, s.options()).Client(w.Ctx)
			start := time.Now()
			err := getWithin(w, client, time.Second)
			suite.WantError(t, err, context.DeadlineExceeded)
			suite.Diff(t, "the first caller's wait", "1s", time.Since(start).String())
			suite.Diff(t, "the second caller's status", 200, suite.MustGet(t, client, w.URL))
			suite.Diff(t, "time until the second caller was served", "3s", time.Since(start).String())
			suite.Diff(t, "token requests", 2, w.Requests(""))
		})
	}
}
