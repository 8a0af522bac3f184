// Package tokensql keeps the token of a session in a table of PostgreSQL, MySQL, MariaDB or SQLite,
// for later runs of a program and for a fleet of them. A [Store] is a netoauth.Store: programs whose
// Options.Store names the same table and Owner share one session, in which each refresh token is
// used once, by one of them, and the others take over what it got. The package uses database/sql
// alone; the driver is the program's choice.
//
//	db, err := sql.Open("pgx", address)
//	...
//	db.SetMaxOpenConns(1)
//	db.SetConnMaxIdleTime(time.Second)
//	owner := key.URL + " " + key.Shortname + " " + key.AppName
//	store := &tokensql.Store{DB: db, Dialect: tokensql.PostgreSQL, Owner: owner}
//	err = store.CreateTable(ctx)
//	...
//	key.Store = store
//
// The table is as secret as a password: whoever reads it has the sessions until they end, backups
// included. tokenstore.Sealed around a Store has it hold nothing but what is encrypted.
//
// # The pool
//
// Give the Store a pool of its own, with one connection that is closed after a second without use,
// as above. In a pool that it shares, requests that hold the connections while they wait for a token
// keep the Store from getting them one. And a fleet whose programs keep a connection each uses up
// what the engine allows, 100 with PostgreSQL unless it is set otherwise. For the same reason a
// program that waits for another closes its connection after each look, but for SQLite.
//
// SQLite has one writer at a time. It needs a busy_timeout, of 5 s say, with which it waits for the
// other in place of failing, and journal_mode WAL, with which readers do not wait for the writer.
// Both are set when a connection is opened: how, is the driver's to say. All programs must be on one
// machine, and the file on a local disk.
//
// # The table
//
// [Store.CreateTable] makes it. Who migrates by hand makes one with these columns:
//
//	id     CHAR(64) PRIMARY KEY            hexadecimal SHA-256 of Owner
//	token  BYTEA, LONGBLOB or BLOB         what tokenstore.Encode makes; NULL: none
//	holder VARCHAR(64) NOT NULL            the Update that has the lease; '': it is free
//	beat   BIGINT NOT NULL                 grows with each change, and every few seconds in an Update
//	last   VARCHAR(64) NOT NULL            the Update that wrote token
//
// BYTEA is PostgreSQL's, LONGBLOB that of MySQL and MariaDB. The program needs the right to SELECT,
// INSERT, UPDATE and DELETE. Load and Update must reach the same server: what a replica says is old,
// and a refresh token of yesterday ends the session.
//
// # The lease
//
// While an Update talks to the API it holds no lock, row, connection or transaction of the engine,
// so that none of these can time out, run out or be cut. It holds a lease of 15 seconds, which it
// keeps up: who has it writes that down in the row, and makes the row's beat grow every few seconds.
// Another takes the lease where it is given free, or where it has seen the beat stand still for 15 s
// on its own monotonic clock, over several looks that the engine has answered. No clock of the
// engine's or of another machine's is trusted. So a program that is killed in an Update delays the
// others by the lease at most, and an engine that stops for a few seconds breaks none.
//
// No lease can promise that two programs never use one refresh token. One that is frozen in an
// Update for longer than the lease lasts, by a debugger or a virtual machine's pause, may wake up and
// send the refresh token that another has used since, and a server that takes that for a theft ends
// the session. It overwrites nothing that the other has written, whatever it gets. And where a
// program is killed after the API has answered and before the new token is written, that token is
// lost. Programs that can log in do so then; for a bare refresh token a person must act.
package tokensql
