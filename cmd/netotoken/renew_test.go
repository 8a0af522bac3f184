package main

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/netoauth/netoauth/internal/endpoint"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// A token that is good is not printed, and the session goes on with its refresh token, once for all who
// ask for that at once.
func TestNetotoken_renewsTheSession(t *testing.T) {
	for name, first := range map[string]requests{
		"API key":       {APIKey: 1},
		"password":      {Password: 1},
		"refresh token": {Password: 1, Refresh: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := newServer(t)
			env := flows[name](t, srv)
			file := newCache(t)
			succeed(t, env, "-cache", file, "-renew") // where there is nothing yet, as without it
			wantRequests(t, srv, first)
			before := readCache(t, file)

			r := succeed(t, env, "-cache", file, "-renew")
			after := readCache(t, file)
			first.Refresh++
			wantRequests(t, srv, first)
			wantAccepted(t, srv, "Bearer "+r.token())
			if r.token() == before.Token.AccessToken || after.Token.RefreshToken == before.Token.RefreshToken {
				t.Error("the session was not renewed")
			}
			if r.token() != after.Token.AccessToken || after.Owner != before.Owner {
				t.Errorf("the cache holds another token, or is another's: %s", after.Owner)
			}
			if next := succeed(t, env, "-cache", file); next.stdout != r.stdout {
				t.Error("the next run does not print the renewed token")
			}
			wantRequests(t, srv, first)
		})
	}
}

// Many that renew at once use each refresh token once, so that none ends the session.
func TestNetotoken_renewsOnceForMany(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	env := refreshEnv(t, srv)
	file := newCache(t)
	succeed(t, env, "-cache", file)
	old := readCache(t, file).Token.AccessToken
	for range 3 {
		for _, r := range start(t, 4, env, "-cache", file, "-renew")() {
			if r.status != 0 || r.stderr != "" || r.token() == old {
				t.Errorf("status %d, stderr %q, the old token: %v", r.status, r.stderr, r.token() == old)
			}
		}
		old = readCache(t, file).Token.AccessToken
	}
	wantAccepted(t, srv, "Bearer "+old)
	succeed(t, env, "-cache", file, "-renew")
}

// What another run stores while this one waits for the lock is a renewed session, and its refresh token
// is not used.
func TestNetotoken_takesOverWhatIsRenewedMeanwhile(t *testing.T) {
	withSession(t, func(t *testing.T, s *session) {
		s.Delay(3 * time.Second)
		other := make(chan outcome)
		go func() { other <- s.run(t.Context(), "-renew") }()
		time.Sleep(time.Second)
		before := count(s.Server)
		r := s.run(t.Context(), "-renew")
		wantResult(t, (<-other).result, r.result)
		if r.stdout == s.first.stdout || r.status != 0 || r.stderr != "" {
			t.Errorf("it was not renewed: %+v", r.result)
		}
		wantRequests(t, s.Server, before)
	})
}

// The stored token is not printed in the place of one that cannot be had, and the session stays.
func TestNetotoken_printsNoOldTokenForARenewedOne(t *testing.T) {
	for name, tt := range map[string]struct {
		age     time.Duration
		trouble func(*session)
		says    string
		stays   bool // with the trouble over, the session can be renewed
	}{
		"refused":            {0, func(s *session) { s.RevokeRefreshTokens() }, "400", false},
		"refused, past 85 %": {180 * time.Second, func(s *session) { s.RevokeRefreshTokens() }, "400", false},
		"not reached":        {0, func(s *session) { s.Fail(-1, netoauthtest.Status(503)) }, "503", true},
		"no answer":          {0, func(s *session) { s.Fail(-1, netoauthtest.Hang()) }, "-timeout", true},
	} {
		t.Run(name, func(t *testing.T) {
			withSession(t, func(t *testing.T, s *session) {
				time.Sleep(tt.age)
				before := readFile(t, s.file)
				tt.trouble(s)
				r := s.run(t.Context(), "-renew", "-timeout=15s")
				wantResult(t, result{1, "", r.stderr}, r.result)
				if !strings.Contains(r.stderr, tt.says) {
					t.Errorf("stderr has no %q: %q", tt.says, r.stderr)
				}
				time.Sleep(time.Minute)
				if readFile(t, s.file) != before {
					t.Error("the cache has changed")
				}
				s.Fail(0, nil)
				if again := s.run(t.Context(), "-renew"); (again.status == 0) != tt.stays {
					t.Errorf("afterwards: %+v", again.result)
				}
			})
		})
	}
}

// With a log-in flow, a session that cannot be renewed begins anew.
func TestNetotoken_renewsByALogIn(t *testing.T) {
	for name, trouble := range map[string]func(*testing.T, *netoauthtest.Server, string){
		"refresh token refused": func(_ *testing.T, srv *netoauthtest.Server, _ string) { srv.RevokeRefreshTokens() },
		"no refresh token": func(t *testing.T, _ *netoauthtest.Server, file string) {
			setToken(t, file, func(c *content) { c.Token.RefreshToken = "" })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := newServer(t)
			file := newCache(t)
			first := succeed(t, apiKeyEnv(srv), "-cache", file)
			trouble(t, srv, file)
			r := succeed(t, apiKeyEnv(srv), "-cache", file, "-renew")
			if got := srv.Requests(netoauthtest.APIKeyPath); got != 2 || r.stdout == first.stdout {
				t.Errorf("%d log-ins, another token: %v", got, r.stdout != first.stdout)
			}
		})
	}
}

// A token that is shown without its access token tells as before when its refresh token ends.
func TestRenewing_keepsTheEndOfTheRefreshToken(t *testing.T) {
	store := &renewing{}
	payload := base64.RawURLEncoding.EncodeToString([]byte(`{"iat":1000,"exp":1300}`))
	stored := &oauth2.Token{
		AccessToken: "e30." + payload + ".sig", RefreshToken: "r", Expiry: time.Now().Add(-time.Minute),
	}
	stored = stored.WithExtra(map[string]any{"refresh_expires_in": 1800.0})
	want := stored.Expiry.Add(25 * time.Minute)
	for range 2 { // Load and Update
		shown := store.show(stored)
		if got := endpoint.RefreshEnd(shown); !got.Equal(want) || shown.AccessToken != "" {
			t.Errorf("the refresh token ends %v, want %v; access token %q", got, want, shown.AccessToken)
		}
	}
}
