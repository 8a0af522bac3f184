package storetest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

var errBroken = errors.New("broken as planned")

// mistake is something that authors of Stores get wrong. What is nil is right.
type mistake struct {
	name   string
	check  string // that finds it
	says   string // in its message
	owner  func(string) string
	load   func(*session, context.Context) (*oauth2.Token, error)
	update func(*session, context.Context, exchange) error
}

// broken is a Store with a mistake.
type broken struct {
	*session
	*mistake
}

func (b broken) Load(ctx context.Context) (*oauth2.Token, error) {
	if b.load == nil {
		return b.session.Load(ctx)
	}
	return b.load(b.session, ctx)
}

func (b broken) Update(ctx context.Context, f exchange) error {
	if b.update == nil {
		return b.session.Update(ctx, f)
	}
	return b.update(b.session, ctx, f)
}

// within is a right Update with another way from f to what is stored.
func within(update func(*session, exchange) error) func(*session, context.Context, exchange) error {
	return func(s *session, ctx context.Context, f exchange) error {
		if err := s.lock(ctx); err != nil {
			return err
		}
		defer s.unlock()
		return update(s, f)
	}
}

// keeps is a Store that changes the tokens it keeps.
func keeps(name, says string, change func(*oauth2.Token)) mistake {
	load := func(s *session, _ context.Context) (*oauth2.Token, error) {
		if s.read() == nil {
			return nil, nil
		}
		t := *s.read()
		change(&t)
		return &t, nil
	}
	return mistake{name: name, check: "all fields", says: says, load: load}
}

var mistakes = []mistake{
	// What is stored.
	{name: "an empty token in place of nil", check: "nothing stored", says: "want nil",
		load: func(s *session, _ context.Context) (*oauth2.Token, error) {
			if s.read() == nil {
				return new(oauth2.Token), nil
			}
			return s.read(), nil
		}},
	{name: "an error where there is no row", check: "nothing stored", says: "Load failed where nothing",
		load: func(s *session, _ context.Context) (*oauth2.Token, error) {
			if s.read() == nil {
				return nil, errBroken
			}
			return s.read(), nil
		}},
	{name: "Update needs a row", check: "nothing stored",
		says: "every session begins so", update: needsRow},
	{name: "Update needs a row for long", check: "a long f",
		says: "failed before it called f", update: needsRow},
	{name: "Update gives an empty token to f", check: "nothing stored", says: "gave f a token",
		update: within(func(s *session, f exchange) error {
			return s.exchange(func(t *oauth2.Token) (*oauth2.Token, error) {
				if t == nil {
					t = new(oauth2.Token)
				}
				return f(t)
			})
		})},
	{name: "a cache of its own", check: "all fields", says: "gave f another token",
		update: within(func(s *session, f exchange) error {
			return s.exchange(func(t *oauth2.Token) (*oauth2.Token, error) {
				return f(&oauth2.Token{AccessToken: "cached"})
			})
		})},
	{name: "nothing is stored", check: "all fields", says: "returned no token",
		update: within(func(s *session, f exchange) error { _, err := f(s.read()); return err })},
	{name: "a session without an access token is broken", check: "all fields",
		says: "failed after one with a refresh token alone",
		update: within(func(s *session, f exchange) error {
			if t := s.read(); t != nil && t.AccessToken == "" {
				return errBroken
			}
			return s.exchange(f)
		})},
	keeps("a column of 64 KiB", "tokens of 100 KiB", func(t *oauth2.Token) {
		t.AccessToken = t.AccessToken[:min(65535, len(t.AccessToken))]
	}),
	keeps("latin1", "beyond ASCII", func(t *oauth2.Token) {
		t.AccessToken = strings.ReplaceAll(t.AccessToken, "漢", "?")
	}),
	keeps("quotes that are taken off", "characters of quoting", func(t *oauth2.Token) {
		t.AccessToken = strings.ReplaceAll(t.AccessToken, `\`, "")
	}),
	keeps("no refresh token", "RefreshToken", func(t *oauth2.Token) { t.RefreshToken = "" }),
	keeps("no type", "TokenType", func(t *oauth2.Token) { t.TokenType = "" }),
	keeps("no ExpiresIn", "ExpiresIn", func(t *oauth2.Token) { t.ExpiresIn = 0 }),
	keeps("local time taken for UTC", "Expiry", func(t *oauth2.Token) { t.Expiry = t.Expiry.Add(time.Hour) }),
	keeps("zero time as 1970", "no expiry", func(t *oauth2.Token) {
		if t.Expiry.IsZero() {
			t.Expiry = time.Unix(0, 0)
		}
	}),
	keeps("nothing that has expired", "an expiry that is past", func(t *oauth2.Token) {
		if !t.Expiry.IsZero() && t.Expiry.Before(time.Unix(1e6, 0)) {
			*t = oauth2.Token{}
		}
	}),
	{name: "owners without case", check: "owners", says: "in case", owner: strings.ToLower},
	{name: "owners without padding", check: "owners",
		says: "in a space at the end", owner: strings.TrimSpace},
	{name: "owners without accents", check: "owners", says: "in an accent",
		owner: func(o string) string { return strings.ReplaceAll(o, "é", "e") }},
	{name: "owners cut short", check: "owners",
		says: "in one byte", owner: func(o string) string { return o[:min(36, len(o))] }},
	{name: "one session for all", check: "owners",
		says: "share a session", owner: func(string) string { return "" }},

	{name: "UPDATE without WHERE", check: "owners", says: "whose sessions must be their own",
		update: func(s *session, ctx context.Context, f exchange) error {
			return s.Update(ctx, func(stored *oauth2.Token) (*oauth2.Token, error) {
				t, err := f(stored)
				if err == nil && t != nil {
					s.place.writeAll(t)
				}
				return t, err
			})
		}},

	// What f returns.
	{name: "f's error is wrapped", check: "an error of f", says: "want it as it is",
		update: within(func(s *session, f exchange) error {
			if err := s.exchange(f); err != nil {
				return fmt.Errorf("update: %w", err)
			}
			return nil
		})},
	{name: "f's error is replaced", check: "an error of f", says: "want f's error as it is",
		update: within(func(s *session, f exchange) error {
			if s.exchange(f) != nil {
				return errBroken
			}
			return nil
		})},
	{name: "a token beside an error is stored", check: "an error of f", says: "returned no token to store",
		update: within(func(s *session, f exchange) error {
			t, err := f(s.read())
			if t != nil {
				s.write(t)
			}
			return err
		})},
	{name: "the lock is kept after an error", check: "an error of f", says: "stay locked",
		update: func(s *session, ctx context.Context, f exchange) error {
			if err := s.lock(ctx); err != nil {
				return err
			}
			err := s.exchange(f)
			if err == nil {
				s.unlock()
			}
			return err
		}},
	{name: "nil deletes", check: "nil from f", says: "no token, want the one",
		update: within(func(s *session, f exchange) error {
			t, err := f(s.read())
			if err == nil {
				s.write(t)
			}
			return err
		})},
	{name: "nil is an error", check: "nil from f", says: "want nil",
		update: within(func(s *session, f exchange) error {
			t, err := f(s.read())
			if t == nil && err == nil {
				return errBroken
			}
			if err == nil {
				s.write(t)
			}
			return err
		})},
	{name: "an optimistic transaction", check: "Updates at once", says: "called f again",
		update: func(s *session, _ context.Context, f exchange) error {
			for {
				before := s.written()
				t, err := f(s.read())
				if err != nil || t == nil {
					return err
				}
				if s.written() == before {
					s.write(t)
					return nil
				}
			}
		}},
	{name: "f is not called", check: "nothing stored", says: "without having called f",
		update: func(*session, context.Context, exchange) error { return nil }},

	// Who is kept out.
	{name: "no lock", check: "Updates at once", says: "at the same time",
		update: func(s *session, _ context.Context, f exchange) error { return s.exchange(f) }},
	{name: "the lock of a row that is not there yet", check: "Updates at once at a cold start",
		says: "before anything is stored",
		update: func(s *session, ctx context.Context, f exchange) error {
			if s.read() == nil {
				return s.exchange(f)
			}
			return s.Update(ctx, f)
		}},
	{name: "the token is read before the lock", check: "Updates at once",
		says:   "read the token under the lock",
		update: readsTooEarly},
	{name: "the token is read before a long wait", check: "a long f",
		says: "the next gave f", update: readsTooEarly},
	{name: "a Load counts as a change", check: "Load during an Update", says: "with Loads while f ran",
		load:   func(s *session, _ context.Context) (*oauth2.Token, error) { s.write(s.read()); return s.read(), nil },
		update: within(failsWhereChanged)},
	{name: "giving up counts as a change", check: "a context that ends",
		says: "where others gave up waiting",
		update: func(s *session, ctx context.Context, f exchange) error {
			err := s.lock(ctx)
			if err != nil {
				s.write(s.read())
				return err
			}
			defer s.unlock()
			return failsWhereChanged(s, f)
		}},
	{name: "no wait for the lock", check: "Updates at once", says: "wait for its turn",
		update: func(s *session, _ context.Context, f exchange) error {
			select {
			case s.turn <- struct{}{}:
				defer s.unlock()
				return s.exchange(f)
			default:
				return errBroken
			}
		}},
	{name: "Load takes the lock", check: "Load during an Update", says: "waits for an Update",
		load: func(s *session, ctx context.Context) (*oauth2.Token, error) {
			if err := s.lock(ctx); err != nil {
				return nil, err
			}
			defer s.unlock()
			return s.read(), nil
		}},
	{name: "a lease that is not kept up", check: "a long f", says: "keep the lock for as long as f runs",
		update: func(s *session, ctx context.Context, f exchange) error {
			wait, cancel := context.WithTimeout(ctx, 15*time.Second)
			defer cancel()
			if err := s.lock(wait); err == nil {
				defer s.unlock()
			} else if ctx.Err() != nil {
				return err
			}
			return s.exchange(f)
		}},
	{name: "a transaction with a time limit", check: "a long f",
		says: "time limits of connections or transactions",
		update: within(func(s *session, f exchange) error {
			began := time.Now()
			t, err := f(s.read())
			switch {
			case err != nil || t == nil:
				return err
			case time.Since(began) > 10*time.Second:
				return errBroken
			}
			s.write(t)
			return nil
		})},
	{name: "a wait with a time limit", check: "a long f", says: "only its context ends a wait",
		update: func(s *session, ctx context.Context, f exchange) error {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			return s.Update(ctx, f)
		}},
	{name: "the context ends no wait", check: "a context that ends", says: "heed the context",
		update: func(s *session, ctx context.Context, f exchange) error {
			select {
			case s.turn <- struct{}{}:
				defer s.unlock()
				return s.exchange(f)
			case <-s.place.closed:
				return errBroken
			}
		}},
	{name: "the context's error is hidden", check: "a context that ends", says: "errors.Is finds",
		update: func(s *session, ctx context.Context, f exchange) error {
			if s.lock(ctx) != nil {
				return errBroken
			}
			defer s.unlock()
			return s.exchange(f)
		}},
	{name: "the context's end lets in", check: "a context that ends", says: "called f while another",
		update: func(s *session, ctx context.Context, f exchange) error {
			if s.lock(ctx) == nil {
				defer s.unlock()
			}
			return s.exchange(f)
		}},
	{name: "who has given up gets the lock", check: "a context that ends", says: "keeps the place locked",
		update: func(s *session, ctx context.Context, f exchange) error {
			err := s.lock(ctx)
			if err != nil {
				go func() {
					select {
					case s.turn <- struct{}{}:
					case <-s.place.closed:
					}
				}()
				return err
			}
			defer s.unlock()
			return s.exchange(f)
		}},

	// How f ends.
	{name: "no defer", check: "a panic in f", says: "unlock in a deferred function",
		update: func(s *session, ctx context.Context, f exchange) error {
			if err := s.lock(ctx); err != nil {
				return err
			}
			err := s.exchange(f)
			s.unlock()
			return err
		}},
	{name: "recover where a defer belongs", check: "Goexit in f", says: "unlock in a deferred function",
		update: func(s *session, ctx context.Context, f exchange) error {
			if err := s.lock(ctx); err != nil {
				return err
			}
			err := func() error {
				defer func() {
					if p := recover(); p != nil {
						s.unlock()
						panic(p)
					}
				}()
				return s.exchange(f)
			}()
			s.unlock()
			return err
		}},
	{name: "a panic is swallowed", check: "a panic in f", says: "let it through",
		update: within(func(s *session, f exchange) error {
			defer func() { recover() }()
			return s.exchange(f)
		})},
	{name: "f in a goroutine of its own", check: "Goexit in f", says: "in the caller's goroutine",
		update: within(func(s *session, f exchange) error {
			result := make(chan error)
			go func() {
				defer func() { recover() }()
				err := s.exchange(f)
				select {
				case result <- err:
				case <-s.place.closed:
				}
			}()
			select {
			case err := <-result:
				return err
			case <-s.place.closed:
				return errBroken
			}
		})},

	// What breaks.
	{name: "the token is lost with the connection", check: "connections cut while f runs",
		says: "write it over a new connection",
		update: within(func(s *session, f exchange) error {
			cuts := s.place.wasCut()
			t, err := f(s.read())
			switch {
			case err != nil || t == nil:
				return err
			case s.place.wasCut() > cuts:
				return errBroken
			}
			s.write(t)
			return nil
		})},
	{name: "a connection is not made anew", check: "connections cut while f runs",
		says: "Load failed after an Update while",
		load: func(s *session, _ context.Context) (*oauth2.Token, error) {
			if s.place.wasCut() > 0 {
				return nil, errBroken
			}
			return s.read(), nil
		}},
	{name: "Load fails for ever after a cut", check: "a lock lost while f runs",
		says: "Load failed after connections were cut",
		load: func(s *session, _ context.Context) (*oauth2.Token, error) {
			if s.place.wasCut() > 0 {
				return nil, errBroken
			}
			return s.read(), nil
		}},
	{name: "the write after a cut is not checked", check: "a lock lost while f runs",
		says: "without its token being stored",
		update: within(func(s *session, f exchange) error {
			cuts := s.place.wasCut()
			t, err := f(s.read())
			if err == nil && t != nil && s.place.wasCut() == cuts {
				s.write(t)
			}
			return err
		})},
	{name: "the lock is another connection's than the write", check: "a lock lost while f runs",
		says:   "overwrote a newer token",
		update: lockOfConnection(func(s *session, t *oauth2.Token, _ int) error { s.write(t); return nil })},
	{name: "a write that found no row is not told", check: "a lock lost while f runs", says: "it must fail",
		update: lockOfConnection(func(s *session, t *oauth2.Token, writes int) error {
			if s.written() == writes {
				s.write(t)
			}
			return nil
		})},

	// What never ends.
	{name: "the lock is kept for ever", check: "nil from f", says: "no success in the 24s of this check",
		update: func(s *session, ctx context.Context, f exchange) error {
			if err := s.lock(ctx); err != nil {
				return err
			}
			return s.exchange(f)
		}},
	{name: "Load hangs", check: "nothing stored", says: `have not returned: ["Load"]`,
		load: func(s *session, _ context.Context) (*oauth2.Token, error) { s.hang(); return nil, errBroken }},
	{name: "Update hangs before f", check: "nothing stored", says: `have not returned: ["Update"]`,
		update: func(s *session, _ context.Context, f exchange) error { s.hang(); return s.exchange(f) }},
	{name: "Update hangs after f", check: "a long f", says: `have not returned: ["Update"`,
		update: within(func(s *session, f exchange) error { s.exchange(f); s.hang(); return errBroken })},
	{name: "all of it hangs", check: "owners", says: "have not returned",
		load:   func(s *session, _ context.Context) (*oauth2.Token, error) { s.hang(); return nil, errBroken },
		update: func(s *session, _ context.Context, f exchange) error { s.hang(); return s.exchange(f) }},
}

// lockOfConnection is an Update whose lock ends when connections are cut, and how it writes then, with
// the number of writes that there were before f.
func lockOfConnection(
	write func(s *session, t *oauth2.Token, writes int) error,
) func(*session, context.Context, exchange) error {
	return func(s *session, ctx context.Context, f exchange) error {
		if s.place.wasCut() == 0 {
			if err := s.lock(ctx); err != nil {
				return err
			}
			defer s.unlock()
		}
		writes := s.written()
		t, err := f(s.read())
		if err != nil || t == nil {
			return err
		}
		return write(s, t, writes)
	}
}

var needsRow = within(func(s *session, f exchange) error {
	if s.read() == nil {
		return errBroken
	}
	return s.exchange(f)
})

func readsTooEarly(s *session, ctx context.Context, f exchange) error {
	stored := s.read()
	return s.Update(ctx, func(*oauth2.Token) (*oauth2.Token, error) { return f(stored) })
}

func failsWhereChanged(s *session, f exchange) error {
	writes := s.written()
	t, err := f(s.read())
	switch {
	case err != nil || t == nil:
		return err
	case s.written() != writes:
		return errBroken
	}
	s.write(t)
	return nil
}
