// Package scenario puts an HTTP client through the situations in which token sources hurt, in virtual time.
//
// A subject is a client made of an API key. Each scenario starts it in a bubble of testing/synctest,
// lets workers send requests through it, 100 a second in all unless it says otherwise, and returns
// what they and the token endpoint saw. The API refuses a token that has ended, or was revoked, with
// 401.
package scenario

import (
	"context"
	"encoding/base64"
	"encoding/json"
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

// Subject makes a client that signs in with key. The HTTP client in ctx reaches the API and the token
// endpoint.
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
	Served      time.Duration // Overload: until each client had a token; Never: some were left without
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

// RefreshBroken is an hour of 5-minute tokens at a request a second, in which each refresh meets
// fault, beside a log-in that works. The refresh tokens have no known end. A request that waits, for
// less than a minute, holds up no other.
func RefreshBroken(t *testing.T, s Subject, fault http.Handler) Figures {
	broken := netoauthtest.NewServer()
	defer broken.Close()
	broken.Fail(-1, fault)
	f := run(t, s, func(w *world) {
		w.SetLifetimes(5*time.Minute, 0)
		w.refreshes = broken.InProcess().Transport
		w.warm()
		w.send(60, time.Second, time.Hour, things)
	})
	f.Fetches += broken.Requests("")
	return f
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

// OnePath401 is 10 minutes with an hour-long token, in which a request a second goes to a path that
// answers 401 whatever the token. The token endpoint answers in 300 ms. The figures, but for Fetches,
// are those of the other requests.
func OnePath401(t *testing.T, s Subject, workers int) Figures {
	return run(t, s, func(w *world) {
		w.SetLifetimes(time.Hour, time.Hour)
		w.Delay(300 * time.Millisecond)
		w.warm()
		var refused sync.WaitGroup
		refused.Go(func() { w.send(1, time.Second, 10*time.Minute, forbidden) })
		w.drive(workers, 10*time.Minute)
		refused.Wait()
	})
}

// One401 is a minute with an hour-long token, in which one request, to a path that answers 401
// whatever the token, forces a renewal that meets trouble. The figures, but for Fetches, are those of
// the other requests.
func One401(t *testing.T, s Subject, workers int, trouble func(*netoauthtest.Server)) Figures {
	return run(t, s, func(w *world) {
		w.SetLifetimes(time.Hour, time.Hour)
		w.warm()
		trouble(w.Server)
		var refused sync.WaitGroup
		refused.Go(func() { w.send(1, time.Second, time.Second, forbidden) })
		w.drive(workers, time.Minute)
		refused.Wait()
	})
}

// Fleet is 2000 clients that start together with 5-minute tokens and send one request a second. The busiest
// second is one of renewals.
func Fleet(t *testing.T, s Subject) Figures {
	return run(t, s, func(w *world) {
		fleet := make([]*http.Client, clients)
		for i := range fleet {
			fleet[i] = s(w.ctx, w.key)
			w.request(fleet[i], things)
		}
		for range 300 {
			time.Sleep(time.Second)
			before := w.Server.Requests("")
			for _, c := range fleet {
				w.request(c, things)
			}
			synctest.Wait()
			w.Busiest = max(w.Busiest, w.Server.Requests("")-before)
		}
	})
}

const (
	things    = "/api/v1/things"
	forbidden = "/api/v1/forbidden" // 401, whatever the token
)

// world is one scenario under way.
type world struct {
	*netoauthtest.Server
	tokens    http.RoundTripper
	refreshes http.RoundTripper // nil: tokens
	ctx       context.Context
	key       *netoauth.APIKey
	client    *http.Client

	stubborn bool

	mu                sync.Mutex
	lastSeen, revoked string               // Authorization headers
	ends              map[string]time.Time // by Authorization header
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
		w := &world{Server: srv, tokens: srv.InProcess().Transport, key: key, ends: map[string]time.Time{}}
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
	w.request(w.client, things)
	w.Figures = Figures{}
}

// revoke makes the API refuse the token last seen.
func (w *world) revoke() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revoked = w.lastSeen
}

// drive has workers send 100 requests a second in all to things, and waits for the last.
func (w *world) drive(workers int, d time.Duration) { w.send(workers, 10*time.Millisecond, d, things) }

// send has workers send a request every so often, in all, and waits for the last.
func (w *world) send(workers int, every, d time.Duration, path string) {
	var all sync.WaitGroup
	end := time.Now().Add(d)
	for i := range workers {
		all.Go(func() {
			for time.Sleep(time.Duration(i) * every); time.Now().Before(end); time.Sleep(time.Duration(workers) * every) {
				w.request(w.client, path)
			}
		})
	}
	all.Wait()
}

func (w *world) request(c *http.Client, path string) {
	req, err := http.NewRequest(http.MethodGet, w.URL+path, nil)
	if err != nil {
		panic(err)
	}
	start := time.Now()
	resp, err := c.Do(req)
	if err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if path == things {
		w.count(start, resp, err)
	}
}

// count adds a request sent at start to the figures.
func (w *world) count(start time.Time, resp *http.Response, err error) {
	end := time.Now()
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
	switch {
	case req.Method == http.MethodGet:
		return &http.Response{StatusCode: w.status(req), Header: http.Header{}, Body: http.NoBody, Request: req}, nil
	case req.URL.Path == netoauthtest.RefreshPath && w.refreshes != nil:
		return w.refreshes.RoundTrip(req)
	default:
		return w.tokens.RoundTrip(req)
	}
}

// status returns the API's answer.
func (w *world) status(req *http.Request) int {
	auth := req.Header.Get("Authorization")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastSeen = auth
	end, known := w.ends[auth]
	if !known {
		end = expiry(auth)
		w.ends[auth] = end
	}
	if w.stubborn || req.URL.Path == forbidden || auth == w.revoked || !time.Now().Before(end) {
		return http.StatusUnauthorized
	}
	return http.StatusOK
}

// expiry returns the exp of the JWT in an Authorization header, the zero time where there is none.
func expiry(auth string) time.Time {
	parts := strings.Split(auth, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct{ Exp int64 }
	if json.Unmarshal(payload, &claims) != nil {
		return time.Time{}
	}
	return time.Unix(claims.Exp, 0)
}
