package tokensql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/netoauth/netoauth/internal/redact"
)

// place is the row of one session, whether it is there or not.
type place struct {
	db      *sql.DB
	table   string // for errors
	id      string
	say     statements
	limited bool // the engine's connections are
}

// row is what a look saw.
type row struct {
	found  bool   // false: there is no row, and nothing below is set
	token  []byte // as tokenstore has it; nil: none
	holder string // the Update or Remove that has the lease; "": it is free
	beat   int64  // grows with each change
	last   string // the Update that wrote token, or a random text where none has
}

func (p *place) look(ctx context.Context, limit time.Duration) (row, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return p.scan(p.db.QueryRowContext(ctx, p.say.look, p.id))
}

func (p *place) scan(found *sql.Row) (row, error) {
	r := row{found: true}
	err := found.Scan(&r.token, &r.holder, &r.beat, &r.last)
	if errors.Is(err, sql.ErrNoRows) {
		return row{}, nil
	}
	return r, err
}

// change reports whether a statement has changed the row. Where it returns an error the statement
// may have done so, too.
func (p *place) change(ctx context.Context, limit time.Duration, statement string, args ...any) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	result, err := p.db.ExecContext(ctx, statement, args...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// fault is an error of the database, as one line that shows no token.
func (p *place) fault(hide redact.Secrets, what string, err error) error {
	return redact.NewError(fmt.Sprintf("tokensql: table %s %s: %s: check the database", p.table, what, hide.Cause(err)), err)
}

// pause waits for d, or for the end of ctx, whose error it returns.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return ctx.Err()
}
