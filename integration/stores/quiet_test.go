package stores

import (
	"context"
	"fmt"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// While f talks to the API the engine has no transaction open, and soon no connection either.
func TestUpdate_holdsNothingOfTheEngine(t *testing.T) {
	each(t, []*engine{postgreSQL, mariaDB}, func(t *testing.T, s subject) {
		if got := whileF(t, s); got.busy > 0 || got.connections > 0 {
			t.Errorf("%v, want none", got)
		}
	})
}

type quietFigures struct{ busy, connections int }

func (f quietFigures) String() string {
	if f.connections == 0 {
		return "none"
	}
	return fmt.Sprintf("%d connections, %d in a transaction", f.connections, f.busy)
}

// whileF looks what an Update holds when f has run for a while, 3 s at most, which is before the first
// beat.
func whileF(t *testing.T, s subject) (f quietFigures) {
	at, _ := s.own(t)
	at.store(t, &oauth2.Token{AccessToken: "first"})
	store, end, err := at.open()
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	err = store.Update(t.Context(), func(*oauth2.Token) (*oauth2.Token, error) {
		within(3*time.Second, func() bool {
			f = at.held(t)
			return f == quietFigures{}
		})
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// held asks the engine who is connected, but for who asks.
func (p place) held(t *testing.T) (f quietFigures) {
	t.Helper()
	ctx := context.Background()
	db, _, err := p.database()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	busy, connections := `SELECT count(*) FROM pg_stat_activity
		WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' AND xact_start IS NOT NULL`,
		`SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`
	if p.Engine == "MariaDB" {
		busy, connections = "SELECT count(*) FROM information_schema.innodb_trx",
			"SELECT count(*) FROM information_schema.processlist WHERE id <> connection_id() AND user = 'root'"
	}
	for statement, n := range map[string]*int{busy: &f.busy, connections: &f.connections} {
		if err := db.QueryRowContext(ctx, statement).Scan(n); err != nil {
			t.Fatal(err)
		}
	}
	return f
}
