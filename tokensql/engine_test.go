package tokensql_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/netoauth/netoauth/tokensql"
)

// engine is a database in memory. It understands the little SQL that a Store needs, whatever the
// Store says in it, and makes trouble on demand. Each statement is a transaction.
type engine struct {
	dialect tokensql.Dialect

	underWay atomic.Int64 // statements

	mu     sync.Mutex
	tables map[string]map[any]record // by the primary key, which is id
	said   []string
	meet   func(statement string) trouble // what each statement meets; nil: none
}

// record is a row, by the names of its columns.
type record map[string]any

// trouble is what a statement meets.
type trouble struct {
	slow   time.Duration // before it
	deaf   bool          // to the end of its context
	hang   bool          // until its context ends, without an effect
	before error         // in place of an effect
	after  error         // in place of an answer
}

func newEngine(d tokensql.Dialect) *engine {
	return &engine{dialect: d, tables: make(map[string]map[any]record)}
}

// trouble makes the next statements that have part in them meet these troubles, one after the
// other.
func (e *engine) trouble(part string, next ...trouble) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.meet = func(statement string) (met trouble) {
		if len(next) > 0 && strings.Contains(statement, part) {
			met, next = next[0], next[1:]
		}
		return met
	}
}

// always makes all statements that have part in them meet a trouble, until the next call.
func (e *engine) always(part string, met trouble) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.meet = func(statement string) trouble {
		if strings.Contains(statement, part) {
			return met
		}
		return trouble{}
	}
}

// calm ends all trouble.
func (e *engine) calm() { e.trouble("") }

// set changes the rows, as another program would.
func (e *engine) set(column string, value any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.tables["netoauth_session"] {
		r[column] = value
	}
}

// only returns the one row of the table.
func (e *engine) only(t *testing.T, table string) record {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.tables[table] {
		return maps.Clone(r)
	}
	t.Fatalf("no row in table %q", table)
	return nil
}

// statements returns how many statements have had part in them.
func (e *engine) statements(part string) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.said {
		if strings.Contains(s, part) {
			n++
		}
	}
	return n
}

// The driver, whose connections are all alike.

func (e *engine) Connect(context.Context) (driver.Conn, error) { return connection{e}, nil }
func (e *engine) Driver() driver.Driver                        { return nil }

type connection struct{ *engine }

func (connection) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not needed") }
func (connection) Begin() (driver.Tx, error)           { return nil, errors.New("not needed") }
func (connection) Close() error                        { return nil }

func (c connection) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	_, n, err := c.run(ctx, text, args)
	return driver.RowsAffected(n), err
}

func (c connection) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	found, _, err := c.run(ctx, text, args)
	return found, err
}

type rows struct {
	columns []string
	left    [][]driver.Value
}

func (r *rows) Columns() []string { return r.columns }
func (r *rows) Close() error      { return nil }

func (r *rows) Next(to []driver.Value) error {
	if len(r.left) == 0 {
		return io.EOF
	}
	copy(to, r.left[0])
	r.left = r.left[1:]
	return nil
}

func (e *engine) run(ctx context.Context, text string, args []driver.NamedValue) (*rows, int64, error) {
	e.mu.Lock()
	var t trouble
	if e.meet != nil {
		t = e.meet(text)
	}
	e.said = append(e.said, text)
	e.mu.Unlock()
	e.underWay.Add(1)
	defer e.underWay.Add(-1)
	if t.hang {
		<-ctx.Done()
	}
	if t.deaf {
		time.Sleep(t.slow)
	}
	select {
	case <-ctx.Done():
	case <-time.After(t.slow):
	}
	if err := ctx.Err(); err != nil || t.before != nil {
		return nil, 0, errors.Join(t.before, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s := &statement{engine: e, words: word.FindAllString(text, -1), args: args}
	found, n, err := s.run()
	if len(s.words) > 0 && err == nil {
		err = fmt.Errorf("syntax error at %q", s.words[0])
	}
	return found, n, errors.Join(err, t.after)
}

var word = regexp.MustCompile(`'[^']*'|\$\d+|[\w.]+|\S`)

// statement is one that is being understood, word by word.
type statement struct {
	*engine
	words []string
	args  []driver.NamedValue
	used  int // of args, where they have no numbers
}

func (s *statement) next() string {
	if len(s.words) == 0 {
		return ""
	}
	w := s.words[0]
	s.words = s.words[1:]
	return w
}

// accept takes the words, if they are next.
func (s *statement) accept(words string) bool {
	want := strings.Fields(words)
	if len(s.words) < len(want) || !slices.Equal(s.words[:len(want)], want) {
		return false
	}
	s.words = s.words[len(want):]
	return true
}

func (s *statement) list(item func()) {
	for item(); s.accept(","); item() {
	}
}

func (s *statement) run() (*rows, int64, error) {
	switch {
	case s.accept("CREATE TABLE IF NOT EXISTS"):
		return nil, 0, s.create()
	case s.accept("SELECT"):
		return s.choose()
	case s.accept("INSERT IGNORE INTO"), s.accept("INSERT INTO"):
		return s.insert()
	case s.accept("UPDATE"):
		name, set := s.next(), s.words
		return s.change(name, func(r record) record {
			s.words = set
			return s.assign(r)
		})
	case s.accept("DELETE FROM"):
		return s.change(s.next(), func(record) record { return nil })
	}
	return nil, 0, errors.New("no statement")
}

var columns = map[tokensql.Dialect]string{
	tokensql.PostgreSQL: "BYTEA", tokensql.MySQL: "LONGBLOB", tokensql.SQLite: "BLOB",
}

func (s *statement) create() error {
	name := s.next()
	if !slices.Contains(s.words, columns[s.dialect]) {
		return errors.New("no such type")
	}
	s.words = nil
	if s.tables[name] == nil {
		s.tables[name] = make(map[any]record)
	}
	return nil
}

func (s *statement) table(name string) (map[any]record, error) {
	if s.tables[name] == nil {
		return nil, fmt.Errorf("no table %s", name)
	}
	return s.tables[name], nil
}

func (s *statement) choose() (*rows, int64, error) {
	found := new(rows)
	s.list(func() { found.columns = append(found.columns, s.next()) })
	s.accept("FROM")
	table, err := s.table(s.next())
	if err != nil {
		return nil, 0, err
	}
	s.accept("WHERE")
	s.where(table, func(_ any, r record) {
		var line []driver.Value
		for _, c := range found.columns {
			line = append(line, r[c])
		}
		found.left = append(found.left, line)
	})
	return found, 0, nil
}

func (s *statement) insert() (*rows, int64, error) {
	table, err := s.table(s.next())
	if err != nil {
		return nil, 0, err
	}
	var names []string
	s.accept("(")
	s.list(func() { names = append(names, s.next()) })
	s.accept(") VALUES (")
	r := make(record)
	s.list(func() { r[names[len(r)]] = s.value(nil) })
	s.accept(")")
	if s.dialect != tokensql.MySQL && !s.accept("ON CONFLICT DO NOTHING") {
		return nil, 0, errors.New("duplicates are not dealt with")
	}
	if table[r["id"]] != nil {
		return nil, 0, nil
	}
	table[r["id"]] = r
	return nil, 1, nil
}

// change replaces the rows of WHERE by what it makes of them; nil: deletes them.
func (s *statement) change(name string, made func(record) record) (_ *rows, n int64, err error) {
	table, err := s.table(name)
	if err != nil {
		return nil, 0, err
	}
	at := slices.Index(s.words, "WHERE")
	set, where := s.words[:at], s.words[at+1:]
	s.used = strings.Count(strings.Join(set, ""), "?")
	s.words = where
	s.where(table, func(id any, r record) {
		n++
		if r = made(r); r == nil {
			delete(table, id)
		} else {
			table[id] = r
		}
	})
	s.words = nil
	return nil, n, nil
}

// assign returns the row as SET has it.
func (s *statement) assign(r record) record {
	next := maps.Clone(r)
	s.used = 0
	s.accept("SET")
	s.list(func() {
		column := s.next()
		s.accept("=")
		next[column] = s.value(r)
	})
	return next
}

func (s *statement) where(table map[any]record, each func(any, record)) {
	words, used := s.words, s.used
	for id, r := range maps.Clone(table) {
		s.words, s.used = words, used
		if s.condition(r) {
			each(id, r)
		}
	}
	s.words = nil
}

func (s *statement) condition(r record) bool {
	yes := s.all(r)
	for s.accept("OR") {
		other := s.all(r)
		yes = yes || other
	}
	return yes
}

func (s *statement) all(r record) bool {
	yes := s.one(r)
	for s.accept("AND") {
		other := s.one(r)
		yes = yes && other
	}
	return yes
}

func (s *statement) one(r record) bool {
	if s.accept("(") {
		defer s.accept(")")
		return s.condition(r)
	}
	left := s.value(r)
	s.accept("=")
	right := s.value(r)
	return left != nil && reflect.DeepEqual(left, right)
}

func (s *statement) value(r record) any {
	if s.accept("CASE WHEN") {
		yes := s.condition(r)
		s.accept("THEN")
		then := s.value(r)
		s.accept("ELSE")
		other := s.value(r)
		s.accept("END")
		if yes {
			return then
		}
		return other
	}
	v := s.atom(r)
	if s.accept("+") {
		return v.(int64) + s.atom(r).(int64)
	}
	return v
}

func (s *statement) atom(r record) any {
	switch w := s.next(); {
	case w == "?" && s.dialect != tokensql.PostgreSQL:
		s.used++
		return s.args[s.used-1].Value
	case w[0] == '$' && s.dialect == tokensql.PostgreSQL:
		n, _ := strconv.Atoi(w[1:])
		return s.args[n-1].Value
	case w[0] == '\'':
		return w[1 : len(w)-1]
	case w == "NULL":
		return nil
	case w[0] >= '0' && w[0] <= '9':
		n, _ := strconv.ParseInt(w, 10, 64)
		return n
	default:
		v, ok := r[w]
		if !ok {
			panic("no column " + w)
		}
		return v
	}
}

// open opens a Store of the engine, as another program would.
func (e *engine) open(t *testing.T, owner string) *tokensql.Store {
	db := sql.OpenDB(e)
	db.SetMaxOpenConns(1)
	db.SetConnMaxIdleTime(time.Second)
	t.Cleanup(func() { db.Close() })
	return &tokensql.Store{DB: db, Dialect: e.dialect, Owner: owner}
}
