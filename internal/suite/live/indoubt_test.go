package live_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

// unreachable fails as the dialer, or a connection, does.
func unreachable(op string) http.RoundTripper {
	return suite.RoundTripper(func(*http.Request) (*http.Response, error) {
		return nil, &net.OpError{Op: op, Net: "tcp", Err: errors.New("connection reset by peer")}
	})
}

// A refresh token whose answer was lost may be used up: a server that rotates them ends the session
// when it comes again. Who can log in sends it again only where there is nothing else to send.
func TestPassword_refreshTokenThatMayBeUsedUp(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answers []http.RoundTripper // after the log-in
		asked   []string            // within a minute of requests each second
		served  string              // the first callers get
	}{
		{"lost, then a log-in works", []http.RoundTripper{gateway, issues("B")},
			[]string{"refresh R-A", "log in"}, "B B"},
		{"lost, then log-ins fail for long", []http.RoundTripper{gateway, overload, overload, overload, issues("B")},
			[]string{"refresh R-A", "log in", "log in", "log in", "log in"}, "error error"},
		{"reset", []http.RoundTripper{reset, overload, issues("B")}, []string{"refresh R-A", "log in", "log in"}, "B B"},
		{"a broken answer", []http.RoundTripper{suite.Answer(200, "{"), overload, issues("B")},
			[]string{"refresh R-A", "log in", "log in"}, "B B"},
		{"a 503 that is not the API's", []http.RoundTripper{suite.Answer(503, ""), overload, issues("B")},
			[]string{"refresh R-A", "log in", "log in"}, "B B"},
		{"lost, then the log-in is refused: nothing else is left",
			[]http.RoundTripper{gateway, rejects, issues("B")},
			[]string{"refresh R-A", "log in", "refresh R-A"}, "B B"},
		{"lost, nothing else is left, and that is refused", []http.RoundTripper{gateway, rejects, refuses, issues("B")},
			[]string{"refresh R-A", "log in", "refresh R-A", "log in"}, "error error"},
		{"lost, nothing else is left, and that is to wait for a minute",
			[]http.RoundTripper{gateway, rejects, suite.Answer(503, "", "Retry-After", "60"), issues("B")},
			[]string{"refresh R-A", "log in", "refresh R-A"}, "error error"},

		{"no connection: log-ins and refreshes take turns", []http.RoundTripper{noHost, noHost, issues("B")},
			[]string{"refresh R-A", "log in", "refresh R-A"}, "B B"},
		{"overload, in the API's words", []http.RoundTripper{overload, overload, issues("B")},
			[]string{"refresh R-A", "log in", "refresh R-A"}, "B B"},
		{"unused, then lost", []http.RoundTripper{overload, overload, gateway, overload, issues("B")},
			[]string{"refresh R-A", "log in", "refresh R-A", "log in", "log in"}, "error error"},
		{"unused, and the log-in is refused", []http.RoundTripper{overload, rejects, issues("B")},
			[]string{"refresh R-A", "log in", "refresh R-A"}, "B B"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answers := append([]http.RoundTripper{issues("A")}, tt.answers...)
			act(t, user, netoauth.Options{}, answers, func(t *testing.T, src oauth2.TokenSource, s *script) {
				suite.MustToken(t, src)
				s.Take()
				time.Sleep(time.Minute)
				suite.Diff(t, "what callers get", tt.served, ask(src, 2))
				ask(src, 30)
				suite.Diff(t, "requests", tt.asked, s.Take())
			})
		})
	}
}

// Refresh has nothing else to send.
func TestRefresh_hasNoChoice(t *testing.T) {
	answers := []http.RoundTripper{gateway, gateway, issues("B")}
	act(t, refresher, netoauth.Options{}, answers, func(t *testing.T, src oauth2.TokenSource, s *script) {
		suite.Diff(t, "token", "B", suite.MustToken(t, src))
		suite.Diff(t, "requests", []string{"refresh R", "refresh R", "refresh R"}, s.Take())
	})
}

// Nor does who cannot store the next one, whatever becomes of the log-in.
func TestStore_updateThatFailsSendsNoRefreshTokenInDoubt(t *testing.T) {
	s := newStore(&oauth2.Token{RefreshToken: "R"})
	answers := []http.RoundTripper{gateway, overload, overload, rejects}
	act(t, user, netoauth.Options{Store: s}, answers, func(t *testing.T, src oauth2.TokenSource, asked *script) {
		ask(src, 1)
		suite.Diff(t, "requests", []string{"refresh R", "log in", "log in"}, asked.Take())
		s.before = failing
		time.Sleep(time.Minute)
		ask(src, 1)
		suite.Diff(t, "requests without a Store", []string{"log in"}, asked.Take())
	})
}

// The next request is not to meet the same dead connection.
func TestTokenSource_closesIdleConnectionsAfterATimeOut(t *testing.T) {
	for _, tt := range []struct {
		name   string
		faults []http.RoundTripper
		once   bool // by Token
		want   int
	}{
		{"no answer in time", []http.RoundTripper{unanswered}, false, 1},
		{"an answer that does not end in time", []http.RoundTripper{unended}, false, 1},
		{"no answer in time, and then another fault", []http.RoundTripper{unanswered, reset}, false, 1},
		{"another fault, without an answer", []http.RoundTripper{reset}, false, 0},
		{"another fault", []http.RoundTripper{gateway}, false, 0},
		{"no answer in time, no other try", []http.RoundTripper{unanswered}, true, 1},
		{"another fault, no other try", []http.RoundTripper{gateway}, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base := &idler{RoundTripper: &script{answers: append(tt.faults, issues("A"))}}
				client := &http.Client{Transport: base, Timeout: 5 * time.Second}
				ctx := context.WithValue(t.Context(), oauth2.HTTPClient, client)
				if !tt.once {
					src := user(netoauth.Options{}).TokenSource(ctx)
					for range 3 { // the later ones meet no fault
						suite.MustToken(t, src)
						time.Sleep(time.Minute)
					}
				} else if _, err := user(netoauth.Options{}).Token(ctx); err == nil {
					t.Error("a token, want an error")
				}
				suite.Diff(t, "times connections were closed", tt.want, base.closed)
			})
		})
	}
}

// That takes no time of the exchange that comes next.
func TestTokenSource_asksAtOnceAfterATimeOut(t *testing.T) {
	answers := []http.RoundTripper{unanswered, issues("A")}
	act(t, user, netoauth.Options{}, answers, func(t *testing.T, src oauth2.TokenSource, s *script) {
		suite.Diff(t, "what the first gets", "error", ask(src, 1))
		time.Sleep(time.Minute)
		start := time.Now()
		suite.Diff(t, "token", "A", suite.MustToken(t, src))
		suite.Diff(t, "time taken", "0s", time.Since(start).String())
	})
}

// unended answers, but never to the end.
var unended = suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
	body, end := io.Pipe()
	context.AfterFunc(r.Context(), func() { end.CloseWithError(r.Context().Err()) })
	return &http.Response{StatusCode: 200, Body: body, Request: r}, nil
})

// idler counts how often its idle connections are closed.
type idler struct {
	http.RoundTripper
	closed int
}

func (i *idler) CloseIdleConnections() { i.closed++ }
