// Package storetest tests implementations of netoauth.Store.
//
// A Store keeps a session for many programs, and its mistakes show when it is too late: a refresh
// token is used twice, or the next one is lost, and a person has to log in again. [Run] looks for
// such mistakes, each with a check of its own, whose message says what is wrong and what would be
// right:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T, owner string) netoauth.Store {
//			return &mystore.Store{DB: connect(t), Owner: owner}
//		}, nil)
//	}
//
// What it cannot find: how long a Store lasts (a restart, a full disk), what it does with content
// that is not its own, and who may read it. The token's Extra is not tested; package tokenstore has
// a stored form that keeps what matters of it.
package storetest

import (
	"context"
	"crypto/rand"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
)

const (
	limit    = 24 * time.Second       // of a check
	cutLimit = 4 * time.Second        // of a check that cuts connections
	grace    = 500 * time.Millisecond // for a Store to return when its context has ended

	longF   = 17 * time.Second // above the 15 s after which many a lease ends
	quickly = 3 * time.Second  // for what has nothing to wait for
)

// check is one promise of a Store, tried on a session of its own.
type check struct {
	name  string
	limit time.Duration
	try   func(*trial)
}

// cutting are the checks that cut every connection, and so each other's: they run one by one, before
// the others.
var cutting = []check{
	{"connections cut while f runs", cutLimit, survivesCuts},
	{"a lock lost while f runs", cutLimit, overwritesNothingNewer},
}

var independent = []check{
	{"nothing stored", limit, beginsEmpty},
	{"all fields", limit, keepsAllFields},
	{"owners", limit, tellsOwnersApart},
	{"an error of f", limit, passesErrorsOn},
	{"nil from f", limit, storesNoNil},
	{"Load during an Update", limit, loadsMeanwhile},
	{"Updates at once", limit, excludesOthers(true)},
	{"Updates at once at a cold start", limit, excludesOthers(false)},
	{"a context that ends", limit, endsWithContext},
	{"Goexit in f", limit, freesAfter("runtime.Goexit", runtime.Goexit)},
	{"a panic in f", limit, freesAfter("a panic", func() { panic("storetest: f panics, as part of the test") })},
	{"a long f", limit, keepsOthersOutForLong},
}

// Run tests a Store, in one subtest for each thing that a Store must do.
//
// open opens the one place where sessions are kept as another program would, each time that it is
// called: with a connection, a file or a client of its own. Owners that differ are different
// sessions; those of a Run are new, of under 100 bytes, and open need not clear up after them. It
// may end its subtest by t.Fatal, and is called from several subtests at once.
//
// cut breaks every connection to the place, such as by pg_terminate_backend, so that they can be
// made anew at once. Where there are none it is nil, and what depends on it is not tested.
//
// Run takes 17 s, for which one f lasts, and 35 s at most, with a Store that hangs, keeps its lock or
// ignores its context, too; the time that open and cut take comes on top. A call that never returns
// is left behind. Where several subtests fail, begin with "nothing stored" and "all fields": what they
// find can be why the others fail.
func Run(t *testing.T, open func(t *testing.T, owner string) netoauth.Store, cut func()) {
	t.Helper()
	run := func(c check) {
		t.Run(c.name, func(t *testing.T) {
			here := func(owner string) netoauth.Store { return open(t, owner) }
			for _, problem := range c.problems(here, cut) {
				t.Error(problem)
			}
		})
	}
	tryAll(run, cut != nil)
}

// tryAll calls run for each check: those that cut one by one, where there is something to cut, then
// the others at once.
func tryAll(run func(check), cuts bool) {
	if cuts {
		for _, c := range cutting {
			run(c)
		}
	}
	// By goroutines, since t.Parallel starts no more at a time than there are processors, and most of
	// the time is waiting.
	var all sync.WaitGroup
	for _, c := range independent {
		all.Go(func() { run(c) })
	}
	all.Wait()
}

// problems tries c and returns what is wrong. It calls open and cut in its own goroutine, as
// testing.T wants it, and ends after c's limit, whatever the Store does.
func (c check) problems(open func(owner string) netoauth.Store, cut func()) []string {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	t := &trial{
		ctx: ctx, limit: c.limit, owner: "storetest " + rand.Text(), opener: open, cutter: cut,
		asks: make(chan func()), over: make(chan struct{}), calls: make(map[*call]bool),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.try(t)
	}()
	end, ended := time.Now().Add(c.limit), false
	for {
		select {
		case <-done:
			return t.end()
		case ask := <-t.asks:
			began := time.Now()
			ask()
			end = end.Add(time.Since(began))
		case <-time.After(time.Until(end)):
			if ended {
				t.reportStuck()
				return t.end()
			}
			cancel()
			end, ended = end.Add(grace), true
		}
	}
}
