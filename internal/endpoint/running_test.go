package endpoint_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/netoauth/netoauth/internal/endpoint"
)

// endOf returns what a context's end is, "" while it has none.
func endOf(ctx context.Context) string {
	synctest.Wait()
	select {
	case <-ctx.Done():
		return ctx.Err().Error()
	default:
		if err := ctx.Err(); err != nil {
			return "not yet done, but " + err.Error()
		}
		return ""
	}
}

func TestWithTimeout_endsAfterTheTimeThatTheProgramRuns(t *testing.T) {
	for _, d := range []time.Duration{30 * time.Second, 1500 * time.Millisecond, 100 * time.Millisecond, 1, 0, -1} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := endpoint.WithTimeout(t.Context(), d)
			defer cancel()
			child, cancelChild := context.WithCancel(ctx)
			defer cancelChild()
			if d > 0 {
				time.Sleep(d - 1)
				diff(t, d.String()+", before", "", endOf(ctx))
				time.Sleep(time.Nanosecond)
			}
			diff(t, d.String(), context.DeadlineExceeded.Error(), endOf(ctx))
			diff(t, d.String()+", a child", context.DeadlineExceeded.Error(), endOf(child))
			diff(t, d.String()+", cause", context.DeadlineExceeded, context.Cause(child))
			time.Sleep(time.Hour) // what comes after the end does not count
			diff(t, d.String()+", stood still", false, endpoint.StoodStill(ctx))
			if _, ok := ctx.Deadline(); ok {
				t.Error("it has a deadline")
			}
		})
	}
}

func TestWithTimeout_endsWithItsParent(t *testing.T) {
	why := errors.New("why")
	for _, early := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) { // which fails where a goroutine is left
			type key struct{}
			parent, end := context.WithCancelCause(context.WithValue(t.Context(), key{}, "kept"))
			if early {
				end(why)
			}
			ctx, cancel := endpoint.WithTimeout(parent, time.Minute)
			defer cancel()
			if early && ctx.Err() == nil {
				t.Error("it began after its parent's end")
			}
			diff(t, "value", any("kept"), ctx.Value(key{}))
			time.Sleep(time.Second)
			end(why)
			diff(t, "end", context.Canceled.Error(), endOf(ctx))
			diff(t, "cause", why, context.Cause(ctx), cmpopts.EquateErrors())
			time.Sleep(time.Hour)
			diff(t, "end, later", context.Canceled.Error(), endOf(ctx))
		})
	}
}

func TestWithTimeout_leavesNothingBehindOnceItIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := endpoint.WithTimeout(context.Background(), time.Minute)
		time.Sleep(time.Second)
		cancel()
		diff(t, "end", context.Canceled.Error(), endOf(ctx))
		cancel()
	})
}

func TestStoodStill_isFalseOfOtherContexts(t *testing.T) {
	if endpoint.StoodStill(t.Context()) {
		t.Error("true")
	}
}
