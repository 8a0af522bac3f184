package clock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth/internal/clock"
)

func TestCoarse_isUpToItsLagBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock.Coarse
		first := c.Now()
		if !first.Equal(time.Now()) {
			t.Errorf("the first reading is %v, want the time", first)
		}
		time.Sleep(clock.Lag - time.Nanosecond)
		if got := c.Now(); !got.Equal(first) {
			t.Errorf("just before the lag: %v later, want the first reading", got.Sub(first))
		}
		time.Sleep(time.Nanosecond)
		if got := c.Now(); !got.Equal(time.Now()) {
			t.Errorf("after the lag: %v behind, want the time", time.Since(got))
		}
	})
}

func TestCoarse_readsAnewInABubble(t *testing.T) {
	var c clock.Coarse
	c.Now()
	synctest.Test(t, func(t *testing.T) {
		if got := c.Now(); !got.Equal(time.Now()) {
			t.Errorf("%v in the bubble, want its time %v", got, time.Now())
		}
	})
	if got := c.Now(); time.Since(got).Abs() > time.Hour {
		t.Errorf("%v after the bubble", got)
	}
}
