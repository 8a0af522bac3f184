package stores

import (
	"database/sql"
	"fmt"
	"net"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/integration/stores/redisstore"
	"github.com/netoauth/netoauth/tokensql"
	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite"
)

// place says where a session is kept, to another program as well.
type place struct {
	Engine  string // as in engines; "": no Store
	Address string // of the server, or of a proxy before it; SQLite: the file
	Owner   string
	Naive   bool // a row's lock in place of a lease
}

// open opens the Store as a program does, with a pool of its own.
func (p place) open() (s netoauth.Store, end func() error, err error) {
	if p.Engine == "Redis" {
		client := redis.NewClient(&redis.Options{
			Addr: p.Address, ContextTimeoutEnabled: true, PoolSize: 2, ConnMaxIdleTime: time.Second,
		})
		return &redisstore.Store{Client: client, Owner: p.Owner}, client.Close, nil
	}
	db, dialect, err := p.database()
	if err != nil {
		return nil, nil, err
	}
	if p.Naive {
		db.SetMaxOpenConns(2) // of which Update keeps one
		return &rowLock{db, p}, db.Close, nil
	}
	db.SetMaxOpenConns(1)
	db.SetConnMaxIdleTime(time.Second)
	return &tokensql.Store{DB: db, Dialect: dialect, Owner: p.Owner}, db.Close, nil
}

func (p place) database() (*sql.DB, tokensql.Dialect, error) {
	switch p.Engine {
	case "SQLite":
		db, err := sql.Open("sqlite", "file:"+p.Address+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
		return db, tokensql.SQLite, err
	case "PostgreSQL":
		host, port, _ := net.SplitHostPort(p.Address)
		db, err := sql.Open("pgx", fmt.Sprintf("host=%s port=%s user=postgres dbname=postgres sslmode=disable", host, port))
		return db, tokensql.PostgreSQL, err
	case "MariaDB":
		c := mysql.NewConfig()
		c.User, c.Net, c.Addr, c.DBName = "root", "tcp", p.Address, "sessions"
		c.Logger = &mysql.NopLogger{}
		connector, err := mysql.NewConnector(c)
		if err != nil {
			return nil, 0, err
		}
		return sql.OpenDB(connector), tokensql.MySQL, nil
	}
	return nil, 0, fmt.Errorf("no engine %q", p.Engine)
}
