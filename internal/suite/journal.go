package suite

import (
	"context"
	"log/slog"
	"sync"

	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

// Journal keeps what happened, in order. As a slog.Handler it keeps the level of each record, because
// messages may change.
type Journal struct {
	mu    sync.Mutex
	lines []string
}

// Add adds a line.
func (j *Journal) Add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

// Take returns the lines since the last call.
func (j *Journal) Take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

// Options are callbacks and a Logger that write to the journal.
func (j *Journal) Options() netoauth.Options {
	return netoauth.Options{
		OnToken:    func(*oauth2.Token) { j.Add("OnToken") },
		OnExchange: func(netoauth.Exchange) { j.Add("OnExchange") },
		Logger:     slog.New(j),
	}
}

// Enabled takes all levels.
func (*Journal) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs returns j, which keeps no attributes.
func (j *Journal) WithAttrs([]slog.Attr) slog.Handler { return j }

// WithGroup returns j.
func (j *Journal) WithGroup(string) slog.Handler { return j }

// Handle adds the record's level.
func (j *Journal) Handle(_ context.Context, r slog.Record) error {
	j.Add(r.Level.String())
	return nil
}
