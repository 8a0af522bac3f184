// Package fosite drives netoauth against an OAuth 2.0 server that somebody else wrote:
// github.com/ory/fosite, the library under Ory Hydra. It has only tests, and is a module of its own
// because fosite requires over seventy others.
//
//	go -C integration/fosite test -race ./...
//
// # The server
//
// With refresh token rotation, each refresh token is good for one use, and the answer to that has the
// next. The tokens that descend from one log-in are a family. A server that rotates takes the second
// use of a refresh token for a theft and revokes the family (RFC 9700 section 4.14.2): the thief and
// the owner must both log in again. fosite with its memory store does so at once, without a period of
// grace, and ends the previous access token with each rotation, too.
//
// The API's three paths stand before fosite's token endpoint: a request is put into the form of
// RFC 6749, the resource owner password credentials grant for both log-ins and the refresh token grant,
// and fosite's answer into that of the API's reference. A fourth path asks fosite whether an access
// token is good.
//
// Most tests run in a bubble of testing/synctest, where hours pass in no time: fosite reads the time
// with time.Now.
package fosite
