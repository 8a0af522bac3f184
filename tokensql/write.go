package tokensql

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/netoauth/netoauth/internal/redact"
	"github.com/netoauth/netoauth/tokenstore"
	"golang.org/x/oauth2"
)

const (
	writeFor = 3 * time.Second // for one try, and as long for the look after it

	// Between two tries, doubling from the first to the last of these.
	firstRetry, lastRetry = 50 * time.Millisecond, time.Second
)

// write stores a token and gives the lease free, in one statement. The row must still be the
// lease's, or else have the last of the time when it was taken: then nobody has written since, and
// a program that has slept overwrites nothing that is newer, but does not lose its token for having
// slept.
func (l *lease) write(ctx context.Context, owner string, t *oauth2.Token) error {
	data, err := tokenstore.Encode(owner, t)
	if err != nil {
		return fmt.Errorf("tokensql: the new token cannot be stored in table %s: %w", l.table, err)
	}
	written := func(now row) bool { return now.last == l.me }
	return l.persist(ctx, redact.New(t.AccessToken, t.RefreshToken), written,
		l.say.write, data, l.me, l.me, l.id, l.me, l.was.last)
}

// remove deletes the row, and the lease with it.
func (l *lease) remove(ctx context.Context) error {
	gone := func(now row) bool { return now.last != l.was.last }
	return l.persist(ctx, redact.Secrets{}, gone, l.say.remove, l.id, l.me)
}

// persist makes the last change of a lease: once whatever has become of ctx, as the API has issued
// a token meanwhile, and where that fails again and again until ctx ends. made tells from the row
// whether a change was made whose answer was lost.
func (l *lease) persist(ctx context.Context, hide redact.Secrets, made func(row) bool, statement string,
	args ...any) error {
	var problem error
	try := context.WithoutCancel(ctx)
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		changed, err := l.change(try, writeFor, statement, args...)
		if !changed {
			now, unseen := l.look(try, writeFor)
			changed = unseen == nil && made(now)
			if err == nil {
				err = unseen
			}
		}
		switch {
		case changed:
			l.asked = false
			return nil
		case err == nil:
			return fmt.Errorf("tokensql: another program has changed the session in table %s meanwhile, "+
				"and what it left stays: look why this one was so slow", l.table)
		case problem == nil || ctx.Err() == nil:
			problem = err
		}
		if err := pause(ctx, wait); err != nil {
			return l.fault(hide, "was not written to", errors.Join(problem, err))
		}
		try = ctx
	}
}
