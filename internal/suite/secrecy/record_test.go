package secrecy_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
)

// The keys are for alerts, so they are stable. Durations are texts that a person can read.
func TestOptions_loggerGetsTheAttributesOfAnExchange(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		var log bytes.Buffer
		w.Key.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		w.Delay(1500 * time.Millisecond)
		record := func() map[string]any {
			t.Helper()
			var r map[string]any
			if err := json.Unmarshal(log.Bytes(), &r); err != nil {
				t.Fatalf("%q is not one record: %v", log.String(), err)
			}
			log.Reset()
			delete(r, "time")
			delete(r, "msg")
			return r
		}
		tok, err := w.Key.Token(w.Ctx)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"level": "DEBUG", "flow": "API key", "account": "example",
			"endpoint": w.URL + netoauthtest.APIKeyPath, "took": "1.5s", "expiry": tok.Expiry.Format(time.RFC3339Nano)}
		suite.Diff(t, "record of an exchange", want, record())

		w.Fail(-1, netoauthtest.Status(403, "Retry-After", "600"))
		_, err = w.Key.TokenSource(w.Ctx).Token()
		got := record()
		retryIn, _ := got["retry_in"].(string)
		if d, err := time.ParseDuration(retryIn); err != nil || d < 10*time.Minute || d > 615*time.Second {
			t.Errorf("retry_in is %v, want a text of 10m to 10m15s", got["retry_in"])
		}
		said, _ := got["err"].(string)
		if said == "" || !strings.HasPrefix(err.Error(), said) {
			t.Errorf("err is %q, want the error %q without when the next try is", got["err"], err)
		}
		delete(got, "retry_in")
		delete(got, "err")
		delete(want, "expiry")
		want["level"] = "WARN"
		suite.Diff(t, "record of a failed exchange", want, got)
	})
}
