package stores

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/netoauth/netoauth/tokenstore"
	"golang.org/x/oauth2"
)

// rowLock is the Store that one writes first: a row, and its lock in a transaction around f. It is here
// for comparison, and uses the table of tokensql.
type rowLock struct {
	db *sql.DB
	place
}

func (s *rowLock) say(statement string) string {
	if s.Engine == "PostgreSQL" {
		statement = strings.Replace(strings.Replace(statement, "?", "$1", 1), "?", "$2", 1)
	}
	return statement
}

func (s *rowLock) Load(ctx context.Context) (*oauth2.Token, error) {
	return s.scan(s.db.QueryRowContext(ctx, s.say("SELECT token FROM netoauth_session WHERE id = ?"), s.id()))
}

func (s *rowLock) id() string { return s.Owner[max(0, len(s.Owner)-64):] }

func (s *rowLock) scan(r *sql.Row) (*oauth2.Token, error) {
	var data []byte
	if err := r.Scan(&data); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return nil, nil
		}
		return nil, err
	}
	return tokenstore.Decode(s.Owner, data)
}

func (s *rowLock) Update(ctx context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	stored, err := s.scan(tx.QueryRowContext(ctx, s.say("SELECT token FROM netoauth_session WHERE id = ? FOR UPDATE"), s.id()))
	if err != nil {
		return err
	}
	t, err := f(stored)
	if err != nil || t == nil {
		return err
	}
	data, err := tokenstore.Encode(s.Owner, t)
	if err != nil {
		return err
	}
	result, err := tx.ExecContext(ctx, s.say("UPDATE netoauth_session SET token = ? WHERE id = ?"), data, s.id())
	if err != nil {
		return err
	}
	if n, _ := result.RowsAffected(); n == 0 {
		const insert = "INSERT INTO netoauth_session (id, token, holder, beat, last) VALUES (?, ?, '', 0, '')"
		if _, err := tx.ExecContext(ctx, s.say(insert), s.id(), data); err != nil {
			return err
		}
	}
	return tx.Commit()
}
