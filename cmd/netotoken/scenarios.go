package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
)

const flowCalls = 3 // of a scenario that shows one of the three flows

func demoAPIKey(d *demo) error {
	key, err := d.apiKey()
	if err != nil {
		return err
	}
	d.note = "one token for all calls"
	return d.call(key.Client(d.ctx), flowCalls, 0)
}

func (d *demo) password() *netoauth.Password {
	return &netoauth.Password{URL: d.URL, Username: d.Username, Password: netoauth.Secret(d.Password)}
}

func demoPassword(d *demo) error {
	d.note = "one token for all calls"
	return d.call(d.password().Client(d.ctx), flowCalls, 0)
}

// demoRefresh starts from the refresh token of a log-in that is not the client's.
func demoRefresh(d *demo) error {
	t, err := d.password().Token(d.ctx)
	if err != nil {
		return err
	}
	d.set = d.counts()
	r := &netoauth.Refresh{URL: d.URL, RefreshToken: netoauth.Secret(t.RefreshToken)}
	d.note = "one token for all calls"
	return d.call(r.Client(d.ctx), flowCalls, 0)
}

// demoRevoked has the token revoked between two calls.
func demoRevoked(d *demo) error {
	key, err := d.apiKey()
	if err != nil {
		return err
	}
	client := key.Client(d.ctx)
	if err := d.call(client, flowCalls, 0); err != nil {
		return err
	}
	d.RevokeAccessTokens()
	d.note = "401: renewed, call sent again"
	return d.call(client, flowCalls, 0)
}

// demoExpiry calls until two tokens have been replaced.
func demoExpiry(d *demo) error {
	const lifetime = 2 * time.Second
	d.SetLifetimes(lifetime, time.Hour)
	key, err := d.apiKey()
	if err != nil {
		return err
	}
	client := key.Client(d.ctx)
	for d.issued.Load() < 3 {
		if err := d.call(client, 1, 20*time.Millisecond); err != nil {
			return err
		}
	}
	d.note = fmt.Sprintf("tokens of %v, renewed in time", lifetime)
	return nil
}

// demoOutage calls while the token endpoints are down, from the first token on until a renewal has met
// the outage, and after it until there is another token. The lifetime is one in which, at the latest,
// the renewal that fails (after 85 %) and the wait after it (1 s) end before the token must not be
// used any more (1 s before its end).
func demoOutage(d *demo) error {
	const lifetime = 17 * time.Second
	d.SetLifetimes(lifetime, time.Hour)
	key, err := d.apiKey()
	if err != nil {
		return err
	}
	var failed time.Duration // when a renewal met the outage; 0: not yet
	var start time.Time
	key.OnExchange = func(e netoauth.Exchange) {
		if e.Err != nil {
			failed = time.Since(start)
			d.Fail(0, nil)
		}
	}
	client := key.Client(d.ctx)
	if err := d.call(client, 1, 0); err != nil {
		return err
	}
	start = time.Now()
	d.Fail(-1, netoauthtest.Status(http.StatusServiceUnavailable))
	for d.issued.Load() < 2 {
		if err := d.call(client, 1, 20*time.Millisecond); err != nil {
			return err
		}
	}
	d.note = fmt.Sprintf("503 for %v, token served on", failed.Round(100*time.Millisecond))
	return nil
}
