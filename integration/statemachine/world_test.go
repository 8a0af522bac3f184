package statemachine_test

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// world is the API, the Store and the programs of a history. Methods without a word on it need mu.
type world struct {
	history history
	ctx     context.Context
	begun   time.Time
	calls   sync.WaitGroup

	mu sync.Mutex
	api
	store     *store // nil: none
	handedOut int    // the number of the secret that programs get
	shortest  time.Duration
	programs  []*run // now
	runs      []*run // all
	shell     *run   // stands for the programs of a shell; it has but a name
	moment    int    // grows whenever all that goes on waits
	notes     []string
	broken    invariant // the first; 0: none
}

func newWorld(ctx context.Context, h history) *world {
	w := &world{history: h, ctx: ctx, begun: time.Now(), shortest: h.life, shell: &run{name: "a shell"}}
	w.api = api{
		access: map[string]*access{}, grants: map[string]*grant{}, ids: map[string]bool{},
		life: h.life, refLife: h.refLife,
	}
	programs := 1
	if h.store {
		w.store = &store{lock: make(chan struct{}, 1), had: map[string]bool{}}
		programs = 2
	}
	config := w.newGrant(new(session)).name
	for i := range programs {
		w.programs = append(w.programs, w.newRun(fmt.Sprintf("program %d", i), config, nil))
	}
	return w
}

// note writes down what happens.
func (w *world) note(format string, args ...any) {
	w.notes = append(w.notes, fmt.Sprintf("%12v  ", time.Since(w.begun))+fmt.Sprintf(format, args...))
}

// plays notes what the history does next, when all that goes on waits. It locks mu.
func (w *world) plays(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moment++
	w.note(format, args...)
}

// fail writes down what is broken.
func (w *world) fail(i invariant, format string, args ...any) {
	w.note("BROKEN, %v: %s", i, fmt.Sprintf(format, args...))
	if w.broken == 0 {
		w.broken = i
	}
}
