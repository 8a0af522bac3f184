// Package scenario puts an HTTP client through the situations in which token sources hurt, in virtual time.
//
// A subject is a client made of an API key. Each scenario starts it in a bubble of testing/synctest, lets
// workers send requests through it, 100 a second in all, and returns what they and the token endpoint saw.
package scenario

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// Subject makes a client that signs in with key. The HTTP client in ctx reaches the API and the token endpoint.
type Subject func(ctx context.Context, key *netoauth.APIKey) *http.Client

// Figures are what a scenario showed.
type Figures struct {
	Sent        int           // requests of the workers
	Waited      int           // of them, how many took time; the API itself takes none
	Failed      int           // of them, how many ended in an error
	Refused     int           // of them, how many were answered 401
	Fetches     int           // token requests
	FirstFailed time.Duration // from the issue of the first token to the first failure; 0: none
	LastFailed  time.Duration // from the end of the trouble to the last failure; 0: none after it
	Busiest     int           // token requests in the busiest second
}

// Renewals is 30 minutes of 5-minute tokens, the token endpoint answering in 2 s. The first request, which
// has to wait, is not counted.
func Renewals(t *testing.T, s Subject, workers int) Figures {
	return run(t, s, func(w *world) {
		w.Delay(2 * time.Second)
		w.warm()
		w.drive(workers, 30*time.Minute)
	})
}

// ShortTokens is 10 minutes of 1-minute tokens, the token endpoint answering in 2 s.
func ShortTokens(t *testing.T, s Subject, workers int) Figures {
	return run(t, s, func(w *world) {
		w.SetLifetimes(time.Minute, time.Hour)
		w.Delay(2 * time.Second)
		w.warm()
		w.drive(workers, 10*time.Minute)
	})
}

// Outage is 10 minutes in which each token request meets fault, beginning after the first 5-minute token
// has been in use for so long. The fetches are those of the 10 minutes.
func Outage(t *testing.T, s Subject, workers int, after time.Duration, fault http.Handler) Figures {
	return run(t, s, func(w *world) {
		w.warm()
		w.drive(workers, after)
		before := w.Server.Requests("")
		w.Fail(-1, fault)
		w.drive(workers, 10*time.Minute)
		w.Fail(0, nil)
		w.calmAt = time.Now()
		w.Fetches = w.Server.Requests("") - before
		w.drive(workers, time.Minute)
	})
}

// WrongCredentials is 10 minutes with a shared secret that the API does not know.
func WrongCredentials(t *testing.T, s Subject, workers int) Figures {
	return run(t, s, func(w *world) {
		w.key.SharedSecret = "not the right one"
		w.start(s)
		w.drive(workers, 10*time.Minute)
	})
}

// Revocation is 5 minutes with a token that is revoked after the first.
func Revocation(t *testing.T, s Subject, workers int) Figures {
	return run(t, s, func(w *world) {
		w.SetLifetimes(time.Hour, time.Hour)
		w.Delay(2 * time.Second)
		w.warm()
		w.drive(workers, time.Minute)
		w.revoke()
		w.drive(workers, 4*time.Minute)
	})
}

// Stubborn401 is 5 minutes in which the API answers each request with 401, whatever the token.
func Stubborn401(t *testing.T, s Subject, workers int) Figures {
	return run(t, s, func(w *world) {
		w.warm()
		w.stubborn = true
		w.drive(workers, 5*time.Minute)
	})
}

// Fleet is 2000 clients that start together with 5-minute tokens and send one request a second. The busiest
// second is one of renewals.
func Fleet(t *testing.T, s Subject) Figures {
	return run(t, s, func(w *world) {
		const clients = 2000
		fleet := make([]*http.Client, clients)
		for i := range fleet {
			fleet[i] = s(w.ctx, w.key)
			w.request(fleet[i])
		}
		for range 300 {
			time.Sleep(time.Second)
			before := w.Server.Requests("")
			for _, c := range fleet {
				w.request(c)
			}
			synctest.Wait()
			w.Busiest = max(w.Busiest, w.Server.Requests("")-before)
		}
	})
}

// world is one scenario under way.
type world struct {
	*netoauthtest.Server
	tokens http.RoundTripper
	ctx    context.Context
	key    *netoauth.APIKey
	client *http.Client

	stubborn bool

	mu                sync.Mutex
	lastSeen, revoked string // Authorization headers
	warmAt, calmAt    time.Time
	Figures
}

func run(t *testing.T, s Subject, play func(*world)) (f Figures) {
	t.Helper()
	srv := netoauthtest.NewServer()
	defer srv.Close()
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := &world{Server: srv, tokens: srv.InProcess().Transport, key: key}
		w.ctx = context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: w})
		w.start(s)
		play(w)
		if w.Fetches == 0 {
			w.Fetches = srv.Requests("")
		}
		f = w.Figures
		time.Sleep(time.Minute) // an exchange under way ends; the bubble fails the test if a goroutine is left
	})
	return f
}

// start makes the client anew.
func (w *world) start(s Subject) { w.client = s(w.ctx, w.key) }

// warm sends the first request, which waits for the first token, and forgets its figures.
func (w *world) warm() {
	w.warmAt = time.Now()
	w.request(w.client)
	w.Figures = Figures{}
}

// revoke makes the API refuse the token last seen.
func (w *world) revoke() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revoked = w.lastSeen
}

// drive has workers send 100 requests a second in all, and waits for the last.
func (w *world) drive(workers int, d time.Duration) {
	const every = 10 * time.Millisecond
	var all sync.WaitGroup
	end := time.Now().Add(d)
	for i := range workers {
		all.Go(func() {
			for time.Sleep(time.Duration(i) * every); time.Now().Before(end); time.Sleep(time.Duration(workers) * every) {
				w.request(w.client)
			}
		})
	}
	all.Wait()
}

func (w *world) request(c *http.Client) {
	req, err := http.NewRequest(http.MethodGet, w.URL+"/api/v1/things", nil)
	if err != nil {
		panic(err)
	}
	start := time.Now()
	resp, err := c.Do(req)
	end := time.Now()
	if err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	w.Sent++
	switch {
	case err != nil:
		w.Failed++
		if w.FirstFailed == 0 {
			w.FirstFailed = end.Sub(w.warmAt)
		}
		if !w.calmAt.IsZero() {
			w.LastFailed = end.Sub(w.calmAt)
		}
	case resp.StatusCode == http.StatusUnauthorized:
		w.Refused++
	}
	if end.After(start) {
		w.Waited++
	}
}

// RoundTrip is the network: token requests go to the server, and the API takes no time to answer.
func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(req.URL.Path, "/things") {
		return w.tokens.RoundTrip(req)
	}
	auth := req.Header.Get("Authorization")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastSeen = auth
	status := http.StatusOK
	if w.stubborn || auth == w.revoked {
		status = http.StatusUnauthorized
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
}
