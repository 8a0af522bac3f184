package secrecy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// journal is a slog.Handler that keeps all records, in all the forms that a handler could make of them.
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

// tokensOf makes v look for all tokens that go through, in requests and answers.
func (v *vault) tokensOf(base http.RoundTripper) http.RoundTripper {
	return v.watch(roundTripper(func(r *http.Request) (*http.Response, error) {
		if auth := r.Header.Get("Authorization"); auth != "" {
			v.add("an access token", strings.TrimPrefix(auth, "Bearer "))
		}
		resp, err := base.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		resp.Body = io.NopCloser(bytes.NewReader(body))
		if err != nil {
			resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
		}
		var m map[string]any
		if json.Unmarshal(body, &m) == nil {
			for name, x := range m {
				if s, _ := x.(string); strings.HasSuffix(name, "_token") {
					v.add(name, s)
				}
			}
		}
		return resp, nil
	}))
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// stage is a strict API and a user of it, in a bubble, that logs into a journal.
type stage struct {
	*netoauthtest.Server
	*journal
	vault *vault
	ctx   context.Context
	key   *netoauth.APIKey
	user  *netoauth.Password
}

// play runs scene in a bubble and finds secrets in its log.
func play(t *testing.T, scene func(*testing.T, *stage)) {
	srv := netoauthtest.NewServer()
	defer srv.Close()
	srv.Handle("/", netoauthtest.Answer(200, "text/plain", "hello"))
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		v := newVault("the app key", string(key.AppKey), "the shared secret", string(key.SharedSecret), "the password", srv.Password,
			"the NETOSECRET", srv.Netosecret)
		s := &stage{Server: srv, journal: newJournal(), vault: v, key: key,
			user: &netoauth.Password{URL: srv.URL, Username: srv.Username, Password: netoauth.Secret(srv.Password)}}
		s.ctx = over(t.Context(), v.tokensOf(srv.InProcess().Transport))
		s.key.Logger, s.user.Logger = slog.New(s.journal), slog.New(s.journal)
		scene(t, s)
		time.Sleep(time.Minute) // for what is under way
		if s.journal.String() == "" {
			t.Error("nothing was logged")
		}
		v.check(t, "the log", s.journal.String())
		for line := range strings.Lines(s.journal.String()) {
			if strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\r\x1b\x00") {
				t.Errorf("a log line has control characters: %q", line)
			}
		}
	})
}

func (s *stage) get(t *testing.T, c *http.Client) int {
	t.Helper()
	resp, err := c.Get(s.Server.URL + "/things")
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

func logged(t *testing.T, when string, s *stage, want ...slog.Level) {
	t.Helper()
	synctest.Wait()
	if got := s.levels(); !slices.Equal(got, want) {
		t.Errorf("%s: logged at %v, want %v:\n%s", when, got, want, s.journal.String())
	}
}

func TestAnExchangeIsLoggedAtDebugWithoutASecret(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		for _, c := range []credential{s.key, s.user} {
			tok, err := c.Token(s.ctx)
			if err != nil {
				t.Fatal(err)
			}
			logged(t, "Token", s, debug)
			renewed := &netoauth.Refresh{URL: s.Server.URL, RefreshToken: netoauth.Secret(tok.RefreshToken), Options: netoauth.Options{Logger: slog.New(s.journal)}}
			if _, err := renewed.Token(s.ctx); err != nil {
				t.Fatal(err)
			}
			logged(t, "Token of Refresh", s, debug)
			src := c.TokenSource(s.ctx)
			for range 3 {
				if _, err := src.Token(); err != nil {
					t.Fatal(err)
				}
			}
			logged(t, "three tokens from a source", s, debug)
		}
	})
}

func TestARefreshFallBackIsLoggedAtWarnWithoutASecret(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		for _, c := range []credential{s.key, s.user} {
			client := c.Client(s.ctx)
			s.get(t, client)
			logged(t, "the first log-in", s, debug)
			time.Sleep(5 * time.Minute)
			s.get(t, client)
			logged(t, "a refresh", s, debug)
			s.RevokeRefreshTokens()
			time.Sleep(5 * time.Minute)
			if code := s.get(t, client); code != 200 {
				t.Errorf("status %d", code)
			}
			logged(t, "a refused refresh", s, debug, warn, debug)
		}
		if !strings.Contains(s.journal.String(), "refresh") {
			t.Errorf("the log does not say what happened:\n%s", s.journal)
		}
	})
}

func TestAFailedRenewalIsLoggedAtWarnWithoutASecret(t *testing.T) {
	for name, fault := range map[string]http.Handler{
		"503":     netoauthtest.Status(503, "Retry-After", "20"),
		"401":     netoauthtest.Status(401),
		"dropped": netoauthtest.Drop(),
		"cut off": netoauthtest.CutOff(),
		"hanging": netoauthtest.Hang(),
		"HTML":    netoauthtest.Answer(200, "text/html", "<html>\r\n\x1b[31m"),
		"echo": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			raw, credentials := sent(r)
			inJSON(w, 500, map[string]any{"status": 500, "name": "Echo\n", "message": raw + "\n" + strings.Join(credentials, "\n")}, true)
		}),
		"echo in HTML": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			raw, credentials := sent(r)
			w.WriteHeader(400)
			io.WriteString(w, raw+"\n"+strings.Join(credentials, "\n"))
		}),
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, s *stage) {
				for _, c := range []credential{s.key, s.user} {
					client := c.Client(s.ctx)
					if code := s.get(t, client); code != 200 {
						t.Fatal(code)
					}
					logged(t, "the first log-in", s, debug)
					s.Fail(-1, fault)
					time.Sleep(5 * time.Minute)
					s.get(t, client)
					time.Sleep(time.Minute)
					synctest.Wait()
					if got := s.levels(); !slices.Contains(got, warn) || slices.Contains(got, slog.LevelError) {
						t.Errorf("a failed renewal was logged at %v, want Warn", got)
					}
					s.Fail(0, nil)
					time.Sleep(5 * time.Minute)
					if code := s.get(t, client); code != 200 {
						t.Errorf("%d after the trouble", code)
					}
					s.levels()
				}
			})
		})
	}
}

func TestA401ForcedRenewalIsLoggedWithoutASecret(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		for _, c := range []credential{s.key, s.user} {
			client := c.Client(s.ctx)
			s.get(t, client)
			s.levels()
			s.RevokeAccessTokens()
			if code := s.get(t, client); code != 200 {
				t.Errorf("status %d, want 200 after a renewal", code)
			}
			if got := s.levels(); !slices.Contains(got, debug) {
				t.Errorf("a renewal forced by a 401 was logged at %v, want Debug", got)
			}
			s.RevokeAccessTokens()
			s.RevokeRefreshTokens()
			time.Sleep(time.Minute)
			if code := s.get(t, client); code != 200 {
				t.Errorf("status %d, want 200 after a log-in", code)
			}
			if got := s.levels(); !slices.Contains(got, warn) {
				t.Errorf("a fall-back was logged at %v, want Warn", got)
			}
		}
	})
}

func TestAWrongClockIsLoggedAtWarnWithoutASecret(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.SetClock(-2 * time.Hour)
		if _, err := s.key.Token(s.ctx); err != nil {
			t.Fatal(err)
		}
		logged(t, "a log-in with a wrong clock", s, debug, warn, debug)
	})
}

func TestARefreshTokenThatIsRefusedForGoodIsLoggedAtWarnWithoutASecret(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		tok, err := s.user.Token(s.ctx)
		if err != nil {
			t.Fatal(err)
		}
		s.levels()
		r := &netoauth.Refresh{URL: s.Server.URL, RefreshToken: netoauth.Secret(tok.RefreshToken), Options: netoauth.Options{Logger: slog.New(s.journal)}}
		src := r.TokenSource(s.ctx)
		if _, err := src.Token(); err != nil {
			t.Fatal(err)
		}
		logged(t, "a refresh", s, debug)
		s.RevokeRefreshTokens()
		time.Sleep(5 * time.Minute)
		if _, err := src.Token(); !errors.Is(err, netoauth.ErrRejected) {
			t.Fatal(err)
		}
		logged(t, "a refused refresh", s, debug, warn)
	})
}

func TestWithoutALoggerNothingIsLogged(t *testing.T) {
	j := newJournal()
	old := slog.Default()
	slog.SetDefault(slog.New(j))
	defer slog.SetDefault(old)
	k := plainKit
	for _, code := range []int{200, 401, 503} {
		ctx := over(t.Context(), roundTripper(func(r *http.Request) (*http.Response, error) { return respond(r, code, k.answer()), nil }))
		for _, c := range k.flows("https://api.test", netoauth.Options{}) {
			c.Token(ctx)
		}
	}
	if s := j.String(); s != "" {
		t.Errorf("logged to slog's default: %s", s)
	}
}

func TestTheLogNamesFlowAndEndpoint(t *testing.T) {
	k := plainKit
	for flow, path := range map[string]string{"API key": "/api/v1/auth/token", "password": "/api/auth/bearer/token", "refresh token": "/api/auth/bearer/refresh"} {
		j := newJournal()
		ctx := over(t.Context(), roundTripper(func(r *http.Request) (*http.Response, error) { return respond(r, 200, k.answer()), nil }))
		c := k.flows("https://api.test", netoauth.Options{Logger: slog.New(j), OnToken: func(*oauth2.Token) {}})[flow]
		if _, err := c.Token(ctx); err != nil {
			t.Fatal(err)
		}
		if s := j.String(); !strings.Contains(s, flow) || !strings.Contains(s, "https://api.test"+path) {
			t.Errorf("%s: the log names not both flow and endpoint: %s", flow, s)
		}
		k.vault().check(t, "the log", j.String())
	}
}
