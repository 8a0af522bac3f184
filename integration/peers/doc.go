// Package peers measures netoauth beside the token sources that Go programs use most: the same situations for
// each, the same API key under each, and one table. It has only tests.
//
//	go -C integration test -v -count=1 -run TestTable ./peers
//
// shows the table in README.md on its standard output, among the lines of go test. With -update it writes the table
// and the figures of README.md, and the rows that the project's README has of it. The numbers are counts in virtual time
// (see internal/suite/scenario), the same on any machine but for a few that chance moves by a little; only the last row
// is a time, and depends on the machine.
//
//	go -C integration test -run '^$' -bench . ./peers
//
// repeats the cost of a request in the usual form of benchmarks, serial and parallel.
//
// # Configuration
//
// Each peer is the cache and the transport of its own module, as its documentation or its main user sets them
// up; the file subjects_test.go has them, with reasons. Under each lies the same source, one log-in with the API
// key for each token that the cache asks for: [netoauth.APIKey.Token], without netoauth's live token source.
//
// # What the table holds
//
// TestTable fails where a peer is ahead of netoauth in a row, with one exception that it spells out: a lower
// count of token requests is not an advantage where it is bought, in another row, with requests that wait or
// with 401s that callers see. There the count is held to a bound instead.
//
// Every request comes from one worker, because several of the peers hold a sync.Mutex while they fetch a token,
// and a goroutine that waits for one stops the clock of a testing/synctest bubble.
//
// [netoauth.APIKey.Token]: https://pkg.go.dev/github.com/netoauth/netoauth#APIKey.Token
package peers
