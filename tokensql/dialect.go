package tokensql

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
)

// Dialect says whose SQL a Store speaks. The zero value is none, and an error.
type Dialect int

// The dialects.
const (
	PostgreSQL Dialect = iota + 1
	MySQL              // and MariaDB
	SQLite             // 3.24 or later
)

// name is what a table may be called in any dialect, unquoted: with a schema before it, or without.
var name = regexp.MustCompile(`^[0-9A-Za-z_]+(\.[0-9A-Za-z_]+)?$`)

// statements are all that a Store says to an engine. Each is a transaction of its own.
type statements struct {
	create string
	look   string // id
	insert string // id, holder, last; leaves a row that is there as it is
	take   string // holder; id, holder and beat as they were
	beat   string // id, holder
	free   string // id, holder
	write  string // token, last; holder; id, holder, last as it was
	remove string // id, holder
}

func (d Dialect) statements(table string) (statements, error) {
	if d < PostgreSQL || d > SQLite {
		return statements{}, errors.New("tokensql: Dialect is not set: name PostgreSQL, MySQL or SQLite")
	}
	if !name.MatchString(table) {
		return statements{}, errors.New("tokensql: Table is not a name: use letters, digits, _ and one dot")
	}
	insert, onDuplicate := "INSERT INTO ", " ON CONFLICT DO NOTHING"
	if d == MySQL {
		insert, onDuplicate = "INSERT IGNORE INTO ", ""
	}
	blob := map[Dialect]string{PostgreSQL: "BYTEA", MySQL: "LONGBLOB", SQLite: "BLOB"}[d]
	return statements{
		create: "CREATE TABLE IF NOT EXISTS " + table + " (id CHAR(64) PRIMARY KEY, token " + blob +
			", holder VARCHAR(64) NOT NULL, beat BIGINT NOT NULL, last VARCHAR(64) NOT NULL)",
		look: d.numbered("SELECT token, holder, beat, last FROM " + table + " WHERE id = ?"),
		insert: d.numbered(insert + table +
			" (id, token, holder, beat, last) VALUES (?, NULL, ?, 1, ?)" + onDuplicate),
		take: d.numbered("UPDATE " + table +
			" SET holder = ?, beat = beat + 1 WHERE id = ? AND holder = ? AND beat = ?"),
		beat: d.numbered("UPDATE " + table + " SET beat = beat + 1 WHERE id = ? AND holder = ?"),
		free: d.numbered("UPDATE " + table + " SET holder = '', beat = beat + 1 WHERE id = ? AND holder = ?"),
		write: d.numbered("UPDATE " + table + " SET token = ?, last = ?, " +
			"holder = CASE WHEN holder = ? THEN '' ELSE holder END, beat = beat + 1 " +
			"WHERE id = ? AND (holder = ? OR last = ?)"),
		remove: d.numbered("DELETE FROM " + table + " WHERE id = ? AND holder = ?"),
	}, nil
}

// numbered returns a statement with its placeholders as d has them.
func (d Dialect) numbered(statement string) string {
	if d != PostgreSQL {
		return statement
	}
	parts := strings.Split(statement, "?")
	for i := range len(parts) - 1 {
		parts[i] += "$" + strconv.Itoa(i+1)
	}
	return strings.Join(parts, "")
}
