package session_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth/internal/session"
	"golang.org/x/oauth2"
)

// memory is a Store with a token; nil: none.
type memory struct{ token *oauth2.Token }

func (m *memory) Load(context.Context) (*oauth2.Token, error) { return m.token, nil }

func (m *memory) Update(_ context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
	t, err := f(m.token)
	if err == nil && t != nil {
		m.token = t
	}
	return err
}

// token returns a token whose refresh token is named after it.
func token(name string) *oauth2.Token {
	return &oauth2.Token{AccessToken: name, RefreshToken: "refresh token of " + name}
}

func refreshOf(name string) string { return token(name).RefreshToken }

// world is a session and the Store that it shares.
type world struct {
	*session.Session
	store *memory
}

// load has s look at the Store, and returns the access token that is news; "": none is.
func (w *world) load(t *testing.T) string {
	t.Helper()
	news, err := w.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if news == nil {
		return ""
	}
	return news.AccessToken
}

// issue puts a token that the API has issued into the Store, unless the Store fails.
func (w *world) issue(t *testing.T, name string, stored bool) {
	t.Helper()
	if !stored {
		w.Issued(token(name))
		return
	}
	_, err := w.Update(t.Context(), func(*oauth2.Token) (*oauth2.Token, error) {
		w.Issued(token(name))
		return token(name), nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// The table at the head of the package, in rows.
func TestSession_nextRefreshToken(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, w *world)
		want string
	}{
		{"nothing: the program's own", func(*testing.T, *world) {}, "own"},
		{"the Store has none: the initial token's", func(t *testing.T, w *world) {
			diff(t, "news", "initial", w.load(t))
		}, refreshOf("initial")},
		{"the Store has one: that one's", func(t *testing.T, w *world) {
			w.store.token = token("stored")
			diff(t, "news", "stored", w.load(t))
			diff(t, "news once more", "", w.load(t))
		}, refreshOf("stored")},
		{"the Store had one, and has none any more: not the initial token's", func(t *testing.T, w *world) {
			w.store.token = token("stored")
			w.load(t)
			w.store.token = nil
			diff(t, "news", "", w.load(t))
		}, refreshOf("stored")},
		{"the Store has one without a refresh token: none, so the own", func(t *testing.T, w *world) {
			w.store.token = &oauth2.Token{AccessToken: "stored"}
			diff(t, "news", "stored", w.load(t))
		}, "own"},
		{"the Store has a refresh token alone", func(t *testing.T, w *world) {
			w.store.token = &oauth2.Token{RefreshToken: "alone"}
			w.load(t)
		}, "alone"},
		{"issued and stored", func(t *testing.T, w *world) {
			w.issue(t, "issued", true)
			diff(t, "news", "", w.load(t))
		}, refreshOf("issued")},
		{"issued, but not stored: not what the Store had before", func(t *testing.T, w *world) {
			w.store.token = token("before")
			w.load(t)
			w.issue(t, "issued", false)
			diff(t, "news", "", w.load(t))
		}, refreshOf("issued")},
		{"issued and stored, then issued, but not stored", func(t *testing.T, w *world) {
			w.issue(t, "first", true)
			w.issue(t, "second", false)
			diff(t, "news", "", w.load(t))
		}, refreshOf("second")},
		{"another program has renewed it since", func(t *testing.T, w *world) {
			w.issue(t, "issued", true)
			w.store.token = token("another's")
			diff(t, "news", "another's", w.load(t))
		}, refreshOf("another's")},
		{"a Load that lags behind, and then does not", func(t *testing.T, w *world) {
			w.issue(t, "issued", true)
			w.store.token = token("older")
			diff(t, "news", "older", w.load(t))
			w.store.token = token("issued")
			diff(t, "news", "", w.load(t))
		}, refreshOf("issued")},
		{"over as it came: the refresh token with it", func(t *testing.T, w *world) {
			w.Over(token("over"))
		}, refreshOf("over")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &world{store: new(memory)}
			w.Session = session.New(w.store, "own", token("initial"), false)
			tt.do(t, w)
			diff(t, "Next", tt.want, w.Next())
		})
	}
}

// What a fault leaves behind, of a program that can log in.
func TestSession_sendsNoRefreshTokenThatMayBeUsedUp(t *testing.T) {
	const it = "refresh token of issued"
	for _, tt := range []struct {
		name       string
		do         func(w *world)
		next, left string
	}{
		{"issued", func(*world) {}, it, ""},
		{"refused", func(w *world) { w.Refused(it) }, "", ""},
		{"another was refused", func(w *world) { w.Refused("another") }, it, ""},
		{"unused after a fault", func(w *world) { w.Faulted(it, true) }, "", it},
		{"unused, then a log-in fails", func(w *world) { w.Faulted(it, true); w.LogInFailed() }, it, ""},
		{"unused, then another is issued", func(w *world) { w.Faulted(it, true); w.Issued(token("next")) },
			refreshOf("next"), ""},
		{"unused, then the Store has another", func(w *world) {
			w.Faulted(it, true)
			w.store.token = token("another's")
			w.Load(context.Background())
		}, refreshOf("another's"), ""},
		{"in doubt", func(w *world) { w.Faulted(it, false) }, "", it},
		{"in doubt, then a log-in fails", func(w *world) { w.Faulted(it, false); w.LogInFailed() }, "", it},
		{"in doubt, then unused", func(w *world) { w.Faulted(it, false); w.Faulted(it, true); w.LogInFailed() }, "", it},
		{"unused, then in doubt", func(w *world) { w.Faulted(it, true); w.Faulted(it, false); w.LogInFailed() }, "", it},
		{"in doubt, then refused", func(w *world) { w.Faulted(it, false); w.Refused(it) }, "", ""},
		{"in doubt, then another is issued", func(w *world) { w.Faulted(it, false); w.Issued(token("next")) },
			refreshOf("next"), ""},
		{"in doubt, then another is taken over", func(w *world) {
			w.Faulted(it, false)
			w.store.token = token("another's")
			news, _ := w.Load(context.Background())
			w.Taken(news)
		}, refreshOf("another's"), ""},
		{"in doubt, the Store has it still", func(w *world) {
			w.Faulted(it, false)
			w.store.token = token("issued")
			w.Load(context.Background())
		}, "", it},
		{"in doubt, a Load that lags behind, and then does not", func(w *world) {
			w.Faulted(it, false)
			for _, name := range []string{"older", "issued"} {
				w.store.token = token(name)
				w.Load(context.Background())
			}
		}, "", it},
		{"in doubt, and so is another program's, and a Load that lags behind", func(w *world) {
			w.Faulted(it, false)
			w.store.token = token("another's")
			w.Load(context.Background())
			w.Faulted(refreshOf("another's"), false)
			w.store.token = &oauth2.Token{AccessToken: "older", RefreshToken: it}
			w.Load(context.Background())
		}, "", it},
		{"in doubt, then taken over with another access token", func(w *world) {
			w.Faulted(it, false)
			taken := &oauth2.Token{AccessToken: "another's", RefreshToken: it}
			w.store.token = taken
			news, _ := w.Load(context.Background())
			w.Taken(news)
			for _, t := range []*oauth2.Token{token("older"), taken} { // by a Load that lags behind
				w.store.token = t
				w.Load(context.Background())
			}
		}, it, ""},
		{"in doubt, then used, and a Load that lags behind", func(w *world) {
			w.Faulted(it, false)
			w.Issued(&oauth2.Token{AccessToken: "next", RefreshToken: it})
			for _, t := range []*oauth2.Token{token("older"), {AccessToken: "next", RefreshToken: it}} {
				w.store.token = t
				w.Load(context.Background())
			}
		}, it, ""},
		{"a fault with another", func(w *world) { w.Faulted("another", false) }, it, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &world{store: new(memory)}
			w.Session = session.New(w.store, "", nil, true)
			w.Issued(token("issued"))
			tt.do(w)
			diff(t, "Next and Left", []string{tt.next, tt.left}, []string{w.Next(), w.Left()})
		})
	}
}

// Who cannot log in has no choice.
func TestSession_withoutALogInEachIsSent(t *testing.T) {
	w := &world{Session: session.New(nil, "own", nil, false)}
	w.Faulted("own", false)
	diff(t, "Next after a fault", "own", w.Next())
	w.Refused("own")
	diff(t, "Next after a refusal", "own", w.Next())
}

func TestSession_spareIsSentOnce(t *testing.T) {
	w := &world{Session: session.New(nil, "own", token("initial"), false)}
	w.Load(t.Context())
	first := w.Next()
	diff(t, "Next", refreshOf("initial"), first)
	w.Refused(first)
	diff(t, "Spare of it", "own", w.Spare(first))
	diff(t, "Spare of itself", "", w.Spare("own"))
	w.Used("own")
	diff(t, "Spare once it is used", "", w.Spare(first))
}

func TestSession_endOfTheRefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lasting := func(name string, seconds any) *oauth2.Token {
			issued := token(name)
			issued.Expiry, issued.ExpiresIn = time.Now().Add(time.Minute), 60
			return issued.WithExtra(map[string]any{"refresh_expires_in": seconds})
		}
		w := &world{Session: session.New(nil, "", nil, true)}
		w.Issued(lasting("first", 90.0))
		end := time.Now().Add(90 * time.Second)
		diff(t, "RefreshEnd", end, w.RefreshEnd())
		time.Sleep(30 * time.Second)
		same := lasting("second", nil)
		same.RefreshToken = refreshOf("first")
		w.Issued(same)
		diff(t, "RefreshEnd where the same refresh token stays in use", end, w.RefreshEnd())
		diff(t, "Next", refreshOf("first"), w.Next())
		time.Sleep(61 * time.Second)
		diff(t, "Next after its end", "", w.Next())
		diff(t, "Left after its end", "", w.Left())
		w.Issued(lasting("third", 0.0))
		diff(t, "RefreshEnd that is not known", time.Time{}, w.RefreshEnd())
		bare := lasting("bare", 90.0)
		bare.RefreshToken = ""
		w.Issued(bare)
		diff(t, "RefreshEnd without a refresh token", time.Time{}, w.RefreshEnd())
	})
}

func TestSession_secretsAreAllThatItKnows(t *testing.T) {
	w := &world{store: &memory{token("doubted")}}
	w.Session = session.New(w.store, "own", token("initial"), true)
	w.Issued(token("issued"))
	w.load(t)
	for range 2 {
		w.Faulted(refreshOf("doubted"), false)
	}
	w.store.token = token("another's")
	w.load(t)
	known := make(map[string]bool)
	for _, s := range w.Secrets() {
		if known[s] && s == refreshOf("doubted") {
			t.Error("a refresh token is kept for each time that it met a fault")
		}
		known[s] = true
	}
	for _, s := range []string{"own", "initial", refreshOf("initial"), "issued", refreshOf("issued"),
		refreshOf("doubted"), "another's", refreshOf("another's")} {
		if !known[s] {
			t.Errorf("%q is not among them", s)
		}
	}
}
