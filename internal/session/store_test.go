package session_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth/internal/session"
	"golang.org/x/oauth2"
)

// functions are the methods of a Store.
type functions struct {
	load   func(context.Context) (*oauth2.Token, error)
	update func(context.Context, func(*oauth2.Token) (*oauth2.Token, error)) error
}

func (s functions) Load(ctx context.Context) (*oauth2.Token, error) { return s.load(ctx) }

func (s functions) Update(ctx context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
	return s.update(ctx, f)
}

// heeding waits for the end of ctx, and says which lock it waited for.
func heeding(ctx context.Context) error {
	<-ctx.Done()
	return fmt.Errorf("the lock is another's: %w", ctx.Err())
}

// hanging waits for d, whatever ctx says.
func hanging(d time.Duration) func(context.Context) error {
	return func(context.Context) error { time.Sleep(d); return nil }
}

func TestLoad_hasFiveSeconds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		load   func(context.Context) error
		took   time.Duration
		says   string
		misses time.Duration // from when on the next Load is made again
	}{
		{"a Store that heeds its context", heeding, 5 * time.Second, "took over 5s: context deadline exceeded: the lock", 0},
		{"one that does not", hanging(17 * time.Second), 5050 * time.Millisecond, "took over 5s", 12 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int32
				s := session.New(functions{load: func(ctx context.Context) (*oauth2.Token, error) {
					if calls.Add(1) > 1 {
						return token("stored"), nil
					}
					return token("stored"), tt.load(ctx)
				}}, "", nil, true)
				start := time.Now()
				_, err := s.Load(t.Context())
				diff(t, "time", tt.took.String(), time.Since(start).String())
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("error %v, want %q in it", err, tt.says)
				}
				if _, stuck := errors.AsType[session.Stuck](err); !stuck {
					t.Errorf("error %v is not Stuck", err)
				}
				if tt.misses > 0 {
					start = time.Now()
					_, err := s.Load(t.Context())
					if _, stuck := errors.AsType[session.Stuck](err); !stuck {
						t.Errorf("error %v, want one that says that an earlier Load has not returned", err)
					}
					called, err := s.Update(t.Context(), nil)
					if called || err == nil {
						t.Errorf("Update is called beside it: %v, %v", called, err)
					}
					diff(t, "time, and calls", []any{"0s", int32(1)}, []any{time.Since(start).String(), calls.Load()})
					time.Sleep(tt.misses)
				}
				if news, err := s.Load(t.Context()); err != nil || news == nil {
					t.Errorf("a Load later: %v, %v; want the token", news, err)
				}
			})
		})
	}
}

func TestLoad_thatFailsIsNotStuck(t *testing.T) {
	broken := errors.New("broken")
	s := session.New(functions{load: func(context.Context) (*oauth2.Token, error) { return nil, broken }},
		"", token("initial"), true)
	news, err := s.Load(t.Context())
	if _, stuck := errors.AsType[session.Stuck](err); stuck || !errors.Is(err, broken) {
		t.Errorf("error %v, want the Store's", err)
	}
	if news == nil || news.AccessToken != "initial" {
		t.Errorf("news are %v, want the initial token", news)
	}
}

// issue is what f of Update does.
func issue(d time.Duration) func(*oauth2.Token) (*oauth2.Token, error) {
	return func(*oauth2.Token) (*oauth2.Token, error) { time.Sleep(d); return token("issued"), nil }
}

func TestUpdate_timeLimits(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name          string
		before, after func(context.Context) error
		f             time.Duration // that f takes
		took          time.Duration
		called        bool
		says          string // "": no error
	}{
		{"in time", hanging(34 * time.Second), hanging(19 * time.Second), time.Hour, time.Hour + 53*time.Second, true, ""},
		{"heeds its context before f", heeding, nil, 0, 35 * time.Second, false, "Update of the Store took over 35s"},
		{"does not", hanging(50 * time.Second), nil, 0, 35*time.Second + 50*ms, false, "Update of the Store took over 35s"},
		{"heeds it after f", nil, heeding, 0, 20 * time.Second, true, "Update of the Store took over 20s"},
		{"does not", nil, hanging(50 * time.Second), 0, 20*time.Second + 50*ms, true, "Update of the Store took over 20s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ran := 0
				s := session.New(functions{update: func(ctx context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
					if tt.before != nil {
						if err := tt.before(ctx); err != nil {
							return err
						}
					}
					_, err := f(nil)
					if err == nil && tt.after != nil {
						err = tt.after(ctx)
					}
					return err
				}}, "", nil, true)
				start := time.Now()
				called, err := s.Update(t.Context(), func(news *oauth2.Token) (*oauth2.Token, error) {
					ran++
					return issue(tt.f)(news)
				})
				diff(t, "time, and whether f was called", []any{tt.took.String(), tt.called},
					[]any{time.Since(start).String(), called})
				if said := fmt.Sprint(err); tt.says == "" && err != nil || !strings.Contains(said, tt.says) {
					t.Errorf("error %v, want %q in it", err, tt.says)
				}
				time.Sleep(time.Minute)
				if (ran > 0) != tt.called {
					t.Error("f ran, but nobody waited for it any more")
				}
			})
		})
	}
}

// A refresh token that f has used up is replaced by what f returns: that must find its place.
func TestUpdate_goesOnWhereItsCallersContextEndsInF(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := session.New(functions{update: func(ctx context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
			if _, err := f(nil); err != nil {
				return err
			}
			return ctx.Err()
		}}, "", nil, true)
		ctx, cancel := context.WithCancel(t.Context())
		called, err := s.Update(ctx, func(*oauth2.Token) (*oauth2.Token, error) { cancel(); return token("issued"), nil })
		if !called || err != nil {
			t.Errorf("%v, %v; want it stored", called, err)
		}
	})
}

func TestUpdate_endsWithItsCallersContextBeforeF(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := session.New(functions{update: func(ctx context.Context, _ func(*oauth2.Token) (*oauth2.Token, error)) error {
			return heeding(ctx)
		}}, "", nil, true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		called, err := s.Update(ctx, issue(0))
		diff(t, "time", "1s", time.Since(start).String())
		if called || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another's") {
			t.Errorf("%v, %v; want the context's error, and what the Store says", called, err)
		}
	})
}

func TestUpdate_callsThatTheInterfaceForbids(t *testing.T) {
	type update = func(context.Context, func(*oauth2.Token) (*oauth2.Token, error)) error
	for _, tt := range []struct {
		name   string
		update update
		called bool
		says   string
	}{
		{"f is not called", func(context.Context, func(*oauth2.Token) (*oauth2.Token, error)) error { return nil },
			false, "did not call f"},
		{"f is called twice", func(_ context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
			f(nil)
			_, err := f(nil)
			return err
		}, true, "too late, or twice"},
		{"the goroutine is ended after f", func(_ context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
			f(nil)
			runtime.Goexit()
			return nil
		}, true, "runtime.Goexit"},
		{"the goroutine is ended", func(context.Context, func(*oauth2.Token) (*oauth2.Token, error)) error {
			runtime.Goexit()
			return nil
		}, false, "runtime.Goexit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := session.New(functions{update: tt.update}, "", nil, true)
			ran := 0
			called, err := s.Update(t.Context(), func(*oauth2.Token) (*oauth2.Token, error) {
				ran++
				return token("issued"), nil
			})
			if called != tt.called || !strings.Contains(fmt.Sprint(err), tt.says) || ran > 1 {
				t.Errorf("%v, %v, f ran %d times; want %v, %q", called, err, ran, tt.called, tt.says)
			}
		})
	}
}
