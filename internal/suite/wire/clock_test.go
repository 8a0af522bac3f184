package wire_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
)

// A log-in with a request token that is refused is signed once more with the server's time where
// the answer's Date is over 10 s away from the local clock.
func TestAPIKey_wrongClockIsCorrectedOnce(t *testing.T) {
	tests := []struct {
		offset time.Duration // of the server's clock
		refuse int           // how many requests are refused for another reason
		posts  int
		ok     bool
	}{
		{-2 * time.Hour, 0, 2, true},
		{2 * time.Hour, 0, 2, true},
		{-61 * time.Second, 0, 2, true},
		{61 * time.Second, 0, 2, true},
		{24 * 365 * 30 * time.Hour, 0, 2, true},
		{-24 * 365 * 20 * time.Hour, 0, 2, true},

		{0, 0, 1, true},
		{-9 * time.Second, 0, 1, true},
		{-12 * time.Second, 0, 2, true}, // the API takes no iat from the future
		{-29 * time.Second, 0, 2, true},
		{20 * time.Second, 0, 1, true},

		{-11 * time.Second, 1, 2, true}, // a stricter API
		{11 * time.Second, 1, 2, true},
		{-2 * time.Hour, 1, 2, true},

		{0, -1, 1, false},
		{9 * time.Second, -1, 1, false},
		{-9 * time.Second, -1, 1, false},
		{10 * time.Second, -1, 1, false},
		{20 * time.Second, -1, 2, false},
		{-2 * time.Hour, -1, 2, false},
		{2 * time.Hour, -1, 2, false},
	}
	for _, tt := range tests {
		suite.RunInBubble(t, fmt.Sprintf("server %v ahead, %d refused", tt.offset, tt.refuse), func(t *testing.T, w *suite.World) {
			w.SetClock(tt.offset)
			w.Fail(tt.refuse, netoauthtest.Status(http.StatusUnauthorized))
			start := time.Now()
			tok, err := w.Key.Token(w.Ctx)
			suite.Diff(t, "POSTs", tt.posts, w.Requests(netoauthtest.APIKeyPath))
			if (err == nil) != tt.ok {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				suite.Diff(t, "StatusCode", 401, answered(t, suite.APIKey, w.URL, err).StatusCode)
				return
			}
			suite.Diff(t, "Expiry, by the local clock", "5m0s", tok.Expiry.Sub(start).String())
		})
	}
}

func TestAPIKey_correctedRequestTokenIsAFreshOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serverTime := time.Now().Add(-3 * time.Hour)
		var iats []any
		var jtis []any
		ctx := suite.Over(t.Context(), suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
			_, claims := verify(t, sentJWT(t, r), "the shared secret")
			iats, jtis = append(iats, claims["iat"]), append(jtis, claims["jti"])
			if len(iats) == 2 {
				return suite.Answer(200, good).RoundTrip(r)
			}
			return suite.Answer(401, "", "Date", serverTime.UTC().Format(http.TimeFormat)).RoundTrip(r)
		}))
		if _, err := at(suite.APIKey, "https://api.test").Token(ctx); err != nil {
			t.Fatal(err)
		}
		suite.Diff(t, "iats", []any{float64(time.Now().Unix() - 10), float64(serverTime.Unix())}, iats)
		if len(jtis) != 2 || jtis[0] == jtis[1] {
			t.Errorf("jtis %v, want two", jtis)
		}
	})
}

func sentJWT(t *testing.T, r *http.Request) string {
	t.Helper()
	body, err := r.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	jwt, _ := object(t, string(text))["jwt"].(string)
	return jwt
}

func TestAPIKey_signsAgainForNothingElse(t *testing.T) {
	dates := map[string]func() string{
		"two hours ago": func() string { return time.Now().Add(-2 * time.Hour).UTC().Format(http.TimeFormat) },
		"none":          func() string { return "" },
		"garbage":       func() string { return "garbage" },
		"a number":      func() string { return "0" },
		"no such day":   func() string { return "Mon, 99 Foo 2006 15:04:05 GMT" },
	}
	for _, code := range []int{200, 302, 401, 408, 425, 429, 500, 503} {
		for name, date := range dates {
			if code == 401 && name == "two hours ago" {
				continue // for which it does
			}
			synctest.Test(t, func(t *testing.T) {
				posts := 0
				ctx := suite.Over(t.Context(), suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
					posts++
					return suite.Answer(code, "", "Date", date()).RoundTrip(r)
				}))
				_, err := at(suite.APIKey, "https://api.test").Token(ctx)
				answered(t, suite.APIKey, "https://api.test", err)
				suite.Diff(t, fmt.Sprintf("POSTs for %d, Date: %s", code, name), 1, posts)
			})
		}
	}
}

func TestAPIKey_isTheOnlyFlowThatSignsAgain(t *testing.T) {
	for _, f := range []suite.Flow{suite.Password, suite.Refresh} {
		suite.InBubble(t, func(t *testing.T, w *suite.World) {
			c := credentials(t, w).Credential(f, netoauth.Options{})
			before := w.Requests("")
			w.SetClock(-2 * time.Hour)
			w.Fail(-1, netoauthtest.Status(http.StatusUnauthorized))
			_, err := c.Token(w.Ctx)
			answered(t, f, w.URL, err)
			suite.Diff(t, f.Name+": POSTs", 1, w.Requests("")-before)
		})
	}
}

func TestAPIKey_sourceSurvivesAWrongClockForHours(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.SetClock(-2 * time.Hour)
		w.SetLifetimes(5*time.Minute, time.Minute) // so that each renewal is a log-in
		src := w.Key.TokenSource(w.Ctx)
		for range 180 {
			suite.MustToken(t, src)
			time.Sleep(time.Minute)
		}
		if n, m := w.Requests(netoauthtest.APIKeyPath), w.Requests(""); n != m || n > 2*60 {
			t.Errorf("%d log-ins of %d token requests, want log-ins alone, two for each of at most 60 tokens", n, m)
		}
	})
}
