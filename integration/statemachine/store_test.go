package statemachine_test

import (
	"context"
	"errors"
	"time"

	"golang.org/x/oauth2"
)

// store is a Store in memory that can be made to misbehave. The world's mutex guards all but lock.
type store struct {
	lock   chan struct{} // has an element while an Update is under way
	mode   string        // as in storeIs
	token  *oauth2.Token
	had    map[string]bool // the access tokens it has had
	failed bool            // has not stored a token: what is in use need not be here
	stale  int             // how many tokens it has got that nobody would take over
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
	begun, needed := s.loads(1)
	defer s.loads(-1)
	err := s.enter(ctx, "not loading")
	s.r.w.mu.Lock()
	hung := s.r.w.store.mode == "hung"
	s.r.w.mu.Unlock()
	if hung {
		<-ctx.Done()
		s.isLeft(begun, needed)
		time.Sleep(45 * time.Second)
		return nil, errStore
	}
	s.r.w.mu.Lock()
	defer s.r.w.mu.Unlock()
	if took := time.Since(begun); took > loadTime {
		s.r.w.fail(noWait, "%s: Load was given %v", s.r.name, took)
	}
	if ctx.Err() != nil {
		s.r.exchange.updated = "failed" // before it began
	}
	if err != nil {
		s.r.isGiven(nil)
		return nil, err
	}
	return s.r.isGiven(s.r.w.store.token), nil
}

// loadTime is what the contract gives a Load.
const loadTime = 5 * time.Second

// isLeft checks that the program leaves a Load behind that does not heed its context, and goes on,
// where it needs a token.
func (s storeOf) isLeft(begun time.Time, needed bool) {
	time.Sleep(50*time.Millisecond - time.Nanosecond) // until just before that
	s.r.w.mu.Lock()
	s.r.isGiven(nil)
	s.r.w.mu.Unlock()
	time.Sleep(2 * time.Nanosecond)
	s.r.w.mu.Lock()
	defer s.r.w.mu.Unlock()
	if time.Since(begun) > loadTime+time.Second || needed && !s.r.seen.wentOn {
		s.r.w.fail(noWait, "%s: a Load that hangs since %v is waited for", s.r.name, time.Since(begun))
	}
}

// loads counts the Loads under way. While one is, or where it used up its time, Update counts as
// failed. It returns when that was, and whether there was no other token than one of the Store or of
// an exchange.
func (s storeOf) loads(n int) (now time.Time, needed bool) {
	s.r.w.mu.Lock()
	defer s.r.w.mu.Unlock()
	r, now := s.r, time.Now()
	r.seen.loads += n
	if n > 0 {
		r.seen.wentOn = false
	}
	refused := r.count.refused[r.hand.token] > 0
	needed = !r.usable(r.hand.token, now) && !refused && !now.Before(r.waits.notBefore)
	return now, needed && r.seen.stale == nil
}

func (s storeOf) Update(ctx context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
	s.r.updateBegins()
	defer s.r.updateEnds()
	lock := s.r.w.store.lock
	select {
	case lock <- struct{}{}:
		defer func() { <-lock }()
	case <-ctx.Done():
		return s.fails(ctx.Err())
	}
	if err := s.enter(ctx, "not updating"); err != nil {
		return s.fails(err)
	}
	next, err := f(s.opens())
	mode := s.closes()
	if mode == "slow afterwards" {
		sleep(ctx, 3*time.Second)
	}
	switch {
	case err != nil:
		return s.fails(err)
	case next == nil:
		return nil
	case mode == "not storing":
		return s.fails(errStore)
	}
	s.keeps(next)
	return nil
}

// fails notes that an Update fails with err.
func (s storeOf) fails(err error) error {
	s.r.w.mu.Lock()
	defer s.r.w.mu.Unlock()
	s.r.exchange.updated = "failed"
	return err
}

// opens returns what an Update's function gets.
func (s storeOf) opens() *oauth2.Token {
	s.r.w.mu.Lock()
	defer s.r.w.mu.Unlock()
	s.r.seen.inUpdate = true
	return s.r.isGiven(s.r.w.store.token)
}

// closes notes that an Update's function has returned, and returns the mode.
func (s storeOf) closes() string {
	s.r.w.mu.Lock()
	defer s.r.w.mu.Unlock()
	s.r.seen.inUpdate = false
	mode := s.r.w.store.mode
	s.r.w.store.failed = s.r.w.store.failed || mode == "not storing"
	return mode
}

// keeps stores a token for r: without its Extra, and with ExpiresIn if the history has it.
func (s storeOf) keeps(t *oauth2.Token) {
	s.r.w.mu.Lock()
	defer s.r.w.mu.Unlock()
	s.r.w.keeps(t)
	s.r.exchange.updated = "stored"
}

// keeps puts a token into the Store.
func (w *world) keeps(t *oauth2.Token) {
	k := &oauth2.Token{
		AccessToken: t.AccessToken, TokenType: t.TokenType, RefreshToken: t.RefreshToken, Expiry: t.Expiry,
	}
	if w.history.expiresIn {
		k.ExpiresIn = t.ExpiresIn
	}
	w.store.token, w.store.had[t.AccessToken] = k, true
	if !w.access[t.AccessToken].fresh(time.Now()) {
		w.store.stale++
	}
}
