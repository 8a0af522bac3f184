package tokensql_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/tokensql"
	"golang.org/x/oauth2"
)

var _ netoauth.Store = (*tokensql.Store)(nil)

const (
	owner = "https://api.example.com acme"
	table = "netoauth_session"
)

// longestPause is how late a waiter may be.
const longestPause = 1500 * time.Millisecond

var errEngine = errors.New("the engine is out of order")

// play runs test in a bubble of testing/synctest, with an engine and a Store in its table.
func play(t *testing.T, test func(t *testing.T, e *engine, s *tokensql.Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(tokensql.SQLite)
		s := e.open(t, owner)
		if err := s.CreateTable(t.Context()); err != nil {
			t.Fatal(err)
		}
		test(t, e, s)
	})
}

func token(access string) *oauth2.Token {
	return &oauth2.Token{AccessToken: access, TokenType: "Bearer", RefreshToken: "refresh-" + access}
}

// put stores a token.
func put(t *testing.T, s *tokensql.Store, access string) {
	t.Helper()
	if err := s.Update(t.Context(), returning(access)); err != nil {
		t.Fatal(err)
	}
}

func returning(access string) func(*oauth2.Token) (*oauth2.Token, error) {
	return func(*oauth2.Token) (*oauth2.Token, error) { return token(access), nil }
}

// wantStored expects an access token in the Store; "": no token.
func wantStored(t *testing.T, s *tokensql.Store, access string) {
	t.Helper()
	stored, err := s.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got := accessOf(stored); got != access {
		t.Errorf("stored: %q, want %q", got, access)
	}
}

func accessOf(t *oauth2.Token) string {
	if t == nil {
		return ""
	}
	return t.AccessToken
}

// wantError expects an error of one line, in which target is found, and which says all of says.
func wantError(t *testing.T, err, target error, says ...string) {
	t.Helper()
	if err == nil || target != nil && !errors.Is(err, target) {
		t.Fatalf("error %v, want %v in it", err, target)
	}
	for _, s := range append(says, "tokensql: ") {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q, want %q in it", err, s)
		}
	}
	if text := err.Error(); strings.Contains(text, "\n") || len(text) > 600 {
		t.Errorf("error %q is not one line", text)
	}
}

// wantTook expects how long something took, since began.
func wantTook(t *testing.T, began time.Time, least, most time.Duration) {
	t.Helper()
	if took := time.Since(began); took < least || took > most {
		t.Errorf("it took %v, want %v to %v", took, least, most)
	}
}

func TestStore_refusesSettingsThatCannotBeUsed(t *testing.T) {
	for name, tt := range map[string]struct {
		set  func(*tokensql.Store)
		says string
	}{
		"no DB":                {func(s *tokensql.Store) { s.DB = nil }, "DB is nil"},
		"no Dialect":           {func(s *tokensql.Store) { s.Dialect = 0 }, "Dialect is not set"},
		"no such Dialect":      {func(s *tokensql.Store) { s.Dialect = 4 }, "Dialect is not set"},
		"a hostile Table":      {func(s *tokensql.Store) { s.Table = "t; DROP TABLE t" }, "Table is not a name"},
		"a quoted Table":       {func(s *tokensql.Store) { s.Table = `"t"` }, "Table is not a name"},
		"a Table of two dots":  {func(s *tokensql.Store) { s.Table = "a.b.c" }, "Table is not a name"},
		"a Table after a line": {func(s *tokensql.Store) { s.Table = "t\n" }, "Table is not a name"},
		"a dot alone":          {func(s *tokensql.Store) { s.Table = "." }, "Table is not a name"},
		"no Owner":             {func(s *tokensql.Store) { s.Owner = "" }, "Owner must be"},
		"a long Owner":         {func(s *tokensql.Store) { s.Owner = strings.Repeat("o", 4097) }, "Owner must be"},
		"a mended Owner":       {func(s *tokensql.Store) { s.Owner = "\ufffd" }, "Owner must be"},
		"an Owner not of text": {func(s *tokensql.Store) { s.Owner = "\xff" }, "Owner must be"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
				said := e.statements("")
				tt.set(s)
				eachMethod(s, func(name string, call func(context.Context) error) {
					wantError(t, call(t.Context()), nil, tt.says)
				})
				if n := e.statements("") - said; n > 0 {
					t.Errorf("%d statements, want none", n)
				}
			})
		})
	}
}

func eachMethod(s *tokensql.Store, do func(name string, call func(context.Context) error)) {
	do("CreateTable", s.CreateTable)
	do("Load", func(ctx context.Context) error { _, err := s.Load(ctx); return err })
	do("Update", func(ctx context.Context) error { return s.Update(ctx, returning("never")) })
	do("Remove", s.Remove)
}

func TestStore_keepsATokenInEachDialect(t *testing.T) {
	for _, d := range []tokensql.Dialect{tokensql.PostgreSQL, tokensql.MySQL, tokensql.SQLite} {
		for _, table := range []string{"", "tokens", "auth.tokens_2"} {
			t.Run(fmt.Sprint(d, table), func(t *testing.T) {
				s := newEngine(d).open(t, owner)
				s.Table = table
				if err := s.CreateTable(t.Context()); err != nil {
					t.Fatal(err)
				}
				wantStored(t, s, "")
				put(t, s, "first")
				err := s.Update(t.Context(), func(stored *oauth2.Token) (*oauth2.Token, error) {
					if diff := cmp.Diff(token("first"), stored, cmpopts.IgnoreUnexported(oauth2.Token{})); diff != "" {
						t.Errorf("f was given (-want +got):\n%s", diff)
					}
					return token("second"), nil
				})
				if err != nil {
					t.Fatal(err)
				}
				wantStored(t, s, "second")
				if err := s.Remove(t.Context()); err != nil {
					t.Fatal(err)
				}
				wantStored(t, s, "")
				put(t, s, "third")
				wantStored(t, s, "third")
			})
		}
	}
}

func TestStore_keepsOwnersApart(t *testing.T) {
	play(t, func(t *testing.T, e *engine, _ *tokensql.Store) {
		owners := []string{"a", "A", "a ", "ä", strings.Repeat("a", 4096)}
		for _, o := range owners {
			put(t, e.open(t, o), fmt.Sprintf("of-%x", sha256.Sum256([]byte(o))))
		}
		for _, o := range owners {
			wantStored(t, e.open(t, o), fmt.Sprintf("of-%x", sha256.Sum256([]byte(o))))
		}
	})
}

var errOwn = errors.New("f's own")

func TestUpdate_storesNothingWhereFBringsNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		token *oauth2.Token
		err   error
	}{
		"nil":                {nil, nil},
		"an error":           {nil, errOwn},
		"a token, but error": {token("refused"), errOwn},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
				put(t, s, "first")
				err := s.Update(t.Context(), func(*oauth2.Token) (*oauth2.Token, error) { return tt.token, tt.err })
				if err != tt.err {
					t.Errorf("error %v, want f's own", err)
				}
				wantStored(t, s, "first")
				began := time.Now()
				put(t, s, "second") // the lease is free
				wantTook(t, began, 0, 0)
			})
		})
	}
}

func TestUpdate_refusesATokenThatIsNone(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		put(t, s, "first")
		err := s.Update(t.Context(), func(*oauth2.Token) (*oauth2.Token, error) { return new(oauth2.Token), nil })
		wantError(t, err, nil, "the new token cannot be stored in table "+table)
		wantStored(t, s, "first")
		put(t, s, "second")
	})
}

// A row that is no token of the Owner is an error that says what to do, and stays.
func TestStore_leavesWhatIsNoTokenAlone(t *testing.T) {
	for name, spoil := range map[string]func(data string) string{
		"garbage":         func(string) string { return "garbage" },
		"empty":           func(string) string { return "" },
		"cut off":         func(data string) string { return data[:len(data)/2] },
		"another Owner's": func(data string) string { return strings.Replace(data, "acme", "evil", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
				put(t, s, "first")
				var spoilt string
				for _, r := range e.tables[table] {
					spoilt = spoil(string(r["token"].([]byte)))
					r["token"] = []byte(spoilt)
				}
				_, err := s.Load(t.Context())
				wantError(t, err, nil, "a row of table "+table+" holds ", "choose another place")
				err = s.Update(t.Context(), func(*oauth2.Token) (*oauth2.Token, error) {
					t.Error("f was called")
					return nil, nil
				})
				wantError(t, err, nil, "a row of table "+table+" holds ", "choose another place")
				if got := string(e.only(t, table)["token"].([]byte)); got != spoilt {
					t.Errorf("the row holds %q, want it as it was", got)
				}
				if err := s.Remove(t.Context()); err != nil {
					t.Fatal(err)
				}
				put(t, s, "second")
			})
		})
	}
}

// holding is an Update that is under way, in f.
type holding struct {
	cancel context.CancelFunc // ends its context
	access chan string        // what f returns; "": nil
	ended  chan error
}

func (h *holding) end(access string) error {
	h.access <- access
	return <-h.ended
}

// hold begins an Update, and returns when it is in f.
func hold(t *testing.T, s *tokensql.Store) *holding {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	h := &holding{cancel, make(chan string), make(chan error, 1)}
	entered := make(chan struct{})
	go func() {
		h.ended <- s.Update(ctx, func(*oauth2.Token) (*oauth2.Token, error) {
			close(entered)
			if access := <-h.access; access != "" {
				return token(access), nil
			}
			return nil, nil
		})
	}()
	<-entered
	return h
}

func TestUpdate_keepsOthersOutWhileItLives(t *testing.T) {
	for name, stored := range map[string]bool{"at a cold start": false, "with a token": true} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
				if stored {
					put(t, s, "first")
				}
				h := hold(t, s)
				was, ended := make(chan string, 1), make(chan error, 1)
				other := e.open(t, owner)
				go func() {
					ended <- other.Update(t.Context(), func(stored *oauth2.Token) (*oauth2.Token, error) {
						was <- accessOf(stored)
						return nil, nil
					})
				}()
				time.Sleep(61 * time.Second) // four leases, and between two beats
				select {
				case <-was:
					t.Fatal("another Update was let in")
				default:
				}
				if n := e.statements("SELECT"); n > 100 {
					t.Errorf("%d looks in a minute, want about one a second", n)
				}
				if n := s.DB.Stats().InUse; n > 0 {
					t.Errorf("%d connections in use while f runs", n)
				}
				if err := h.end("second"); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				if got, err := <-was, <-ended; got != "second" || err != nil {
					t.Errorf("the other was given %q, want what was stored last; it ended with %v", got, err)
				}
				wantTook(t, began, 0, longestPause)
			})
		})
	}
}

func TestLoad_waitsForNoUpdate(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		put(t, s, "first")
		h := hold(t, s)
		began := time.Now()
		wantStored(t, e.open(t, owner), "first")
		wantTook(t, began, 0, 0)
		h.end("")
	})
}

// The programs of a fleet that wait keep no connections, which the engine may have few of, and are in
// time all the same. SQLite has no such limit, and a file in memory would be gone with its connection.
func TestUpdate_waitsWithoutAConnection(t *testing.T) {
	for dialect, want := range map[tokensql.Dialect]int{tokensql.PostgreSQL: 0, tokensql.MySQL: 0, tokensql.SQLite: 1} {
		t.Run(fmt.Sprint(dialect), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(dialect)
				s := e.open(t, owner)
				if err := s.CreateTable(t.Context()); err != nil {
					t.Fatal(err)
				}
				h := hold(t, s)
				other := e.open(t, owner)
				other.DB.SetConnMaxIdleTime(0)
				ended := make(chan error)
				go func() { ended <- other.Update(t.Context(), returning("second")) }()
				time.Sleep(400 * time.Millisecond)
				if n := other.DB.Stats().OpenConnections; n != want {
					t.Errorf("a waiter has %d connections, want %d", n, want)
				}
				began := time.Now()
				h.end("first")
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				wantTook(t, began, 0, 100*time.Millisecond+time.Millisecond) // a quarter of the time before
			})
		})
	}
}

// Where the engine is slow, a waiter asks the more seldom.
func TestUpdate_sparesASlowEngine(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		h := hold(t, s)
		e.always("SELECT", trouble{slow: 300 * time.Millisecond})
		before := e.statements("SELECT")
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		e.open(t, owner).Update(ctx, returning("never"))
		if n := e.statements("SELECT") - before; n > 4 {
			t.Errorf("%d looks of 0.3 s in 3 s, want 4 at most", n)
		}
		h.end("")
	})
}

// A holder that gives no sign of life for a lease is held to be dead, by who has looked all the time.
func TestUpdate_takesTheLeaseOfADeadHolder(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		put(t, s, "first")
		e.set("holder", "somebody dead")
		began := time.Now()
		put(t, s, "second")
		wantTook(t, began, 15*time.Second, 15*time.Second+longestPause)
	})
}

// Another holder is another life, even where its row is a new one that has the same beat.
func TestUpdate_waitsForEachHolderAnew(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		put(t, s, "first")
		e.set("holder", "somebody dead")
		time.AfterFunc(10*time.Second, func() { e.set("holder", "somebody else") })
		began := time.Now()
		put(t, s, "second")
		wantTook(t, began, 25*time.Second, 25*time.Second+2*longestPause)
	})
}

// While no look is answered the holder may find no way to the engine either, so that time counts for
// nothing where it is longer than half a lease.
func TestUpdate_countsNoHoleInItsLooks(t *testing.T) {
	for _, tt := range []struct{ half, least, most time.Duration }{
		{2 * time.Second, 15 * time.Second, 17 * time.Second},
		{4500 * time.Millisecond, 28 * time.Second, 34 * time.Second}, // from the end of the hole on
	} {
		t.Run(fmt.Sprint(2*tt.half), func(t *testing.T) {
			play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
				put(t, s, "first")
				e.set("holder", "somebody")
				time.AfterFunc(5*time.Second, func() {
					e.trouble("SELECT", trouble{slow: tt.half, before: errEngine}, trouble{slow: tt.half})
				})
				began := time.Now()
				put(t, s, "second")
				wantTook(t, began, tt.least, tt.most)
			})
		})
	}
}

// asleep begins an Update whose beats no longer arrive, as if its program were frozen.
func asleep(t *testing.T, e *engine, s *tokensql.Store) *holding {
	t.Helper()
	h := hold(t, s)
	e.always("SET beat", trouble{before: errEngine})
	return h
}

func TestUpdate_overwritesNothingNewerAfterASleep(t *testing.T) {
	for name, tt := range map[string]struct {
		stored    bool // when the sleeper looked
		meanwhile func(t *testing.T, other *tokensql.Store)
		after     string // what is stored in the end
	}{
		"another has renewed":   {true, func(t *testing.T, other *tokensql.Store) { put(t, other, "newer") }, "newer"},
		"another has logged in": {false, func(t *testing.T, other *tokensql.Store) { put(t, other, "newer") }, "newer"},
		"it was removed":        {true, func(t *testing.T, other *tokensql.Store) { other.Remove(t.Context()) }, ""},
		"it was removed, and a new one stored": {true, func(t *testing.T, other *tokensql.Store) {
			other.Remove(t.Context())
			put(t, other, "newer")
		}, "newer"},
		"a new one was stored and removed": {false, func(t *testing.T, other *tokensql.Store) {
			put(t, other, "newer")
			other.Remove(t.Context())
		}, ""},
		"a new one was stored and removed, and an Update has failed": {false, func(t *testing.T, other *tokensql.Store) {
			put(t, other, "newer")
			other.Remove(t.Context())
			other.Update(t.Context(), func(*oauth2.Token) (*oauth2.Token, error) { return nil, errOwn })
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
				if tt.stored {
					put(t, s, "first")
				}
				h := asleep(t, e, s)
				tt.meanwhile(t, e.open(t, owner))
				wantError(t, h.end("late"), nil, "another program has changed the session", "what it left stays")
				wantStored(t, s, tt.after)
				began := time.Now()
				put(t, s, "next") // the lease is free
				wantTook(t, began, 0, 0)
			})
		})
	}
}

// Each try of a write is made on the same condition: what another has written between two of them stays.
func TestUpdate_overwritesNothingNewerBetweenTwoTries(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		put(t, s, "first")
		h := hold(t, s)
		e.set("holder", "") // the lease is lost
		e.trouble("SET token", trouble{before: errEngine})
		time.AfterFunc(10*time.Millisecond, func() { put(t, e.open(t, owner), "newer") }) // the next try is later
		wantError(t, h.end("late"), nil, "another program has changed the session", "what it left stays")
		wantStored(t, s, "newer")
	})
}

// A lease is taken as it was seen, or not at all: what has changed the row since the look, be it a
// whole Update or a beat of a holder that seemed dead, calls for another look.
func TestUpdate_takesOnlyWhatItHasSeen(t *testing.T) {
	t.Run("a lease that was free", func(t *testing.T) {
		play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
			put(t, s, "first")
			e.trouble("SET holder = ?", trouble{slow: time.Second})
			time.AfterFunc(time.Second/2, func() { put(t, e.open(t, owner), "second") })
			err := s.Update(t.Context(), func(stored *oauth2.Token) (*oauth2.Token, error) {
				if got := accessOf(stored); got != "second" {
					t.Errorf("f was given %q, want what was stored after the look", got)
				}
				return nil, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("a holder that seemed dead", func(t *testing.T) {
		play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
			put(t, s, "first")
			e.set("holder", "somebody")
			e.trouble("SET holder = ?", trouble{slow: 3 * time.Second})
			time.AfterFunc(15*time.Second+longestPause, func() { e.set("beat", int64(1000)) })
			began := time.Now()
			put(t, s, "second")
			wantTook(t, began, 30*time.Second, 40*time.Second)
		})
	})
}

// A program that has lost its lease still stores its token where nobody has written since: the API has
// issued it, and the stored one may be used up. The lease stays with who has it.
func TestUpdate_losesNoTokenForASleep(t *testing.T) {
	for name, stored := range map[string]bool{"at a cold start": false, "with a token": true} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
				if stored {
					put(t, s, "first")
				}
				h := asleep(t, e, s)
				other := hold(t, e.open(t, owner)) // takes the lease
				e.calm()
				if err := h.end("late"); err != nil {
					t.Fatal(err)
				}
				wantStored(t, s, "late")
				wantHeld(t, e)
				if err := other.end("latest"); err != nil {
					t.Fatal(err)
				}
				wantStored(t, s, "latest")
			})
		})
	}
}

// wantHeld expects that another Update is kept out, for two leases.
func wantHeld(t *testing.T, e *engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 31*time.Second)
	defer cancel()
	err := e.open(t, owner).Update(ctx, returning("never"))
	wantError(t, err, context.DeadlineExceeded, "another program renews the session")
}

// A program that has lost its lease gives nobody else's free, and keeps nobody else's up.
func TestUpdate_leavesTheLeaseOfAnotherAlone(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		h := asleep(t, e, s)
		other := hold(t, e.open(t, owner)) // takes the lease
		e.calm()
		if err := h.end(""); err != nil {
			t.Fatal(err)
		}
		wantHeld(t, e)
		other.end("")

		h = hold(t, s)
		e.set("holder", "somebody dead")
		began := time.Now()
		put(t, e.open(t, owner), "next")
		wantTook(t, began, 15*time.Second, 15*time.Second+longestPause)
		h.end("")
	})
}

// A Remove that has lost its lease to another leaves the row to that one.
func TestRemove_leavesTheLeaseOfAnotherAlone(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		put(t, s, "first")
		e.trouble("DELETE", trouble{slow: time.Second, before: errEngine})
		time.AfterFunc(500*time.Millisecond, func() { e.set("holder", "somebody else") })
		wantError(t, s.Remove(t.Context()), nil, "another program has changed the session")
		wantStored(t, s, "first")
	})
}

// Beats that are refused come again before the lease is over.
func TestUpdate_keepsItsLeaseThroughRefusedBeats(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		h := hold(t, s)
		refused := make([]trouble, 5)
		for i := range refused {
			refused[i].before = errEngine
		}
		e.trouble("SET beat", refused...)
		wantHeld(t, e)
		h.end("")
	})
}

// The lease is kept up for as long as f runs, whatever becomes of the Update's context.
func TestUpdate_keepsItsLeaseAfterItsContextHasEnded(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		h := hold(t, s)
		h.cancel()
		wantHeld(t, e)
		h.end("")
		put(t, s, "next")
	})
}

// What follows f ends in time at an engine that is silent: where there is nothing to store in 2 s, else
// with the context.
func TestUpdate_endsAtASilentEngine(t *testing.T) {
	for access, most := range map[string]time.Duration{"": 2 * time.Second, "first": 22 * time.Second} {
		t.Run(access, func(t *testing.T) {
			play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				began := time.Now()
				s.Update(ctx, func(*oauth2.Token) (*oauth2.Token, error) {
					e.always("", trouble{hang: true})
					if access == "" {
						return nil, nil
					}
					return token(access), nil
				})
				wantTook(t, began, 2*time.Second, most)
			})
		})
	}
}

// Nothing of an Update goes on after it, not even a beat that was on its way.
func TestUpdate_waitsForItsLastBeat(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		s.DB.SetMaxOpenConns(2) // the beat keeps one
		h := hold(t, s)
		e.trouble("SET beat", trouble{slow: 3 * time.Second, deaf: true})
		time.Sleep(4 * time.Second)
		h.end("")
		if n := e.underWay.Load(); n > 0 {
			t.Errorf("%d statements are under way after it", n)
		}
	})
}

// An answer that is lost changes nothing, whichever statement it was the answer to.
func TestStore_bearsLostAnswers(t *testing.T) {
	for _, part := range []string{"SELECT", "INSERT", "SET holder = ?", "SET beat", "SET holder = ''", "SET token", "DELETE"} {
		for _, times := range []int{1, 2} {
			t.Run(fmt.Sprint(part, times), func(t *testing.T) {
				play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
					lost := make([]trouble, times)
					for i := range lost {
						lost[i].after = errEngine
					}
					e.trouble(part, lost...)
					put(t, s, "first")
					h := hold(t, s)
					time.Sleep(time.Minute)
					if err := h.end("second"); err != nil {
						t.Fatal(err)
					}
					if err := s.Update(t.Context(), func(*oauth2.Token) (*oauth2.Token, error) { return nil, nil }); err != nil {
						t.Fatal(err)
					}
					began := time.Now()
					e.calm()
					wantStored(t, s, "second")
					e.trouble(part, lost...)
					if err := s.Remove(t.Context()); err != nil {
						t.Fatal(err)
					}
					e.calm()
					wantStored(t, s, "")
					put(t, s, "third")
					wantTook(t, began, 0, time.Second)
				})
			})
		}
	}
}

// An engine that stops for 5 s while f talks to the API, or just after, costs no token.
func TestUpdate_outlivesAnEngineThatStops(t *testing.T) {
	for name, met := range map[string]trouble{
		"silently": {hang: true}, "refusing": {before: errEngine}, "losing answers": {after: errEngine},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
				put(t, s, "first")
				h := hold(t, s)
				time.Sleep(3700 * time.Millisecond) // just before a beat
				e.always("", met)
				time.AfterFunc(5*time.Second, e.calm)
				if err := h.end("second"); err != nil {
					t.Fatal(err)
				}
				e.calm()
				wantStored(t, s, "second")
				put(t, s, "third")
			})
		})
	}
}

// A holder keeps its lease through an engine that stops for 5 s, at any moment between two beats.
func TestUpdate_keepsItsLeaseThroughAnEngineThatStops(t *testing.T) {
	for name, met := range map[string]trouble{"silently": {hang: true}, "refusing": {before: errEngine}} {
		for at := range 8 {
			t.Run(fmt.Sprint(name, at), func(t *testing.T) {
				play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
					h := hold(t, s)
					other := e.open(t, owner)
					go func() {
						for t.Context().Err() == nil { // it gives up in the outage
							if other.Update(t.Context(), returning("other's")) == nil {
								return
							}
						}
					}()
					time.Sleep(20*time.Second + time.Duration(at)*500*time.Millisecond)
					e.always("", met)
					time.Sleep(5 * time.Second)
					e.calm()
					time.Sleep(20 * time.Second)
					wantStored(t, s, "") // by the other
					if err := h.end("first"); err != nil {
						t.Fatal(err)
					}
					time.Sleep(longestPause)
					wantStored(t, s, "other's")
				})
			})
		}
	}
}

// The token that the API has issued is written although the Update's context has ended, where the
// engine takes it.
func TestUpdate_writesAfterItsContextHasEnded(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		h := hold(t, s)
		h.cancel()
		if err := h.end("first"); err != nil {
			t.Fatal(err)
		}
		wantStored(t, s, "first")

		h = hold(t, s)
		e.always("SET token", trouble{before: errEngine})
		h.cancel()
		wantError(t, h.end("second"), context.Canceled, "was not written to", errEngine.Error())
		if n := e.statements("SET token"); n != 2 {
			t.Errorf("%d tries, want one of each Update", n)
		}
		e.calm()
		put(t, s, "third")
	})
}

// A write that fails is tried again until the context ends, and what the engine quotes of it is not
// shown.
func TestUpdate_saysWhyATokenIsNotStored(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		quoting := fmt.Errorf("no room\n\tfor %q: %w", token("the-new-one").RefreshToken, errEngine)
		began := time.Now()
		err := s.Update(ctx, func(*oauth2.Token) (*oauth2.Token, error) {
			e.always("SET token", trouble{before: quoting})
			return token("the-new-one"), nil
		})
		wantError(t, err, ctx.Err(), "table "+table+" was not written to", "check the database")
		wantError(t, err, errEngine)
		if strings.Contains(err.Error(), "the-new-one") {
			t.Errorf("error %q shows the token", err)
		}
		wantTook(t, began, 20*time.Second, 21*time.Second)
		if n := e.statements("SET token"); n < 15 || n > 30 {
			t.Errorf("%d tries in 20 s, want more and more seldom ones, one a second in the end", n)
		}
	})
}

// Before f, an Update bears 5 s of failures in a row. Where it may have got the lease, it tries for 2 s
// more to give that free.
func TestUpdate_givesUpBeforeF(t *testing.T) {
	refuses := trouble{before: errEngine}
	for name, tt := range map[string]struct {
		met         trouble
		answers     int // before that
		least, most time.Duration
	}{
		"an engine that refuses":              {refuses, 0, 5 * time.Second, 5 * time.Second},
		"an engine that refuses after a look": {refuses, 1, 7 * time.Second, 7 * time.Second},
		"an engine that is silent":            {trouble{hang: true}, 0, 5 * time.Second, 5 * time.Second},
		"an engine whose answers are lost":    {trouble{after: errEngine}, 0, 5 * time.Second, 5 * time.Second},
		"an engine that is slow to refuse":    {trouble{slow: 2 * time.Second, before: errEngine}, 0, 5 * time.Second, 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
				for name, call := range map[string]func() error{
					"Update": func() error {
						return s.Update(t.Context(), func(*oauth2.Token) (*oauth2.Token, error) {
							t.Error("f was called")
							return nil, nil
						})
					},
					"Remove": func() error { return s.Remove(t.Context()) },
				} {
					e.trouble("", append(make([]trouble, tt.answers), slices.Repeat([]trouble{tt.met}, 1000)...)...)
					began := time.Now()
					err := call()
					wantError(t, err, nil, "table "+table+" cannot be used", "check the database")
					if !tt.met.hang {
						wantError(t, err, errEngine)
					}
					t.Log(name, err)
					wantTook(t, began, tt.least, tt.most)
				}
			})
		})
	}
}

// A failure now and then is no reason to give up a wait.
func TestUpdate_waitsThroughPassingFailures(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		h := hold(t, s)
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(8 * time.Second):
					e.trouble("SELECT", trouble{slow: 2 * time.Second, before: errEngine})
				}
			}
		}()
		time.AfterFunc(time.Minute, func() { h.end("first") })
		err := e.open(t, owner).Update(t.Context(), returning("second"))
		close(stop)
		if err != nil {
			t.Fatal(err)
		}
		wantStored(t, s, "second")
	})
}

func TestStore_endsWithItsContext(t *testing.T) {
	for name, tt := range map[string]struct {
		trouble func(t *testing.T, e *engine, s *tokensql.Store)
		says    map[string]string // of each method; "": all
	}{
		"another holds the lease": {
			func(t *testing.T, e *engine, s *tokensql.Store) {
				h := hold(t, s)
				t.Cleanup(func() { h.end("") })
			},
			map[string]string{"Update": "another program renews the session", "Remove": "another program renews the session"},
		},
		"the engine is silent": {
			func(t *testing.T, e *engine, s *tokensql.Store) { e.always("", trouble{hang: true}) },
			map[string]string{"Update": "no answer about table", "Remove": "no answer about table",
				"Load": "cannot be read", "CreateTable": "is not there"},
		},
		"the engine refuses": {
			func(t *testing.T, e *engine, s *tokensql.Store) { e.always("", trouble{before: errEngine}) },
			map[string]string{"Update": errEngine.Error(), "Remove": errEngine.Error()},
		},
		"the pool is empty": {
			func(t *testing.T, e *engine, s *tokensql.Store) {
				taken, err := s.DB.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { taken.Close() })
			},
			map[string]string{"Update": "whether others hold the connections of DB", "Load": "cannot be read"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
				tt.trouble(t, e, s)
				other := *s
				eachMethod(&other, func(name string, call func(context.Context) error) {
					says, ok := tt.says[name]
					if !ok {
						return
					}
					ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
					defer cancel()
					began := time.Now()
					wantError(t, call(ctx), context.DeadlineExceeded, says)
					wantTook(t, began, 3*time.Second, 3*time.Second)

					ctx, cancel = context.WithCancel(t.Context())
					cancel()
					wantError(t, call(ctx), context.Canceled, "was left alone")
				})
			})
		})
	}
}

// Also where nothing has worked for 5 s by then.
func TestUpdate_endsWithItsContextAmongFailures(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		e.trouble("", trouble{slow: 4 * time.Second, before: errEngine}, trouble{hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
		defer cancel()
		began := time.Now()
		wantError(t, s.Update(ctx, returning("never")), context.DeadlineExceeded, errEngine.Error())
		wantTook(t, began, 6*time.Second, 6*time.Second)
	})
}

// However f ends, the lease is free, and nothing goes on.
func TestUpdate_givesTheLeaseFreeHoweverFEnds(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic("f") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
				ended := make(chan any)
				go func() {
					defer func() { ended <- recover() }()
					s.Update(t.Context(), func(*oauth2.Token) (*oauth2.Token, error) {
						time.Sleep(20 * time.Second)
						end()
						return nil, nil
					})
				}()
				if v := <-ended; name == "panic" && v != "f" {
					t.Errorf("the panic is %v, want f's own", v)
				}
				said := e.statements("")
				time.Sleep(time.Minute)
				if n := e.statements("") - said; n > 0 {
					t.Errorf("%d statements after its end", n)
				}
				began := time.Now()
				put(t, s, "next")
				wantTook(t, began, 0, 0)
			})
		})
	}
}

// A refusal now and then does not keep a lease from being given free.
func TestUpdate_givesTheLeaseFreeThroughRefusals(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		e.trouble("SET holder = ''", trouble{before: errEngine}, trouble{before: errEngine})
		s.Update(t.Context(), func(*oauth2.Token) (*oauth2.Token, error) { return nil, nil })
		began := time.Now()
		put(t, s, "next")
		wantTook(t, began, 0, 0)
	})
}

// Load takes the time that its context gives it, and no more than one try.
func TestLoad_takesItsContextsTime(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		put(t, s, "first")
		e.trouble("SELECT", trouble{slow: 7 * time.Second})
		wantStored(t, s, "first")
		e.trouble("SELECT", trouble{before: errEngine})
		if _, err := s.Load(t.Context()); !errors.Is(err, errEngine) {
			t.Errorf("error %v, want the engine's", err)
		}
	})
}

// Where an Update has given up, its lease is free, although the answer to taking it was lost.
func TestUpdate_leavesNoLeaseBehind(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		put(t, s, "first")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		e.always("SET holder = ?", trouble{after: errEngine})
		wantError(t, s.Update(ctx, returning("never")), ctx.Err())
		e.calm()
		began := time.Now()
		put(t, s, "second")
		wantTook(t, began, 0, 0)
	})
}

func TestCreateTable(t *testing.T) {
	for name, tt := range map[string]struct {
		trouble func(e *engine)
		says    string // "": it works
	}{
		"made by others at the same time": {func(e *engine) {
			e.trouble("CREATE", trouble{before: errEngine}, trouble{before: errEngine})
		}, ""},
		"must not be made":    {func(e *engine) { e.always("CREATE", trouble{before: errEngine}) }, errEngine.Error()},
		"has other columns":   {func(e *engine) { e.always("SELECT", trouble{before: errEngine}) }, errEngine.Error()},
		"an engine is silent": {func(e *engine) { e.always("", trouble{hang: true}) }, "is not there"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(tokensql.PostgreSQL)
				s := e.open(t, owner)
				tt.trouble(e)
				began := time.Now()
				err := s.CreateTable(t.Context())
				if tt.says != "" {
					wantError(t, err, nil, tt.says)
				} else if err != nil {
					t.Error(err)
				}
				wantTook(t, began, 0, 10*time.Second)
			})
		})
	}
}

// A program without the right to make tables may call it where there is one.
func TestCreateTable_makesNoneWhereThereIsOne(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		e.always("CREATE", trouble{before: errEngine})
		began := time.Now()
		if err := s.CreateTable(t.Context()); err != nil {
			t.Error(err)
		}
		wantTook(t, began, 0, 0)
	})
}

// A Remove that the engine does not take gives up.
func TestRemove_givesUp(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		put(t, s, "first")
		e.always("DELETE", trouble{before: errEngine})
		began := time.Now()
		wantError(t, s.Remove(t.Context()), errEngine, "was not written to")
		wantTook(t, began, 5*time.Second, 6*time.Second)
		wantStored(t, s, "first")
	})
}

func TestRemove_waitsForAnUpdate(t *testing.T) {
	play(t, func(t *testing.T, e *engine, s *tokensql.Store) {
		put(t, s, "first")
		h := hold(t, s)
		time.AfterFunc(20*time.Second, func() { h.end("second") })
		if err := e.open(t, owner).Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantStored(t, s, "")
		if err := s.Remove(t.Context()); err != nil {
			t.Errorf("where there is none: %v", err)
		}
		synctest.Wait()
	})
}
