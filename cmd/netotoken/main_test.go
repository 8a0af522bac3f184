package main

import (
	"bytes"
	"errors"
	"log"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
)

// asCommand is set in the environment of a test binary that is to be netotoken.
const asCommand = "NETOTOKEN_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(func() int {
		if os.Getenv("GOCOVERDIR") == "" { // where a command that measures its coverage wants to write it
			dir, err := os.MkdirTemp("", "netotoken")
			if err != nil {
				log.Fatal(err)
			}
			defer os.RemoveAll(dir)
			os.Setenv("GOCOVERDIR", dir)
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
	cmd := exec.Command(testBinary(), args...)
	cmd.Env = append(cmd.Env, asCommand+"=1")
	for _, name := range []string{"SYSTEMROOT", "GOCOVERDIR"} {
		cmd.Env = append(cmd.Env, name+"="+os.Getenv(name))
	}
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

func testBinary() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
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
