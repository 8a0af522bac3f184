package statemachine_test

import (
	"net/http"
	"net/url"
	"time"

	"github.com/netoauth/netoauth"
)

// program returns a program of that number.
func (w *world) program(i int) *run { return w.programs[i%len(w.programs)] }

func (s calls) play(w *world) {
	for range s.n {
		r := w.program(s.program)
		w.calls.Go(func() { r.call(s) })
	}
}

func (s pass) play(*world) { time.Sleep(s.d) }

func (s passLife) play(w *world) {
	w.mu.Lock()
	a := w.program(s.program).hand.token
	w.mu.Unlock()
	if a != nil {
		time.Sleep(time.Until(a.sent.Add(a.life * time.Duration(s.permille) / 1000)))
	}
}

func (s faults) play(w *world) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, s)
}

func (s slow) play(w *world) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slow = s.d
}

func (s revoke) play(w *world) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.access {
		a.revoked = a.revoked || s.what != "refresh"
	}
	for _, g := range w.grants {
		g.revoked = g.revoked || s.what != "access"
	}
}

func (s lives) play(w *world) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.life, w.refLife = s.life, s.refLife
	w.shortest = least(w.shortest, s.life)
}

func (s clock) play(w *world) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead = s.ahead
}

func (s secret) play(w *world) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secret++
	if s.handedOut {
		w.handedOut = w.secret
	}
}

func (handOut) play(w *world) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handedOut = w.secret
}

func (s storeIs) play(w *world) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.store != nil {
		w.store.mode = s.mode
	}
}

// play renews the session as a program does that ends at once, and is not held up by the Store's mode.
// Where another Update is under way, it gives up.
func (renewed) play(w *world) {
	if w.store == nil {
		return
	}
	select {
	case w.store.lock <- struct{}{}:
		defer func() { <-w.store.lock }()
	default:
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.store.token == nil {
		return
	}
	form := url.Values{"refresh_token": {w.store.token.RefreshToken}}
	a := w.settle(nil, "refresh", "", form, nil)
	if a.issued == nil {
		return
	}
	if a.spent != nil {
		a.spent.spentBy = w.shell
	}
	w.keeps(a.token(form.Get("refresh_token")))
	w.note("the Store has %s from a shell", a.issued.name)
}

// play has the API refuse one stored token after the other, but not before it has taken it: where a
// refresh ends the tokens before.
func (s relayed) play(w *world) {
	for range s.n {
		renewed{}.play(w)
		time.Sleep(2 * time.Second)
		w.program(s.program).call(calls{program: s.program, n: 1, what: "GET"})
	}
}

func (s restart) play(w *world) {
	old := w.program(s.program)
	if !s.crash {
		netoauth.Wait(w.ctx, old.src)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	config, initial := old.config, old.initial
	if old.last != nil {
		initial = old.last
	}
	if s.fresh {
		config, initial = w.newGrant(new(session)).name, nil
	}
	w.programs[s.program%len(w.programs)] = w.newRun(old.name+"'", config, initial)
}

// end ends all trouble and the program in order, and checks that all is well.
func (w *world) end() {
	w.mu.Lock()
	w.faults, w.slow, w.ahead, w.handedOut = nil, 0, 0, w.secret
	if w.store != nil {
		w.store.mode = "well"
	}
	w.mu.Unlock()
	w.calls.Wait()
	w.wait()
	time.Sleep(11 * time.Minute) // the longest wait is 10 min 15 s
	if w.history.flow != "refresh token" {
		for _, r := range w.programs {
			r.recovers()
		}
	}
	w.wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.runs {
		r.isBounded()
		if x := r.exchange; x.requests > 0 || x.underWay > 0 || x.issued != nil || x.told != nil {
			w.fail(toldOnce, "%s: an exchange of %d token requests was not reported", r.name, x.requests)
		}
	}
}

// wait waits for the exchanges under way, as the end of a program does. It locks mu.
func (w *world) wait() {
	for _, r := range w.runs {
		netoauth.Wait(w.ctx, r.src)
	}
}

// recovers checks that a program that can log in serves requests again. It locks mu.
func (r *run) recovers() {
	w := r.w
	if !w.history.reload && r.secret != w.secret {
		return
	}
	req := calls{what: "GET"}.request(w.ctx)
	resp, err := r.transport.RoundTrip(req)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil || resp.StatusCode != http.StatusOK {
		w.fail(nothingLost, "%s: a request 11 min after all trouble came to %v, %v", r.name, resp, err)
	}
}
