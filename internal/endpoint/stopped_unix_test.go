//go:build unix

package endpoint_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/netoauth/netoauth/internal/endpoint"
	"golang.org/x/oauth2"
)

// frozenURL, in the environment, makes this program the one that is frozen: the value is where it
// gets its token.
const frozenURL = "NETOAUTH_TEST_FROZEN_URL"

// A program that stood still for longer than its time-out reads the answer that came meanwhile. A
// program cannot stop itself and go on, so this one is another process, and the stop is real.
func TestPost_readsTheAnswerThatCameWhileTheProgramStoodStill(t *testing.T) {
	if url := os.Getenv(frozenURL); url != "" {
		fetchFrozen(url)
		return
	}
	asked, answered := make(chan struct{}), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(asked)
		<-answered
		io.WriteString(w, `{"access_token":"good"}`)
	}))
	defer srv.Close()
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), frozenURL+"="+srv.URL)
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	child.Process.Signal(syscall.SIGSTOP)
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(child.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("it has not stopped: %v", err)
	}
	close(answered)
	time.Sleep(4 * time.Second) // twice its time-out and more
	child.Process.Signal(syscall.SIGCONT)
	said, _ := io.ReadAll(output)
	child.Wait()
	diff(t, "what the program said", "token good, stood still true\n", string(said[:min(len(said), 29)]))
}

// fetchFrozen says what comes of a token request.
func fetchFrozen(url string) {
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Timeout: 1500 * time.Millisecond})
	ctx, cancel := endpoint.WithTimeout(ctx, 1500*time.Millisecond)
	defer cancel()
	res, err := endpoint.Post(ctx, endpoint.Request{URL: url})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("token %s, stood still %t\n", res.Token.AccessToken, endpoint.StoodStill(ctx))
}
