// Package stores tries sessions that a fleet shares, on real engines: SQLite, PostgreSQL, MariaDB
// and Redis. It has only tests, and runs on Linux.
//
//	go -C integration/stores test ./...
//
// starts the engines' servers on the loopback interface, in temporary folders, and ends them. They
// come from Debian's packages, which the script install installs; where a server is missing its tests are
// skipped, and with the environment variable CI set they fail.
//
//	go -C integration/stores test -v -count=1 -timeout 20m -run TestTable . -update
//
// plays every scenario beside programs without a Store, and with one that holds a row's lock while it
// talks to the API, and writes the table in README.md.
//
// # Terms
//
// A program is the binary of these tests, started anew, with a credential and a Store. It sends requests
// through the credential's Client. The API is netoauthtest, which ends the session of a refresh token
// that comes twice (RFC 9700 section 4.14.2). A session is lost where that happens, or where nobody has
// its last refresh token.
//
// An engine is what keeps a Store's data, in a process of its own but for SQLite. A proxy stands before
// it where a test breaks the way to it.
package stores
