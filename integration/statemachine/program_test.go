package statemachine_test

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

// run is one run of a program: its token source, and the model of it, one part a topic. The world's
// mutex guards the model.
type run struct {
	// Written by newRun alone.
	w         *world
	name      string
	src       oauth2.TokenSource
	transport *netoauth.Transport
	config    string        // Refresh's own refresh token
	initial   *oauth2.Token // nil: none
	secret    int           // the number of the one it began with

	last *oauth2.Token // told last, with which the next run begins; written by onToken

	hand     inHand        // the token that calls get
	seen     storeView     // what the Store has shown
	refresh  refreshTokens // which refresh token may be sent
	exchange exchange      // the one under way
	waits    waits         // when the next one may be
	count    tally         // what has happened in all
}

// newRun starts a program. initial is its InitialToken.
func (w *world) newRun(name, config string, initial *oauth2.Token) *run {
	r := &run{
		w: w, name: name, config: config, initial: initial, secret: w.handedOut,
		hand:  inHand{late: map[*access]bool{}},
		seen:  storeView{knows: map[*access]bool{}},
		count: tally{refused: map[*access]int{}, refusedAt: map[*access]time.Time{}},
	}
	w.runs = append(w.runs, r)
	options := netoauth.Options{
		InitialToken: initial, OnToken: r.onToken, OnExchange: r.onExchange, Logger: slog.New(takeOvers{r}),
	}
	if w.store != nil {
		options.Store = storeOf{r}
	} else if initial != nil {
		r.isGiven(nil)
		r.hand.token = r.seen.given
	}
	client := &http.Client{Transport: wire{r}}
	ctx := context.WithValue(w.ctx, oauth2.HTTPClient, client)
	r.src = r.credential(options).TokenSource(ctx)
	r.transport = &netoauth.Transport{Source: r.src, Base: client.Transport}
	return r
}

type credential interface {
	TokenSource(context.Context) oauth2.TokenSource
}

func (r *run) credential(o netoauth.Options) credential {
	w := r.w
	switch w.history.flow {
	case "API key":
		key := func(n int) *netoauth.APIKey {
			return &netoauth.APIKey{
				URL: address, Shortname: "acme", AppName: "app", AppKey: "app-key-of-acme",
				SharedSecret: netoauth.Secret(w.secretNumber(n)),
			}
		}
		k := key(w.handedOut)
		k.Options = o
		if w.history.reload {
			k.Reload = func(context.Context) (*netoauth.APIKey, error) { return key(r.reload()), nil }
		}
		return k
	case "password":
		password := func(n int) *netoauth.Password {
			secret := netoauth.Secret(w.secretNumber(n))
			return &netoauth.Password{URL: address, Username: "ann", Password: secret}
		}
		p := password(w.handedOut)
		p.Options = o
		if w.history.reload {
			p.Reload = func(context.Context) (*netoauth.Password, error) { return password(r.reload()), nil }
		}
		return p
	}
	return &netoauth.Refresh{URL: address, RefreshToken: netoauth.Secret(r.config), Options: o}
}

// reload is what Reload does. It locks mu.
func (r *run) reload() int {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if r.exchange.reloads++; r.exchange.reloads > 1 {
		r.w.fail(boundedNumber, "%s: Reload was asked twice in an exchange", r.name)
	}
	return r.w.handedOut
}
