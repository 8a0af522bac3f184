package endpoint

import (
	"context"
	"testing"
	"time"
)

// What the clocks show after a stop cannot be had in a test, but what is made of it can.
func TestRunning_countsASecondOfATimeThatTheProgramStoodStill(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name  string
		left  time.Duration
		steps []time.Duration // between two looks at the clocks
		want  time.Duration
		stood bool
	}{
		{"no stop", 30 * time.Second, []time.Duration{250 * ms, 999 * ms, 0}, 28751 * ms, false},
		{"a stop", 30 * time.Second, []time.Duration{250 * ms, time.Hour, 250 * ms}, 28500 * ms, true},
		{"the shortest", 30 * time.Second, []time.Duration{3 * time.Second}, 29 * time.Second, true},
		{"a slow machine", 30 * time.Second, []time.Duration{2999 * ms}, 29 * time.Second, false},
		{"two", 30 * time.Second, []time.Duration{time.Minute, time.Minute}, 28 * time.Second, true},
		{"a stop near the end", 300 * ms, []time.Duration{time.Minute}, time.Second, true},
		{"near the end, and on", 300 * ms, []time.Duration{time.Minute, 400 * ms}, 600 * ms, true},
		{"the end", 300 * ms, []time.Duration{250 * ms, 50 * ms}, 0, false},
	} {
		start := time.Now().Round(0)
		r := &running{Context: context.Background(), left: tt.left, seen: start}
		got := tt.left
		for _, step := range tt.steps {
			start = start.Add(step)
			got = r.look(start)
		}
		if got != tt.want || r.hasStood() != tt.stood {
			t.Errorf("%s: %v left, stood still %t; want %v, %t", tt.name, got, r.hasStood(), tt.want, tt.stood)
		}
	}
}

func TestStoodStill_holdsForWhatIsMadeOfAContextLater(t *testing.T) {
	parent, cancel := WithTimeout(context.Background(), time.Minute)
	defer cancel()
	parent.Value(runningKey{}).(*running).look(time.Now().Add(time.Hour))
	child, cancel := WithTimeout(parent, time.Minute)
	defer cancel()
	if !StoodStill(child) {
		t.Error("false")
	}
}
