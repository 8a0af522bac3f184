//go:build unix

package endpoint_test

import (
	"bufio"
	"io"
	"syscall"
	"testing"
	"time"
)

// Of a program that was frozen for longer than its deadline, the deadline is not over, so that it
// reads an answer that has come meanwhile.
func TestWithTimeout_countsTheTimeThatTheProgramRuns(t *testing.T) {
	cmd := command(t)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if first, err := lines.ReadString('\n'); first != "runs\n" {
		t.Fatalf("%q, %v", first, err)
	}
	cmd.Process.Signal(syscall.SIGSTOP)
	time.Sleep(5 * time.Second) // of another process: no bubble has it
	cmd.Process.Signal(syscall.SIGCONT)
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	diff(t, "what it said", "alive: true stood still: true true\nended: true\n", string(rest))
}
