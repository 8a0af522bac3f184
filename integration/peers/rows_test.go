package peers

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite/scenario"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// figures are what one subject showed in all situations.
type figures struct {
	renewals, short, outage, wrong, revocation, stubborn, fleet scenario.Figures

	overloads [len(scenario.Overloads)]scenario.Figures
	asked     []int // token requests in each second of the overload that is drawn

	redirected  int // 1: the token went to a foreign host
	allocations int
}

// situation fills in one part of the figures.
type situation struct {
	name string
	play func(t *testing.T, s scenario.Subject, f *figures)
	once bool // for netoauth, too: chance evens out among 2000 clients
}

var situations = slices.Concat(overloadSituations(), []situation{
	{name: "renewals", play: func(t *testing.T, s scenario.Subject, f *figures) { f.renewals = scenario.Renewals(t, s, 1) }},
	{name: "short tokens", play: func(t *testing.T, s scenario.Subject, f *figures) { f.short = scenario.ShortTokens(t, s, 1) }},
	{name: "outage", play: func(t *testing.T, s scenario.Subject, f *figures) {
		f.outage = scenario.Outage(t, unhurried(s), 1, time.Minute, netoauthtest.Status(http.StatusServiceUnavailable))
	}},
	{name: "wrong credentials", play: func(t *testing.T, s scenario.Subject, f *figures) {
		f.wrong = scenario.WrongCredentials(t, unhurried(s), 1)
	}},
	{name: "revocation", play: func(t *testing.T, s scenario.Subject, f *figures) { f.revocation = scenario.Revocation(t, s, 1) }},
	{name: "stubborn 401s", play: func(t *testing.T, s scenario.Subject, f *figures) {
		f.stubborn = scenario.Stubborn401(t, unhurried(s), 1)
	}},
	{name: "fleet", play: func(t *testing.T, s scenario.Subject, f *figures) { f.fleet = scenario.Fleet(t, s) }},
	{name: "redirect", play: func(t *testing.T, s scenario.Subject, f *figures) {
		if redirected(t, s) {
			f.redirected = 1
		}
	}},
})

// overloadSituations is empty with the race detector: a million log-ins would take it minutes.
func overloadSituations() (all []situation) {
	if !thorough {
		return nil
	}
	for i, o := range scenario.Overloads {
		all = append(all, situation{name: "overload, " + o.Name, once: true, play: func(t *testing.T, s scenario.Subject, f *figures) {
			s = plainly(s)
			if i == drawn {
				s = counted(s, &f.asked)
			}
			f.overloads[i] = o.Play(t, s)
		}})
	}
	return all
}

// unhurried gives the token endpoint 50 ms for each answer, as over a network. Where a subject asks
// for a token at every request, an endpoint that takes no time would make its figures worse than they
// are in practice.
func unhurried(s scenario.Subject) scenario.Subject {
	return func(ctx context.Context, key *netoauth.APIKey) *http.Client {
		slow := &http.Client{Transport: slowTokens{contextClient(ctx).Transport}}
		return s(context.WithValue(ctx, oauth2.HTTPClient, slow), key)
	}
}

type slowTokens struct{ base http.RoundTripper }

func (s slowTokens) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPost { // the scenarios' other requests are GETs
		time.Sleep(50 * time.Millisecond)
	}
	return s.base.RoundTrip(req)
}

// row is a line of the table. Less is better in each.
type row struct {
	name   string
	figure func(figures) int

	// Where a subject that does less pays for it with another figure, that one; and then the bound that
	// netoauth's own figure is held to.
	price func(figures) int
	bound int

	cell func(figures) string // as the table shows the figure; nil: as a number
}

var rows = slices.Concat([]row{
	{name: "requests that waited for a renewal, 30 min of 5-min tokens",
		figure: func(f figures) int { return f.renewals.Waited }},
	{name: "requests that waited for a renewal, 10 min of 1-min tokens",
		figure: func(f figures) int { return f.short.Waited }},
	// Who renews when a token has ended needs the fewest, and lets a request wait for each.
	{name: "token requests in those 10 min",
		figure: func(f figures) int { return f.short.Fetches },
		price:  func(f figures) int { return f.short.Waited }, bound: 16},
	{name: "token requests during a 10-min outage",
		figure: func(f figures) int { return f.outage.Fetches }},
	{name: "log-in attempts, 10 min of wrong credentials",
		figure: func(f figures) int { return f.wrong.Fetches }},
	{name: "401s that callers saw after a revocation",
		figure: func(f figures) int { return f.revocation.Refused }},
	// Who pays no heed to a 401 asks for no token after one, and leaves callers without one after a revocation.
	{name: "token requests in 5 min of stubborn 401s",
		figure: func(f figures) int { return f.stubborn.Fetches },
		price:  func(f figures) int { return f.revocation.Refused }, bound: 15},
	{name: "renewals in the busiest second, 2000 clients started together",
		figure: func(f figures) int { return f.fleet.Busiest }},
}, overloadRows(60, 90, 45, 60), []row{
	{name: "token sent to a foreign host on a redirect",
		figure: func(f figures) int { return f.redirected },
		cell:   func(f figures) string { return []string{"no", "yes"}[f.redirected] }},
	{name: "allocations a request",
		figure: func(f figures) int { return f.allocations }},
})

// overloadRows returns a row for each situation of overloadSituations. bounds are seconds until all
// clients are served.
func overloadRows(bounds ...int) (all []row) {
	for i := range overloadSituations() {
		all = append(all, row{
			name:   "overload: " + scenario.Overloads[i].Name,
			figure: func(f figures) int { return int(f.overloads[i].Served.Seconds()) },
			// Who asks more often is served sooner, where a refusal costs the endpoint nothing.
			price: func(f figures) int { return f.overloads[i].Fetches },
			bound: bounds[i],
			cell: func(f figures) string {
				o := f.overloads[i]
				if o.Served == scenario.Never {
					return "never"
				}
				return fmt.Sprintf("%.0f s, %.1f, %d", o.Served.Seconds(), o.FetchesEach(), o.Busiest)
			},
		})
	}
	return all
}

// text returns the figure as the table shows it.
func (r row) text(f figures) string {
	if r.cell != nil {
		return r.cell(f)
	}
	return strconv.Itoa(r.figure(f))
}
