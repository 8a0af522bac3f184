package storetest_test

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/oauth2"
)

// exchange is Update's f.
type exchange = func(stored *oauth2.Token) (*oauth2.Token, error)

// session is what a place keeps for an owner, and a Store that is right: the map of a process's
// memory, with a lock that a context ends.
type session struct {
	place *place
	turn  chan struct{} // has room for the one whose turn it is

	mu     sync.Mutex
	stored *oauth2.Token
	writes int
}

func (s *session) Load(context.Context) (*oauth2.Token, error) { return s.read(), nil }

func (s *session) Update(ctx context.Context, f exchange) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	return s.exchange(f)
}

func (s *session) lock(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("another has the lock: %w", ctx.Err())
	}
}

func (s *session) unlock() { <-s.turn }

// exchange is Update without the lock.
func (s *session) exchange(f exchange) error {
	t, err := f(s.read())
	if err == nil && t != nil {
		s.write(t)
	}
	return err
}

func (s *session) read() *oauth2.Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored
}

func (s *session) write(t *oauth2.Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored = t
	s.writes++
}

func (s *session) written() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// hang waits for the end of the test.
func (s *session) hang() { <-s.place.closed }

// place has the sessions.
type place struct {
	closed chan struct{} // by the test, so that what hangs does not outlast it

	mu       sync.Mutex
	sessions map[string]*session
	cuts     int // so far
}

func newPlace() *place {
	return &place{closed: make(chan struct{}), sessions: make(map[string]*session)}
}

func (p *place) session(owner string) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sessions[owner] == nil {
		p.sessions[owner] = &session{place: p, turn: make(chan struct{}, 1)}
	}
	return p.sessions[owner]
}

func (p *place) writeAll(t *oauth2.Token) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sessions {
		s.write(t)
	}
}

func (p *place) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cuts++
}

func (p *place) wasCut() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}
