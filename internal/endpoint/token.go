package endpoint

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// Object returns the fields of a JSON object, nil for anything else. A number beyond float64 is
// null.
func Object(text []byte) (fields map[string]any) {
	if err := json.Unmarshal(text, &fields); err != nil {
		if _, beyond := errors.AsType[*json.UnmarshalTypeError](err); !beyond {
			return nil
		}
	}
	return fields
}

// newToken returns the token in the response to a request sent at start, or what is wrong with the
// response. A token with no life left is over at start.
func newToken(fields map[string]any, start time.Time) (t *oauth2.Token, over bool, problem string) {
	access, _ := fields["access_token"].(string)
	kind, _ := fields["token_type"].(string)
	refresh, _ := fields["refresh_token"].(string)
	switch {
	case access == "":
		return nil, false, "the answer has no access_token"
	case strings.ContainsFunc(access, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, false, "the access_token has characters that no header takes" // RFC 6750 section 2.1
	case kind != "" && !strings.EqualFold(kind, "bearer"):
		return nil, false, "the token_type is not bearer" // RFC 6749 section 7.1
	case strings.ContainsAny(refresh, "\r\n"):
		return nil, false, "the refresh_token has a line break" // RFC 6749 appendix A
	}
	t = &oauth2.Token{AccessToken: access, TokenType: kind, RefreshToken: refresh}
	life, known := lifetime(seconds(fields["expires_in"]), access)
	switch {
	case life > 0:
		t.Expiry, t.ExpiresIn = start.Add(life), int64(life/time.Second)
	case known:
		t.Expiry, over = start, true
		problem = "the access token is over as it comes, by its expires_in or its exp"
	}
	return t.WithExtra(fields), over, problem
}

// lifetime returns the shorter of the lifetimes that are positive: of expires_in, and of a token
// that is a JWT. known says that one of them is a lifetime at all: an expires_in of 0 is none.
func lifetime(expiresIn time.Duration, token string) (life time.Duration, known bool) {
	jwt, isJWT := jwtLifetime(token)
	if expiresIn > 0 && jwt > 0 {
		return min(expiresIn, jwt), true
	}
	return max(expiresIn, jwt, 0), expiresIn != 0 || isJWT
}

// Lifetime returns how long t was issued for, as far as t tells: by its ExpiresIn and as a JWT, or
// else what is left until its Expiry. Without an Expiry a token has no end, whatever this returns.
func Lifetime(t *oauth2.Token) time.Duration {
	if life, _ := lifetime(seconds(float64(t.ExpiresIn)), t.AccessToken); life > 0 {
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

// maxAhead is how much further off than its lifetime the expiry of a stored token may be.
const maxAhead = time.Minute

// Stored returns when a token ends that was not issued just now, and its lifetime. Zero: it has no
// end. A token without an Expiry goes by the exp of its JWT (RFC 7519 section 4.1.4). One with an
// ExpiresIn alone has an unknown age, and one whose Expiry is further off than its lifetime shows a
// clock that was moved: these are stale, and serve that long from now on at most.
func Stored(t *oauth2.Token, now time.Time) (end time.Time, life time.Duration, stale bool) {
	life, _ = lifetime(seconds(float64(t.ExpiresIn)), t.AccessToken)
	end = t.Expiry
	if end.IsZero() {
		end = jwtEnd(t.AccessToken)
	}
	switch {
	case end.IsZero() && life > 0:
		return now.Add(life), life, true
	case end.IsZero():
		return end, 0, false
	case life > 0 && end.Sub(now) > life+maxAhead:
		return now.Add(life), life, true
	case life > 0:
		return end, life, false
	default:
		return end, max(0, end.Sub(now)), false
	}
}

// seconds returns v, a JSON number or numeric string, as whole seconds, and 0 where it is neither.
// x/oauth2 has the same upper bound of about 68 years.
func seconds(v any) time.Duration {
	f, _ := v.(float64)
	if s, _ := v.(string); json.Valid([]byte(s)) {
		f, _ = strconv.ParseFloat(strings.TrimSpace(s), 64) // ±Inf when out of range
	}
	if f != f {
		return 0
	}
	if f < 0 && f > -1 {
		f = -1 // is no lifetime of 0, which is none
	}
	return time.Duration(max(-math.MaxInt32, min(f, math.MaxInt32))) * time.Second
}

// claims are those of a JWT that tell its lifetime (RFC 7519 section 4.1), in seconds; 0: none.
type claims struct{ Iat, Exp float64 }

// claimsOf returns the claims of a token, none where it is no JWT.
func claimsOf(token string) (c claims) {
	_, rest, _ := strings.Cut(token, ".")
	middle, _, _ := strings.Cut(rest, ".")
	payload, err := base64.RawURLEncoding.DecodeString(middle)
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return claims{}
	}
	return c
}

// jwtLifetime returns exp − iat of a JWT, and whether token is one that has both.
func jwtLifetime(token string) (life time.Duration, ok bool) {
	c := claimsOf(token)
	if c.Iat <= 0 || c.Exp <= 0 {
		return 0, false
	}
	return seconds(c.Exp - c.Iat), true
}

// jwtEnd returns the exp of a JWT, zero where there is none.
func jwtEnd(token string) time.Time {
	if c := claimsOf(token); c.Exp > 0 {
		return time.Unix(int64(min(c.Exp, 1<<40)), 0)
	}
	return time.Time{}
}
