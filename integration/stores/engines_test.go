package stores

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/netoauth/netoauth/tokensql"
	"github.com/redis/go-redis/v9"
)

// engine keeps sessions.
type engine struct {
	name string

	// start starts a server of its own; nil: the engine needs none.
	start func(t testing.TB) (d *daemon, end func())

	running *daemon // for all tests that leave it in peace; guarded by starting
}

var (
	sqlite     = &engine{name: "SQLite"}
	postgreSQL = &engine{name: "PostgreSQL", start: startPostgreSQL}
	mariaDB    = &engine{name: "MariaDB", start: startMariaDB}
	redisKind  = &engine{name: "Redis", start: startRedis}

	engines = []*engine{sqlite, postgreSQL, mariaDB, redisKind}
	servers = []*engine{postgreSQL, mariaDB, redisKind}
)

// each runs a test with each engine, side by side.
func each(t *testing.T, engines []*engine, test func(t *testing.T, s subject)) {
	t.Parallel()
	for _, s := range subjects(engines...) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

var starting sync.Mutex

// common returns the server that tests share, which runs until the end of all.
func (e *engine) common(t testing.TB) *daemon {
	t.Helper()
	starting.Lock()
	defer starting.Unlock()
	if e.running == nil {
		d, end := e.start(t)
		e.running = d
		atEnd.Lock()
		defer atEnd.Unlock()
		atEnd.all = append(atEnd.all, end)
	}
	return e.running
}

func (p place) createTable(t testing.TB) {
	t.Helper()
	p.Naive = false
	s, end, err := p.open()
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	if s, ok := s.(*tokensql.Store); ok {
		if err := s.CreateTable(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// template makes a server's folder once, and copies it, since making one takes seconds.
func template(t testing.TB, name string, fill func(dir string)) (*daemon, func()) {
	t.Helper()
	templates.Lock()
	defer templates.Unlock()
	source := templates.dirs[name]
	if source == "" {
		made, remove := newDaemon(t, name)
		fill(made.dir)
		source = made.dir
		templates.dirs[name] = source
		atEnd.Lock()
		atEnd.all = append(atEnd.all, remove)
		atEnd.Unlock()
	}
	d, remove := newDaemon(t, name)
	run(t, d.dir, "cp", "-a", source+"/data", d.dir+"/data")
	return d, remove
}

var templates = struct {
	sync.Mutex
	dirs map[string]string
}{dirs: make(map[string]string)}

func startPostgreSQL(t testing.TB) (*daemon, func()) {
	t.Helper()
	postgres := binary(t, "/usr/lib/postgresql/*/bin/postgres", "/usr/bin/postgres", "/usr/local/bin/postgres")
	d, remove := template(t, "postgresql", func(dir string) {
		run(t, dir, filepath.Join(filepath.Dir(postgres), "initdb"), "-D", dir+"/data", "-U", "postgres", "-A", "trust", "-N")
	})
	// All else is as it comes, max_connections among it.
	d.program, d.stop, d.ready = postgres, syscall.SIGINT, d.pings("PostgreSQL")
	d.args = []string{"-D", d.dir + "/data", "-h", hostOnly, "-p", strconv.Itoa(d.port), "-k", d.dir, "-c", "fsync=off"}
	d.start(t)
	return d, func() { d.end(); remove() }
}

func startMariaDB(t testing.TB) (*daemon, func()) {
	t.Helper()
	mariadbd := binary(t, "/usr/sbin/mariadbd", "/usr/libexec/mariadbd", "/usr/local/bin/mariadbd")
	small := []string{"--innodb-log-file-size=4M", "--innodb-buffer-pool-size=16M", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=2"}
	d, remove := template(t, "mariadb", func(dir string) {
		run(t, dir, binary(t, "/usr/bin/mariadb-install-db"), append([]string{"--no-defaults", "--datadir=" + dir + "/data",
			"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"}, small...)...)
		if err := os.Mkdir(dir+"/data/sessions", 0o700); err != nil { // a database is a folder
			t.Fatal(err)
		}
		os.Chown(dir+"/data/sessions", owner(), owner())
	})
	d.program, d.stop, d.ready = mariadbd, syscall.SIGTERM, d.pings("MariaDB")
	d.args = append([]string{"--no-defaults", "--datadir=" + d.dir + "/data", "--bind-address=" + hostOnly,
		"--port=" + strconv.Itoa(d.port), "--socket=" + d.dir + "/socket", "--pid-file=" + d.dir + "/pid",
		"--skip-name-resolve"}, small...)
	d.start(t)
	return d, func() { d.end(); remove() }
}

func startRedis(t testing.TB) (*daemon, func()) {
	t.Helper()
	server := binary(t, "/usr/bin/redis-server", "/usr/bin/valkey-server", "/usr/local/bin/redis-server")
	d, remove := newDaemon(t, "redis")
	d.program, d.stop = server, syscall.SIGTERM
	d.ready = func() error {
		client := redis.NewClient(&redis.Options{Addr: d.address()})
		defer client.Close()
		return client.Ping(context.Background()).Err()
	}
	d.args = []string{"--bind", hostOnly, "--port", strconv.Itoa(d.port), "--dir", d.dir, "--appendonly", "yes"}
	d.start(t)
	return d, func() { d.end(); remove() }
}

// pings is how daemon.ready asks.
func (d *daemon) pings(engine string) func() error {
	return func() error {
		db, _, err := place{Engine: engine, Address: d.address()}.database()
		if err != nil {
			return err
		}
		defer db.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return db.PingContext(ctx)
	}
}
