package secrecy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

// quotingStore has a spent token that is never replaced. Its errors quote that token, as those of a
// database may.
type quotingStore struct {
	token  oauth2.Token
	quoted string
	before bool // Update fails before it calls its function, else afterwards
}

func (s *quotingStore) err() error {
	return errors.New("no row has " + s.quoted)
}

func (s *quotingStore) Load(context.Context) (*oauth2.Token, error) { return &s.token, nil }

func (s *quotingStore) Update(_ context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
	if s.before {
		return s.err()
	}
	if _, err := f(&s.token); err != nil {
		return err
	}
	return s.err()
}

func TestStore_errorThatQuotesTheStoredTokenIsWithheld(t *testing.T) {
	for name, before := range map[string]bool{"before the exchange": true, "after it": false} {
		t.Run(name, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
				w.Fail(-1, suite.Answer(200, plainKit.answer()))
				s := &quotingStore{token: *plainKit.initial(), before: before}
				s.token.Expiry = time.Now()
				var log bytes.Buffer
				logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				for flow, c := range plainKit.account(w.URL).All(netoauth.Options{Store: s, Logger: logger}) {
					for _, s.quoted = range []string{s.token.AccessToken, s.token.RefreshToken} {
						src := c.TokenSource(w.Ctx)
						_, err := src.Token()
						netoauth.Wait(w.Ctx, src)
						plainKit.vault().check(t, flow, fmt.Sprint(err, log.String()))
						log.Reset()
					}
				}
			})
		})
	}
}
