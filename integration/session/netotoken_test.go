package session

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth"
)

// netotoken -cache and a Go program with that file for its Store share one session, each taking
// over what the other has refreshed.
func TestSession_isSharedWithNetotoken(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "netotoken.exe") // a name for every system
	const source = "github.com/netoauth/netoauth/cmd/netotoken"
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, source)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	runFor, refreshes := 10*time.Second, 6 // one in 2.1 s, and one that a log-in may save
	if !thorough {
		runFor, refreshes = 5*time.Second, 4
	}
	for _, flow := range []string{"API key", "password", "refresh token"} {
		t.Run(flow, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, 3*time.Second, 0)
			env := a.environment(t, flow)
			before, end := a.requests(), time.Now().Add(runFor)
			a.runNetotoken(t, binary, env)
			p := a.program("program", flow)
			p.Owner = ownerOf(t, p.Path)
			r := start(t, p)
			runs := 1
			for ; time.Now().Before(end); runs++ {
				a.runNetotoken(t, binary, env)
				time.Sleep(100 * time.Millisecond)
			}
			report := r.stop(t)
			wantNoTrouble(t, p.Name, report)

			got := a.requests().since(before)
			t.Logf("%d runs of netotoken in %v: %+v, the program made %d of them",
				runs, runFor, got, report.Exchanges)
			if got.Refresh > refreshes || got.Refresh < refreshes/3 {
				t.Errorf("%d refreshes, want %d at most, and a third as many at least", got.Refresh, refreshes)
			}
			want := map[string]requests{"API key": {APIKey: 1}, "password": {Password: 1}}[flow]
			want.Refresh = got.Refresh
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("token requests (-want +got):\n%s", diff)
			}
			a.file.Owner = p.Owner
			a.wantAlive(t, a.stored(t).RefreshToken)
		})
	}
}

// environment has the credentials of netotoken.
func (a *api) environment(t *testing.T, flow string) []string {
	t.Helper()
	env := append(os.Environ(), "NETOSECRET=", "NETO_USERNAME=", "NETO_URL="+a.url) // "": not set
	switch flow {
	case "API key":
		return append(env, "NETOSECRET="+a.netosecret(t))
	case "password":
		return append(env, "NETO_USERNAME="+a.Username, "NETO_PASSWORD="+a.Password)
	default:
		return append(env, "NETO_REFRESH_TOKEN="+a.logIn(t).RefreshToken)
	}
}

// netosecret returns the API key, with the address of the server in front.
func (a *api) netosecret(t *testing.T) string {
	t.Helper()
	key, err := netoauth.ParseAPIKey(a.Netosecret)
	if err != nil {
		t.Fatal(err)
	}
	key.URL = a.url
	return key.Netosecret()
}

// runNetotoken runs netotoken, which prints a good token and nothing else.
func (a *api) runNetotoken(t *testing.T, binary string, env []string) {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), binary, "-cache", a.file.Path)
	cmd.Env, cmd.Stderr = env, &stderr
	token, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("netotoken: %v: %s", err, stderr.String())
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+"/api/v1/vpc", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("netotoken's token was answered with %s", resp.Status)
	}
}

// ownerOf returns whose a token file is.
func ownerOf(t *testing.T, path string) string {
	t.Helper()
	var file struct{ Owner string }
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil || file.Owner == "" {
		t.Fatalf("netotoken left no token file: %v", err)
	}
	return file.Owner
}
