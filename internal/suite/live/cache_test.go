package live_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
)

// A lateContext belongs to a caller who is late: meanwhile happens between the caller's look at the
// token in hand and what the caller does about it, because the token source asks the context for
// its error in between.
type lateContext struct {
	context.Context
	once      *sync.Once
	meanwhile func()
}

func (c lateContext) Err() error {
	c.once.Do(func() { // in another goroutine, as another caller would
		done := make(chan struct{})
		go func() { defer close(done); c.meanwhile() }()
		<-done
	})
	return c.Context.Err()
}

// getLate is a GET whose caller is late.
func getLate(t *testing.T, w *suite.World, client *http.Client, meanwhile func()) {
	t.Helper()
	ctx := lateContext{w.Ctx, new(sync.Once), meanwhile}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Transport.RoundTrip(req) // http.Client would ask the context, too
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	suite.Diff(t, "status", http.StatusOK, resp.StatusCode)
}

// A caller who saw no token, a stale or a spent one, just before the next came, starts no exchange:
// the cache has that one.
func TestTransport_aLateLookStartsNoExchange(t *testing.T) {
	for _, tt := range []struct {
		name string
		age  time.Duration // of the token in a life of a minute; 0: there is none
	}{
		{"no token", 0},
		{"stale", 53 * time.Second},
		{"spent", 61 * time.Second},
	} {
		suite.RunInBubble(t, tt.name, func(t *testing.T, w *suite.World) {
			w.SetLifetimes(time.Minute, time.Hour)
			w.Handle("/", suite.Answer(200, ""))
			client := w.Key.Client(w.Ctx)
			if tt.age > 0 {
				suite.MustGet(t, client, w.URL)
				time.Sleep(tt.age)
			}
			before := w.Requests("")
			getLate(t, w, client, func() {
				suite.MustGet(t, client, w.URL)
				synctest.Wait() // for the renewal that it has started
			})
			synctest.Wait()
			suite.Diff(t, "token requests", 1, w.Requests("")-before)
		})
	}
}

// A caller who saw no token, just before one came, gets it although a 401 has put it in doubt since
// and its renewal takes long.
func TestTransport_aLateLookWaitsForNoOtherRenewal(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Handle("/", suite.Answer(200, ""))
		w.Handle("/refused", suite.Answer(http.StatusUnauthorized, ""))
		client := w.Key.Client(w.Ctx)
		start := time.Now()
		getLate(t, w, client, func() {
			suite.MustGet(t, client, w.URL)
			w.Delay(10 * time.Second)
			go suite.MustGet(t, client, w.URL+"/refused")
			synctest.Wait()
			suite.Diff(t, "token requests by then", 2, w.Requests(""))
		})
		suite.Diff(t, "wait", time.Duration(0), time.Since(start))
		netoauth.Wait(w.Ctx, client.Transport.(*netoauth.Transport).Source)
	})
}
