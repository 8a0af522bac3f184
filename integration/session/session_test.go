package session

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
)

// Programs that share a token file log in once and refresh as often as one program would.
func TestSession_isOneForManyPrograms(t *testing.T) {
	t.Parallel()
	programs, runFor, refreshes := 8, 15*time.Second, 9
	if !thorough {
		programs, runFor, refreshes = 4, 7*time.Second, 5
	}
	for _, flow := range []string{"API key", "password", "refresh token"} {
		t.Run(flow, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, 3*time.Second, 0)
			p := a.program("", flow)
			if flow == "refresh token" {
				p.RefreshToken = a.logIn(t).RefreshToken
			}
			before := a.requests()
			end := time.After(runFor)
			var all []*running
			for i := range programs {
				p.Name = fmt.Sprintf("program %d", i)
				all = append(all, start(t, p))
			}
			<-end
			for _, r := range all {
				r.stdin.Close() // of all at once, so that none goes on alone
			}
			exchanges := 0
			for _, r := range all {
				got := r.wait(t)
				exchanges += got.Exchanges
				wantNoTrouble(t, r.name, got)
			}
			got := a.requests().since(before)
			t.Logf("%d programs in %v: %+v", programs, runFor, got)
			if logIns := got.APIKey + got.Password; logIns+got.Refresh != exchanges {
				t.Errorf("%+v in %d exchanges, want one in each", got, exchanges)
			}
			if got.Refresh > refreshes || got.Refresh < refreshes/2 {
				t.Errorf("%d refreshes, want %d at most, and half as many at least", got.Refresh, refreshes)
			}
			want := map[string]requests{"API key": {APIKey: 1}, "password": {Password: 1}}[flow]
			want.Refresh = got.Refresh
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("token requests (-want +got):\n%s", diff)
			}
			a.wantAlive(t, a.stored(t).RefreshToken)
		})
	}
}

// wantNoTrouble expects that a program had a good token for each of its requests.
func wantNoTrouble(t *testing.T, name string, got report) {
	t.Helper()
	if got.Requests == 0 {
		t.Errorf("%s sent no request", name)
	}
	got.Requests, got.Exchanges = 0, 0
	if diff := cmp.Diff(report{}, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// Short programs, one after the other, hand a session on, whatever the age of its token when they
// start and end.
func TestSession_outlivesShortPrograms(t *testing.T) {
	t.Parallel()
	programs := 100
	if !thorough {
		programs = 25
	}
	for name, handOver := range handOvers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, 2*time.Second, 120*time.Millisecond)
			p := a.program("", "refresh token")
			refreshToken := handOver(t, a, &p)
			for i := range programs {
				longest := 200 * time.Millisecond
				if i%10 == 9 {
					longest = 2200 * time.Millisecond // beyond the token's end
				}
				time.Sleep(rand.N(longest))
				p.Name, p.Requests = fmt.Sprintf("program %d", i), 1+i%2
				wantNoTrouble(t, p.Name, start(t, p).wait(t))
				if t.Failed() {
					return
				}
			}
			t.Logf("%d programs: %+v", programs, a.requests())
			a.wantAlive(t, refreshToken())
		})
	}
}

// A program that ends while its renewal is under way waits for what that brings.
func TestSession_outlivesAProgramThatEndsInARenewal(t *testing.T) {
	t.Parallel()
	for name, handOver := range handOvers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, 2*time.Second, 0)
			p := a.program("program", "refresh token")
			refreshToken := handOver(t, a, &p)
			h := a.hold(p.Name)
			r := start(t, p)
			await(t, "it renews", func() bool { return closed(h.arrived) })
			time.AfterFunc(500*time.Millisecond, func() { close(h.release) }) // enough to end without waiting
			wantNoTrouble(t, p.Name, r.stop(t))
			await(t, "the renewal has ended", func() bool { return closed(h.answered) })
			a.wantAlive(t, refreshToken())
		})
	}
}

// handOvers are the ways from one program to the next. Each begins a session, and returns what
// reads its refresh token.
var handOvers = map[string]func(*testing.T, *api, *program) (refreshToken func() string){
	"Store":                    byStore,
	"InitialToken and OnToken": byHand,
}

// byStore begins a session in a token file.
func byStore(t *testing.T, a *api, _ *program) func() string {
	a.store(t, a.logIn(t))
	return func() string { return a.stored(t).RefreshToken }
}

// byHand begins a session in a file of the program's own.
func byHand(t *testing.T, a *api, p *program) func() string {
	p.Path, p.Handover = "", filepath.Join(t.TempDir(), "handover")
	writeToken(p.Handover, a.logIn(t))
	return func() string {
		var kept oauth2.Token
		text, err := os.ReadFile(p.Handover)
		if err == nil {
			err = json.Unmarshal(text, &kept)
		}
		if err != nil {
			t.Fatal(err)
		}
		return kept.RefreshToken
	}
}

// Programs that are killed at any moment leave a whole file and no lock behind. They lose the
// session only where one dies between the answer to its token request and the storing of what that
// brought.
func TestSession_outlivesKilledPrograms(t *testing.T) {
	t.Parallel()
	kills := 150
	if !thorough {
		kills = 30
	}
	for flow, spare := range map[string]bool{
		"refresh token": true,  // in those moments
		"password":      false, // for which a lost session is a log-in
	} {
		t.Run(flow, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, 2*time.Second, 400*time.Millisecond)
			a.store(t, a.logIn(t))
			survivor := start(t, a.program("survivor", flow))
			of := a.killMany(t, kills, flow, spare)
			a.awaitServed(t, "survivor", 10)
			got := survivor.stop(t)
			if of.Lost > 0 {
				got.Unauthorized = 0 // a session that ends takes its access tokens along
			}
			wantNoTrouble(t, "survivor", got)
			made := a.requests()
			t.Logf("%+v: %+v", of, made)
			if spare && of.Lost > 0 || made.Password > 1+of.Lost {
				t.Errorf("%d log-ins for %d lost sessions", made.Password, of.Lost)
			}
			last := a.stored(t)
			a.store(t, last) // the lock is free
			if names, _ := filepath.Glob(a.file.Path + "*"); len(names) != 2 {
				t.Errorf("files %q, want the token's and the lock's", names)
			}
			a.wantAlive(t, last.RefreshToken)
		})
	}
}

// killMany starts programs and kills them, three of which are alive at a time.
func (a *api) killMany(t *testing.T, kills int, flow string, spare bool) (of tally) {
	t.Helper()
	var alive []*running
	for i := 0; of.Killed < kills; i++ {
		p := a.program(fmt.Sprintf("victim %d", i), flow)
		p.Exchange = flow == "refresh token" && i%2 == 0 // most others find a token that is fresh
		alive = append(alive, start(t, p))
		if len(alive) == 3 {
			time.Sleep(rand.N(150 * time.Millisecond))
			a.kill(t, alive[0], spare, &of)
			alive = alive[1:]
		}
	}
	for _, victim := range alive {
		a.kill(t, victim, spare, &of)
	}
	return of
}
