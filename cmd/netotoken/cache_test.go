package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
	"github.com/netoauth/netoauth/tokenfile"
	"golang.org/x/oauth2"
)

// newCache returns the path of a cache in a folder whose name must be quoted in a message.
func newCache(t *testing.T) string {
	t.Helper()
	name := `back\slash and "quotes"`
	if runtime.GOOS == "windows" {
		name = "it's" // the others are not allowed there, and each path has backslashes
	}
	dir := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "cache")
}

// content is what a token file holds.
type content struct {
	Owner string        `json:"owner"`
	Token *oauth2.Token `json:"token"`
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func writeFile(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readCache(t *testing.T, path string) (c content) {
	t.Helper()
	if err := json.Unmarshal([]byte(readFile(t, path)), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// setToken changes what is stored.
func setToken(t *testing.T, path string, change func(*content)) {
	t.Helper()
	c := readCache(t, path)
	change(&c)
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, string(data))
}

// setLeft gives the stored token another end.
func setLeft(t *testing.T, path string, left time.Duration) {
	t.Helper()
	setToken(t, path, func(c *content) { c.Token.Expiry = time.Now().Add(left) })
}

// wantFiles checks the names in the folder of the cache.
func wantFiles(t *testing.T, cache string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(cache))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// owners are whose cache it is, as the package comment promises it to Go programs.
var owners = map[string]func(srv *netoauthtest.Server, env []string) string{
	"API key":  func(srv *netoauthtest.Server, _ []string) string { return srv.URL + " example netoauthtest" },
	"password": func(srv *netoauthtest.Server, _ []string) string { return srv.URL + " " + srv.Username },
	"refresh token": func(srv *netoauthtest.Server, env []string) string {
		_, token, _ := strings.Cut(strings.Join(env, " "), "NETO_REFRESH_TOKEN=")
		return fmt.Sprintf("%s %x", srv.URL, sha256.Sum256([]byte(token)))
	},
}

// Runs share a token, and use the refresh token once it is due.
func TestNetotoken_keepsTheSession(t *testing.T) {
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

			r := succeed(t, env, "-cache", file)
			wantRequests(t, srv, first)
			wantNoSecret(t, "the cache", readFile(t, file), srv, env)
			stored := readCache(t, file)
			if diff := cmp.Diff(owners[name](srv, env), stored.Owner); diff != "" {
				t.Errorf("owner (-want +got):\n%s", diff)
			}
			if second := succeed(t, env, "-cache", file); second.stdout != r.stdout {
				t.Error("the second run printed another token")
			}
			wantRequests(t, srv, first)

			setLeft(t, file, 40*time.Second) // of 5 min
			third := succeed(t, env, "-cache", file)
			wantAccepted(t, srv, "Bearer "+third.token())
			want := first
			want.Refresh++
			wantRequests(t, srv, want)
			renewed := readCache(t, file)
			if third.stdout == r.stdout || renewed.Token.RefreshToken == stored.Token.RefreshToken {
				t.Error("the token was not renewed")
			}
			if renewed.Owner != stored.Owner {
				t.Errorf("the cache has another owner: %s", renewed.Owner)
			}
			wantFiles(t, file, "cache", "cache.lock")
		})
	}
}

// Spellings of a URL are one owner.
func TestNetotoken_takesTheBaseURLForTheOwner(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	file := newCache(t)
	for _, suffix := range []string{"", "/", "/api/v1", "/v1//"} {
		succeed(t, append(passwordEnv(srv), "NETO_URL="+srv.URL+suffix), "-cache", file)
	}
	wantRequests(t, srv, requests{Password: 1})
	if got, err := baseURL(""); err != nil || got.String() != netoauth.DefaultURL {
		t.Errorf("without a URL it is %q, %v", got, err)
	}
}

// No run leaves a renewal behind that uses the refresh token which the next run needs.
func TestNetotoken_keepsRotatedTokens(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	env := refreshEnv(t, srv)
	file := newCache(t)
	lifetimes := []time.Duration{1, 2, 10, 29, 60}
	seen := make(map[string]bool)
	for i := range 15 {
		srv.SetLifetimes(lifetimes[i%len(lifetimes)]*time.Second, 0)
		token := succeed(t, env, "-cache", file).token()
		if lifetimes[i%len(lifetimes)] >= 29 { // the others can end before they are used, on a slow machine
			wantAccepted(t, srv, "Bearer "+token)
		}
		seen[readCache(t, file).Token.RefreshToken] = true
	}
	if got := srv.Requests(netoauthtest.RefreshPath); got != len(seen) {
		t.Errorf("%d refreshes left %d refresh tokens in the cache", got, len(seen))
	}
}

func TestNetotoken_fallsBackToTheLogIn(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	file := newCache(t)
	succeed(t, apiKeyEnv(srv), "-cache", file)
	srv.RevokeRefreshTokens()
	setLeft(t, file, 0)
	succeed(t, apiKeyEnv(srv), "-cache", file)
	wantRequests(t, srv, requests{APIKey: 2, Refresh: 1})
}

// start runs the command several times at once.
func start(t *testing.T, n int, env []string, args ...string) (finish func() []result) {
	t.Helper()
	results := make([]result, n)
	var all sync.WaitGroup
	for i := range results {
		cmd := newCommand(env, args...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			cmd.Wait()
			results[i] = result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
		})
	}
	return func() []result { all.Wait(); return results }
}

// Runs at the same time, and a Go program with the same file, make one exchange between them.
func TestNetotoken_sharesOneRefresh(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	env := refreshEnv(t, srv)
	file := newCache(t)
	srv.Delay(50 * time.Millisecond)
	finish := start(t, 6, env, "-cache", file)
	program := &netoauth.Refresh{URL: srv.URL}
	program.Store = &tokenfile.File{Path: file, Owner: owners["refresh token"](srv, env)}
	_, token, _ := strings.Cut(env[1], "=")
	program.RefreshToken = netoauth.Secret(token)
	got, err := program.TokenSource(t.Context()).Token()
	if err != nil {
		t.Error(err)
		got = new(oauth2.Token)
	}
	for _, r := range finish() {
		wantResult(t, result{0, got.AccessToken + "\n", ""}, r)
	}
	wantRequests(t, srv, requests{Password: 1, Refresh: 1})
}

// A refresh token used twice would end the session.
func TestNetotoken_keepsTheSessionOfManyRuns(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	env := refreshEnv(t, srv)
	file := newCache(t)
	srv.SetLifetimes(time.Second, 0)
	for range 5 {
		for _, r := range start(t, 4, env, "-cache", file)() {
			if r.status != 0 || r.stderr != "" {
				t.Errorf("status %d, stderr %q", r.status, r.stderr)
			}
		}
		setLeft(t, file, 0)
	}
}

// wantUnusable checks what runs do with a cache that they cannot use: print a token of an API key, and
// leave a refresh token unused.
func wantUnusable(t *testing.T, srv *netoauthtest.Server, file string, refresh []string, says ...string) {
	t.Helper()
	before := count(srv)
	r := netotoken(t, apiKeyEnv(srv), "-cache", file)
	if r.status != 1 {
		t.Errorf("API key: status %d", r.status)
	}
	wantOneLine(t, r, append(says, "a token was printed, but the cache cannot be used: ")...)
	wantAccepted(t, srv, "Bearer "+r.token())
	before.APIKey++
	wantRequests(t, srv, before) // no refresh token of somebody else's was sent

	r2 := netotoken(t, refresh, "-cache", file)
	if r2.status != 1 || r2.stdout != "" {
		t.Errorf("refresh token: status %d, stdout %q", r2.status, r2.stdout)
	}
	wantOneLine(t, r2, append(says, "the cache cannot be used, so the refresh token was left unused: ")...)
	wantRequests(t, srv, before)
	if r3 := netotoken(t, refresh); r3.status != 0 {
		t.Errorf("the refresh token was used up: %q", r3.stderr)
	}
	for _, word := range []string{"hidden", "Owner", "Store", "tokenfile"} {
		if strings.Contains(r.stderr+r2.stderr, word) {
			t.Errorf("stderr has %q: %q, %q", word, r.stderr, r2.stderr)
		}
	}
}

func TestNetotoken_leavesABadCacheAsItIs(t *testing.T) {
	good := func(owner string) string {
		data, err := json.Marshal(content{owner, &oauth2.Token{
			AccessToken: "planted-hidden", RefreshToken: "hidden", Expiry: time.Now().Add(time.Hour),
		}})
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for name, data := range map[string]string{
		"empty":           "",
		"not JSON":        "hidden\nhidden",
		"null":            "null",
		"an array":        `["hidden"]`,
		"no token":        `{"owner":"hidden"}`,
		"cut off":         good("")[:40],
		"something after": good("") + "hidden",
		"a private key":   "-----BEGIN OPENSSH PRIVATE KEY-----\nhidden\n",
		"huge":            strings.Repeat(" ", 1<<20) + good(""),
		"another owner":   good("hidden"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := newServer(t)
			refresh := refreshEnv(t, srv)
			file := newCache(t)
			writeFile(t, file, data)
			wantUnusable(t, srv, file, refresh, strconv.Quote(file), "choose another -cache")
			if readFile(t, file) != data {
				t.Error("the file has changed")
			}
			wantFiles(t, file, "cache")
		})
	}
}

func TestNetotoken_refusesAnotherOwnersCache(t *testing.T) {
	srv, other := newServer(t), newServer(t)
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		t.Fatal(err)
	}
	app := *key
	app.AppName = "another"
	refresh := refreshEnv(t, srv)
	file := newCache(t)
	succeed(t, apiKeyEnv(srv), "-cache", file)
	before := readFile(t, file)
	for name, tt := range map[string]struct {
		env  []string
		args []string
	}{
		"another account": {apiKeyEnv(srv), []string{"-account", "branch"}},
		"another host":    {apiKeyEnv(other), nil},
		"another flow":    {passwordEnv(srv), nil},
		"refresh token":   {refresh, nil},
		"another app":     {[]string{"NETOSECRET=" + app.Netosecret()}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := netotoken(t, tt.env, append(tt.args, "-cache", file)...)
			if r.status != 1 || strings.Contains(before, r.token()) != (r.token() == "") {
				t.Errorf("status %d, and the token printed is %q", r.status, r.token())
			}
			if name == "another app" { // which the API does not know
				wantOneLine(t, r, "401")
			} else {
				wantOneLine(t, r, strconv.Quote(file), "credentials", "choose another -cache")
			}
			if readFile(t, file) != before {
				t.Error("the file has changed")
			}
		})
	}
}

func TestNetotoken_needsAFolderForTheCache(t *testing.T) {
	srv := newServer(t)
	file := newCache(t)
	writeFile(t, file, "content")
	for name, bad := range map[string]string{
		"missing folder": filepath.Join(filepath.Dir(file), "missing", "cache"),
		"below a file":   filepath.Join(file, "cache"),
		"a folder":       filepath.Dir(file),
	} {
		t.Run(name, func(t *testing.T) {
			wantUnusable(t, srv, bad, refreshEnv(t, srv), strconv.Quote(bad)[:len(strconv.Quote(bad))-1])
		})
	}
	wantFiles(t, file, "cache")
	if got := readFile(t, file); got != "content" {
		t.Errorf("what was there is %q", got)
	}
}

// A write that fails after the exchange is told, and the token printed.
func TestNetotoken_saysThatTheTokenIsNotInTheCache(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	answer := `{"access_token":"a","expires_in":300,"refresh_token":"\ufffd"}`
	srv.Fail(1, netoauthtest.Answer(200, "application/json", answer))
	file := newCache(t)
	r := netotoken(t, apiKeyEnv(srv), "-cache", file)
	if r.status != 1 || r.token() != "a" {
		t.Errorf("status %d, stdout %q", r.status, r.stdout)
	}
	wantOneLine(t, r, "but the cache cannot be used: the new token is not in "+strconv.Quote(file))
	wantFiles(t, file, "cache.lock")
}
