package endpoint

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"net/http"
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
// response.
func newToken(fields map[string]any, start time.Time) (t *oauth2.Token, problem string) {
	access, _ := fields["access_token"].(string)
	kind, _ := fields["token_type"].(string)
	refresh, _ := fields["refresh_token"].(string)
	switch {
	case access == "":
		return nil, "the answer has no access_token"
	case strings.ContainsFunc(access, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, "the access_token has characters that no header takes" // RFC 6750 section 2.1
	case kind != "" && !strings.EqualFold(kind, "bearer"):
		return nil, "the token_type is not bearer" // RFC 6749 section 7.1
	}
	t = &oauth2.Token{AccessToken: access, TokenType: kind, RefreshToken: refresh}
	if life := cmp.Or(seconds(fields["expires_in"]), jwtLifetime(access)); life > 0 {
		t.Expiry, t.ExpiresIn = start.Add(life), int64(life/time.Second)
	}
	return t.WithExtra(fields), ""
}

// Lifetime returns how long t was issued for, as far as t tells: by its ExpiresIn, as a JWT, or
// else what is left until its Expiry. Without an Expiry a token has no end, whatever this returns.
func Lifetime(t *oauth2.Token) time.Duration {
	return max(0, cmp.Or(seconds(float64(t.ExpiresIn)), jwtLifetime(t.AccessToken), time.Until(t.Expiry)))
}

// RefreshEnd returns when the refresh token of t ends: refresh_expires_in after t was issued, which
// its Expiry and lifetime tell. Zero: unknown, as the API has it where that field is 0 or absent,
// and for a t without an Expiry.
func RefreshEnd(t *oauth2.Token) time.Time {
	life := seconds(t.Extra("refresh_expires_in"))
	if life == 0 || t.Expiry.IsZero() {
		return time.Time{}
	}
	return t.Expiry.Add(life - Lifetime(t))
}

// seconds returns v, a JSON number or numeric string, as whole seconds, and 0 where it is neither
// or not positive. x/oauth2 has the same upper bound of about 68 years.
func seconds(v any) time.Duration {
	f, _ := v.(float64)
	if s, _ := v.(string); json.Valid([]byte(s)) {
		f, _ = strconv.ParseFloat(strings.TrimSpace(s), 64) // ±Inf when out of range
	}
	if f < 1 {
		return 0
	}
	return time.Duration(min(f, math.MaxInt32)) * time.Second
}

// jwtLifetime returns exp − iat of a JWT (RFC 7519 section 4.1), and 0 for anything else.
func jwtLifetime(token string) time.Duration {
	_, rest, _ := strings.Cut(token, ".")
	middle, _, _ := strings.Cut(rest, ".")
	payload, err := base64.RawURLEncoding.DecodeString(middle)
	var claims struct{ Iat, Exp float64 }
	if err != nil || json.Unmarshal(payload, &claims) != nil || claims.Iat <= 0 {
		return 0
	}
	return seconds(claims.Exp - claims.Iat)
}

// parseRetryAfter returns how long a Retry-After asks to wait: seconds, or a date by the server's
// clock, for which the zero time stands for ours.
func parseRetryAfter(v string, serverTime time.Time) time.Duration {
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(cmp.Or(serverTime, time.Now())), 0)
	}
	return seconds(v)
}
