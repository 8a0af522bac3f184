// Package session starts real programs that share one session of the API, some of which are killed
// or stopped. It has only tests.
//
//	go -C integration test -v -count=1 ./session
//
// takes about half a minute, because tokens, locks and programs live in real time here, and shows
// the figures. With -race the tests are the same with fewer programs.
//
// # Terms
//
// A session begins with a log-in and goes on from refresh to refresh, as long as each refresh token
// is used once: netoauthtest ends the session of one that comes again, as a server that rotates
// refresh tokens does (RFC 9700 section 4.14.2). A session is lost where it ends, or where nobody
// has its last refresh token.
//
// A program is the binary of this test, started anew, with a credential and a token file from
// package tokenfile. It sends requests through the credential's Client, and ends with
// netoauth.Wait: where its standard input does or, as a daemon, at SIGTERM.
package session
