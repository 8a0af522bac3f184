// Package statemachine_test holds the live token source against a model, over histories drawn at
// random and played in virtual time, one synctest bubble a history. A few hundred by default; ten
// thousand with
//
//	go -C integration test -count=1 -v -run TestStateMachine ./statemachine -rapid.checks=10000
//
// What it holds is the list of invariants below. The model is in program_test.go and the files of
// its parts, the API in api_test.go, and what a history is made of in history_test.go. The token
// source draws its waits and renewal points at random, so that one history can pass and fail: what
// failed once is played up to attempts times while rapid makes it smaller.
package statemachine_test

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// invariant is what no history may break.
type invariant int

const (
	oneExchange   invariant = iota + 1 // a source has one token request under way at most
	noReuse                            // no refresh token is sent again after it was used with success
	noWait                             // nobody waits while a usable token is in hand, nor past a deadline
	noPastEnd                          // no request carries a token past its end
	backOff                            // waits after failures, three tries, one forced renewal in 30 s
	toldOnce                           // each token is stored, told and reported once, in order, before use
	boundedNumber                      // exchanges are as few as time, failures and 401s explain
	nothingLeft                        // no goroutine and no exchange is left at the end
	nothingLost                        // no request fails with a good token, and trouble passes
	takenOver                          // after a 401, what another program has stored is taken over
	inDoubt                            // what can be sent only once waits for the token after one in doubt
)

func (i invariant) String() string {
	return [...]string{
		oneExchange: "one exchange at a time", noReuse: "no refresh token twice", noWait: "nobody waits",
		noPastEnd: "no token past its end", backOff: "back-off", toldOnce: "told once, in order, before use",
		boundedNumber: "number of exchanges", nothingLeft: "nothing left behind", nothingLost: "nothing lost",
		takenOver: "taken over after a 401", inDoubt: "not sent with a token in doubt",
	}[i] + " (invariant " + strconv.Itoa(int(i)) + ")"
}

const (
	histories = 1000 // by default
	patience  = time.Minute
	attempts  = 30 // for a history to fail again
)

func TestMain(m *testing.M) {
	flag.Set("rapid.checks", strconv.Itoa(histories))
	flag.Set("rapid.nofailfile", "true")
	os.Exit(m.Run())
}

func TestStateMachine(t *testing.T) {
	played, tries := 0, 1
	var smallest *world // of those that failed
	defer func() {
		t.Logf("%d histories", played)
		if smallest != nil {
			t.Log(smallest.report())
		}
	}()
	rapid.Check(t, func(rt *rapid.T) {
		h := anyHistory.Draw(rt, "history")
		played++
		for range tries {
			w := play(t, h)
			if w.broken == 0 {
				continue
			}
			tries = attempts
			if smallest == nil || len(w.history.steps) <= len(smallest.history.steps) {
				smallest = w
			}
			rt.Fatalf("broken: %v", w.broken)
		}
	})
	want, _ := strconv.Atoi(flag.Lookup("rapid.checks").Value.String())
	if played < want && !testing.Short() {
		t.Errorf("%d histories were played, want %d", played, want)
	}
}

// play plays h in a bubble and returns the world as it is afterwards.
func play(t *testing.T, h history) (w *world) {
	defer func() {
		if r := recover(); r != nil {
			w.fail(nothingLeft, "%v", r)
		}
	}()
	// A goroutine that waits for a mutex which another holds across a wait stops the clock of a
	// bubble.
	watch := time.AfterFunc(patience, func() { panic("a history that does not end:\n" + h.String()) })
	defer watch.Stop()
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t.Context(), h)
		for i, s := range h.steps {
			w.plays("step %d: %v", i+1, s)
			s.play(w)
			synctest.Wait()
		}
		w.plays("the end")
		w.end()
	})
	return w
}

// report is the history and what happened in it.
func (w *world) report() string {
	text := fmt.Sprintf("the smallest history that failed:\n%v\nwhat happened in it:\n", w.history)
	for _, line := range w.notes {
		text += line + "\n"
	}
	return text
}
