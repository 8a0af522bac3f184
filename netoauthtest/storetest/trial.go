package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

// trial is one check of one Store, under way. All of its fields but those below mu are set when it is
// made.
type trial struct {
	ctx    context.Context // ends at the check's limit
	limit  time.Duration
	owner  string // new
	opener func(owner string) netoauth.Store
	cutter func()
	asks   chan func()   // what the test's own goroutine is to do
	over   chan struct{} // closed by end: what comes later is nobody's concern

	mu       sync.Mutex
	ended    bool
	problems []string
	calls    map[*call]bool // of Store's methods, under way
}

// call is a call of a Store's method.
type call struct{ what string }

// opening is the Store as one program has it.
type opening struct {
	store netoauth.Store
	t     *trial
}

// open opens the session of owner as another program would.
func (t *trial) open(owner string) *opening {
	o := &opening{t: t}
	t.ask(func() { o.store = t.opener(owner) })
	if o.store == nil {
		t.fatalf("open returned nil: want a Store")
	}
	return o
}

// cut breaks all connections.
func (t *trial) cut() { t.ask(t.cutter) }

// ask has do done by the test's own goroutine. It ends this one where that has ended, or does so in
// do, as by t.Fatal.
func (t *trial) ask(do func()) {
	done := make(chan bool, 1)
	select {
	case t.asks <- func() {
		returned := false
		defer func() { done <- returned }()
		do()
		returned = true
	}:
		if <-done {
			return
		}
	case <-t.over:
	}
	runtime.Goexit()
}

// errorf reports a problem, once.
func (t *trial) errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := fmt.Sprintf(format, args...); !t.ended && !slices.Contains(t.problems, text) {
		t.problems = append(t.problems, text)
	}
}

// fatalf reports a problem and ends the goroutine of the check. It is not for an f.
func (t *trial) fatalf(format string, args ...any) {
	t.errorf(format, args...)
	runtime.Goexit()
}

// end ends the trial and returns its problems.
func (t *trial) end() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended {
		t.ended = true
		close(t.over)
	}
	return t.problems
}

// reportStuck says which calls have not returned although their context has ended.
func (t *trial) reportStuck() {
	t.mu.Lock()
	var stuck []string
	for c := range t.calls {
		stuck = append(stuck, c.what)
	}
	t.mu.Unlock()
	slices.Sort(stuck)
	t.errorf("after %v these have not returned: %q, although their context has ended: "+
		"does the place stay locked, and do they heed the context in all that waits?", t.limit, slices.Compact(stuck))
}

// began notes a call until the function that it returns is called.
func (t *trial) began(what string) (returned func()) {
	c := &call{what}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls[c] = true
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.calls, c)
	}
}

// reason is err, with the check's limit where that is why.
func (t *trial) reason(err error) error {
	if t.ctx.Err() != nil {
		return fmt.Errorf("%w (it had no success in the %v of this check: "+
			"does the place stay locked after an Update has returned?)", err, t.limit)
	}
	return err
}

func (o *opening) load() (*oauth2.Token, error) {
	defer o.t.began("Load")()
	return o.store.Load(o.t.ctx)
}

var errAgain = errors.New("storetest: f was called again, or too late")

// update calls Update and reports where it calls f twice, or not at all without an error. An f that
// is called when the trial is over does nothing.
func (o *opening) update(ctx context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
	defer o.t.began("Update")()
	var mu sync.Mutex
	called := 0
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		called++
		return called
	}
	err := o.store.Update(ctx, func(stored *oauth2.Token) (*oauth2.Token, error) {
		select {
		case <-o.t.over:
			return nil, errAgain
		default:
		}
		if count() > 1 {
			o.t.errorf("Update called f again: f sends the refresh token to the API, which takes it once; " +
				"lock first, in place of an optimistic transaction")
			return nil, errAgain
		}
		return f(stored)
	})
	if count() == 1 && err == nil {
		o.t.errorf("Update returned nil without having called f: where it cannot call f it must fail")
	}
	return err
}

func returning(t *oauth2.Token) func(*oauth2.Token) (*oauth2.Token, error) {
	return func(*oauth2.Token) (*oauth2.Token, error) { return t, nil }
}

// put stores a token, or ends the check.
func (o *opening) put(tok *oauth2.Token) {
	if err := o.update(o.t.ctx, returning(tok)); err != nil {
		o.t.fatalf("Update failed, where f returned a token and nothing was in the way: %v", o.t.reason(err))
	}
}

// want loads, and reports where that is not the token that is wanted. when says what was before.
func (o *opening) want(want *oauth2.Token, when string) {
	got, err := o.load()
	if err != nil {
		o.t.fatalf("Load failed %s: %v", when, o.t.reason(err))
	}
	if diff := difference(want, got); diff != "" {
		o.t.errorf("Load %s returned %s", when, diff)
	}
}

// difference says in what got differs from want, in one line; "": in nothing.
func difference(want, got *oauth2.Token) string {
	switch {
	case want == nil && got == nil:
		return ""
	case got == nil:
		return "no token, want the one that was stored"
	case want == nil:
		return "a token, want nil, since none was stored"
	}
	for _, field := range []struct {
		name      string
		want, got any
	}{
		{"AccessToken", want.AccessToken, got.AccessToken},
		{"RefreshToken", want.RefreshToken, got.RefreshToken},
		{"TokenType", want.TokenType, got.TokenType},
		{"ExpiresIn", want.ExpiresIn, got.ExpiresIn},
		{"Expiry", want.Expiry.UTC().Format(time.RFC3339Nano), got.Expiry.UTC().Format(time.RFC3339Nano)},
	} {
		if field.want != field.got {
			return fmt.Sprintf("another token, with %s %s, want %s", field.name, short(field.got), short(field.want))
		}
	}
	return ""
}

// short is v in at most about 60 bytes.
func short(v any) string {
	text := fmt.Sprintf("%q", fmt.Sprint(v))
	if len(text) > 60 {
		return fmt.Sprintf("%.40s… (%d bytes)", text, len(fmt.Sprint(v)))
	}
	return text
}
