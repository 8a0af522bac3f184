package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
)

var binary string // netotoken, built

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "netotoken")
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o755); err != nil { // a test runs the command as another user
			log.Print(err)
			return 1
		}
		binary = filepath.Join(dir, "netotoken")
		if runtime.GOOS == "windows" {
			binary += ".exe"
		}
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			log.Printf("go build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// result is what a run of the command left.
type result struct {
	status         int
	stdout, stderr string
}

func (r result) token() string { return strings.TrimSpace(r.stdout) }

// newCommand returns the command with these variables as its whole environment.
func newCommand(env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Env = append([]string{"SYSTEMROOT=" + os.Getenv("SYSTEMROOT")}, env...)
	return cmd
}

// finish runs cmd to its end.
func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			t.Fatal(err)
		}
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func netotoken(t *testing.T, env []string, args ...string) result {
	t.Helper()
	return finish(t, newCommand(env, args...))
}

func wantResult(t *testing.T, want, got result) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(result{})); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
}

// succeed is netotoken for a run that must exit with 0 and without a word.
func succeed(t *testing.T, env []string, args ...string) result {
	t.Helper()
	r := netotoken(t, env, args...)
	if r.status != 0 || r.stderr != "" {
		t.Fatalf("netotoken %q: status %d, stderr %q", args, r.status, r.stderr)
	}
	return r
}

func newServer(t *testing.T) *netoauthtest.Server {
	srv := netoauthtest.NewServer()
	t.Cleanup(srv.Close)
	srv.Handle("GET /api/v1/ping", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return srv
}

func apiKeyEnv(srv *netoauthtest.Server) []string { return []string{"NETOSECRET=" + srv.Netosecret} }

func passwordEnv(srv *netoauthtest.Server) []string {
	return []string{"NETO_URL=" + srv.URL, "NETO_USERNAME=" + srv.Username, "NETO_PASSWORD=" + srv.Password}
}

func refreshEnv(t *testing.T, srv *netoauthtest.Server) []string {
	t.Helper()
	p := &netoauth.Password{URL: srv.URL, Username: srv.Username, Password: netoauth.Secret(srv.Password)}
	token, err := p.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return []string{"NETO_URL=" + srv.URL + "/api/v1/", "NETO_REFRESH_TOKEN=" + token.RefreshToken}
}

// flows are the three, by what a server's user would have in the environment.
var flows = map[string]func(*testing.T, *netoauthtest.Server) []string{
	"API key":       func(_ *testing.T, srv *netoauthtest.Server) []string { return apiKeyEnv(srv) },
	"password":      func(_ *testing.T, srv *netoauthtest.Server) []string { return passwordEnv(srv) },
	"refresh token": refreshEnv,
}

// requests counts those that srv got at its three token endpoints.
type requests struct{ APIKey, Password, Refresh int }

func count(srv *netoauthtest.Server) requests {
	return requests{
		srv.Requests(netoauthtest.APIKeyPath),
		srv.Requests(netoauthtest.PasswordPath),
		srv.Requests(netoauthtest.RefreshPath),
	}
}

func wantRequests(t *testing.T, srv *netoauthtest.Server, want requests) {
	t.Helper()
	if diff := cmp.Diff(want, count(srv)); diff != "" {
		t.Errorf("token requests (-want +got):\n%s", diff)
	}
}

// wantAccepted checks that the API takes an Authorization header's value.
func wantAccepted(t *testing.T, srv *netoauthtest.Server, authorization string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/api/v1/ping", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", authorization)
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the API answered the printed token with %s", resp.Status)
	}
}

// wantNoSecret checks that text shows no long-lived secret: srv's, or one in env.
func wantNoSecret(t *testing.T, what, text string, srv *netoauthtest.Server, env []string) {
	t.Helper()
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{srv.Netosecret, srv.Password, string(key.SharedSecret), string(key.AppKey)}
	for _, v := range env {
		switch name, value, _ := strings.Cut(v, "="); name {
		case "NETO_REFRESH_TOKEN", "NETO_PASSWORD", "NETOSECRET":
			secrets = append(secrets, value)
		}
	}
	for _, secret := range secrets {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("%s shows the secret %q:\n%s", what, secret, text)
		}
	}
}

// wantOneLine checks for one line on standard error, with all these words.
func wantOneLine(t *testing.T, r result, words ...string) {
	t.Helper()
	if !strings.HasPrefix(r.stderr, "netotoken: ") || strings.Index(r.stderr, "\n") != len(r.stderr)-1 {
		t.Errorf("stderr is not one line of netotoken: %q", r.stderr)
	}
	for _, word := range words {
		if !strings.Contains(r.stderr, word) {
			t.Errorf("stderr has no %q: %q", word, r.stderr)
		}
	}
}

// claims returns those of a JWT.
func claims(t *testing.T, token string) (c struct{ Shortname, AppName string }) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %q", token)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNetotoken_printsEachFormat(t *testing.T) {
	for name, env := range flows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := newServer(t)
			run := func(args ...string) string {
				// The refresh token is for one use, and is thus another for each run.
				r := netotoken(t, env(t, srv), args...)
				if r.status != 0 {
					t.Fatalf("netotoken %q: status %d, stderr %q", args, r.status, r.stderr)
				}
				return r.stdout
			}

			token, ok := strings.CutSuffix(run(), "\n")
			if !ok || strings.ContainsAny(token, " \n") {
				t.Errorf("not a token alone: %q", token)
			}
			wantAccepted(t, srv, "Bearer "+token)

			line := strings.TrimSuffix(run("-format", "header"), "\n")
			header, ok := strings.CutPrefix(line, "Authorization: Bearer ")
			if !ok {
				t.Errorf("not a header: %q", header)
			}
			wantAccepted(t, srv, "Bearer "+header)

			before := time.Now()
			text := run("-format=json")
			var got struct {
				AccessToken string    `json:"access_token"`
				TokenType   string    `json:"token_type"`
				Expiry      time.Time `json:"expiry"`
				ExpiresIn   int       `json:"expires_in"`
			}
			dec := json.NewDecoder(strings.NewReader(text))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&got); err != nil {
				t.Fatalf("%v in %s", err, text)
			}
			wantAccepted(t, srv, "Bearer "+got.AccessToken)
			if got.TokenType != "Bearer" {
				t.Errorf("wrong type: %+v", got)
			}
			if got.ExpiresIn < 1 || got.ExpiresIn > 300 || got.Expiry.Before(before) {
				t.Errorf("wrong expiry: %+v", got)
			}
		})
	}
}

func TestNetotoken_takesTheFirstCredentials(t *testing.T) {
	srv := newServer(t)
	all := append(append(refreshEnv(t, srv), passwordEnv(srv)...), apiKeyEnv(srv)...)
	before := count(srv)
	succeed(t, all)
	wantRequests(t, srv, requests{before.APIKey + 1, before.Password, before.Refresh})
	succeed(t, append(all, "NETOSECRET="))
	wantRequests(t, srv, requests{before.APIKey + 1, before.Password + 1, before.Refresh})
	r := netotoken(t, append(all, "NETOSECRET=", "NETO_USERNAME="))
	wantRequests(t, srv, requests{before.APIKey + 1, before.Password + 1, before.Refresh + 1})
	if r.status != 0 {
		t.Errorf("status %d", r.status)
	}
	wantOneLine(t, r, "warning", "NETO_REFRESH_TOKEN", "-cache")
}

func TestNetotoken_signsInToTheAccount(t *testing.T) {
	srv := newServer(t)
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{
		claims(t, succeed(t, apiKeyEnv(srv)).token()).Shortname,
		claims(t, succeed(t, apiKeyEnv(srv), "-account", "branch").token()).Shortname,
	}
	if diff := cmp.Diff([]string{key.Shortname, "branch"}, got); diff != "" {
		t.Errorf("shortname (-want +got):\n%s", diff)
	}
}

// The request token needs no network, and the API takes it.
func TestNetotoken_printsTheRequestToken(t *testing.T) {
	srv := newServer(t)
	r := succeed(t, apiKeyEnv(srv), "-format=jwt", "-account", "branch")
	wantRequests(t, srv, requests{})
	wantNoSecret(t, "the claims' shared secret", r.stdout, srv, nil)
	got := claims(t, r.token())
	if got.Shortname != "branch" || got.AppName != "netoauthtest" || strings.Count(r.stdout, "\n") != 1 {
		t.Errorf("claims %+v in %q", got, r.stdout)
	}
	body := strings.NewReader(`{"jwt":"` + r.token() + `"}`)
	req, err := http.NewRequest("POST", srv.URL+netoauthtest.APIKeyPath, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the API answered the request token with %s", resp.Status)
	}
	if again := succeed(t, apiKeyEnv(srv), "-format=jwt", "-account", "branch"); again.stdout == r.stdout {
		t.Error("the same request token twice, which is good for one use")
	}
}

func TestNetotoken_readsThePasswordFromStdin(t *testing.T) {
	srv := newServer(t)
	env := []string{"NETO_URL=" + srv.URL, "NETO_USERNAME=" + srv.Username, "NETO_PASSWORD=not this one"}
	for _, end := range []string{"", "\n", "\r\n", "\nanother line\n"} {
		cmd := newCommand(env, "-password-stdin")
		cmd.Stdin = strings.NewReader(srv.Password + end)
		if r := finish(t, cmd); r.status != 0 || r.stderr != "" {
			t.Errorf("password and %q: status %d, stderr %q", end, r.status, r.stderr)
		}
	}
}

func TestNetotoken_canBeInterruptedAtThePassword(t *testing.T) {
	stdin, never := io.Pipe()
	defer never.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var stdout, stderr bytes.Buffer
	getenv := func(name string) string { return map[string]string{"NETO_USERNAME": "ann"}[name] }
	c := &command{getenv: getenv, stdin: stdin, stdout: &stdout, stderr: &stderr}
	status := c.run(ctx, []string{"-password-stdin"})
	wantResult(t, result{130, "", "netotoken: interrupted\n"}, result{status, stdout.String(), stderr.String()})
}

func TestNetotoken_refusesWrongUsage(t *testing.T) {
	srv := newServer(t)
	key, password := apiKeyEnv(srv), passwordEnv(srv)
	refresh := refreshEnv(t, srv)
	before := count(srv)
	all := []string{"NETOSECRET", "NETO_USERNAME", "NETO_PASSWORD", "NETO_REFRESH_TOKEN"}
	for name, tt := range map[string]struct {
		env  []string
		args []string
		says []string
	}{
		"no credentials":    {nil, nil, all},
		"empty variables":   {[]string{"NETOSECRET=", "NETO_USERNAME="}, nil, all},
		"no user name":      {[]string{"NETO_PASSWORD=x"}, nil, []string{"set NETO_USERNAME"}},
		"no password":       {append(refresh, "NETO_USERNAME=ann"), nil, []string{"-password-stdin"}},
		"NETOSECRET broken": {[]string{"NETOSECRET=%%hidden%%"}, nil, []string{"NETOSECRET", "base64"}},
		"NETOSECRET, part":  {[]string{"NETOSECRET=e30"}, nil, []string{"NETOSECRET", "sharedsecret"}},
		"URL over http":     {append(refresh, "NETO_URL=http://example.com"), nil, []string{"NETO_URL: URL must"}},
		"URL not UTF-8":     {append(refresh, "NETO_URL=api\xff"), nil, []string{"NETO_URL: it has a char"}},

		"stdin, no user name": {refresh, []string{"-password-stdin"}, []string{"NETO_USERNAME"}},
		"stdin, empty":        {password, []string{"-password-stdin"}, []string{"standard input"}},
		"stdin, API key":      {key, []string{"-password-stdin"}, []string{"NETOSECRET"}},
		"account, password":   {password, []string{"-account", "branch"}, []string{"-account", "NETOSECRET"}},
		"account, refresh":    {refresh, []string{"-account", "branch"}, []string{"-account", "NETOSECRET"}},
		"account empty":       {key, []string{"-account", ""}, []string{"-account"}},
		"cache empty":         {key, []string{"-cache="}, []string{"-cache"}},
		"format":              {key, []string{"-format=x"}, []string{"-format is token, header, json or jwt"}},
		"jwt, password":       {password, []string{"-format=jwt"}, []string{"-format jwt", "set NETOSECRET"}},
		"jwt, refresh":        {refresh, []string{"-format=jwt"}, []string{"-format jwt", "set NETOSECRET"}},
		"jwt, nothing":        {nil, []string{"-format=jwt"}, []string{"-format jwt", "set NETOSECRET"}},
		"jwt, cache":          {key, []string{"-format=jwt", "-cache=c"}, []string{"-format jwt", "-cache"}},
		"jwt, demo":           {key, []string{"-format=jwt", "-demo"}, []string{"-format", "-demo"}},
		"demo, format":        {key, []string{"-demo", "-format", "json"}, []string{"-demo", "-format"}},
		"demo, empty":         {key, []string{"-demo", "-cache="}, []string{"-demo", "-cache"}},
		"timeout negative":    {key, []string{"-timeout", "-1s"}, []string{"-timeout", "positive"}},
		"timeout, number":     {key, []string{"-timeout", "5"}, []string{"-timeout: write 5s"}},
		"timeout, fraction":   {key, []string{"-timeout=1.5"}, []string{"-timeout: write 1.5s"}},
		"timeout, word":       {key, []string{"-timeout", "soon"}, []string{"-timeout", "such as 5s"}},
		"unknown flag":        {key, []string{"-password=hidden"}, []string{"-password"}},
		"argument":            {key, []string{"hidden"}, []string{"arguments"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := netotoken(t, tt.env, tt.args...)
			if r.status != 2 || r.stdout != "" {
				t.Errorf("status %d, stdout %q", r.status, r.stdout)
			}
			wantOneLine(t, r, tt.says...)
			wantNoSecret(t, "stderr", r.stderr, srv, tt.env)
			if strings.Contains(r.stderr, "hidden") {
				t.Errorf("stderr repeats what may be a secret: %q", r.stderr)
			}
			wantRequests(t, srv, before)
		})
	}
}

func TestNetotoken_explainsItself(t *testing.T) {
	r := succeed(t, nil, "-h")
	for _, word := range []string{
		"NETOSECRET", "NETO_USERNAME", "NETO_PASSWORD", "NETO_REFRESH_TOKEN", "NETO_URL",
		"-account", "-format", "-cache", "-password-stdin", "-timeout", "-demo", "jwt", "Examples",
		"15 %", "5s", "10s", "FILE.lock", "Exit status", "130",
	} {
		if !strings.Contains(r.stdout, word) {
			t.Errorf("-h does not mention %s", word)
		}
	}
}

func TestNetotoken_saysWhyThereIsNoToken(t *testing.T) {
	srv, other := newServer(t), newServer(t)
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		t.Fatal(err)
	}
	wrong := *key
	wrong.SharedSecret = "another secret"
	badPassword := append(passwordEnv(srv), "NETO_PASSWORD=not-this-one")
	cached := []string{"-cache", newCache(t)}
	gone := netoauthtest.NewServer()
	gone.Close()
	for name, tt := range map[string]struct {
		env  []string
		args []string
		says string
	}{
		"API key refused":       {[]string{"NETOSECRET=" + wrong.Netosecret()}, nil, "401"},
		"password refused":      {badPassword, nil, "401"},
		"refresh token refused": {append(refreshEnv(t, other), "NETO_URL="+srv.URL), nil, "400"},
		"refused, with a cache": {badPassword, cached, "401"},
		"no connection":         {apiKeyEnv(gone), nil, "no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := netotoken(t, tt.env, append([]string{"-format=json"}, tt.args...)...)
			if r.status != 1 || r.stdout != "" {
				t.Errorf("status %d, stdout %q", r.status, r.stdout)
			}
			wantOneLine(t, r, tt.says)
			wantNoSecret(t, "stderr", r.stderr, srv, tt.env)
			if strings.Contains(r.stderr, "next try") {
				t.Errorf("stderr promises another try: %q", r.stderr)
			}
		})
	}
}

func TestNetotoken_givesUpAfterTheTimeout(t *testing.T) {
	srv := newServer(t)
	srv.Fail(-1, netoauthtest.Hang())
	r := netotoken(t, apiKeyEnv(srv), "-timeout", "50ms")
	if r.status != 1 || r.stdout != "" {
		t.Errorf("status %d, stdout %q", r.status, r.stdout)
	}
	wantOneLine(t, r, "within 50ms", "-timeout")
}

func TestNetotoken_demo(t *testing.T) {
	// Credentials in the environment, here broken ones, play no part.
	r := succeed(t, []string{"NETOSECRET=broken", "NETO_USERNAME=ann", "NETO_URL=http://example.com"}, "-demo")
	type row struct{ flow, endpoint, status, lifetime, exchanges string }
	var got []row
	for line := range strings.Lines(r.stdout) {
		if cells := strings.Split(line, "  "); len(cells) >= 6 {
			var full []string
			for _, cell := range cells {
				if cell = strings.TrimSpace(cell); cell != "" {
					full = append(full, cell)
				}
			}
			if len(full) != 6 {
				t.Fatalf("not six columns: %q", line)
			}
			got = append(got, row{full[0], full[1], full[3], full[4], full[5]})
		}
	}
	want := []row{
		{"FLOW", "TOKEN ENDPOINT", "STATUS", "TOKEN LIFETIME", "EXCHANGES"},
		{"API key", "POST " + netoauthtest.APIKeyPath, "200 OK", "5m0s", "1"},
		{"password", "POST " + netoauthtest.PasswordPath, "200 OK", "5m0s", "1"},
		{"refresh token", "POST " + netoauthtest.RefreshPath, "200 OK", "5m0s", "1"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(row{})); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	if strings.Contains(r.stdout, "eyJ") {
		t.Error("the demo prints a token")
	}
	if !strings.Contains(r.stdout, "NETOSECRET") {
		t.Error("the demo does not say what to set")
	}
}

// broken fails each write, as a full disk does.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestNetotoken_failsWhereItCannotPrint(t *testing.T) {
	srv := newServer(t)
	getenv := func(name string) string {
		if name == "NETOSECRET" {
			return srv.Netosecret
		}
		return ""
	}
	for _, arg := range []string{
		"-format=token", "-format=header", "-format=json", "-format=jwt", "-demo", "-h", "-cache=" + newCache(t),
	} {
		var stderr bytes.Buffer
		c := &command{getenv: getenv, stdout: broken{}, stderr: &stderr}
		if status := c.run(t.Context(), []string{arg}); status != 1 || stderr.Len() == 0 {
			t.Errorf("netotoken %s: status %d, stderr %q", arg, status, &stderr)
		}
	}
}
