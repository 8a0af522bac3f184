package scenario_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite/scenario"
	"github.com/netoauth/netoauth/netoauthtest"
)

func subject(ctx context.Context, key *netoauth.APIKey) *http.Client { return key.Client(ctx) }

// eachCrew runs test with one worker and with twenty.
func eachCrew(t *testing.T, test func(t *testing.T, workers int)) {
	t.Run("1 worker", func(t *testing.T) { test(t, 1) })
	t.Run("20 workers", func(t *testing.T) { test(t, 20) })
}

// atMost fails the test where a figure is over its bound.
func atMost[T int | float64 | time.Duration](t *testing.T, what string, got, bound T) {
	t.Helper()
	t.Logf("%s: %v (at most %v)", what, got, bound)
	if got > bound {
		t.Errorf("%s: %v, want at most %v", what, got, bound)
	}
}

func TestScenario_noRequestWaitsForARenewal(t *testing.T) {
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

// The token serves to a second before its end, and no longer: the API sees none that has ended.
func TestScenario_anOutageCostsFewTokenRequestsAndEndsSoon(t *testing.T) {
	faults := map[string]http.Handler{"503": netoauthtest.Status(503), "connections dropped": netoauthtest.Drop()}
	eachCrew(t, func(t *testing.T, workers int) {
		for name, fault := range faults {
			for _, after := range []time.Duration{time.Minute, 209 * time.Second} {
				t.Run(name+" after "+after.String(), func(t *testing.T) {
					f := scenario.Outage(t, subject, workers, after, fault)
					atMost(t, "token requests", f.Fetches, 60)
					atMost(t, "time after the outage in which requests failed", f.LastFailed, 16*time.Second)
					atMost(t, "401s", f.Refused, 0)
					t.Logf("first failure after the issue of a 5-min token: %v (at least %v)", f.FirstFailed, 299*time.Second)
					if f.FirstFailed < 299*time.Second {
						t.Error("the token did not serve until a second before its end")
					}
				})
			}
		}
	})
}

func TestScenario_aBrokenRefreshEndpointDoesNotStarveTheLogIn(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault http.Handler
	}{
		{"500", netoauthtest.Status(500)},
		{"502", netoauthtest.Status(502)},
		{"200 without a token", netoauthtest.Answer(200, "application/json", "{}")},
		{"no answer", netoauthtest.Hang()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := scenario.RefreshBroken(t, subject, tt.fault)
			t.Logf("requests: %d", f.Sent)
			atMost(t, "failures", f.Failed+f.Refused, 0)
			atMost(t, "token requests", f.Fetches, 80)
		})
	}
}

func TestScenario_wrongCredentialsDoNotLockTheAccount(t *testing.T) {
	eachCrew(t, func(t *testing.T, workers int) {
		f := scenario.WrongCredentials(t, subject, workers)
		atMost(t, "log-in attempts in 10 min", f.Fetches, 20)
		if f.Failed != f.Sent {
			t.Errorf("%d of %d requests failed, want all", f.Failed, f.Sent)
		}
	})
}

func TestScenario_aRevocationIsNotSeen(t *testing.T) {
	eachCrew(t, func(t *testing.T, workers int) {
		f := scenario.Revocation(t, subject, workers)
		atMost(t, "401s callers saw", f.Refused, 0)
		atMost(t, "failures", f.Failed, 0)
		atMost(t, "token requests beside the first", f.Fetches-1, 1)
	})
}

func TestScenario_stubborn401sForceFewRenewals(t *testing.T) {
	eachCrew(t, func(t *testing.T, workers int) {
		f := scenario.Stubborn401(t, subject, workers)
		atMost(t, "token requests in 5 min", f.Fetches, 15)
		if f.Refused != f.Sent {
			t.Errorf("%d of %d requests were answered 401, want all", f.Refused, f.Sent)
		}
	})
}

// A 401 on one path is no reason to take the token from requests to others.
func TestScenario_onePaths401IsNobodyElsesTrouble(t *testing.T) {
	type server = netoauthtest.Server
	one := func(trouble func(*server)) func(*testing.T, scenario.Subject, int) scenario.Figures {
		return func(t *testing.T, s scenario.Subject, workers int) scenario.Figures {
			return scenario.One401(t, s, workers, trouble)
		}
	}
	for _, workers := range []int{1, 100} { // 100: a request that waits holds up no other
		for _, tt := range []struct {
			name    string
			play    func(*testing.T, scenario.Subject, int) scenario.Figures
			fetches int
		}{
			{"a 401 a second for 10 min", scenario.OnePath401, 21},
			{"token endpoint takes 20 s", one(func(srv *server) { srv.Delay(20 * time.Second) }), 2},
			{"token endpoint answers 503", one(func(srv *server) { srv.Fail(-1, netoauthtest.Status(503)) }), 15},
			{"token endpoint drops connections", one(func(srv *server) { srv.Fail(-1, netoauthtest.Drop()) }), 15},
		} {
			t.Run(fmt.Sprintf("%s, %d workers", tt.name, workers), func(t *testing.T) {
				f := tt.play(t, subject, workers)
				t.Logf("good requests: %d", f.Sent)
				atMost(t, "good requests that waited", f.Waited, 0)
				atMost(t, "good requests that failed", f.Failed+f.Refused, 0)
				atMost(t, "token requests", f.Fetches, tt.fetches)
			})
		}
	}
}

func TestFleet_doesNotRenewInStep(t *testing.T) {
	f := scenario.Fleet(t, subject)
	atMost(t, "renewals of 2000 in the busiest second", f.Busiest, 2000/15)
}

func TestFleet_letsAnOverloadedEndpointRecover(t *testing.T) {
	const noBound = 1 << 30
	bounds := [len(scenario.Overloads)]struct {
		served  time.Duration
		fetches float64 // a client
		busiest int
	}{
		{60 * time.Second, 7, 500},
		{90 * time.Second, 9, noBound},
		{45 * time.Second, 18, 350},
		{60 * time.Second, 4, 500},
	}
	for i, overload := range scenario.Overloads {
		t.Run(overload.Name, func(t *testing.T) {
			t.Parallel()
			f := overload.Play(t, subject)
			atMost(t, "all served after", f.Served, bounds[i].served)
			atMost(t, "token requests a client", f.FetchesEach(), bounds[i].fetches)
			atMost(t, "token requests in the busiest second", f.Busiest, bounds[i].busiest)
		})
	}
}
