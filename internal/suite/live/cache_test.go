// Package live_test specifies the live token source.
package live_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// lateContext belongs to a caller who is late: meanwhile happens between the caller's look at the token in hand and
// what the caller does about it, because the token source asks the context for its error in between.
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

// late makes a GET through src whose caller is late by meanwhile.
func late(t *testing.T, ctx context.Context, srv *netoauthtest.Server, src oauth2.TokenSource, meanwhile func()) {
	t.Helper()
	req, err := http.NewRequestWithContext(lateContext{ctx, new(sync.Once), meanwhile}, http.MethodGet, srv.URL+"/late", nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &netoauth.Transport{Source: src, Base: srv.InProcess().Transport}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// A caller who saw that there is no usable token, just before the next one landed, starts no exchange: the cache
// under the live source has that token.
func TestTransport_aLateLookStartsNoExchange(t *testing.T) {
	for name, age := range map[string]time.Duration{"no token": -1, "stale": 55 * time.Second, "spent": 61 * time.Second} {
		t.Run(name, func(t *testing.T) {
			srv := netoauthtest.NewServer()
			defer srv.Close()
			srv.SetLifetimes(time.Minute, time.Hour)
			srv.Handle("/late", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			synctest.Test(t, func(t *testing.T) {
				ctx := context.WithValue(t.Context(), oauth2.HTTPClient, srv.InProcess())
				key, err := netoauth.ParseAPIKey(srv.Netosecret)
				if err != nil {
					t.Fatal(err)
				}
				src := key.TokenSource(ctx)
				renew := func() {
					if _, err := src.Token(); err != nil {
						t.Error(err)
					}
					netoauth.Wait(ctx, src)
				}
				if age >= 0 {
					renew()
					time.Sleep(age)
				}
				before := srv.Requests("")
				late(t, ctx, srv, src, renew)
				netoauth.Wait(ctx, src)
				if n := srv.Requests("") - before; n != 1 {
					t.Errorf("%d token requests, want the renewal's alone", n)
				}
			})
		})
	}
}
