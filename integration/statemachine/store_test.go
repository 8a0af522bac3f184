package statemachine_test

import (
	"context"
	"errors"
	"time"

	"golang.org/x/oauth2"
)

// store is a Store in memory that can be made to misbehave. The world's mutex guards all but lock.
type store struct {
	lock   chan struct{} // has an element while an Update is under way; waiters wait on a channel, as a bubble needs it
	mode   string        // as in storeIs
	token  *oauth2.Token
	had    map[string]bool // the access tokens it has had
	failed bool            // an Update has failed: what is in use need not be in the Store
}

// storeOf is the store as a run sees it.
type storeOf struct{ r *run }

var errStore = errors.New("the store is out of order")

// enter waits as the mode has it, for a Load or before an Update's function.
func (s storeOf) enter(ctx context.Context, failing string) error {
	w := s.r.w
	w.mu.Lock()
	mode := w.store.mode
	w.mu.Unlock()
	switch mode {
	case "slow":
		return sleep(ctx, 3*time.Second)
	case "silent":
		<-ctx.Done()
		return ctx.Err()
	case "failing", failing:
		return errStore
	}
	return nil
}

func (s storeOf) Load(ctx context.Context) (*oauth2.Token, error) {
	err := s.enter(ctx, "not loading")
	s.r.w.mu.Lock()
	defer s.r.w.mu.Unlock()
	if err != nil {
		s.r.isGiven(nil)
		return nil, err
	}
	return s.r.isGiven(s.r.w.store.token), nil
}

func (s storeOf) Update(ctx context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) (err error) {
	w, r := s.r.w, s.r
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		r.updateEnds(err)
	}()
	failedBefore := func(err error) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.store.failed = true
		return err
	}
	select {
	case w.store.lock <- struct{}{}:
		defer func() { <-w.store.lock }()
	case <-ctx.Done():
		return failedBefore(ctx.Err())
	}
	if err := s.enter(ctx, "not updating"); err != nil {
		return failedBefore(err)
	}
	w.mu.Lock()
	r.inUpdate = true
	stored := r.isGiven(w.store.token)
	w.mu.Unlock()
	next, err := f(stored)
	w.mu.Lock()
	r.inUpdate = false
	mode := w.store.mode
	w.mu.Unlock()
	if mode == "slow afterwards" {
		sleep(ctx, 3*time.Second)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil || next == nil {
		return err
	}
	if mode == "not storing" {
		w.store.failed = true
		return errStore
	}
	w.store.token = w.kept(next)
	w.store.had[next.AccessToken] = true
	return nil
}

// kept returns what the Store keeps of a token: no Extra, and ExpiresIn if the history has it.
func (w *world) kept(t *oauth2.Token) *oauth2.Token {
	k := &oauth2.Token{AccessToken: t.AccessToken, TokenType: t.TokenType, RefreshToken: t.RefreshToken, Expiry: t.Expiry}
	if w.history.expiresIn {
		k.ExpiresIn = t.ExpiresIn
	}
	return k
}
