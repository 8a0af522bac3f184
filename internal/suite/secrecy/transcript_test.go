package secrecy_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth/internal/suite"
)

// transcript is a slog.Handler that keeps all records, in all the forms that a handler could make of
// them, and their levels in a Journal.
type transcript struct {
	*transcriptText
	handlers []slog.Handler
}

type transcriptText struct {
	suite.Journal

	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func newTranscript() *transcript {
	j := &transcript{transcriptText: new(transcriptText)}
	debug := &slog.HandlerOptions{Level: slog.LevelDebug}
	j.handlers = []slog.Handler{slog.NewTextHandler(&j.text, debug), slog.NewJSONHandler(&j.text, debug)}
	return j
}

func (j *transcript) Handle(ctx context.Context, r slog.Record) error {
	j.Journal.Handle(ctx, r)
	j.mu.Lock()
	defer j.mu.Unlock()
	r.Attrs(func(a slog.Attr) bool {
		x := a.Value.Any()
		fmt.Fprintf(&j.text, "%s %v %+v %#v %s %q\n", a.Key, x, x, x, x, x)
		return true
	})
	for _, h := range j.handlers {
		if err := h.Handle(ctx, r.Clone()); err != nil {
			return err
		}
	}
	return nil
}

func (j *transcript) WithAttrs(attrs []slog.Attr) slog.Handler {
	return j.with(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

func (j *transcript) WithGroup(name string) slog.Handler {
	return j.with(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (j *transcript) with(change func(slog.Handler) slog.Handler) slog.Handler {
	k := &transcript{transcriptText: j.transcriptText}
	for _, h := range j.handlers {
		k.handlers = append(k.handlers, change(h))
	}
	return k
}

func (j *transcript) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// stage is a world whose credentials log into a transcript.
type stage struct {
	*suite.World
	*transcript
}

// play runs scene in a bubble and finds secrets in its log.
func play(t *testing.T, scene func(*testing.T, *stage)) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Handle("/", suite.Answer(200, "hello"))
		v := newVault("the app key", string(w.Key.AppKey), "the shared secret", string(w.Key.SharedSecret),
			"the password", string(w.User.Password), "the NETOSECRET", w.Netosecret)
		s := &stage{w, newTranscript()}
		s.Ctx = suite.Over(t.Context(), v.tokensOf(w.InProcess().Transport))
		s.Key.Logger, s.User.Logger = slog.New(s.transcript), slog.New(s.transcript)
		scene(t, s)
		time.Sleep(time.Minute) // for what is under way
		if s.String() == "" {
			t.Error("nothing was logged")
		}
		v.check(t, "the log", s.String())
		for line := range strings.Lines(s.String()) {
			if strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\r\x1b\x00") {
				t.Errorf("a log line has control characters: %q", line)
			}
		}
	})
}

// get sends a request and returns the status of its answer, 0 where there is none.
func (s *stage) get(client *http.Client) int {
	resp, err := client.Get(s.URL + "/things")
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

const (
	debug = "DEBUG"
	warn  = "WARN"
)

// logged checks the levels of the records since it was last called.
func (s *stage) logged(t *testing.T, when string, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := s.Take(); !slices.Equal(got, want) {
		t.Errorf("%s: logged at %v, want %v:\n%s", when, got, want, s)
	}
}
