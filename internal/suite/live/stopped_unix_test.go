//go:build unix

package live_test

import (
	"context"
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
			child := exec.Command(os.Args[0], "-test.run=^TestTokenSource_sendsNoRefreshTokenOnceTheProgramStoodStill$")
			child.Env = append(os.Environ(), stoppedURL+"="+url, stoppedFlow+"="+tt.flow.Name)
			output, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			defer child.Process.Kill()
			<-arrived
			child.Process.Signal(syscall.SIGSTOP)
			var status syscall.WaitStatus
			if _, err := syscall.Wait4(child.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
				t.Fatalf("it has not stopped: %v", err)
			}
			time.Sleep(3500 * time.Millisecond) // what counts as standing still, and more
			close(release)
			child.Process.Signal(syscall.SIGCONT)
			said, _ := io.ReadAll(output)
			child.Wait()
			if !strings.Contains(string(said), tt.says) {
				t.Errorf("it says %q, want %q in it", said, tt.says)
			}
			suite.Diff(t, "requests", tt.asked, asked.Take())
		})
	}
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
