package stores

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
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

// own returns a place on an engine of the test's own.
func (s subject) own(t *testing.T) (place, *daemon) {
	t.Helper()
	if s.engine == nil || s.engine.start == nil {
		return s.place(t), nil
	}
	d, end := s.engine.start(t)
	t.Cleanup(end)
	p := place{Engine: s.engine.name, Owner: t.Name(), Address: d.address(), Naive: s.naive}
	p.createTable(t)
	return p, d
}

// halt makes an engine stop, and returns what makes it go on. With restart it ends, and the other starts
// it again; else it is frozen.
func (p place) halt(t *testing.T, d *daemon, restart bool) (goOn func()) {
	t.Helper()
	if d == nil {
		return lockFile(t, p)
	}
	if restart {
		return d.restart(t)
	}
	d.signal(syscall.SIGSTOP)
	return func() { d.signal(syscall.SIGCONT) }
}

// lockFile is what comes nearest to an engine that stops, where it is a file: another has it locked.
func lockFile(t *testing.T, p place) (unlock func()) {
	t.Helper()
	db, _, err := p.database()
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := db.ExecContext(t.Context(), "COMMIT"); err != nil {
			t.Error(err)
		}
		db.Close()
	}
}

// count returns a number of things, as the table has it.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprint(n, " ", thing)
}
