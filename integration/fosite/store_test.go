package fosite_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/tokenfile"
)

const (
	programEnv      = "NETOAUTH_FOSITE_PROGRAM" // a program in JSON, to be run instead of the tests
	sharedRefreshes = 5                         // after which programs end
	sharedLifetime  = 3 * time.Second           // of an access token; fosite says 2 s where it rounds
	guard           = time.Minute               // only for what hangs
)

// program calls the API until the session that it shares with others has been refreshed a few times.
type program struct{ URL, RefreshToken, Path string }

// TestMain runs the tests or, in a child process, one program.
func TestMain(m *testing.M) {
	text, ok := os.LookupEnv(programEnv)
	if !ok {
		os.Exit(m.Run())
	}
	var p program
	err := json.Unmarshal([]byte(text), &p)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), guard)
		defer cancel()
		err = p.run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (p program) file() *tokenfile.File { return &tokenfile.File{Path: p.Path, Owner: p.URL} }

// run calls the API twenty times a second. Any answer but 200 ends it.
func (p program) run(ctx context.Context) error {
	r := netoauth.Refresh{
		URL:          p.URL,
		RefreshToken: netoauth.Secret(p.RefreshToken),
		Options:      netoauth.Options{Store: p.file()},
	}
	src := r.TokenSource(ctx)
	client := &http.Client{Transport: &netoauth.Transport{Source: src}}
	for refreshes := 0; refreshes < sharedRefreshes; time.Sleep(50 * time.Millisecond) {
		req, err := http.NewRequestWithContext(ctx, "GET", p.URL+listPath, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		err = json.NewDecoder(resp.Body).Decode(&refreshes)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d after %d refreshes", resp.StatusCode, refreshes)
		}
		if err != nil {
			return err
		}
	}
	return netoauth.Wait(ctx, src)
}

// start runs p in a process of its own.
func (p program) start(ctx context.Context) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), programEnv+"="+string(text))
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return nil
}

// Programs that share a Store, and one refresh token to begin with, share one session: none is thrown
// out, and they refresh no more often than one program does. Where a rotation ends the previous access
// token, each other program meets a 401 and finds the next token in the Store.
func TestStore_programsShareOneSession(t *testing.T) {
	for _, server := range []struct {
		name       string
		keepAccess bool
	}{
		{"access tokens live to their end", true},
		{"a rotation ends the previous access token", false},
	} {
		for _, tt := range []struct {
			name            string
			here, processes int
		}{
			{"two processes", 0, 2},
			{"three sources here and three processes", 3, 3},
		} {
			t.Run(server.name+", "+tt.name, func(t *testing.T) {
				t.Parallel()
				s := newServer(sharedLifetime, time.Hour)
				s.store.keepAccess = server.keepAccess
				s.share(t, tt.here, tt.processes)
			})
		}
	}
}

// share runs programs in this process and in others, and holds what they have done to the session.
func (s *server) share(t *testing.T, here, processes int) {
	site := httptest.NewServer(s.mux)
	defer site.Close()
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	p := program{
		URL:          site.URL,
		RefreshToken: exchange(t, ctx, s.withPassword(site.URL, netoauth.Options{})).RefreshToken,
		Path:         filepath.Join(t.TempDir(), "session"),
	}
	began := time.Now()
	ended := make(chan error)
	for range here {
		go func() { ended <- p.run(ctx) }()
	}
	for range processes {
		go func() { ended <- p.start(ctx) }()
	}
	for range here + processes {
		if err := <-ended; err != nil {
			t.Errorf("a program was thrown out: %v", err)
		}
	}
	// A token that is said to live 2 s is renewed after 1.4 s at the earliest.
	most := 1 + int(time.Since(began)/(1400*time.Millisecond))
	got := s.answered()
	if got.LogIns != 1 || got.Refused != 0 || got.Refreshes > most {
		t.Errorf("token requests %+v, want one log-in, none refused, and %d refreshes at most", got, most)
	}
	stored, err := p.file().Load(ctx)
	if err != nil || stored == nil {
		t.Fatalf("stored token %v, error %v", stored != nil, err)
	}
	if _, err := s.refresh(t, stored.RefreshToken); err != nil {
		t.Errorf("the session is lost: %v", err)
	}
}
