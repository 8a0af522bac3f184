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

// journal is a slog.Handler that keeps all records, in all the forms that a handler could make of
// them.
type journal struct {
	*journalText
	handlers []slog.Handler
}

type journalText struct {
	mu      sync.Mutex
	text    bytes.Buffer
	records []record
}

// record is one without what changes from run to run.
type record struct {
	Level   slog.Level
	Message string
}

func newJournal() *journal {
	j := &journal{journalText: new(journalText)}
	debug := &slog.HandlerOptions{Level: slog.LevelDebug}
	j.handlers = []slog.Handler{slog.NewTextHandler(&j.text, debug), slog.NewJSONHandler(&j.text, debug)}
	return j
}

func (j *journal) Enabled(context.Context, slog.Level) bool { return true }

func (j *journal) Handle(ctx context.Context, r slog.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.records = append(j.records, record{r.Level, r.Message})
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

func (j *journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	return j.with(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

func (j *journal) WithGroup(name string) slog.Handler {
	return j.with(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (j *journal) with(change func(slog.Handler) slog.Handler) slog.Handler {
	k := &journal{journalText: j.journalText}
	for _, h := range j.handlers {
		k.handlers = append(k.handlers, change(h))
	}
	return k
}

// levels returns the levels of the records so far, and forgets them.
func (j *journal) levels() []slog.Level {
	j.mu.Lock()
	defer j.mu.Unlock()
	var levels []slog.Level
	for _, r := range j.records {
		levels = append(levels, r.Level)
	}
	j.records = nil
	return levels
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// stage is a world whose credentials log into a journal.
type stage struct {
	*suite.World
	*journal
}

// play runs scene in a bubble and finds secrets in its log.
func play(t *testing.T, scene func(*testing.T, *stage)) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Handle("/", suite.Answer(200, "hello"))
		v := newVault("the app key", string(w.Key.AppKey), "the shared secret", string(w.Key.SharedSecret),
			"the password", string(w.User.Password), "the NETOSECRET", w.Netosecret)
		s := &stage{w, newJournal()}
		s.Ctx = suite.Over(t.Context(), v.tokensOf(w.InProcess().Transport))
		s.Key.Logger, s.User.Logger = slog.New(s.journal), slog.New(s.journal)
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
	debug = slog.LevelDebug
	warn  = slog.LevelWarn
)

// logged checks the levels of the records since it was last called.
func (s *stage) logged(t *testing.T, when string, want ...slog.Level) {
	t.Helper()
	synctest.Wait()
	if got := s.levels(); !slices.Equal(got, want) {
		t.Errorf("%s: logged at %v, want %v:\n%s", when, got, want, s)
	}
}
