//go:build unix

package live_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

// stoppedURL and stoppedFlow, in the environment, make this program the one that is stopped: they are
// where it asks for a token, and how.
const stoppedURL, stoppedFlow = "NETOAUTH_TEST_STOPPED_URL", "NETOAUTH_TEST_STOPPED_FLOW"

// Another program may have used the refresh token while this one stood still, so it sends none any
// more in that exchange. A program cannot stop itself and go on, so this one is another process, and
// the stop is real.
func TestTokenSource_sendsNoRefreshTokenOnceTheProgramStoodStill(t *testing.T) {
	if url := os.Getenv(stoppedURL); url != "" {
		signInStopped(url, os.Getenv(stoppedFlow))
		return
	}
	for _, tt := range []struct {
		name    string
		flow    suite.Flow
		during  int32 // which request it stands still
		answers []suite.Response
		asked   []string
		says    string
	}{
		{"a quick try of Refresh", suite.Refresh, 1, []suite.Response{overload}, []string{"refresh stored"}, "stood still"},
		{"Refresh's own, after a refusal", suite.Refresh, 1, []suite.Response{refuses}, []string{"refresh stored"}, "400"},
		{"in turn with log-ins", suite.Password, 1, []suite.Response{overload, overload, issues("A")},
			[]string{"refresh stored", "log in", "log in"}, "token A"},
		{"once a log-in is refused", suite.Password, 2, []suite.Response{gateway, rejects},
			[]string{"refresh stored", "log in"}, "401"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var asked suite.Journal
			var requests atomic.Int32
			arrived, release := make(chan struct{}), make(chan struct{})
			url := suite.Serve(t, func(w http.ResponseWriter, r *http.Request) {
				what := "log in"
				if token := r.FormValue("refresh_token"); token != "" {
					what = "refresh " + token
				}
				asked.Add(what)
				n := requests.Add(1)
				if n == tt.during {
					close(arrived)
					<-release
				}
				tt.answers[min(int(n), len(tt.answers))-1].ServeHTTP(w, r)
			})
			child, output := startSelf(t, stoppedURL+"="+url, stoppedFlow+"="+tt.flow.Name)
			<-arrived
			goOn := stop(t, child)
			time.Sleep(3500 * time.Millisecond) // what counts as standing still, and more
			close(release)
			goOn()
			said, _ := io.ReadAll(output)
			if !strings.Contains(string(said), tt.says) {
				t.Errorf("it says %q, want %q in it", said, tt.says)
			}
			suite.Diff(t, "requests", tt.asked, asked.Take())
		})
	}
}

// startSelf runs the test once more, as another process with more in its environment. Its output ends
// with it.
func startSelf(t *testing.T, env ...string) (child *exec.Cmd, output io.Reader) {
	t.Helper()
	test, _, _ := strings.Cut(t.Name(), "/")
	child = exec.Command(os.Args[0], "-test.run=^"+test+"$")
	child.Env = append(os.Environ(), env...)
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		child.Process.Kill()
		child.Wait()
	})
	return child, output
}

// stop stops a process, until goOn is called.
func stop(t *testing.T, child *exec.Cmd) (goOn func()) {
	t.Helper()
	child.Process.Signal(syscall.SIGSTOP)
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(child.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("it has not stopped: %v", err)
	}
	return func() { child.Process.Signal(syscall.SIGCONT) }
}

// signInStopped says what comes of a token request.
func signInStopped(url, flow string) {
	stored := &oauth2.Token{RefreshToken: "stored"}
	a := suite.Account{User: netoauth.Password{URL: url, Username: "ann", Password: "the password"}, RefreshToken: "own"}
	for _, f := range suite.Flows {
		if f.Name == flow {
			c := a.Credential(f, netoauth.Options{InitialToken: stored})
			tok, err := c.TokenSource(context.Background()).Token()
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Println("token", tok.AccessToken)
		}
	}
}

// loadTooLong, in the environment, makes this program the one whose Load takes too long.
const loadTooLong = "NETOAUTH_TEST_LOAD_TOO_LONG"

// A Load that took over 5 s is one that used up its time, also in a program that was too slow, or stood
// still too long, for its context to have ended by then.
func TestStore_loadThatTookTooLongIsFollowedByNoUpdate(t *testing.T) {
	if url := os.Getenv(loadTooLong); url != "" {
		p := netoauth.Password{URL: url, Username: "ann", Password: "the password"}
		p.Store = tooLong{}
		tok, err := p.TokenSource(context.Background()).Token()
		fmt.Println(tok.AccessToken, err)
		return
	}
	t.Parallel()
	child, output := startSelf(t, loadTooLong+"="+suite.Serve(t, issues("A").ServeHTTP))
	lines := bufio.NewScanner(output)
	lines.Scan()
	suite.Diff(t, "first call", "Load", lines.Text())
	goOn := stop(t, child)
	time.Sleep(2500 * time.Millisecond) // of which the context counts one second
	goOn()
	lines.Scan()
	suite.Diff(t, "what follows", "A <nil>", lines.Text())
}

// tooLong is a Store that fails after more than the time it has.
type tooLong struct{}

func (tooLong) Load(context.Context) (*oauth2.Token, error) {
	fmt.Println("Load")
	time.Sleep(5500 * time.Millisecond)
	return nil, errors.New("out of order")
}

func (tooLong) Update(context.Context, func(*oauth2.Token) (*oauth2.Token, error)) error {
	fmt.Println("Update")
	return errors.New("out of order")
}
