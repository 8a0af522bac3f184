package scenario_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/scenario"
	"github.com/netoauth/netoauth/netoauthtest"
)

func subject(ctx context.Context, key *netoauth.APIKey) *http.Client { return key.Client(ctx) }

// eachCrew runs test with one worker and with twenty.
func eachCrew(t *testing.T, test func(t *testing.T, workers int)) {
	t.Run("1 worker", func(t *testing.T) { test(t, 1) })
	t.Run("20 workers", func(t *testing.T) { test(t, 20) })
}

// atMost fails the test where a figure is over its bound.
func atMost(t *testing.T, what string, got, bound int) {
	t.Helper()
	t.Logf("%s: %d (at most %d)", what, got, bound)
	if got > bound {
		t.Errorf("%s: %d, want at most %d", what, got, bound)
	}
}

func TestNoRequestWaitsForARenewal(t *testing.T) {
	eachCrew(t, func(t *testing.T, workers int) {
		for _, tt := range []struct {
			name    string
			play    func(*testing.T, scenario.Subject, int) scenario.Figures
			fetches int
		}{
			{"30 min of 5-min tokens", scenario.Renewals, 9},
			{"10 min of 1-min tokens", scenario.ShortTokens, 16},
		} {
			f := tt.play(t, subject, workers)
			atMost(t, tt.name+": requests that waited", f.Waited, 0)
			atMost(t, tt.name+": failures", f.Failed+f.Refused, 0)
			atMost(t, tt.name+": token requests", f.Fetches, tt.fetches)
		}
	})
}

func TestAnOutageCostsFewTokenRequestsAndEndsSoon(t *testing.T) {
	faults := map[string]http.Handler{"503": netoauthtest.Status(503), "connections dropped": netoauthtest.Drop()}
	eachCrew(t, func(t *testing.T, workers int) {
		for name, fault := range faults {
			for _, after := range []time.Duration{time.Minute, 209 * time.Second} {
				t.Run(name+" after "+after.String(), func(t *testing.T) {
					f := scenario.Outage(t, subject, workers, after, fault)
					atMost(t, "token requests", f.Fetches, 120)
					atMost(t, "ms after the outage in which requests failed", int(f.LastFailed.Milliseconds()), 16_000)
					if f.FirstFailed < 290*time.Second {
						t.Errorf("first failure %v after the issue of a 5-min token, want it to serve until 10 s before its end", f.FirstFailed)
					}
				})
			}
		}
	})
}

func TestWrongCredentialsDoNotLockTheAccount(t *testing.T) {
	eachCrew(t, func(t *testing.T, workers int) {
		f := scenario.WrongCredentials(t, subject, workers)
		atMost(t, "log-in attempts in 10 min", f.Fetches, 20)
		if f.Failed != f.Sent {
			t.Errorf("%d of %d requests failed, want all", f.Failed, f.Sent)
		}
	})
}

func TestARevocationIsHealedUnseen(t *testing.T) {
	eachCrew(t, func(t *testing.T, workers int) {
		f := scenario.Revocation(t, subject, workers)
		atMost(t, "401s callers saw", f.Refused, 0)
		atMost(t, "failures", f.Failed, 0)
		atMost(t, "token requests beside the first", f.Fetches-1, 1)
	})
}

func TestStubborn401sForceFewRenewals(t *testing.T) {
	eachCrew(t, func(t *testing.T, workers int) {
		f := scenario.Stubborn401(t, subject, workers)
		atMost(t, "token requests in 5 min", f.Fetches, 15)
		if f.Refused != f.Sent {
			t.Errorf("%d of %d requests were answered 401, want all", f.Refused, f.Sent)
		}
	})
}

func TestAFleetDoesNotRenewInStep(t *testing.T) {
	f := scenario.Fleet(t, subject)
	atMost(t, "renewals of 2000 in the busiest second", f.Busiest, 2000/15)
}
