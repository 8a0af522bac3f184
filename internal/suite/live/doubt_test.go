package live_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
)

// Ten requests a second, beside one a second that the API answers with 401, for a minute.
func TestTransport_401HurtsNobodyElse(t *testing.T) {
	for name, trouble := range map[string]func(w *suite.World){
		"a slow endpoint":     func(w *suite.World) { w.Delay(20 * time.Second) },
		"a hanging endpoint":  func(w *suite.World) { w.Fail(-1, netoauthtest.Hang()) },
		"no endpoint":         func(w *suite.World) { w.Fail(-1, netoauthtest.Drop()) },
		"a broken endpoint":   func(w *suite.World) { w.Fail(-1, netoauthtest.CutOff()) },
		"refused credentials": func(w *suite.World) { w.Fail(-1, netoauthtest.Status(401)) },
		"no trouble":          func(*suite.World) {},
	} {
		suite.RunInBubble(t, name, func(t *testing.T, w *suite.World) {
			w.SetLifetimes(time.Hour, 2*time.Hour)
			w.Handle("/", suite.Answer(200, ""))
			w.Handle("/forbidden", netoauthtest.Status(401))
			client := w.Key.Client(w.Ctx)
			mustGetAtOnce(t, client, w.URL)
			trouble(w)
			var refused sync.WaitGroup
			for n := range 600 {
				if n%10 == 0 {
					refused.Go(func() {
						suite.Diff(t, "status of the API's own 401", 401, suite.MustGet(t, client, w.URL+"/forbidden"))
					})
					synctest.Wait()
				}
				mustGetAtOnce(t, client, w.URL)
				time.Sleep(100 * time.Millisecond)
			}
			refused.Wait()
			time.Sleep(30 * time.Minute)
			mustGetAtOnce(t, client, w.URL)
		})
	}
}

// mustGetAtOnce checks that a GET is answered with 200, and waits for nothing.
func mustGetAtOnce(t *testing.T, client *http.Client, url string) {
	t.Helper()
	start := time.Now()
	suite.Diff(t, "status", 200, suite.MustGet(t, client, url))
	suite.Diff(t, "time that a request waited", "0s", time.Since(start).String())
}

func TestTransport_401LeavesTheTokenInUse(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Handle("/", netoauthtest.Status(401))
		src := w.Key.TokenSource(w.Ctx)
		first := suite.MustToken(t, src)
		client := &http.Client{Transport: &netoauth.Transport{Source: src, Base: w.InProcess().Transport}}
		w.Delay(2 * time.Second)
		w.Fail(-1, netoauthtest.Status(401))
		go client.Get(w.URL)
		for range 100 { // while the renewal is under way, and after it has failed
			synctest.Wait()
			suite.Diff(t, "the token is the first", true, suite.MustToken(t, src) == first)
			time.Sleep(100 * time.Millisecond)
		}
		suite.Diff(t, "token requests: the first, a refresh and a log-in", 3, w.Requests(""))
	})
}

// Callers who come while the renewal is under way are refused, too, and wait for the rest of it.
func TestTransport_revocationIsSeenByNobody(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Handle("/", suite.Answer(200, ""))
		client := w.Key.Client(w.Ctx)
		suite.MustGet(t, client, w.URL)
		w.Delay(time.Second)
		w.RevokeAccessTokens()
		start := time.Now()
		var all sync.WaitGroup
		for n := range 64 {
			all.Go(func() {
				time.Sleep(time.Duration(n) * 10 * time.Millisecond)
				suite.Diff(t, "status", 200, suite.MustGet(t, client, w.URL))
			})
		}
		all.Wait()
		suite.Diff(t, "time until all were served", "1s", time.Since(start).String())
		suite.Diff(t, "token requests: the first and the renewal", 2, w.Requests(""))
	})
}

// get returns a request to the API of w.
func get(w *suite.World) *http.Request {
	req, _ := http.NewRequestWithContext(w.Ctx, http.MethodGet, w.URL, nil)
	return req
}

// getWithin sends a GET to the API of w for a caller who waits no longer than d.
func getWithin(w *suite.World, client *http.Client, d time.Duration) error {
	ctx, cancel := context.WithTimeout(w.Ctx, d)
	defer cancel()
	resp, err := client.Do(get(w).WithContext(ctx))
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// send returns the answer to req.
func send(t *testing.T, transport *netoauth.Transport, req *http.Request) *http.Response {
	t.Helper()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// unrepeatable returns a request to the API of w whose body cannot be had again.
func unrepeatable(w *suite.World) *http.Request { return unrepeatableAt(w, "") }

func unrepeatableAt(w *suite.World, path string) *http.Request {
	body := io.MultiReader(strings.NewReader("body"))
	req, _ := http.NewRequestWithContext(w.Ctx, http.MethodPost, w.URL+path, body)
	return req
}

// A request that is not yet sent when another one's 401 has put the token in doubt, and that can be
// sent only once, waits for the renewal, 5 s at most.
func TestTransport_unrepeatableRequestWaitsForTheRenewalUnderWay(t *testing.T) {
	for _, tt := range []struct{ renewal, wait time.Duration }{
		{2 * time.Second, 2 * time.Second},
		{20 * time.Second, 5 * time.Second},
	} {
		suite.InBubble(t, func(t *testing.T, w *suite.World) {
			w.Handle("/", suite.Answer(200, ""))
			transport := w.Key.Client(w.Ctx).Transport.(*netoauth.Transport)
			send(t, transport, get(w))
			w.RevokeAccessTokens()
			w.Delay(tt.renewal)
			suite.Diff(t, "status of the first", 401, send(t, transport, unrepeatable(w)).StatusCode)
			start := time.Now()
			want := 200
			if tt.wait < tt.renewal {
				want = 401
			}
			suite.Diff(t, "status of the second", want, send(t, transport, unrepeatable(w)).StatusCode)
			suite.Diff(t, "wait", tt.wait, time.Since(start))
			netoauth.Wait(w.Ctx, transport.Source)
		})
	}
}

// Since nobody waits for that renewal, it makes one try at a fault.
func TestTransport_unrepeatableRequestStartsTheRenewalAndDoesNotWait(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		transport := refusing(t, w, whole("no such token"))
		w.Delay(10 * time.Second)
		w.Fail(-1, netoauthtest.Status(503))
		start := time.Now()
		resp := send(t, transport, unrepeatable(w))
		suite.Diff(t, "status", 401, resp.StatusCode)
		suite.Diff(t, "time taken", "0s", time.Since(start).String())
		netoauth.Wait(w.Ctx, transport.Source)
		suite.Diff(t, "token requests", 2, w.Requests(""))
	})
}

// The request has waited, and its caller gets the 401 that was kept.
func TestTransport_401WhoseRequestGetBodyDoesNotGive(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		transport := refusing(t, w, whole("no such token"))
		src := transport.Source
		first := suite.MustToken(t, src)
		body := &suite.CountingBody{Reader: strings.NewReader("body")}
		req := unrepeatable(w)
		req.Body, req.GetBody = body, func() (io.ReadCloser, error) { return nil, errors.New("gone") }
		resp := send(t, transport, req)
		suite.Diff(t, "status", 401, resp.StatusCode)
		got, err := io.ReadAll(resp.Body)
		suite.Diff(t, "body", "no such token <nil>", fmt.Sprint(string(got), " ", err))
		suite.Diff(t, "times the request's body was closed", int64(1), body.Closed.Load())
		suite.Diff(t, "the token is the first", false, suite.MustToken(t, src) == first)
	})
}

// The 401 that a caller gets because its own time is over is whole, and the renewal goes on.
func TestTransport_401AndTheEndOfTheContext(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		transport := refusing(t, w, whole("no such token"))
		first := suite.MustToken(t, transport.Source)
		w.Delay(2 * time.Second)
		ctx, cancel := context.WithTimeout(w.Ctx, time.Second)
		defer cancel()
		start := time.Now()
		resp := send(t, transport, get(w).WithContext(ctx))
		suite.Diff(t, "time taken", "1s", time.Since(start).String())
		suite.Diff(t, "status", 401, resp.StatusCode)
		got, err := io.ReadAll(resp.Body)
		suite.Diff(t, "body", "no such token <nil>", fmt.Sprint(string(got), " ", err))
		suite.Diff(t, "error of Wait", nil, netoauth.Wait(w.Ctx, transport.Source))
		suite.Diff(t, "the token is the first", false, suite.MustToken(t, transport.Source) == first)
	})
}

// A stale InitialToken that was served because its renewal took long, and is refused, is one more
// token in doubt: its request waits for the rest of that renewal.
func TestTransport_401DuringAFirstUse(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Handle("/", suite.Answer(200, ""))
		var err error
		if w.Key.InitialToken, err = w.Key.Token(w.Ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(256 * time.Second)
		w.RevokeAccessTokens()
		w.Delay(8 * time.Second)
		client := w.Key.Client(w.Ctx)
		start := time.Now()
		suite.Diff(t, "status", 200, suite.MustGet(t, client, w.URL))
		suite.Diff(t, "time taken", "8s", time.Since(start).String())
		suite.Diff(t, "refreshes", 1, w.Requests(netoauthtest.RefreshPath))
	})
}
