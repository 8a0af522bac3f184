package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

func readCache(t *testing.T, path string) (e entry, text string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &e); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return e, string(data)
}

func ls(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".lock") {
			continue
		}
		names = append(names, f.Name())
	}
	return names
}

// Runs share a token, and spend the refresh token once it is due.
func TestCache(t *testing.T) {
	for name, tt := range map[string]struct {
		first requests
		owner owner
	}{
		"API key": {
			first: requests{APIKey: 1},
			owner: owner{Flow: "api key", Account: "example", AppName: "netoauthtest"},
		},
		"password": {
			first: requests{Password: 1},
			owner: owner{Flow: "password", Username: "user@example.com"},
		},
		"refresh token": {
			first: requests{Password: 1, Refresh: 1},
			owner: owner{Flow: "refresh"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := newServer(t)
			env := flows[name](t, srv)
			dir := t.TempDir()
			file := filepath.Join(dir, "cache")

			first := succeed(t, env, "-cache", file)
			wantRequests(t, srv, tt.first)
			stored, text := readCache(t, file)
			wantNoSecret(t, "the cache", text, srv, env)
			tt.owner.URL, tt.owner.RefreshTokenSHA256 = srv.URL, stored.RefreshTokenSHA256
			if diff := cmp.Diff(tt.owner, stored.owner); diff != "" {
				t.Errorf("owner (-want +got):\n%s", diff)
			}
			before, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if mode := before.Mode(); mode != 0o600 && runtime.GOOS != "windows" {
				t.Errorf("mode %v", mode)
			}

			if second := succeed(t, env, "-cache", file); second.stdout != first.stdout {
				t.Errorf("the second run printed another token")
			}
			wantRequests(t, srv, tt.first)

			// Let the token come to its end.
			stored.Token.Expiry = time.Now().Add(time.Second)
			data, err := json.Marshal(stored)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			third := succeed(t, env, "-cache", file)
			if third.stdout == first.stdout {
				t.Error("the ended token was printed")
			}
			wantAccepted(t, srv, "Bearer "+third.token())
			want := tt.first
			want.Refresh++
			wantRequests(t, srv, want)
			renewed, _ := readCache(t, file)
			if renewed.Token.RefreshToken == stored.Token.RefreshToken || renewed.owner != stored.owner {
				t.Errorf("the cache has no new refresh token, or another owner: %+v", renewed.owner)
			}
			after, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if os.SameFile(before, after) {
				t.Error("the file was written over, not replaced")
			}
			if diff := cmp.Diff([]string{"cache"}, ls(t, dir)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

// No run leaves a renewal behind that spends the refresh token which the next run needs.
func TestCacheKeepsRotatedTokens(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	env := refreshEnv(t, srv)
	file := filepath.Join(t.TempDir(), "cache")
	lifetimes := []time.Duration{time.Second, 2 * time.Second, 10 * time.Second, 29 * time.Second, time.Minute}
	seen := make(map[string]bool)
	for i := range 15 {
		srv.SetLifetimes(lifetimes[i%len(lifetimes)], 0)
		wantAccepted(t, srv, "Bearer "+succeed(t, env, "-cache", file).token())
		e, _ := readCache(t, file)
		seen[e.Token.RefreshToken] = true
	}
	if got := srv.Requests(netoauthtest.RefreshPath); got != len(seen) {
		t.Errorf("%d refreshes left %d refresh tokens in the cache", got, len(seen))
	}
}

func TestCacheFallsBackToLogIn(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	srv.SetLifetimes(time.Second, time.Hour)
	file := filepath.Join(t.TempDir(), "cache")
	succeed(t, apiKeyEnv(srv), "-cache", file)
	srv.RevokeRefreshTokens()
	succeed(t, apiKeyEnv(srv), "-cache", file)
	wantRequests(t, srv, requests{APIKey: 2, Refresh: 1})
}

// A file of no use is replaced, with a warning that shows nothing of it.
func TestCacheIgnored(t *testing.T) {
	good := func(t *testing.T, srv *netoauthtest.Server) []byte {
		data, err := json.Marshal(entry{
			owner{Flow: "api key", URL: srv.URL, Account: "example", AppName: "netoauthtest"},
			time.Now().Add(-time.Second),
			&oauth2.Token{AccessToken: "planted-hidden", RefreshToken: "hidden", Expiry: time.Now().Add(time.Hour)},
		})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	replace := func(from, to string) func([]byte) []byte {
		return func(data []byte) []byte {
			if !strings.Contains(string(data), from) {
				t.Errorf("no %s in %s", from, data)
			}
			return []byte(strings.Replace(string(data), from, to, 1))
		}
	}
	for name, tt := range map[string]struct {
		change func([]byte) []byte
		mode   os.FileMode
		says   string
	}{
		"empty":           {func([]byte) []byte { return nil }, 0o600, "not a cache"},
		"not JSON":        {func([]byte) []byte { return []byte("hidden\nhidden") }, 0o600, "not a cache"},
		"null":            {func([]byte) []byte { return []byte("null") }, 0o600, "not a cache"},
		"an array":        {func([]byte) []byte { return []byte(`["hidden"]`) }, 0o600, "not a cache"},
		"no token":        {func([]byte) []byte { return []byte(`{"flow":"hidden"}`) }, 0o600, "not a cache"},
		"cut off":         {func(data []byte) []byte { return data[:len(data)/2] }, 0o600, "not a cache"},
		"something after": {func(data []byte) []byte { return append(data, "hidden"...) }, 0o600, "not a cache"},
		"a bad time":      {replace(`"issued":"`, `"issued":"hidden`), 0o600, "not a cache"},
		"a second header": {replace(`planted-hidden`, `planted\r\nX-Header: hidden`), 0o600, "not a cache"},
		"huge":            {func(data []byte) []byte { return append(data, make([]byte, maxCache)...) }, 0o600, "not a cache"},
		"another flow":    {replace(`"api key"`, `"password"`), 0o600, "other credentials"},
		"another host":    {replace(`http://`, `https://`), 0o600, "other credentials"},
		"another account": {replace(`"example"`, `"hidden"`), 0o600, "another account"},
		"another app":     {replace(`"netoauthtest"`, `"hidden"`), 0o600, "other credentials"},
		"another user":    {replace(`"flow"`, `"username":"hidden","flow"`), 0o600, "other credentials"},
		"group can read":  {replace(``, ``), 0o640, "chmod 600"},
		"others can read": {replace(``, ``), 0o604, "chmod 600"},
		"others write":    {replace(``, ``), 0o602, "chmod 600"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := newServer(t)
			dir := t.TempDir()
			file := filepath.Join(dir, "cache")
			if err := os.WriteFile(file, tt.change(good(t, srv)), tt.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, tt.mode); err != nil { // whatever the umask
				t.Fatal(err)
			}
			r := netotoken(t, apiKeyEnv(srv), "-cache", file)
			if r.status != 0 {
				t.Fatalf("status %d, stderr %q", r.status, r.stderr)
			}
			wantOneLine(t, r, "warning: ignoring the cache", file, tt.says, "replaces it")
			if strings.Contains(r.stderr, "hidden") {
				t.Errorf("the warning shows what is in the file: %q", r.stderr)
			}
			wantAccepted(t, srv, "Bearer "+r.token())
			wantRequests(t, srv, requests{APIKey: 1}) // no refresh token of somebody else's was sent
			if _, text := readCache(t, file); strings.Contains(text, "hidden") {
				t.Errorf("the cache keeps what was there: %s", text)
			}
			if again := succeed(t, apiKeyEnv(srv), "-cache", file); again.stdout != r.stdout {
				t.Error("the replaced cache is of no use")
			}
			if diff := cmp.Diff([]string{"cache"}, ls(t, dir)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

// One file for several owners gives each a token of its own.
func TestCacheOwners(t *testing.T) {
	t.Parallel()
	srv, other := newServer(t), newServer(t)
	file := filepath.Join(t.TempDir(), "cache")
	succeed(t, apiKeyEnv(srv), "-cache", file)
	mine, _ := readCache(t, file)

	r := netotoken(t, apiKeyEnv(srv), "-cache", file, "-account", "branch")
	wantOneLine(t, r, "another account")
	if got := shortname(t, r.token()); got != "branch" {
		t.Errorf("a token for %q", got)
	}
	wantRequests(t, srv, requests{APIKey: 2})
	if _, text := readCache(t, file); strings.Contains(text, mine.Token.RefreshToken) || strings.Contains(text, mine.Token.AccessToken) {
		t.Error("the cache of one account holds a token of another")
	}
	branch := succeed(t, apiKeyEnv(srv), "-cache", file, "-account", "branch")
	if branch.stdout != r.stdout {
		t.Error("the account's own cache was not used")
	}

	wantOneLine(t, netotoken(t, apiKeyEnv(other), "-cache", file), "other credentials")
	wantRequests(t, other, requests{APIKey: 1})
	refresh := refreshEnv(t, other)
	wantOneLine(t, netotoken(t, refresh, "-cache", file), "other credentials")
	wantOneLine(t, netotoken(t, refreshEnv(t, other), "-cache", file), "other credentials")
	wantRequests(t, other, requests{APIKey: 1, Password: 2, Refresh: 2})
	wantRequests(t, srv, requests{APIKey: 2})
}

// Where the cache cannot be written, the token is printed all the same.
func TestCacheUnwritable(t *testing.T) {
	dir := t.TempDir()
	full := filepath.Join(dir, "directory")
	if err := os.Mkdir(full, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(full, "file"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{
		"missing directory": filepath.Join(dir, "missing", "cache"),
		"below a file":      filepath.Join(full, "file", "cache"),
		"a directory":       full,
	} {
		t.Run(name, func(t *testing.T) {
			srv := newServer(t)
			r := netotoken(t, apiKeyEnv(srv), "-cache", file)
			if r.status != 1 {
				t.Errorf("status %d", r.status)
			}
			wantAccepted(t, srv, "Bearer "+r.token())
			if !strings.Contains(r.stderr, "could not be written") {
				t.Errorf("stderr %q", r.stderr)
			}

			refresh := refreshEnv(t, srv)
			r = netotoken(t, refresh, "-cache", file)
			if r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, "left unused") {
				t.Errorf("with a refresh token: status %d, stdout %q, stderr %q", r.status, r.stdout, r.stderr)
			}
			if r = netotoken(t, refresh); r.status != 0 { // so it is
				t.Errorf("the refresh token was used up: status %d, stderr %q", r.status, r.stderr)
			}
			if diff := cmp.Diff([]string{"directory"}, ls(t, dir)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
	if content, err := os.ReadFile(filepath.Join(full, "file")); err != nil || string(content) != "content" {
		t.Errorf("what was there is %q, %v", content, err)
	}
}

func TestAlive(t *testing.T) {
	now := time.Now()
	at := func(d time.Duration) time.Time { return now.Add(d) }
	for name, tt := range map[string]struct {
		e    *entry
		want bool
	}{
		"no entry":       {nil, false},
		"no token":       {&entry{Issued: now, Token: &oauth2.Token{Expiry: at(time.Hour)}}, false},
		"no expiry":      {&entry{Issued: now, Token: &oauth2.Token{AccessToken: "a"}}, false},
		"new":            {&entry{Issued: at(-time.Second), Token: &oauth2.Token{AccessToken: "a", Expiry: at(time.Hour)}}, true},
		"half":           {&entry{Issued: at(-time.Hour), Token: &oauth2.Token{AccessToken: "a", Expiry: at(time.Hour)}}, true},
		"last minutes":   {&entry{Issued: at(-time.Hour), Token: &oauth2.Token{AccessToken: "a", Expiry: at(9 * time.Minute)}}, false},
		"last seconds":   {&entry{Issued: at(-10 * time.Second), Token: &oauth2.Token{AccessToken: "a", Expiry: at(25 * time.Second)}}, false},
		"ended":          {&entry{Issued: at(-time.Hour), Token: &oauth2.Token{AccessToken: "a", Expiry: at(-time.Second)}}, false},
		"in the future":  {&entry{Issued: at(time.Hour), Token: &oauth2.Token{AccessToken: "a", Expiry: at(2 * time.Hour)}}, false},
		"never was good": {&entry{Issued: now, Token: &oauth2.Token{AccessToken: "a", Expiry: at(-time.Hour)}}, false},
	} {
		if got := tt.e.alive(); got != tt.want {
			t.Errorf("%s: alive is %v", name, got)
		}
	}
}

func TestBaseURL(t *testing.T) {
	var got []string
	for _, s := range []string{
		"", "https://API.netography.com/", "HTTPS://api.netography.com/api/v1", "https://api.netography.com/v1//",
		"https://example.com/Proxy/api/v1/", "https://example.com/v1/v1", "://",
	} {
		got = append(got, baseURL(s))
	}
	want := []string{
		"https://api.netography.com", "https://api.netography.com", "https://api.netography.com", "https://api.netography.com",
		"https://example.com/Proxy", "https://example.com/v1", "://",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("base URLs (-want +got):\n%s", diff)
	}
}
