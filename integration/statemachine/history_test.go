package statemachine_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// history is a world to start with and what happens in it.
type history struct {
	flow      string        // "API key", "password" or "refresh token"
	store     bool          // two programs share a Store; else there is one program, without
	expiresIn bool          // the Store keeps a token's ExpiresIn
	reload    bool          // the credential has a Reload
	life      time.Duration // of access tokens; 0: they have no end
	refreshes string        // the refresh token that a refresh brings: "another", the "same" or "none"
	refLife   time.Duration // of refresh tokens; 0: the API does not tell, and they have no end
	ends      bool          // a refresh ends the access tokens that the session had before
	steps     []step
}

func (h history) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s, store %v (ExpiresIn %v), reload %v, life %v, refresh token %q for %v, ends %v\n",
		h.flow, h.store, h.expiresIn, h.reload, h.life, h.refreshes, h.refLife, h.ends)
	for i, s := range h.steps {
		fmt.Fprintf(&b, "  %2d %v\n", i+1, s)
	}
	return b.String()
}

// GoString is what rapid prints.
func (h history) GoString() string { return "\n" + h.String() }

// step is one thing that happens.
type step interface {
	play(w *world)
	String() string
}

// The steps. Those for a program count from 0, modulo the number of programs.
type (
	// calls are calls by n goroutines at once.
	calls struct {
		program, n int
		what       string
		deadline   time.Duration // 0: none
	}
	pass     struct{ d time.Duration }       // time passes
	passLife struct{ program, permille int } // until that part of the life of the token in hand
	faults   struct {
		kind, path string
		n          int
	} // the next n token requests to path, or to any, meet the fault
	slow    struct{ d time.Duration }             // token requests take d from now on
	revoke  struct{ what string }                 // "access" tokens, "refresh" tokens or both
	lives   struct{ life, refLife time.Duration } // of tokens issued from now on
	clock   struct{ ahead time.Duration }         // the API's clock
	secret  struct{ handedOut bool }              // the API's is another; Reload has it at once
	handOut struct{}                              // Reload has the API's secret
	storeIs struct{ mode string }                 // what the Store does from now on
	renewed struct{}                              // a program of a shell renews the stored session
	relayed struct{ program, n int }              // n times, renewed and then a call
	restart struct {
		program      int
		crash, fresh bool
	} // another run of a program; fresh: with a new refresh token
)

func (s calls) String() string {
	return fmt.Sprintf("program %d: %d × %s, deadline %v", s.program, s.n, s.what, s.deadline)
}
func (s pass) String() string { return fmt.Sprintf("%v pass", s.d) }
func (s passLife) String() string {
	return fmt.Sprintf("until %d ‰ of program %d's token", s.permille, s.program)
}
func (s faults) String() string  { return fmt.Sprintf("%d × %s for %q", s.n, s.kind, s.path) }
func (s slow) String() string    { return fmt.Sprintf("token requests take %v", s.d) }
func (s revoke) String() string  { return "revoked: " + s.what }
func (s lives) String() string   { return fmt.Sprintf("lives: %v, %v", s.life, s.refLife) }
func (s clock) String() string   { return fmt.Sprintf("the API's clock is %v ahead", s.ahead) }
func (s secret) String() string  { return fmt.Sprintf("another secret, handed out: %v", s.handedOut) }
func (s handOut) String() string { return "the secret is handed out" }
func (s storeIs) String() string { return "the Store is " + s.mode }
func (renewed) String() string   { return "the session is renewed from a shell" }
func (s relayed) String() string {
	return fmt.Sprintf("%d times: the session is renewed from a shell, program %d: GET", s.n, s.program)
}
func (s restart) String() string {
	return fmt.Sprintf("program %d restarts, crash %v, fresh %v", s.program, s.crash, s.fresh)
}

var (
	anyProgram = rapid.IntRange(0, 1)
	anyLife    = rapid.SampledFrom([]time.Duration{
		time.Minute, time.Hour, 5 * time.Minute, 10 * time.Second, 2 * time.Second, 0,
	})
	anyRefLife = rapid.SampledFrom([]time.Duration{0, 0, 30 * time.Minute, 30 * time.Second})
	anyTime    = rapid.SampledFrom([]time.Duration{
		time.Millisecond, 50 * time.Millisecond, 400 * time.Millisecond,
		time.Second, 3 * time.Second, 7 * time.Second, 20 * time.Second, 31 * time.Second,
		2 * time.Minute, 11 * time.Minute, time.Hour, 5 * time.Hour,
	})
	anyDeadline = rapid.SampledFrom([]time.Duration{
		0, 0, 0, time.Millisecond, 300 * time.Millisecond, 2 * time.Second, 10 * time.Second,
	})
	anyPath  = rapid.SampledFrom([]string{"", "", "refresh", "log-in"})
	anyFault = rapid.SampledFrom([]string{
		"500", "503", "no connection", "503 for 40 s", "429 for 2 s", "429 for 1 h", "429", "408",
		"cut off", "lost", "hang", "no token", "refusal", "dead", "dead",
	})
	anyCall = rapid.SampledFrom([]string{
		"GET", "GET", "token", "GET 401", "stream", "stream 401", "POST", "POST 401", "GET silent 401",
	})
	anyAccess = rapid.SampledFrom([]string{"access", "refresh", "both"})
	anyStore  = rapid.SampledFrom([]string{
		"well", "well", "slow", "slow afterwards", "failing",
		"not loading", "not updating", "not storing", "silent", "hung",
	})
)

// of makes a generator of steps out of f, which draws one.
func of[S step](f func(*rapid.T) S) *rapid.Generator[step] {
	return rapid.Custom(func(t *rapid.T) step { return f(t) })
}

var (
	anyCalls = of(func(t *rapid.T) calls {
		n := rapid.SampledFrom([]int{1, 1, 2, 8}).Draw(t, "n")
		what, deadline := anyCall.Draw(t, "what"), anyDeadline.Draw(t, "deadline")
		return calls{anyProgram.Draw(t, "program"), n, what, deadline}
	})
	anyPass     = of(func(t *rapid.T) pass { return pass{anyTime.Draw(t, "d")} })
	anyPassLife = of(func(t *rapid.T) passLife {
		parts := []int{500, 690, 780, 860, 899, 901, 950, 984, 999, 1001}
		return passLife{anyProgram.Draw(t, "program"), rapid.SampledFrom(parts).Draw(t, "permille")}
	})
	anyFaults = of(func(t *rapid.T) faults {
		n := rapid.SampledFrom([]int{1, 2, 3, 5, 50}).Draw(t, "n")
		return faults{anyFault.Draw(t, "kind"), anyPath.Draw(t, "path"), n}
	})
	anySlow = of(func(t *rapid.T) slow {
		ds := []time.Duration{
			0, 50 * time.Millisecond, 1500 * time.Millisecond, 8 * time.Second, 25 * time.Second,
		}
		return slow{rapid.SampledFrom(ds).Draw(t, "d")}
	})
	anyRevoke = of(func(t *rapid.T) revoke { return revoke{anyAccess.Draw(t, "what")} })
	anyLives  = of(func(t *rapid.T) lives {
		return lives{anyLife.Draw(t, "life"), anyRefLife.Draw(t, "refLife")}
	})
	anyClock = of(func(t *rapid.T) clock {
		ds := []time.Duration{0, 10 * time.Second, -5 * time.Minute, 2 * time.Hour}
		return clock{rapid.SampledFrom(ds).Draw(t, "ahead")}
	})
	anySecret  = of(func(t *rapid.T) secret { return secret{rapid.Bool().Draw(t, "handedOut")} })
	anyHandOut = rapid.Just(step(handOut{}))
	anyStoreIs = of(func(t *rapid.T) storeIs { return storeIs{anyStore.Draw(t, "mode")} })
	anyRenewed = rapid.Just(step(renewed{}))
	anyFreeze  = of(func(t *rapid.T) freeze {
		ds := []time.Duration{time.Second, 5 * time.Second, 33 * time.Second, 10 * time.Minute}
		return freeze{anyProgram.Draw(t, "program"), rapid.SampledFrom(ds).Draw(t, "d")}
	})
	anyRelayed = of(func(t *rapid.T) relayed {
		return relayed{anyProgram.Draw(t, "program"), rapid.IntRange(3, 5).Draw(t, "n")}
	})
	anyRestart = of(func(t *rapid.T) restart {
		crash, fresh := rapid.Bool().Draw(t, "crash"), rapid.Bool().Draw(t, "fresh")
		return restart{anyProgram.Draw(t, "program"), crash, fresh}
	})
)

// anyStep draws calls and time more often than trouble.
var anyStep = rapid.OneOf(
	anyCalls, anyCalls, anyCalls, anyCalls, anyCalls, anyCalls, anyCalls,
	anyPass, anyPass, anyPass, anyPassLife, anyPassLife, anyPassLife,
	anyFaults, anyFaults, anySlow, anyRevoke, anyLives, anyClock, anySecret, anyHandOut,
	anyStoreIs, anyRestart, anyRenewed, anyRenewed, anyFreeze, anyRelayed,
)

var anyHistory = rapid.Custom(func(t *rapid.T) history {
	return history{
		flow:      rapid.SampledFrom([]string{"API key", "password", "refresh token"}).Draw(t, "flow"),
		store:     rapid.Bool().Draw(t, "store"),
		expiresIn: rapid.Bool().Draw(t, "expiresIn"),
		reload:    rapid.Bool().Draw(t, "reload"),
		life:      anyLife.Draw(t, "life"),
		refreshes: rapid.SampledFrom([]string{"another", "another", "same", "none"}).Draw(t, "refreshes"),
		refLife:   anyRefLife.Draw(t, "refLife"),
		ends:      rapid.Bool().Draw(t, "ends"),
		steps:     slices.Concat(rapid.SliceOfN(rapid.SliceOfN(anyStep, 1, 40), 1, 12).Draw(t, "steps")...),
	}
})
