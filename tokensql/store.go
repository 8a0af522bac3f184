package tokensql

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/netoauth/netoauth/internal/redact"
	"github.com/netoauth/netoauth/tokenstore"
	"golang.org/x/oauth2"
)

const (
	defaultTable = "netoauth_session"
	maxOwner     = 4 << 10 // bytes

	createTries = 5
	createPause = 100 * time.Millisecond
	createFor   = 10 * time.Second // in all
)

// Store is a session's token in a row of a table. It has no state: any number of Stores, in any
// number of goroutines and programs, may name one row. Its methods may be called at the same time.
type Store struct {
	// DB is the pool whose connections the Store uses, each for one statement at a time. It should
	// be the Store's own, with one connection and a short idle time, as the package comment says.
	// nil is an error.
	DB *sql.DB

	// Dialect says whose SQL the database understands. The zero value is an error.
	Dialect Dialect

	// Table names the table, in letters, digits and _, where needed with the schema and a dot before
	// it. It is not quoted, so that the engine's own rules decide about capitals. "" means
	// netoauth_session.
	Table string

	// Owner says whose session it is, such as the API's URL and the account, in at most 4096 bytes
	// of UTF-8. Owners that differ in one byte are two sessions, each with a row of its own. It is
	// stored, and must not hold a secret. "" is an error.
	Owner string
}

// CreateTable makes the table where it is not there. Any number of programs may call it at once. It
// fails where the table cannot be made, and where there is one without the columns that the package
// comment names. It needs the right to make tables only where there is none yet.
func (s *Store) CreateTable(ctx context.Context) error {
	p, err := s.place(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, createFor)
	defer cancel()
	var refused error
	for range createTries {
		if _, err = p.look(ctx, tryFor); err == nil {
			return nil
		}
		// PostgreSQL's fails where another program makes the table at the same time.
		if _, refused = p.change(ctx, tryFor, p.say.create); refused != nil {
			pause(ctx, createPause)
		}
	}
	if _, err = p.look(ctx, tryFor); err == nil {
		return nil
	}
	return p.fault(redact.Secrets{}, "is not there", errors.Join(refused, err, ctx.Err()))
}

// Load returns the stored token, nil if there is none. It waits for no Update: while one is under
// way it returns the token from before.
//
// It takes as long as ctx lets it. A row that holds no token, or another Owner's, is an error, and
// left as it is. An error of the database is found with [errors.As], and ctx's with [errors.Is] where
// ctx has ended.
func (s *Store) Load(ctx context.Context) (*oauth2.Token, error) {
	p, err := s.place(ctx)
	if err != nil {
		return nil, err
	}
	r, err := p.scan(p.db.QueryRowContext(ctx, p.say.look, p.id))
	if err != nil {
		return nil, p.fault(redact.Secrets{}, "cannot be read", errors.Join(err, ctx.Err()))
	}
	return s.decode(r)
}

// Update calls f with the stored token, nil if there is none, and stores the token that f returns.
// Where f fails or returns nil the stored token stays, and Update returns f's error itself. f is
// called once at most, and while it runs every other Update of the session waits, in this program
// and in others; it must not start one.
//
// ctx bounds what comes before f, most of which is waiting for others: its error is then wrapped.
// Update fails before it calls f, too, where Load would fail, and where nothing has worked for 5 s:
// a refresh token must not be used up when the next would be lost.
//
// After f, the new token is written once even if ctx has ended, and where that fails again and
// again until ctx ends. Update fails where it is not stored then, and where another program has
// written or removed the session meanwhile, which only happens to one that slept in f for longer
// than its lease lasts.
func (s *Store) Update(ctx context.Context, f func(stored *oauth2.Token) (*oauth2.Token, error)) error {
	return s.hold(ctx, func(l *lease) error {
		stored, err := s.decode(l.was)
		if err != nil {
			return err
		}
		t, err := f(stored)
		if err != nil || t == nil {
			return err
		}
		return l.write(ctx, s.Owner, t)
	})
}

// Remove deletes the stored token, when no Update is under way. Where there is none it does nothing.
// It fails as Update does. Programs that go on store the next token that they get.
func (s *Store) Remove(ctx context.Context) error {
	return s.hold(ctx, func(l *lease) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return l.remove(ctx)
	})
}

// hold calls use while the lease is held, and gives the lease free however use ends.
func (s *Store) hold(ctx context.Context, use func(*lease) error) error {
	p, err := s.place(ctx)
	if err != nil {
		return err
	}
	l := p.lease()
	defer l.free(ctx)
	if err := l.take(ctx); err != nil {
		return err
	}
	defer l.keep(ctx)()
	return use(l)
}

// place checks the settings.
func (s *Store) place(ctx context.Context) (*place, error) {
	table := cmp.Or(s.Table, defaultTable)
	say, err := s.Dialect.statements(table)
	switch {
	case s.DB == nil:
		return nil, errors.New("tokensql: DB is nil: open a database")
	case err != nil:
		return nil, err
	case s.Owner == "" || len(s.Owner) > maxOwner || strings.ContainsRune(s.Owner, utf8.RuneError):
		return nil, errors.New("tokensql: Owner must be 1 to 4096 bytes of UTF-8: name the session's URL and account")
	case ctx.Err() != nil:
		return nil, fmt.Errorf("tokensql: table %s was left alone: %w", table, ctx.Err())
	}
	// A hash is of one length, and the same in every collation.
	hash := sha256.Sum256([]byte(s.Owner))
	return &place{s.DB, table, hex.EncodeToString(hash[:]), say, s.Dialect != SQLite}, nil
}

// decode returns the token that a row has, nil where it has none.
func (s *Store) decode(r row) (*oauth2.Token, error) {
	if r.token == nil {
		return nil, nil
	}
	t, err := tokenstore.Decode(s.Owner, r.token)
	if err != nil {
		return nil, fmt.Errorf("tokensql: a row of table %s holds %w", cmp.Or(s.Table, defaultTable), err)
	}
	return t, nil
}
