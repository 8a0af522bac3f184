package secrecy_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

func TestOptions_loggerGetsDebugForAnExchange(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		for _, c := range []suite.Credential{s.Key, s.User} {
			tok, err := c.Token(s.Ctx)
			if err != nil {
				t.Fatal(err)
			}
			s.logged(t, "Token", debug)
			renewed := &netoauth.Refresh{URL: s.URL, RefreshToken: netoauth.Secret(tok.RefreshToken),
				Options: netoauth.Options{Logger: s.Key.Logger}}
			if _, err := renewed.Token(s.Ctx); err != nil {
				t.Fatal(err)
			}
			s.logged(t, "Token of Refresh", debug)
			src := c.TokenSource(s.Ctx)
			for range 3 {
				suite.MustToken(t, src)
			}
			s.logged(t, "three tokens from a source", debug)
		}
	})
}

func TestOptions_loggerGetsWarnForAFallBack(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		for _, c := range []suite.Credential{s.Key, s.User} {
			client := c.Client(s.Ctx)
			s.get(client)
			s.logged(t, "the first log-in", debug)
			time.Sleep(5 * time.Minute)
			s.get(client)
			s.logged(t, "a refresh", debug)
			s.RevokeRefreshTokens()
			time.Sleep(5 * time.Minute)
			suite.Diff(t, "status", 200, s.get(client))
			s.logged(t, "a refused refresh", warn, debug)
		}
		if !strings.Contains(s.String(), "refresh") {
			t.Errorf("the log does not say what happened:\n%s", s.transcript)
		}
	})
}

func TestOptions_loggerGetsWarnForAFailedRenewal(t *testing.T) {
	for name, fault := range map[string]http.Handler{
		"503":     netoauthtest.Status(503, "Retry-After", "20"),
		"401":     netoauthtest.Status(401),
		"dropped": netoauthtest.Drop(),
		"cut off": netoauthtest.CutOff(),
		"hanging": netoauthtest.Hang(),
		"HTML":    netoauthtest.Answer(200, "text/html", "<html>\r\n\x1b[31m"),
		"echo": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			raw, credentials := sent(r)
			text := raw + "\n" + strings.Join(credentials, "\n")
			inJSON(w, 500, map[string]any{"status": 500, "name": "Echo\n", "message": text}, true)
		}),
		"echo in HTML": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			raw, credentials := sent(r)
			w.WriteHeader(400)
			io.WriteString(w, raw+"\n"+strings.Join(credentials, "\n"))
		}),
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, s *stage) {
				for _, c := range []suite.Credential{s.Key, s.User} {
					client := c.Client(s.Ctx)
					suite.Diff(t, "status", 200, s.get(client))
					s.logged(t, "the first log-in", debug)
					s.Fail(-1, fault)
					time.Sleep(5 * time.Minute)
					s.get(client)
					time.Sleep(time.Minute)
					synctest.Wait()
					if got := s.Take(); !slices.Contains(got, warn) || slices.Contains(got, slog.LevelError.String()) {
						t.Errorf("a failed renewal was logged at %v, want Warn", got)
					}
					s.Fail(0, nil)
					time.Sleep(5 * time.Minute)
					suite.Diff(t, "status", 200, s.get(client))
					s.Take()
				}
			})
		})
	}
}

func TestOptions_loggerGetsTheRenewalThatA401Forces(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		for _, c := range []suite.Credential{s.Key, s.User} {
			client := c.Client(s.Ctx)
			s.get(client)
			s.Take()
			s.RevokeAccessTokens()
			suite.Diff(t, "status", 200, s.get(client))
			if got := s.Take(); !slices.Contains(got, debug) {
				t.Errorf("a renewal forced by a 401 was logged at %v, want Debug", got)
			}
			s.RevokeAccessTokens()
			s.RevokeRefreshTokens()
			time.Sleep(time.Minute)
			suite.Diff(t, "status", 200, s.get(client))
			if got := s.Take(); !slices.Contains(got, warn) {
				t.Errorf("a fall-back was logged at %v, want Warn", got)
			}
		}
	})
}

func TestOptions_loggerGetsWarnForAWrongClock(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.SetClock(-2 * time.Hour)
		if _, err := s.Key.Token(s.Ctx); err != nil {
			t.Fatal(err)
		}
		s.logged(t, "a log-in with a wrong clock", warn, debug)
	})
}

func TestOptions_loggerGetsWarnForARefusedRefreshToken(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		tok, err := s.User.Token(s.Ctx)
		if err != nil {
			t.Fatal(err)
		}
		s.Take()
		r := &netoauth.Refresh{URL: s.URL, RefreshToken: netoauth.Secret(tok.RefreshToken),
			Options: netoauth.Options{Logger: s.Key.Logger}}
		src := r.TokenSource(s.Ctx)
		suite.MustToken(t, src)
		s.logged(t, "a refresh", debug)
		s.RevokeRefreshTokens()
		time.Sleep(5 * time.Minute)
		if _, err := src.Token(); !errors.Is(err, netoauth.ErrRejected) {
			t.Fatal(err)
		}
		s.logged(t, "a refused refresh", warn)
	})
}

func TestOptions_loggerNilIsSilent(t *testing.T) {
	j := newTranscript()
	old := slog.Default()
	slog.SetDefault(slog.New(j))
	defer slog.SetDefault(old)
	k := plainKit
	for _, code := range []int{200, 401, 503} {
		ctx := suite.Over(t.Context(), suite.Answer(code, k.answer()))
		for _, c := range k.account("https://api.test").All(netoauth.Options{}) {
			c.Token(ctx)
		}
	}
	if s := j.String(); s != "" {
		t.Errorf("logged to slog's default: %s", s)
	}
}

func TestOptions_loggerNamesFlowAndEndpoint(t *testing.T) {
	k := plainKit
	for _, f := range suite.Flows {
		j := newTranscript()
		ctx := suite.Over(t.Context(), suite.Answer(200, k.answer()))
		c := k.account("https://api.test").Credential(f, netoauth.Options{Logger: slog.New(j), OnToken: func(*oauth2.Token) {}})
		if _, err := c.Token(ctx); err != nil {
			t.Fatal(err)
		}
		if s := j.String(); !strings.Contains(s, f.Name) || !strings.Contains(s, "https://api.test"+f.Path) {
			t.Errorf("%s: the log names not both flow and endpoint: %s", f.Name, s)
		}
		k.vault().check(t, "the log", j.String())
	}
}
