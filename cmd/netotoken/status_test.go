package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
)

func TestStatusOf_saysWhatIsGoodAndUntilWhen(t *testing.T) {
	jwt := func(claims string) oauth2.Token {
		payload := base64.RawURLEncoding.EncodeToString([]byte(claims))
		return oauth2.Token{AccessToken: "e30." + payload + ".sig"}
	}
	const (
		minute5  = "good until 2000-01-01T00:05:00Z, for 5m0s"
		over5    = "over since 1999-12-31T23:55:00Z, for 5m0s"
		justOver = "over since 2000-01-01T00:00:00Z, for 0s"
		unknown  = "good, as far as is known: it names no end"
	)
	const min = time.Minute
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)                        // as it is in a bubble
	stored := func(access, refresh string, left time.Duration) oauth2.Token { // issued for 5 minutes
		return oauth2.Token{AccessToken: access, RefreshToken: refresh, Expiry: now.Add(left), ExpiresIn: 300}
	}
	for name, tt := range map[string]struct {
		token           oauth2.Token
		refreshLife     any // refresh_expires_in
		access, refresh string
		usable          bool
	}{
		"both good":                {stored("a", "r", 5*min), 300.0, minute5, minute5, true},
		"access over":              {stored("a", "r", -5*min), 900.0, over5, minute5, true},
		"both over":                {stored("a", "r", -5*min), 300.0, over5, over5, false},
		"refresh end unknown":      {stored("a", "r", -5*min), 0.0, over5, unknown, true},
		"no refresh token":         {stored("a", "", 5*min), nil, minute5, "none", true},
		"no refresh token, over":   {stored("a", "", -5*min), nil, over5, "none", false},
		"refresh token alone":      {oauth2.Token{RefreshToken: "r"}, nil, "none", unknown, true},
		"ends right now":           {stored("a", "", 0), nil, justOver, "none", false},
		"without an end":           {oauth2.Token{AccessToken: "a"}, nil, unknown, "none", true},
		"JWT without Expiry":       {jwt(`{"exp":946685100}`), nil, minute5, "none", true},
		"JWT without Expiry, over": {jwt(`{"exp":946684500}`), nil, over5, "none", false},
		"JWT without exp":          {jwt(`{"iat":1}`), nil, unknown, "none", true},
		"JWT with a text for exp":  {jwt(`{"exp":"soon"}`), nil, unknown, "none", true},
		"two dots, no JWT":         {oauth2.Token{AccessToken: "a.%.b"}, nil, unknown, "none", true},
		"a clock set back since":   {stored("a", "", 24*60*min), nil, minute5, "none", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				token := tt.token.WithExtra(map[string]any{"refresh_expires_in": tt.refreshLife})
				type status struct {
					Lines  string
					Usable bool
				}
				lines, usable := statusOf(token, now)
				want := status{"access token\t" + tt.access + "\nrefresh token\t" + tt.refresh + "\n", tt.usable}
				if diff := cmp.Diff(want, status{lines, usable}); diff != "" {
					t.Errorf("status (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A status needs no password and no network, and changes nothing.
func TestNetotoken_saysWhatTheCacheHas(t *testing.T) {
	for name, env := range flows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := newServer(t)
			srv.SetLifetimes(5*time.Minute, 0)
			env := env(t, srv)
			file := newCache(t)
			succeed(t, env, "-cache", file)
			stored, before := readFile(t, file), count(srv)
			args := []string{"-cache", file, "-status"}
			if name == "password" {
				env, args = env[:2], append(args, "-password-stdin") // where there is none
			}
			r := succeed(t, env, args...)
			whose := owners[name](srv, env)
			for _, word := range []string{whose, "access token   good until ", "refresh token  good"} {
				if !strings.Contains(r.stdout, word) {
					t.Errorf("the status has no %q:\n%s", word, r.stdout)
				}
			}
			token := readCache(t, file).Token
			for _, secret := range []string{token.AccessToken, token.RefreshToken} {
				if strings.Contains(r.stdout, secret) {
					t.Errorf("the status shows a token:\n%s", r.stdout)
				}
			}
			wantNoSecret(t, "the status", r.stdout, srv, env)
			wantRequests(t, srv, before)
			if readFile(t, file) != stored {
				t.Error("the file has changed")
			}
			wantFiles(t, file, "cache", "cache.lock")
		})
	}
}

func TestNetotoken_saysThatTheCacheHasNoSession(t *testing.T) {
	srv := newServer(t)
	key := apiKeyEnv(srv)
	leave := func(*testing.T, string) {}
	removeFile := func(_ *testing.T, file string) { os.Remove(file) }
	removeFolder := func(_ *testing.T, file string) { os.RemoveAll(filepath.Dir(file)) }
	spoil := func(t *testing.T, file string) { writeFile(t, file, "hidden") }
	end := func(t *testing.T, file string) {
		setToken(t, file, func(c *content) { c.Token.RefreshToken, c.Token.Expiry = "", time.Now() })
	}
	for name, tt := range map[string]struct {
		change func(t *testing.T, file string)
		env    []string
		says   string
		prints bool
	}{
		"no file":         {removeFile, key, "no session in", false},
		"no folder":       {removeFolder, key, "no session in", false},
		"not a token":     {spoil, key, "choose another -cache", false},
		"another account": {leave, passwordEnv(srv), "choose another -cache", false},
		"over":            {end, key, "the session is over", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := newCache(t)
			succeed(t, apiKeyEnv(srv), "-cache", file)
			tt.change(t, file)
			r := netotoken(t, tt.env, "-cache", file, "-status")
			if r.status != 1 || (r.stdout != "") != tt.prints {
				t.Errorf("status %d, stdout %q", r.status, r.stdout)
			}
			wantOneLine(t, r, tt.says)
			if !tt.prints && !strings.Contains(r.stderr, strconv.Quote(file)) {
				t.Errorf("stderr does not name the file: %q", r.stderr)
			}
			if strings.Contains(r.stderr, "hidden") {
				t.Errorf("stderr shows what is in the file: %q", r.stderr)
			}
		})
	}
}

// What acts on a terminal is not printed, be it in one's own user name.
func TestNetotoken_statusActsOnNoTerminal(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	file := newCache(t)
	succeed(t, passwordEnv(srv), "-cache", file)
	setToken(t, file, func(c *content) { c.Owner = srv.URL + " \x1b[2Jann" })
	r := succeed(t, append(passwordEnv(srv), "NETO_USERNAME=\x1b[2Jann"), "-cache", file, "-status")
	if !strings.Contains(r.stdout, "  [2Jann\n") {
		t.Errorf("the status does not have the name as text: %q", r.stdout)
	}
}
