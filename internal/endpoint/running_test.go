package endpoint_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth/internal/endpoint"
)

func TestWithTimeout_endsAsAContextDoes(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, time.Second, 2500 * time.Millisecond, 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			ctx, cancel := endpoint.WithTimeout(t.Context(), d)
			defer cancel()
			child, cancelChild := context.WithCancel(ctx)
			defer cancelChild()
			<-child.Done()
			diff(t, "time", d.String(), time.Since(start).String())
			diff(t, "error", "context deadline exceeded", fmt.Sprint(ctx.Err()))
			diff(t, "the cause of a context below", "context deadline exceeded", fmt.Sprint(context.Cause(child)))
			diff(t, "whether it stood still", false, endpoint.StoodStill(child))
		})
	}
}

// The bubble fails where a timer is left for ever, and the clock where one fires.
func TestWithTimeout_endsWithItsParentAndWithCancel(t *testing.T) {
	for name, end := range map[string]func(cancel, cancelParent context.CancelFunc){
		"cancel": func(cancel, _ context.CancelFunc) { cancel() },
		"parent": func(_, cancelParent context.CancelFunc) { cancelParent() },
	} {
		synctest.Test(t, func(t *testing.T) {
			parent, cancelParent := context.WithCancel(t.Context())
			defer cancelParent()
			ctx, cancel := endpoint.WithTimeout(parent, time.Minute)
			defer cancel()
			if err := ctx.Err(); err != nil {
				t.Fatal(err)
			}
			end(cancel, cancelParent)
			<-ctx.Done()
			diff(t, name, "context canceled", fmt.Sprint(ctx.Err()))
			time.Sleep(time.Hour)
			diff(t, name+", an hour later", "context canceled", fmt.Sprint(ctx.Err()))
		})
	}
}

func TestStoodStill_isFalseOfAnotherContext(t *testing.T) {
	diff(t, "StoodStill", false, endpoint.StoodStill(t.Context()))
}

// frozen names the environment variable that makes TestWithTimeout_countsTheTimeThatTheProgramRuns
// the program to be frozen.
const frozen = "NETOAUTH_TEST_FROZEN"

// child is the program: it has 3 s, says that it runs, and says how these ended.
func child() {
	ctx, cancel := endpoint.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	outer, cancelOuter := endpoint.WithTimeout(context.Background(), time.Hour)
	defer cancelOuter()
	inner, cancelInner := endpoint.WithTimeout(outer, time.Hour)
	defer cancelInner()
	last := time.Now()
	fmt.Println("runs")
	for range 1000 { // until it is frozen
		time.Sleep(10 * time.Millisecond)
		passed := time.Since(last)
		last = last.Add(passed)
		if passed > 4*time.Second {
			fmt.Println("alive:", ctx.Err() == nil, "stood still:", endpoint.StoodStill(ctx), endpoint.StoodStill(inner))
			<-ctx.Done()
			fmt.Println("ended:", errors.Is(ctx.Err(), context.DeadlineExceeded))
			return
		}
	}
	fmt.Println("was not frozen")
}

func TestMain(m *testing.M) {
	if os.Getenv(frozen) != "" {
		child()
		return
	}
	os.Exit(m.Run())
}

// command returns the program to be frozen.
func command(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), frozen+"=1")
	return cmd
}
