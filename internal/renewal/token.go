package renewal

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/netoauth/netoauth/internal/clock"
	"github.com/netoauth/netoauth/internal/endpoint"
	"golang.org/x/oauth2"
)

const (
	// A token is renewed at a random point between these parts of its lifetime, so that a fleet
	// that started together does not renew together.
	renewFrom, renewTo = 70, 85 // percent

	// It is usable until its end less a margin, for the way to the API and for clocks that differ:
	// a tenth of its lifetime, at most maxMargin. The margin is lastMargin at most while renewals
	// meet passing faults or wait for their turn.
	lastMargin, maxMargin = time.Second, 10 * time.Second
)

// Token is an access token with its renewal point. Nothing of it changes but accepted. The zero
// value is no token, which has expired.
type Token struct {
	Token  oauth2.Token // as callers get it, a copy for each
	Header string       // the Authorization header

	// Stored is set for a token that was not issued to this source but taken over: the API may have
	// ended it by now.
	Stored bool

	renewAt time.Time     // its renewal point
	end     time.Time     // its expiry
	margin  time.Duration // before the end

	accepted atomic.Bool // the API has taken it; set once, by any request
}

// never is the end of a token without an expiry.
var never = time.Unix(1<<40, 0)

// NewToken draws the renewal point of a token with the given lifetime, which ends at t.Expiry, or
// never where that is zero. All times of a Token are by the wall clock, because the monotonic one
// stands still while a machine sleeps.
func NewToken(t *oauth2.Token, lifetime time.Duration) *Token {
	c := &Token{Token: *t, Header: t.Type() + " " + t.AccessToken}
	switch {
	case t.AccessToken == "":
		return c
	case t.Expiry.IsZero():
		c.renewAt, c.end = never, never
		return c
	}
	c.margin = min(lifetime/10, maxMargin)
	c.end = t.Expiry.Round(0)
	left := 100 - renewTo + rand.Float64()*(renewTo-renewFrom) // percent
	// The clock by which callers take it for fresh may be behind by clock.Lag.
	c.renewAt = c.end.Add(-max(clock.Lag, time.Duration(left/100*float64(lifetime))))
	c.Token = validFor(c.Token, c.margin)
	return c
}

// NewStoredToken is NewToken for a token that was not issued to this source now. Where its age is
// not known it is past its renewal point.
func NewStoredToken(t *oauth2.Token, now time.Time) *Token {
	end, lifetime, stale := endpoint.Stored(t, now)
	stored := *t
	stored.Expiry = end
	c := NewToken(&stored, lifetime)
	c.Stored = true
	if stale {
		c.renewAt = now.Add(-clock.Lag)
	}
	return c
}

// validFor returns t with an [oauth2.Token.Valid] that holds until margin before its expiry, where
// x/oauth2 has 10 s for every token: of a token that lives for a minute Valid and this package
// would disagree for 4 s. Only a token that comes out of an early-expiry cache has another margin.
func validFor(t oauth2.Token, margin time.Duration) oauth2.Token {
	once := oauth2.StaticTokenSource(&t)
	valid, _ := oauth2.ReuseTokenSourceWithExpiry(nil, once, margin).Token()
	return *valid
}

// Accept records that the API has taken t: if it refuses t later, t has ended since, and was no dead
// one that came in the place of another.
func (t *Token) Accept() {
	if !t.accepted.Load() {
		t.accepted.Store(true)
	}
}

// Fresh reports whether it is not yet time to renew t.
func (t *Token) Fresh(now time.Time) bool { return now.Before(t.renewAt) }

// UntilRenewal returns a copy of the token that expires at its renewal point.
func (t *Token) UntilRenewal() *oauth2.Token {
	c := t.Token
	if t.renewAt != never {
		c.Expiry = t.renewAt
	}
	return &c
}
