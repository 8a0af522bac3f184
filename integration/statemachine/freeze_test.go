package statemachine_test

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/netoauth/netoauth/internal/endpoint"
)

// freeze is a time in which a program with a token request under way stands still, as after SIGSTOP
// or behind a closed lid.
type freeze struct {
	program int
	d       time.Duration
}

func (s freeze) String() string { return fmt.Sprintf("program %d stands still for %v", s.program, s.d) }

// reads is when a program that has woken up reads the answer that has come meanwhile: the contract
// leaves it a second.
const reads = 900 * time.Millisecond

// play stops the program's clocks. Nothing of a bubble can stand still while its time passes, so
// what counts the time of the program's exchange goes on, and is set back on waking to what it was:
// it then sees that no look at the clocks has been taken for all that time.
func (s freeze) play(w *world) {
	w.mu.Lock()
	r := w.program(s.program)
	ctx := r.exchange.ctx
	if ctx == nil {
		w.mu.Unlock()
		return
	}
	r.exchange.stood = r.exchange.stood || s.d >= 3*time.Second
	r.exchange.wakes = time.Now().Add(s.d)
	r.count.frozen += s.d
	stopped := stopClocks(ctx, s.d)
	w.mu.Unlock()
	time.Sleep(s.d)
	for _, c := range stopped {
		c.goOn()
	}
}

// programClock is the part of a context of endpoint.WithTimeout that counts the time which a program
// runs.
type programClock struct {
	mu         *sync.Mutex
	left       *time.Duration
	seen       *time.Time
	leftBefore time.Duration
	seenBefore time.Time
}

// stopClocks stops the clocks in ctx and its parents for d.
func stopClocks(ctx context.Context, d time.Duration) (stopped []programClock) {
	var k keyOf
	endpoint.StoodStill(&k)
	for {
		running := ctx.Value(k.key)
		if running == nil {
			return stopped
		}
		v := reflect.ValueOf(running).Elem()
		c := programClock{
			mu:   (*sync.Mutex)(v.FieldByName("mu").Addr().UnsafePointer()),
			left: (*time.Duration)(v.FieldByName("left").Addr().UnsafePointer()),
			seen: (*time.Time)(v.FieldByName("seen").Addr().UnsafePointer()),
		}
		c.mu.Lock()
		c.leftBefore, c.seenBefore = *c.left, *c.seen
		*c.left += d + time.Second // so that the context does not end meanwhile
		c.mu.Unlock()
		stopped = append(stopped, c)
		ctx = v.FieldByName("Context").Interface().(context.Context)
	}
}

func (c programClock) goOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	*c.left, *c.seen = c.leftBefore, c.seenBefore
}

// keyOf is a context that keeps the key for which it is asked last.
type keyOf struct {
	context.Context
	key any
}

func (k *keyOf) Value(key any) any { k.key = key; return nil }
