package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
)

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
