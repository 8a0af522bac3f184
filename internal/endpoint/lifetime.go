package endpoint

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// clockSlack is how much further off than its lifetime a stored token's end may be: the clocks of
// the programs that share it are not the same.
const clockSlack = time.Minute

// lastSecond is the end of the year 9999, beyond which JSON has no time.
const lastSecond = 253402300799

// lifetime returns how long a token lives that is issued with expiresIn, a JSON value: as long as
// that says, or as exp − iat does where it is a JWT, the shorter where both are positive. known is
// false where neither says anything; an expiresIn of 0 says nothing, as in x/oauth2. A life that is
// known and not positive is that of a token which is over as it comes.
func lifetime(expiresIn any, access string) (life time.Duration, known bool) {
	said := seconds(expiresIn)
	signed, isSigned := jwtLifetime(access)
	switch {
	case said > 0 && signed > 0:
		return min(said, signed), true
	case said > 0 || signed > 0:
		return max(said, signed), true
	}
	return min(said, signed), said < 0 || isSigned
}

// Lifetime returns how long t was issued for, as far as t tells: the shorter of its ExpiresIn and
// its lifetime as a JWT, or else what is left until its Expiry. Without an Expiry a token has no end,
// whatever this returns.
func Lifetime(t *oauth2.Token) time.Duration {
	if life, _ := lifetime(float64(t.ExpiresIn), t.AccessToken); life > 0 {
		return life
	}
	return max(0, time.Until(t.Expiry))
}

// RefreshEnd returns when the refresh token of t ends: refresh_expires_in after t was issued, which
// its Expiry and lifetime tell. Zero: unknown, as the API has it where that field is 0 or absent,
// and for a t without an Expiry.
func RefreshEnd(t *oauth2.Token) time.Time {
	life := seconds(t.Extra("refresh_expires_in"))
	if life <= 0 || t.Expiry.IsZero() {
		return time.Time{}
	}
	return t.Expiry.Add(life - Lifetime(t))
}

// Stored returns how t is to be read at now, where it was stored or given by the program: when it
// ends, the zero time being without an end; how long it was issued for, or else how long it has left;
// and whether it is stale, that is to be renewed before its first use if possible, because its age is
// not known.
//
// A token without an Expiry ends when it says so as a JWT, and else, being of unknown age, after its
// ExpiresIn. One whose end is further off than its lifetime shows a clock that was moved.
func Stored(t *oauth2.Token, now time.Time) (end time.Time, life time.Duration, stale bool) {
	now, end = now.Round(0), t.Expiry
	life, known := lifetime(float64(t.ExpiresIn), t.AccessToken)
	if exp, ok := jwtClaims(t.AccessToken)["exp"].(float64); ok && end.IsZero() {
		end = time.Unix(int64(min(max(exp, 0), lastSecond)), 0)
	}
	switch {
	case known && life <= 0: // over as it came
		if end.IsZero() || end.After(now) {
			end = now
		}
		return end, 0, true
	case known && (end.IsZero() || end.Sub(now) > life+clockSlack):
		return now.Add(life), life, true
	case end.IsZero():
		return end, 0, false
	case known:
		return end, life, false
	}
	return end, max(0, end.Sub(now)), false
}

// seconds returns v, a JSON number or numeric string, as whole seconds, and 0 where it is neither. It
// is 0 for no other number, and at most some 68 years, the upper bound of x/oauth2, to either side.
func seconds(v any) time.Duration {
	f, _ := v.(float64)
	if s, _ := v.(string); json.Valid([]byte(s)) {
		f, _ = strconv.ParseFloat(strings.TrimSpace(s), 64) // ±Inf when out of range
	}
	switch {
	case f > 0:
		f = min(max(f, 1), math.MaxInt32)
	case f < 0:
		f = max(min(f, -1), -math.MaxInt32)
	}
	return time.Duration(f) * time.Second
}

// jwtLifetime returns exp − iat of a JWT (RFC 7519 section 4.1), and false for anything else. Without
// an iat, exp would be taken for a lifetime.
func jwtLifetime(token string) (life time.Duration, ok bool) {
	claims := jwtClaims(token)
	iat, issued := claims["iat"].(float64)
	exp, ends := claims["exp"].(float64)
	if !issued || !ends || iat <= 0 {
		return 0, false
	}
	return seconds(exp - iat), true
}

// jwtClaims returns the claims of a JWT, whose signature is none of our business; nil for anything
// else.
func jwtClaims(token string) map[string]any {
	_, rest, _ := strings.Cut(token, ".")
	middle, _, _ := strings.Cut(rest, ".")
	payload, err := base64.RawURLEncoding.DecodeString(middle)
	if err != nil {
		return nil
	}
	return Object(payload)
}

// parseRetryAfter returns how long a Retry-After asks to wait: seconds, or a date by the server's
// clock, for which the zero time stands for ours.
func parseRetryAfter(v string, serverTime time.Time) time.Duration {
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(cmp.Or(serverTime, time.Now())), 0)
	}
	return max(seconds(v), 0)
}
