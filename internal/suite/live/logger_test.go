package live_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// records are what a JSON handler wrote.
type records struct {
	mu sync.Mutex
	bytes.Buffer
}

func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Buffer.Write(p)
}

func (r *records) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (r *records) take(t *testing.T) (all []map[string]any) {
	t.Helper()
	for line := range bytes.Lines(r.Bytes()) {
		var record map[string]any
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		delete(record, "time")
		delete(record, "msg")
		all = append(all, record)
	}
	r.Reset()
	return all
}

func TestOptions_loggerGetsOneRecordAnExchange(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Delay(1500 * time.Millisecond)
		r := new(records)
		c := w.Credential(suite.APIKey, netoauth.Options{Logger: r.logger()})
		tok, err := c.Token(w.Ctx)
		if err != nil {
			t.Fatal(err)
		}
		endpoint := w.URL + netoauthtest.APIKeyPath
		suite.Diff(t, "records of a token", []map[string]any{{
			"level": "DEBUG", "flow": "API key", "account": "example", "endpoint": endpoint, "took": "1.5s",
			"expiry": tok.Expiry.Format(time.RFC3339Nano),
		}}, r.take(t))

		w.Fail(-1, netoauthtest.Status(401))
		_, err = c.Token(w.Ctx)
		suite.Diff(t, "records of a failed Token", []map[string]any{{
			"level": "WARN", "flow": "API key", "account": "example", "endpoint": endpoint, "took": "1.5s",
			"err": err.Error(), "retry_in": "0s",
		}}, r.take(t))

		var retryIn time.Duration
		key := *w.Key
		key.Logger, key.OnExchange = r.logger(), func(e netoauth.Exchange) { retryIn = e.RetryIn }
		src := key.TokenSource(w.Ctx)
		src.Token()
		src.Token() // the last error again, without an exchange
		got := r.take(t)
		suite.Diff(t, "records of a failed source", []map[string]any{{
			"level": "WARN", "flow": "API key", "account": "example", "endpoint": endpoint, "took": "1.5s",
			"err": err.Error(), "retry_in": retryIn.String(),
		}}, got)
	})
}

// The record of an exchange that sent nothing names no endpoint.
func TestOptions_loggerNamesNoEndpointWhereNothingWasSent(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		r := new(records)
		s := newStore(mustLogIn(t, w, spent))
		o := netoauth.Options{Store: s, Logger: r.logger()}
		src := w.Credential(suite.Refresh, o).TokenSource(w.Ctx)
		suite.MustToken(t, src)
		r.take(t)
		time.Sleep(spent)
		s.before = failing
		src.Token()
		got := r.take(t)
		if len(got) != 1 || got[0]["endpoint"] != "" {
			t.Errorf("records %v, want one with an endpoint of \"\"", got)
		}
	})
}

func TestOptions_loggerWarnsOfEachFallBack(t *testing.T) {
	fallBack := []string{"account", "err", "flow", "level"}
	issued := []string{"account", "endpoint", "expiry", "flow", "level", "took"}
	for _, tt := range []struct {
		name string
		keys []string
		make func(t *testing.T, w *suite.World, o netoauth.Options) suite.Credential
	}{
		{"a refused refresh token", fallBack, func(t *testing.T, w *suite.World, o netoauth.Options) suite.Credential {
			o.InitialToken = &oauth2.Token{RefreshToken: "refused"}
			return w.Credential(suite.Password, o)
		}},
		{"a stored refresh token that is refused", fallBack, func(t *testing.T, w *suite.World, o netoauth.Options) suite.Credential {
			o.InitialToken = &oauth2.Token{RefreshToken: "refused"}
			return signIn(t, w, suite.Refresh, o)
		}},
		{"a refresh token that met a fault", fallBack, func(t *testing.T, w *suite.World, o netoauth.Options) suite.Credential {
			o.InitialToken = mustLogIn(t, w, spent)
			w.Fail(-1, netoauthtest.Status(500), netoauthtest.RefreshPath)
			return w.Credential(suite.Password, o)
		}},
		{"a wrong clock", []string{"account", "clock_off_by", "flow", "level"}, func(t *testing.T, w *suite.World, o netoauth.Options) suite.Credential {
			w.SetClock(time.Hour)
			return w.Credential(suite.APIKey, o)
		}},
		{"a replaced secret", fallBack, func(t *testing.T, w *suite.World, o netoauth.Options) suite.Credential {
			return reloadings["password"].make(w, replaced, o, func(context.Context) (*reloaded, error) { return new(reloaded), nil })
		}},
		{"a Store without a lock", fallBack, func(t *testing.T, w *suite.World, o netoauth.Options) suite.Credential {
			s := newStore(nil)
			s.before = failing
			o.Store = s
			return w.Credential(suite.Password, o)
		}},
		{"a Store that cannot be written", fallBack, func(t *testing.T, w *suite.World, o netoauth.Options) suite.Credential {
			s := newStore(nil)
			s.after = failing
			o.Store = s
			return w.Credential(suite.Password, o)
		}},
	} {
		suite.RunInBubble(t, tt.name, func(t *testing.T, w *suite.World) {
			r := new(records)
			suite.MustToken(t, tt.make(t, w, netoauth.Options{Logger: r.logger()}).TokenSource(w.Ctx))
			var levels []any
			var keys [][]string
			for _, record := range r.take(t) {
				levels = append(levels, record["level"])
				keys = append(keys, slices.Sorted(maps.Keys(record)))
			}
			suite.Diff(t, "levels", []any{"WARN", "DEBUG"}, levels)
			suite.Diff(t, "keys", [][]string{tt.keys, issued}, keys)
		})
	}
}

// All records after Reload are of the account that it has brought.
func TestOptions_loggerNamesTheAccountInUse(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		r := new(records)
		s := newStore(nil)
		s.after = failing
		p := netoauth.Password{URL: w.URL, Username: "ann", Password: "a wrong one"}
		p.Store, p.Logger = s, r.logger()
		p.Reload = func(context.Context) (*netoauth.Password, error) {
			return &netoauth.Password{Username: w.Username, Password: netoauth.Secret(w.Password)}, nil
		}
		suite.MustToken(t, p.TokenSource(w.Ctx))
		var accounts []any
		for _, record := range r.take(t) {
			accounts = append(accounts, record["account"])
		}
		suite.Diff(t, "accounts: trying again, not stored, issued", []any{w.Username, w.Username, w.Username}, accounts)
	})
}
