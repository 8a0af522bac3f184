package netoauth

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"
)

// Refresh signs in with a refresh token and no credentials to log in again: once that token is refused,
// a person must get another. In the API's reference it is "via Refresh Token", POST /api/auth/bearer/refresh.
type Refresh struct {
	// URL is the API's base URL; "" means DefaultURL. /api/v1 or /v1 at its end is dropped, any other path
	// stays as a prefix. It must be https, unless its host is localhost or a loopback address.
	URL string

	// RefreshToken is exchanged first, unless InitialToken has one: that is newer.
	RefreshToken Secret

	Options
}

// Format prints the type alone, whatever the verb.
func (r Refresh) Format(s fmt.State, _ rune) { io.WriteString(s, "netoauth.Refresh{"+redacted+"}") }

// Token exchanges the refresh token, now: nothing is cached, and ctx bounds it. Where the API rotates refresh
// tokens, the one in r is used up: the next is in the token and in OnToken.
//
// The HTTP client is the one in ctx, see [oauth2.HTTPClient]. For the errors see [Error] and [ErrRejected].
func (r *Refresh) Token(ctx context.Context) (*oauth2.Token, error) {
	return once(ctx, r.flow)
}

// TokenSource returns a token source that caches the token and renews it ahead of its expiry, with each
// refresh token it gets. It takes the HTTP client and the values from ctx, not its cancellation.
//
// Most users will use [Refresh.Client] instead.
func (r *Refresh) TokenSource(ctx context.Context) oauth2.TokenSource {
	return newSource(ctx, r.flow)
}

// Client returns the HTTP client in ctx, its timeout, jar and redirect policy included, with a [Transport] over
// its own transport and a token source as of [Refresh.TokenSource].
func (r *Refresh) Client(ctx context.Context) *http.Client { return newClient(ctx, r.TokenSource(ctx)) }

func (r *Refresh) flow() (*flow, error) {
	token := string(r.RefreshToken)
	if r.InitialToken != nil && r.InitialToken.RefreshToken != "" {
		token = r.InitialToken.RefreshToken
	}
	f, err := newFlow("refresh token", r.URL, r.Options, "RefreshToken", token)
	if err != nil {
		return nil, err
	}
	f.hint = "log in again for a new refresh token"
	f.refreshToken = token
	return f, nil
}

// refresh exchanges a refresh token. An answer without another keeps it in use (RFC 6749 section 6).
func (f *flow) refresh(ctx context.Context, token string) (*oauth2.Token, error) {
	t, err := f.post(ctx, "/api/auth/bearer/refresh", formType, url.Values{"refresh_token": {token}}.Encode(), token)
	if err == nil && t.RefreshToken == "" {
		t.RefreshToken = token
	}
	return t, err
}

const formType = "application/x-www-form-urlencoded"

// renewal is the token source under x/oauth2's cache: each Token call is one exchange. It refreshes while
// that works, else logs in. Not safe for concurrent use, like the source under oauth2.Config: the cache
// lets one goroutine in at a time.
type renewal struct {
	*flow
	ctx       context.Context
	waitedFor func() bool // whether an error would reach a caller now

	refreshToken string    // "": none
	refreshEnds  time.Time // zero: unknown
}

// once performs a single exchange: the log-in, or the refresh where there is none.
func once(ctx context.Context, credential func() (*flow, error)) (*oauth2.Token, error) {
	f, err := credential()
	if err != nil {
		return nil, err
	}
	r := &renewal{flow: f, ctx: ctx, waitedFor: func() bool { return false }}
	if f.login == nil {
		r.refreshToken = f.refreshToken
	}
	return r.Token()
}

// Token performs one exchange, with more tries at a passing fault while somebody waits for it.
func (r *renewal) Token() (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(r.ctx, exchangeTimeout)
	defer cancel()
	wanted := func() bool { return ctx.Err() == nil && r.waitedFor() }
	for try := 1; ; try++ {
		t, err := r.try(ctx)
		if err == nil {
			if ends := refreshEnds(t); t.RefreshToken != r.refreshToken || !ends.IsZero() {
				r.refreshToken, r.refreshEnds = t.RefreshToken, ends
			}
			if r.OnToken != nil {
				issued := *t
				r.OnToken(&issued)
			}
			return t, nil
		}
		if try == maxTries || !passing(err) || answerIn(err).retryAfter > 0 || !wanted() {
			return nil, err
		}
		time.Sleep(400*time.Millisecond + rand.N(400*time.Millisecond))
		if !wanted() {
			return nil, err
		}
	}
}

func (r *renewal) try(ctx context.Context) (*oauth2.Token, error) {
	ended := !r.refreshEnds.IsZero() && time.Now().After(r.refreshEnds)
	if r.refreshToken != "" && (r.login == nil || !ended) {
		t, err := r.refresh(ctx, r.refreshToken)
		if err == nil || r.login == nil || passing(err) {
			return t, err
		}
		r.Logger.WarnContext(ctx, "netoauth: refresh token refused, logging in", "flow", r.name, "err", err)
		r.refreshToken = ""
	}
	return r.login(ctx)
}

// refreshEnds returns when the refresh token of t ends: refresh_expires_in after the issue of t. Zero: unknown, as
// the API has it where that field is 0 or absent.
func refreshEnds(t *oauth2.Token) time.Time {
	life := seconds(t.Extra("refresh_expires_in"))
	if life == 0 || t.Expiry.IsZero() {
		return time.Time{}
	}
	return t.Expiry.Add(life - lifetime(t))
}
