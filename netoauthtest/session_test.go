package netoauthtest_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestServer_answerFitsTheReference(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, srv *server, c *http.Client) {
		key := parseKey(t, srv)
		login := logInWithKey(t, srv, c, key)
		password := logIn(t, srv, c)
		refreshed := refresh(t, srv, c, password.RefreshToken)
		now := float64(time.Now().Unix())

		seen := make(map[string]bool)
		for _, tt := range []struct {
			name, sub string
			answer
		}{
			{"API key", key.AppName, login},
			{"password", srv.Username, password},
			{"refresh token", srv.Username, refreshed},
		} {
			got := tt.answer
			want := answer{
				Code: 200, Header: got.Header,
				AccessToken: got.AccessToken, RefreshToken: got.RefreshToken, IDToken: got.IDToken,
				ExpiresIn: 300, RefreshExpiresIn: 1800, TokenType: "bearer",
				NotBeforePolicy: new(int), SessionState: got.SessionState, Scope: got.Scope,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: answer (-want +got):\n%s", tt.name, diff)
			}
			if got.SessionState == "" || got.Scope == "" {
				t.Errorf("%s: session-state %q, scope %q", tt.name, got.SessionState, got.Scope)
			}
			for _, token := range []struct {
				jwt      string
				lifetime float64
				sid      string
			}{
				{got.AccessToken, 300, ""},
				{got.RefreshToken, 1800, got.SessionState},
				{got.IDToken, 300, ""},
			} {
				claims := payload(t, token.jwt)
				want := map[string]any{
					"iat": now, "exp": now + token.lifetime, "jti": claims["jti"],
					"sub": tt.sub, "shortname": key.Shortname,
				}
				if token.sid != "" {
					want["sid"] = token.sid
				}
				if diff := cmp.Diff(want, claims); diff != "" {
					t.Errorf("%s: claims (-want +got):\n%s", tt.name, diff)
				}
				if seen[token.jwt] {
					t.Errorf("%s: a token was issued twice", tt.name)
				}
				seen[token.jwt] = true
			}
		}
		if login.SessionState == password.SessionState {
			t.Error("two log-ins share a session")
		}
		if refreshed.SessionState != password.SessionState {
			t.Error("a refresh changed the session")
		}
	})
}

func TestServer_answerHasEveryField(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *server, c *http.Client) {
		resp, err := c.Do(passwordRequest(t, srv))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var got map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"access_token", "expires_in", "id_token", "not-before-policy", "refresh_expires_in",
			"refresh_token", "scope", "session-state", "token_type",
		}
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
			t.Errorf("fields (-want +got):\n%s", diff)
		}
	})
}

func TestServer_refreshTokenIsRotated(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *server, c *http.Client) {
		first := logIn(t, srv, c)
		second := refresh(t, srv, c, first.RefreshToken)
		if second.Code != 200 || !accepts(t, srv, c, second.AccessToken) {
			t.Fatalf("first use: %d", second.Code)
		}
		if third := refresh(t, srv, c, second.RefreshToken); third.Code != 200 {
			t.Errorf("the rotated token: %d, want 200", third.Code)
		}
		if !accepts(t, srv, c, first.AccessToken) {
			t.Error("a refresh ended the access token before")
		}
	})
}

// One of the two who use a refresh token must have stolen it, and a server cannot tell which (RFC
// 9700, section 4.14.2).
func TestServer_refreshTokenUsedTwiceEndsItsSession(t *testing.T) {
	keyLogIn := func(t *testing.T, srv *server, c *http.Client) answer {
		return logInWithKey(t, srv, c, parseKey(t, srv))
	}
	for _, tt := range []struct {
		name     string
		logIn    func(*testing.T, *server, *http.Client) answer
		which    int // of the session's three refresh tokens
		lifetime time.Duration
		after    time.Duration // its issue, with a refresh in between
	}{
		{name: "the token before", logIn: logIn, which: 1, lifetime: time.Hour},
		{name: "the first one", logIn: logIn, which: 0, lifetime: time.Hour},
		{name: "of a log-in with an API key", logIn: keyLogIn, which: 1, lifetime: time.Hour},
		{name: "one without an end", logIn: logIn, which: 1, lifetime: 0},
		{name: "one past its own end", logIn: logIn, which: 0, lifetime: time.Hour, after: 90 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, srv *server, c *http.Client) {
				srv.SetLifetimes(24*time.Hour, tt.lifetime)
				session := []answer{tt.logIn(t, srv, c)}
				for range 2 {
					time.Sleep(tt.after / 2)
					session = append(session, refresh(t, srv, c, session[len(session)-1].RefreshToken))
				}
				other := tt.logIn(t, srv, c)

				for range 2 { // and once it has ended, nothing more comes of it
					checkError(t, refresh(t, srv, c, session[tt.which].RefreshToken), 400)
				}
				checkError(t, refresh(t, srv, c, session[2].RefreshToken), 400)
				for i, a := range session {
					if accepts(t, srv, c, a.AccessToken) {
						t.Errorf("access token %d outlives its session", i)
					}
				}
				if !accepts(t, srv, c, other.AccessToken) || refresh(t, srv, c, other.RefreshToken).Code != 200 {
					t.Error("another session of the same user ended too")
				}
				if a := tt.logIn(t, srv, c); !accepts(t, srv, c, a.AccessToken) {
					t.Error("no new session can begin")
				}
			})
		})
	}
}

func TestServer_refreshTokenUsedAtOnceServesOne(t *testing.T) {
	srv := newServer(t)
	c := srv.InProcess()
	for range 20 {
		token := logIn(t, srv, c).RefreshToken
		var answers [16]answer
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() { answers[i] = refresh(t, srv, c, token) })
		}
		wg.Wait()
		served := 0
		for _, a := range answers {
			if a.Code != 200 {
				continue
			}
			served++
			if accepts(t, srv, c, a.AccessToken) || refresh(t, srv, c, a.RefreshToken).Code != 400 {
				t.Error("the session goes on")
			}
		}
		if served != 1 {
			t.Fatalf("a refresh token served %d of %d clients, want 1", served, len(answers))
		}
	}
}

func TestServer_otherRefusedRefreshTokensEndNothing(t *testing.T) {
	other := newServer(t)
	// Each makes a text that is refused as a refresh token, of a session whose refresh token used
	// served for current.
	for _, tt := range []struct {
		name  string
		token func(t *testing.T, srv *server, used, current answer) string
		over  bool // the current refresh token too, by what token did
	}{
		{name: "unknown", token: func(*testing.T, *server, answer, answer) string { return "a.b.c" }},
		{name: "of another server", token: func(t *testing.T, _ *server, _, _ answer) string {
			return logIn(t, other, other.InProcess()).RefreshToken
		}},
		{name: "with another's signature", token: func(_ *testing.T, _ *server, used, current answer) string {
			u, c := strings.Split(used.RefreshToken, "."), strings.Split(current.RefreshToken, ".")
			return u[0] + "." + u[1] + "." + c[2]
		}},
		{name: "the access token", token: func(_ *testing.T, _ *server, _, current answer) string {
			return current.AccessToken
		}},
		{name: "the ID token", token: func(_ *testing.T, _ *server, _, current answer) string {
			return current.IDToken
		}},
		{name: "cut off", token: func(_ *testing.T, _ *server, used, _ answer) string {
			return used.RefreshToken[:len(used.RefreshToken)-1]
		}},
		{name: "expired", over: true, token: func(_ *testing.T, _ *server, _, current answer) string {
			time.Sleep(time.Hour)
			return current.RefreshToken
		}},
		{name: "revoked", over: true, token: func(_ *testing.T, srv *server, _, current answer) string {
			srv.RevokeRefreshTokens()
			return current.RefreshToken
		}},
		{name: "used and revoked", over: true, token: func(_ *testing.T, srv *server, used, _ answer) string {
			srv.RevokeRefreshTokens()
			return used.RefreshToken
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, srv *server, c *http.Client) {
				srv.SetLifetimes(24*time.Hour, time.Hour)
				used := logIn(t, srv, c)
				current := refresh(t, srv, c, used.RefreshToken)
				token := tt.token(t, srv, used, current)
				for range 2 {
					checkError(t, refresh(t, srv, c, token), 400)
				}
				if !accepts(t, srv, c, used.AccessToken) || !accepts(t, srv, c, current.AccessToken) {
					t.Error("an access token is refused")
				}
				want := 200
				if tt.over {
					want = 400
				}
				if got := refresh(t, srv, c, current.RefreshToken).Code; got != want {
					t.Errorf("the session's refresh token: %d, want %d", got, want)
				}
			})
		})
	}
}

func TestServer_refreshTokenIsNoAccessToken(t *testing.T) {
	srv := newServer(t)
	a := logIn(t, srv, srv.Client())
	if accepts(t, srv, srv.Client(), a.RefreshToken) {
		t.Error("the refresh token passes the bearer check")
	}
}

func TestServer_revokeTokens(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *server, c *http.Client) {
		a := logIn(t, srv, c)
		srv.RevokeAccessTokens()
		if accepts(t, srv, c, a.AccessToken) {
			t.Error("a revoked access token passes")
		}
		b := refresh(t, srv, c, a.RefreshToken)
		if b.Code != 200 || !accepts(t, srv, c, b.AccessToken) {
			t.Fatal("revoking access tokens concerns refresh tokens or later access tokens")
		}
		srv.RevokeRefreshTokens()
		if !accepts(t, srv, c, b.AccessToken) {
			t.Error("revoking refresh tokens concerns access tokens")
		}
		checkError(t, refresh(t, srv, c, b.RefreshToken), 400)
		if d := refresh(t, srv, c, logIn(t, srv, c).RefreshToken); d.Code != 200 {
			t.Error("a refresh token issued after revoking is refused")
		}
	})
}

func TestServer_setLifetimes(t *testing.T) {
	type lifetimes struct {
		ExpiresIn, RefreshExpiresIn int
		Exp, RefreshExp             any // less iat; nil: none
	}
	const never = 1000 * time.Hour
	for _, tt := range []struct {
		name                  string
		set                   func(*server)
		want                  lifetimes
		accessEnd, refreshEnd time.Duration
	}{
		{
			"unless set", func(*server) {},
			lifetimes{300, 1800, 300., 1800.}, 5 * time.Minute, 30 * time.Minute,
		},
		{
			"set", func(s *server) { s.SetLifetimes(time.Minute, time.Hour) },
			lifetimes{60, 3600, 60., 3600.}, time.Minute, time.Hour,
		},
		{
			"refresh without a known end", func(s *server) { s.SetLifetimes(time.Minute, 0) },
			lifetimes{60, 0, 60., nil}, time.Minute, never,
		},
		{
			"fractions", func(s *server) { s.SetLifetimes(1500*time.Millisecond, 2500*time.Millisecond) },
			lifetimes{1, 2, 1., 2.}, 1500 * time.Millisecond, 2500 * time.Millisecond,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, srv *server, c *http.Client) {
				tt.set(srv)
				exp := func(jwt string) any {
					claims := payload(t, jwt)
					if claims["exp"] == nil {
						return nil
					}
					return claims["exp"].(float64) - claims["iat"].(float64)
				}
				a, b := logIn(t, srv, c), logIn(t, srv, c)
				srv.SetLifetimes(never, never) // concerns later tokens only
				got := lifetimes{a.ExpiresIn, a.RefreshExpiresIn, exp(a.AccessToken), exp(a.RefreshToken)}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("lifetimes (-want +got):\n%s", diff)
				}

				time.Sleep(tt.accessEnd - time.Nanosecond)
				if !accepts(t, srv, c, a.AccessToken) {
					t.Error("the access token expires early")
				}
				time.Sleep(time.Nanosecond)
				if accepts(t, srv, c, a.AccessToken) {
					t.Error("the access token does not expire")
				}
				time.Sleep(tt.refreshEnd - tt.accessEnd - time.Nanosecond)
				if r := refresh(t, srv, c, a.RefreshToken); r.Code != 200 {
					t.Errorf("the refresh token expires early: %+v", r.Error)
				}
				if tt.refreshEnd == never {
					return
				}
				time.Sleep(time.Nanosecond)
				checkError(t, refresh(t, srv, c, b.RefreshToken), 400)
			})
		})
	}
}
