package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/tokenfile"
	"golang.org/x/oauth2"
)

// grace is how long an exchange has to end after the run was interrupted or timed out: the API may
// have replaced the refresh token already, and the new one is lost unless it gets into the cache.
const grace = 10 * time.Second

// cache is the Store of one run, and what did not work with it. Where there is a token all the
// same, a token source tells of that only its Logger.
type cache struct {
	netoauth.Store // the file

	mu       sync.Mutex // an exchange may outlast the run's patience
	unusable error      // why the file could not be used or written
	failed   error      // why the exchange brought no token
}

// Update is that of the file, and remembers its failure unless that is f's.
func (c *cache) Update(ctx context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
	var own error
	err := c.Store.Update(ctx, func(stored *oauth2.Token) (t *oauth2.Token, err error) {
		t, own = f(stored)
		return t, own
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if own == nil {
		c.unusable = err
	}
	return err
}

func (c *cache) onExchange(e netoauth.Exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = e.Err
}

func (c *cache) failures() (unusable, failed error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unusable, c.failed
}

// printCached prints a token of the session in the cache. It returns when the session is safe there,
// which can be later: where a renewal takes long, the stored token is printed before its end.
func (c *command) printCached(ctx context.Context, creds *credentials) error {
	file := &cache{Store: &tokenfile.File{Path: c.cache, Owner: creds.owner}}
	if c.renew {
		file.Store = &renewing{Store: file.Store}
	}
	creds.options.Store, creds.options.OnExchange = file, file.onExchange
	src := creds.flow.TokenSource(ctx)
	t, err := within(ctx, src.Token)
	switch {
	case err == nil:
		err = c.print(t)
	case ctx.Err() != nil:
		c.say("waiting for the token that is on its way to the cache, %v at most; "+
			"interrupt to end at once", grace)
	}

	end, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	late := netoauth.Wait(end, src) != nil
	unusable, failed := file.failures()
	switch {
	case t == nil && failed != nil && ctx.Err() == nil:
		return failed // as err, but without the time of a next try, which there is not
	case err != nil:
		return err
	case late:
		return errors.New("a token was printed, but the next one is not in the cache in time (-timeout)")
	case unusable != nil:
		return fmt.Errorf("a token was printed, but the cache cannot be used: %w", unusable)
	case failed != nil:
		c.say("warning: the printed token is near its end, and renewing it failed: %v", failed)
	}
	return nil
}

// within returns what f returns, or ctx's error as soon as that ends; then f goes on for nobody.
func within[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := f()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
