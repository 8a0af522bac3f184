// Package live_test specifies the live token source, in virtual time.
package live_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

func TestTokenSource_fetchesOnceForEveryone(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Delay(2 * time.Second)
		src := w.Key.TokenSource(w.Ctx)
		var tokens sync.Map
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				tok, err := src.Token()
				if err != nil {
					t.Error(err)
					return
				}
				tokens.Store(tok.AccessToken, true)
			})
		}
		all.Wait()
		suite.Diff(t, "different tokens", 1, len(maps.Collect(tokens.Range)))
		suite.Diff(t, "token requests", 1, w.Requests(""))
	})
}

func TestTransport_callersContextEndsItsOwnWaitAlone(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Handle("/", http.NotFoundHandler())
		w.Delay(2 * time.Second)
		client := w.Key.Client(w.Ctx)
		start := time.Now()

		err := getWithin(w, client, 100*time.Millisecond)
		suite.WantError(t, err, context.DeadlineExceeded)
		suite.Diff(t, "time that a caller with 100 ms waited", "100ms", time.Since(start).String())
		if e, ok := err.(*url.Error); !ok || !e.Timeout() {
			t.Errorf("http.Client's error does not know that it is a timeout: %#v", err)
		}

		suite.MustGet(t, client, w.URL)
		suite.Diff(t, "time until the next caller was served", "2s", time.Since(start).String())
		suite.Diff(t, "token requests", 1, w.Requests(""))
	})
}

func TestTransport_contextThatIsOverStartsNoExchange(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		ctx, cancel := context.WithCancel(w.Ctx)
		cancel()
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, w.URL, nil)
		_, err := w.Key.Client(w.Ctx).Transport.RoundTrip(req)
		synctest.Wait()
		suite.WantError(t, err, context.Canceled)
		suite.Diff(t, "token requests", 0, w.Requests(""))
	})
}

func TestTokenSource_outlivesItsContext(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		ctx, cancel := context.WithCancel(w.Ctx)
		src := w.Key.TokenSource(ctx)
		cancel()
		suite.MustToken(t, src)
	})
}

func TestTokenSource_keepsTheValuesOfItsContext(t *testing.T) {
	type key struct{}
	var got any
	network := suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
		got = r.Context().Value(key{})
		return suite.Answer(200, `{"access_token":"t"}`).RoundTrip(r)
	})
	ctx := suite.Over(context.WithValue(t.Context(), key{}, "trace"), network)
	suite.MustToken(t, (&netoauth.Password{Username: "u", Password: "pppp"}).TokenSource(ctx))
	suite.Diff(t, "value in the token request's context", any("trace"), got)
}

func TestTokenSource_cutsAHangingExchangeOffAfter30s(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Fail(-1, netoauthtest.Hang())
		src := w.Key.TokenSource(w.Ctx)
		start := time.Now()
		_, err := src.Token()
		suite.WantError(t, err, context.DeadlineExceeded)
		suite.Diff(t, "time taken", "30s", time.Since(start).String())
		w.Fail(0, nil)
		time.Sleep(time.Second)
		suite.MustToken(t, src)
	})
}

func TestTokenSource_tokenInHandMayBeWrittenTo(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		src := w.Key.TokenSource(w.Ctx)
		want := suite.MustToken(t, src)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				tok, _ := src.Token()
				tok.AccessToken = "scribble"
				oauth2.ReuseTokenSource(nil, src).Token() // writes to the token it keeps
			})
		}
		all.Wait()
		suite.Diff(t, "the token in hand", want, suite.MustToken(t, src))
	})
}

func TestTokenSource_ofUnusableCredentialsSaysSo(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Key.AppKey = ""
		src := w.Key.TokenSource(w.Ctx)
		_, err := src.Token()
		suite.Diff(t, "error", "netoauth: API key: AppKey is empty; set it", fmt.Sprint(err))
		if _, err := w.Key.Client(w.Ctx).Get("https://elsewhere.test"); err == nil || w.Requests("") != 0 {
			t.Errorf("error %v, %d token requests; want an error and none", err, w.Requests(""))
		}
	})
}
