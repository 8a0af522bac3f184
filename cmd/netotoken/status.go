package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/netoauth/netoauth/internal/endpoint"
	"github.com/netoauth/netoauth/tokenfile"
	"golang.org/x/oauth2"
)

// printStatus says what the cache has of a session. It fails where that is of no more use.
func (c *command) printStatus(ctx context.Context, creds *credentials) error {
	file := &tokenfile.File{Path: c.cache, Owner: creds.owner}
	t, err := file.Load(ctx)
	switch {
	case err != nil:
		return err
	case t == nil:
		return fmt.Errorf("no session in %q: there is no such file", c.cache)
	}
	lines, usable := statusOf(t, time.Now())
	table := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "session\t%s\n%s", strings.Map(printable, creds.owner), lines)
	if err := table.Flush(); err != nil {
		return err
	}
	if !usable {
		return errors.New("the session is over: only a log-in, or another refresh token, begins the next")
	}
	return nil
}

// statusOf returns a line for the access token and one for the refresh token, and whether one of them
// may be used.
func statusOf(t *oauth2.Token, now time.Time) (lines string, usable bool) {
	access, good := tokenState(t.AccessToken, accessEnd(t, now), now)
	refresh, mayBe := tokenState(t.RefreshToken, endpoint.RefreshEnd(t), now)
	return fmt.Sprintf("access token\t%s\nrefresh token\t%s\n", access, refresh), good || mayBe
}

// tokenState says how a token is whose end is known, or not where that is zero, and whether it may be
// used.
func tokenState(token string, end, now time.Time) (text string, usable bool) {
	at, left := end.UTC().Format(time.RFC3339), end.Sub(now).Round(time.Second)
	switch {
	case token == "":
		return "none", false
	case end.IsZero():
		return "good, as far as is known: it names no end", true
	case end.After(now):
		return fmt.Sprintf("good until %s, for %v", at, left), true
	default:
		return fmt.Sprintf("over since %s, for %v", at, -left), false
	}
}

// accessEnd returns when a stored access token ends; zero: it names no end. One without an Expiry goes
// by the exp of its JWT (RFC 7519 section 4.1.4), and none is good for longer than it was issued for,
// wherever a clock that was moved has put its Expiry.
func accessEnd(t *oauth2.Token, now time.Time) time.Time {
	if t.Expiry.IsZero() {
		return jwtEnd(t.AccessToken)
	}
	if latest := now.Add(endpoint.Lifetime(t)); t.Expiry.After(latest) {
		return latest
	}
	return t.Expiry
}

// jwtEnd returns the exp of a JWT, zero where there is none.
func jwtEnd(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	var claims struct{ Exp float64 }
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil || claims.Exp <= 0 {
		return time.Time{}
	}
	return time.Unix(int64(min(claims.Exp, 1<<40)), 0)
}
