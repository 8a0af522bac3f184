package stores

import (
	"context"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// subject is a way to keep a session, in a row of tests and in a column of the table.
type subject struct {
	name   string
	engine *engine // nil: none, each program has a session of its own
	naive  bool    // a row's lock in place of a lease
}

// The columns of the table. The gate tests those with an engine and a lease.
var (
	withoutStore = subject{name: "no Store"}
	withRowLock  = subject{"row lock, PostgreSQL", postgreSQL, true}
)

func subjects(engines ...*engine) (all []subject) {
	for _, e := range engines {
		all = append(all, subject{name: e.name, engine: e})
	}
	return all
}

// place returns a place for a session that no other test disturbs.
func (s subject) place(t *testing.T) place {
	t.Helper()
	p := place{Owner: t.Name(), Naive: s.naive}
	if s.engine == nil {
		return p
	}
	p.Engine = s.engine.name
	if s.engine.start == nil {
		p.Address = filepath.Join(t.TempDir(), "sessions.db")
	} else {
		p.Address = s.engine.common(t).address()
	}
	p.createTable(t)
	return p
}

// own returns a place on an engine that a test may stop and let go on.
func (s subject) own(t *testing.T) (p place, halt, goOn func()) {
	t.Helper()
	if s.engine == nil || s.engine.start == nil {
		p = s.place(t)
		halt, goOn = lockFile(t, p)
		return p, halt, goOn
	}
	d, end := s.engine.start(t)
	t.Cleanup(end)
	p = place{Engine: s.engine.name, Owner: t.Name(), Address: d.address(), Naive: s.naive}
	p.createTable(t)
	return p, func() { d.signal(syscall.SIGSTOP) }, func() { d.signal(syscall.SIGCONT) }
}

// lockFile is what comes nearest to an engine that stops, where it is a file: another has it locked.
func lockFile(t *testing.T, p place) (lock, unlock func()) {
	if p.Engine == "" {
		return func() {}, func() {}
	}
	db, _, err := p.database()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	say := func(statement string) func() {
		return func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if _, err := db.ExecContext(ctx, statement); err != nil {
				t.Error(err)
			}
		}
	}
	return say("BEGIN EXCLUSIVE"), say("COMMIT")
}
