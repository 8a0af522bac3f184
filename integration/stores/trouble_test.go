package stores

import (
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"
)

const (
	leaseFor = 15 * time.Second
	grace    = 2 * time.Second
)

// An engine that stops for 5 s in the middle of an exchange, frozen or to be started again, loses no
// session, although nobody can log in, and no request.
func TestSession_outlivesAnEngineThatStops(t *testing.T) {
	t.Parallel()
	for way, engines := range map[string][]*engine{"frozen": engines, "restarted": servers} {
		if way == "restarted" && !thorough {
			continue // a start takes longer than the tokens last, on a machine as busy as that
		}
		t.Run(way, func(t *testing.T) {
			each(t, engines, func(t *testing.T, s subject) {
				got := engineStops(t, s, way == "restarted")
				if got.kept != got.of {
					t.Errorf("%v, want all of them kept", got)
				}
				wantNoTrouble(t, got.report)
			})
		})
	}
}

type stopFigures struct {
	report
	kept, of int // sessions
}

func (f stopFigures) String() string {
	text := fmt.Sprintf("%d of %d kept", f.kept, f.of)
	if lost := f.Failed + f.Unauthorized; lost > 0 {
		text += fmt.Sprintf(", %d requests lost", lost)
	}
	return text
}

// engineStops is five sessions at one engine, each of two programs that only have a refresh token.
// The engine stops when all five have a refresh token used up, and none has the next stored.
func engineStops(t *testing.T, s subject, restart bool) (f stopFigures) {
	a := newAPI(t, time.Minute)
	at, d := s.own(t)
	var all []*running
	var places []place
	var holds []*hold
	var first []string
	for i := range 5 {
		name := fmt.Sprintf("session %d", i)
		at.Owner = name
		token := a.logIn(t)
		at.store(t, token)
		holds = append(holds, a.hold(t, name, true))
		for range 2 {
			p := a.program(name, "refresh token", at)
			p.RefreshToken = token.RefreshToken
			all = append(all, start(t, p))
		}
		places, first = append(places, at), append(first, token.RefreshToken)
	}
	for _, h := range holds {
		await(t, time.Minute, "a session is renewed", func() bool { return closed(h.arrived) })
	}
	goOn := at.halt(t, d, restart)
	for _, h := range holds {
		close(h.release)
	}
	time.Sleep(5 * time.Second)
	goOn()
	renewed := make([]bool, len(places))
	for i, at := range places {
		renewed[i] = within(leaseFor, func() bool { return at.stored(t).RefreshToken != first[i] })
	}
	time.Sleep(5 * time.Second)
	f.report, f.of = stop(t, all...), len(places)
	for i, at := range places {
		if renewed[i] && a.alive(t, at.stored(t).RefreshToken) {
			f.kept++
		}
	}
	return f
}

// A program that is killed after the API has answered it, and before it has stored the token, delays the
// others by its lease. The refresh token that it has used costs those a log-in, and nobody else notices.
func TestSession_outlivesAKilledHolder(t *testing.T) {
	each(t, engines, func(t *testing.T, s subject) {
		got := holderDies(t, s)
		if got.gap > leaseFor+grace || got.LogIns != 1 {
			t.Errorf("%v, want %v at most, and one log-in", got, leaseFor+grace)
		}
		wantNoTrouble(t, got.report)
	})
}

type deathFigures struct {
	requests
	report
	gap time.Duration // from the holder's death until all others were served again
}

func (f deathFigures) String() string {
	text := fmt.Sprintf("%.1f s, %s", f.gap.Seconds(), count(f.LogIns, "log-in"))
	if lost := f.Failed + f.Unauthorized; lost > 0 {
		text += fmt.Sprintf(", %d requests lost", lost)
	}
	return text
}

// holderDies has a program use the refresh token of a session, whose other programs have an API key
// and 4-s tokens. It is killed when they have long begun to wait for it.
func holderDies(t *testing.T, s subject) (f deathFigures) {
	a, at := newAPI(t, 4*time.Second), s.place(t)
	at.store(t, a.logIn(t))
	others := []*running{start(t, a.program("other 0", "API key", at)), start(t, a.program("other 1", "API key", at))}
	for _, r := range others {
		await(t, 10*time.Second, r.name+" is served", func() bool { return !a.lastServed(r.name).IsZero() })
	}
	h := a.hold(t, "holder", true)
	p := a.program("holder", "refresh token", at)
	p.Exchange = true
	holder := start(t, p)
	await(t, 10*time.Second, "the API has answered", func() bool { return closed(h.arrived) })
	before := a.requests()
	time.Sleep(3 * time.Second) // their token is over, or nearly so
	holder.cmd.Process.Kill()
	died := time.Now()
	close(h.release)
	time.Sleep(2 * time.Second) // what they had is over
	served := time.Now()
	for _, r := range others {
		await(t, 2*leaseFor, r.name+" is served", func() bool { return a.lastServed(r.name).After(served) })
		f.gap = max(f.gap, a.lastServed(r.name).Sub(died))
	}
	time.Sleep(4 * time.Second)
	f.report = stop(t, others...)
	f.requests = a.requests().since(before)
	return f
}

// A program that is stopped while it uses the refresh token, for longer than its lease, overwrites
// nothing newer when it goes on.
func TestSession_outlivesAStoppedHolder(t *testing.T) {
	each(t, engines, func(t *testing.T, s subject) {
		for _, when := range []string{"before the API", "after the API"} {
			t.Run(when, func(t *testing.T) {
				t.Parallel()
				got := holderSleeps(t, s, when == "after the API")
				if !got.alive || got.overwritten || got.blocked {
					t.Errorf("%v, want it renewed meanwhile, alive, and nothing overwritten", got)
				}
				wantNoTrouble(t, got.report)
			})
		}
	})
}

type sleepFigures struct {
	report
	alive       bool // the stored session, in the end
	blocked     bool // nobody has renewed it meanwhile
	overwritten bool // the token that another had stored meanwhile
}

func (f sleepFigures) String() string {
	text := "session kept"
	if !f.alive {
		text = "session lost"
	}
	if f.blocked {
		text += ", nobody renewed it"
	}
	if f.overwritten {
		text += ", newer token overwritten"
	}
	if lost := f.Failed + f.Unauthorized; lost > 0 {
		text += fmt.Sprintf(", %d requests lost", lost)
	}
	return text
}

// holderSleeps stops a program whose token request the API has taken up, with after, or not yet.
func holderSleeps(t *testing.T, s subject, after bool) (f sleepFigures) {
	const life = 4 * time.Second // of a token, for which another program may do with the stored one
	a, at := newAPI(t, life), s.place(t)
	at.store(t, a.logIn(t))
	first := at.stored(t)
	h := a.hold(t, "holder", after)
	p := a.program("holder", "refresh token", at)
	p.Exchange = true
	holder := start(t, p)
	await(t, 10*time.Second, "the API has the request", func() bool { return closed(h.arrived) })
	holder.cmd.Process.Signal(syscall.SIGSTOP)
	other := start(t, a.program("other", "API key", at))
	f.blocked = !within(life+leaseFor+grace, func() bool { return at.stored(t).AccessToken != first.AccessToken })
	close(h.release)
	holder.cmd.Process.Signal(syscall.SIGCONT)
	holder.cmd.Wait() // its outcome is its own
	f.overwritten = !f.blocked && at.stored(t).AccessToken == a.issuedTo("holder")
	time.Sleep(grace) // in which the API may have refused a token
	f.report = stop(t, other)
	f.alive = a.alive(t, at.stored(t).RefreshToken)
	return f
}

// Where nothing comes back from the engine, a program that can log in does so.
func TestSession_startsWithoutAnEngine(t *testing.T) {
	each(t, servers, func(t *testing.T, s subject) {
		for _, way := range []string{"silent", "refuses"} {
			t.Run(way, func(t *testing.T) {
				t.Parallel()
				got, bound := firstToken(t, s, way == "silent"), 8*time.Second
				if way == "silent" {
					bound = 7 * time.Second
				}
				if got.First > bound {
					t.Errorf("the first token took %v, want %v at most", got.First, bound)
				}
				wantNoTrouble(t, got)
			})
		}
	})
}

// firstToken is a program with an API key that starts before an engine which is silent, or else refuses
// connections.
func firstToken(t *testing.T, s subject, silent bool) report {
	a, at := newAPI(t, 5*time.Minute), s.place(t)
	if at.Engine != "" {
		between := newProxy(t, at.Address)
		at.Address = between.address()
		if silent {
			between.hold()
		} else {
			at.Address = closedPort(t)
		}
	}
	p := a.program("program", "API key", at)
	p.Requests = 1
	return start(t, p).wait(t)
}

func closedPort(t *testing.T) string {
	listener, err := net.Listen("tcp", hostOnly+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// Where the engine falls silent under programs that are busy, no request waits.
func TestSession_goesOnWithoutAnEngine(t *testing.T) {
	each(t, servers, func(t *testing.T, s subject) {
		got := falls(t, s)
		if got.Longest > time.Second {
			t.Errorf("a request took %v, want no wait", got.Longest)
		}
		wantNoTrouble(t, got.report)
	})
}

type silenceFigures struct {
	report
	requests
}

func (f silenceFigures) String() string {
	text := fmt.Sprintf("%.1f s, %s", f.Longest.Seconds(), count(f.LogIns, "log-in"))
	if lost := f.Failed + f.Unauthorized; lost > 0 {
		text += fmt.Sprintf(", %d requests lost", lost)
	}
	return text
}

// falls is 75 s of three programs with an API key and 60-s tokens. After 5 s nothing comes through to
// the engine any more.
func falls(t *testing.T, s subject) (f silenceFigures) {
	a, at := newAPI(t, time.Minute), s.place(t)
	var between *proxy
	if at.Engine != "" {
		between = newProxy(t, at.Address)
		at.Address = between.address()
	}
	var all []*running
	for i := range 3 {
		all = append(all, start(t, a.program(fmt.Sprintf("program %d", i), "API key", at)))
	}
	time.Sleep(5 * time.Second)
	if between != nil {
		between.hold()
	}
	time.Sleep(70 * time.Second)
	if between != nil {
		between.forward()
	}
	f.report = stop(t, all...)
	f.requests = a.requests()
	return f
}
