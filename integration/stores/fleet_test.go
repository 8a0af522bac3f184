package stores

import (
	"fmt"
	"testing"
	"time"
)

var flows = []string{"API key", "refresh token"}

// Twelve programs that share a session log in once and refresh as often as one program would, where each
// refresh token is good for one use.
func TestFleet_sharesOneSession(t *testing.T) {
	each(t, engines, func(t *testing.T, s subject) {
		for _, flow := range flows {
			t.Run(flow, func(t *testing.T) {
				t.Parallel()
				got := fleet(t, s, flow)
				logIns := 1
				if flow == "refresh token" {
					logIns = 0
				}
				if got.LogIns != logIns || got.Refreshes > 12 || got.Refreshes < 4 || !got.alive {
					t.Errorf("%v, want %d log-ins, 4 to 12 refreshes, and the session alive", got, logIns)
				}
				wantNoTrouble(t, got.report)
			})
		}
	})
}

// fleetFigures are what a fleet showed.
type fleetFigures struct {
	requests
	report
	alive bool // the session
}

func (f fleetFigures) String() string {
	text := fmt.Sprintf("%s, %d refreshes", count(f.LogIns, "log-in"), f.Refreshes)
	if f.Unauthorized+f.Failed > 0 {
		text += fmt.Sprintf(", %d requests lost", f.Unauthorized+f.Failed)
	}
	if !f.alive {
		text += ", session lost"
	}
	return text
}

// fleet is 15 s of twelve programs with 3-s tokens.
func fleet(t *testing.T, s subject, flow string) (f fleetFigures) {
	a, at := newAPI(t, 3*time.Second), s.place(t)
	p := a.program("", flow, at)
	if flow == "refresh token" {
		p.RefreshToken = a.logIn(t).RefreshToken
	}
	before := a.requests()
	end := time.After(15 * time.Second)
	var all []*running
	for i := range 12 {
		p.Name = fmt.Sprintf("program %d", i)
		all = append(all, start(t, p))
	}
	<-end
	f.report = stop(t, all...)
	f.requests = a.requests().since(before)
	f.alive = f.Failed == 0
	if s.engine != nil {
		stored := at.stored(t)
		f.alive = stored != nil && a.alive(t, stored.RefreshToken)
	}
	return f
}

// wantNoTrouble expects that each request had a good token.
func wantNoTrouble(t *testing.T, got report) {
	t.Helper()
	if got.Requests == 0 || got.Unauthorized > 0 || got.Failed > 0 {
		t.Errorf("%d requests, %d answered with 401, %d failed, the first with %q",
			got.Requests, got.Unauthorized, got.Failed, got.Error)
	}
}

// 200 programs that start at once make one exchange, at an engine that takes 100 connections, also where
// it takes longer than any of them bears failures.
func TestFleet_startsWithOneExchange(t *testing.T) {
	for _, tt := range []struct{ slow, bound time.Duration }{
		{200 * time.Millisecond, 5 * time.Second},
		{6 * time.Second, 15 * time.Second},
	} {
		t.Run(tt.slow.String(), func(t *testing.T) { // one by one, as each takes the whole machine
			got := coldStart(t, subject{name: "PostgreSQL", engine: postgreSQL}, tt.slow)
			if got.LogIns+got.Refreshes != 1 || got.last > tt.bound {
				t.Errorf("%v, want one log-in, and all served in %v", got, tt.bound)
			}
			wantNoTrouble(t, got.report)
		})
	}
}

type coldStartFigures struct {
	fleetFigures
	last time.Duration // until all were served, or had failed
}

func (f coldStartFigures) String() string {
	text := fmt.Sprintf("%s, %.1f s", count(f.LogIns, "log-in"), f.last.Seconds())
	if f.Failed > 0 {
		text += fmt.Sprintf(", %d of 200 failed", f.Failed)
	}
	return text
}

// coldStart is 200 programs that send a request each, at a token endpoint that takes so long and refuses
// more than 100 requests a second.
func coldStart(t *testing.T, s subject, slow time.Duration) (f coldStartFigures) {
	programs := 200
	if !thorough {
		programs = 40
	}
	a, at := newAPI(t, 5*time.Minute), place{}
	if s.engine != nil {
		at, _ = s.own(t)
	}
	a.slow, a.perSecond = slow, 100
	p := a.program("", "API key", at)
	p.Wait, p.Requests = true, 1
	var all []*running
	for i := range programs {
		p.Name = fmt.Sprintf("program %d", i)
		all = append(all, start(t, p))
	}
	await(t, time.Minute, "all are ready", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.ready == programs
	})
	began := time.Now()
	for _, r := range all {
		fmt.Fprintln(r.stdin)
	}
	for _, r := range all {
		got := r.wait(t)
		f.report.add(got)
	}
	f.last = f.First
	for _, r := range all {
		if at := a.lastServed(r.name); !at.IsZero() {
			f.last = max(f.last, at.Sub(began))
		}
	}
	f.requests = a.requests()
	return f
}
