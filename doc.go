// Package netoauth signs programs in to the Netography (Vectra Fusion) API: an [oauth2.TokenSource]
// for each of its three flows, and a [Transport] that fits any [http.Client].
//
//	key, err := netoauth.ParseAPIKey(os.Getenv("NETOSECRET"))
//	if err != nil {
//		log.Fatal(err)
//	}
//	client := key.Client(ctx)
//	resp, err := client.Get(key.URL + "/api/v1/vpc")
//
// # Flows
//
// [APIKey] is for programs, [Password] for a user's name and password, and [Refresh] for a refresh
// token that somebody else got. Each has the methods of golang.org/x/oauth2/clientcredentials:
// Token exchanges the credentials once, TokenSource keeps a token in hand, Client adds it to
// requests.
//
// # The token source
//
// What TokenSource returns is an [oauth2.ReuseTokenSource] and what that one lacks. A token is
// fresh, then stale, then spent. When somebody asks for a stale one, past a random point from 70 %
// to 85 % of its lifetime, it is renewed in the background, and serves until its end, less a tenth
// of the lifetime and at most 10 s; only to a second before its end, while renewals meet transient
// faults. Whoever needs a token when there is none joins the exchange under way, for as long as
// their own context lasts. So no request of a busy client waits for a renewal; after a pause as
// long as a token's life, the first one does.
//
// Renewal uses the refresh token while that works, and logs in otherwise: where it is refused, has
// ended, or has met a transient fault the time before. After a failed exchange the next one waits,
// 1 s doubling to 15 s after a transient fault, 5 s doubling to 2 min after a refusal, of which a
// random half to the whole, or longer if the API's Retry-After says so; until then callers without
// a token get the last error at once. An exchange that somebody waits for makes up to three tries
// at a transient fault, if the one before it did not fail.
//
// A 401 from the API puts the token in doubt. It is renewed, at most once in 30 s, and the requests
// that were refused are sent once more; all others keep using it until the next is there.
//
// The context given to TokenSource and Client supplies the HTTP client ([oauth2.HTTPClient]) and
// its values; its end does not end the source. No goroutine or timer outlives an exchange, so there
// is nothing to close. A program that ends calls [Wait] first, so that no refresh token gets lost.
//
// # Sessions
//
// A session is what a log-in starts and its refresh tokens carry on. The API replaces a refresh
// token as it is used, and one that is used twice can end the session (RFC 9700 section 4.14.2). A
// [Store] keeps the session for later runs, and lets several programs share it: they take over what
// one of them has renewed, also after a 401. Package tokenfile has a Store in a file.
//
// A stored token that is stale, or a stale InitialToken, is renewed before its first use. Callers
// wait 5 s for that at most; where it brings nothing they get the stored token while it serves.
//
// # Operators
//
// Options.OnExchange is told what each exchange came to, for metrics and alerts, and Options.Logger
// gets a record of it. Reload of [APIKey] and [Password] reads credentials anew that were replaced
// while the program runs.
//
// # Composing
//
// A layer outside [Transport] sees a request as the program sent it, one inside (in Base, or as the
// transport of the client in the context) each request on the wire, token included. A token source
// works wherever x/oauth2's do. Asked through anything but this package's Transport, it keeps its
// renewal, but a caller's context no longer ends a wait, a 401 renews nothing, and the token goes
// where that transport sends it. oauth2.ReuseTokenSource(nil, src) and [oauth2.NewClient] put a
// cache of their own above the source, which asks for the next token only when 10 s are left, and
// hide it from Transport: drop the first, and use Client for the second.
//
// A layer inside that follows redirects or repeats requests by itself does so out of this package's
// sight, with the token or the credentials of a log-in. Put retries outside, or have them stay at
// the first answer.
//
// # Errors
//
//   - [ErrRejected], with [errors.Is]: the API refused the credentials. A person must act.
//   - [Error], with [errors.As]: the API answered with something else than a token. StatusCode is
//     the answer's, Name and Message are the API's words, and the text says what to do.
//     [oauth2.RetrieveError] is found, too.
//   - The context's error, where the caller's own context is over: an exchange of a token source
//     goes on for others. Where it is not over, [context.DeadlineExceeded] means that the API did
//     not answer within 30 s.
//   - Anything else: the network, a Store, or a credential that lacks something.
//
// # What never happens
//
// No secret or token in an error, a log record or a formatted value. No token to another host, and
// no credentials after a redirect. No request stuck behind someone else's renewal, and no good
// token lost to one path's 401. No log-in per request while the log-in fails. No fleet that keeps
// an overloaded endpoint down.
//
// For tests of programs that use the API there is the package netoauthtest, for a shell the command
// netotoken.
package netoauth
