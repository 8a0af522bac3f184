package stores

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite/scenario"
	"golang.org/x/oauth2"
)

// 2000 clients of one session, in virtual time, meet a token endpoint that is overloaded.
func TestFleet_meetsAnOverloadedEndpoint(t *testing.T) {
	t.Parallel()
	if !thorough {
		t.Skip("the race detector makes 2000 clients too slow")
	}
	for _, o := range scenario.Overloads {
		t.Run(o.Name, func(t *testing.T) {
			t.Parallel()
			got := overload(t, o, true)
			t.Log(got)
			if got.each > 2 && o.Down == 0 || got.sinceIssue > 5*time.Second {
				t.Errorf("%v, want 2 token requests a client at most, and all served 5 s after the first issue", got)
			}
		})
	}
}

type overloadFigures struct {
	served     time.Duration // from the time when the endpoint can be reached until all clients were; 0: never
	sinceIssue time.Duration // from the first token to that
	each       float64       // token requests of a client
}

func (f overloadFigures) String() string {
	if f.served == 0 {
		return "never"
	}
	return fmt.Sprintf("%.1f s, %.1f", f.served.Seconds(), f.each)
}

// overload has 2000 clients start within a second, with one Store for all, or without.
func overload(t *testing.T, o scenario.Overload, shared bool) (f overloadFigures) {
	w := &watched{store: sync.OnceValue(newMemory)}
	if !shared {
		w.store = nil
	}
	figures := o.Play(t, w.client)
	f.each = figures.FetchesEach()
	if w.served == 2000 {
		f.served, f.sinceIssue = w.last.Sub(w.began)-o.Down, w.last.Sub(w.issued)
	}
	return f
}

// watched are the clients of a fleet, and when they were served.
type watched struct {
	store func() *memory // nil: none

	mu                  sync.Mutex
	served              int
	began, issued, last time.Time // the first client's start, the first token, the last client's answer
}

func (w *watched) client(ctx context.Context, key *netoauth.APIKey) *http.Client {
	if w.store != nil {
		key.Store = w.store()
	}
	w.note(&w.began)
	network := ctx.Value(oauth2.HTTPClient).(*http.Client).Transport
	c := key.Client(context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: seen{network, func() { w.note(&w.issued) }}}))
	c.Transport = seen{c.Transport, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.served, w.last = w.served+1, time.Now()
	}}
	return c
}

func (w *watched) note(first *time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if first.IsZero() {
		*first = time.Now()
	}
}

// seen tells of each good answer.
type seen struct {
	http.RoundTripper
	good func()
}

func (s seen) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(req)
	if err == nil && resp.StatusCode == http.StatusOK {
		s.good()
	}
	return resp, err
}

// memory is a Store whose lock is a channel, since the clock of a bubble stands still while somebody
// waits for a sync.Mutex.
type memory struct {
	updating chan struct{} // holds an element while an Update is under way

	mu    sync.Mutex
	token *oauth2.Token
}

func newMemory() *memory { return &memory{updating: make(chan struct{}, 1)} }

func (m *memory) Load(context.Context) (*oauth2.Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.token, nil
}

func (m *memory) Update(ctx context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
	select {
	case m.updating <- struct{}{}:
		defer func() { <-m.updating }()
	case <-ctx.Done():
		return ctx.Err()
	}
	stored, _ := m.Load(ctx)
	t, err := f(stored)
	if err == nil && t != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.token = t
	}
	return err
}
