// Package netoauth signs programs in to the Netography (Vectra Fusion) API: an [oauth2.TokenSource] for each
// of its three flows, and a [Transport] that fits any [http.Client].
//
//	key, err := netoauth.ParseAPIKey(os.Getenv("NETOSECRET"))
//	if err != nil {
//		log.Fatal(err)
//	}
//	client := key.Client(ctx)
//	resp, err := client.Get("https://api.netography.com/api/v1/vpc")
//
// # Flows
//
// [APIKey] is for programs, [Password] for a user's name and password, and [Refresh] for a refresh token
// that somebody else got. Each has the methods of golang.org/x/oauth2/clientcredentials: Token exchanges the
// credentials once, TokenSource keeps a token in hand, Client adds it to requests.
//
// # The live token source
//
// What TokenSource returns is [oauth2.ReuseTokenSource] and what that one lacks. A token is renewed in the
// background, at a random point from 70 % to 85 % of its lifetime, when somebody asks for it; the one in hand
// serves until its end, less a tenth of the lifetime and at most 10 s. Whoever has to wait joins the exchange
// under way, for as long as their own context lasts. Renewal uses the refresh token while that works, and logs
// in otherwise. After a failed exchange the next one waits, 1 s doubling to 15 s after a passing fault, 5 s
// doubling to 2 min after a refusal, longer if the API's Retry-After says so; until then callers without a token
// get the last error at once. An exchange that somebody waits for makes up to three tries at a passing fault.
//
// The context given to TokenSource and Client supplies the HTTP client ([oauth2.HTTPClient]) and its values;
// its end does not end the source. No goroutine or timer outlives an exchange, so there is nothing to close.
//
// # Composing
//
// A layer outside [Transport] sees a request as the program sent it, one inside (in Base, or as the transport
// of the client in the context) each request on the wire, token included. A token source works wherever
// x/oauth2's do. Asked through anything but this package's Transport, it keeps its renewal, but a caller's
// context no longer ends a wait, a 401 is not healed, and the token goes where that transport sends it.
// [oauth2.NewClient] puts a cache of its own above the source, which asks for the next token only when 10 s are
// left, and then waits for it; use Client, or [oauth2.Transport] over the source.
//
// A layer inside that follows redirects or repeats requests by itself does so out of this package's sight, with
// the token or the credentials of a log-in. Put retries outside, or have them stay at the first answer.
//
// # Errors
//
//   - [ErrRejected], with [errors.Is]: the API refused the credentials. A person must act.
//   - [Error], with [errors.As]: the API answered with something else than a token. StatusCode is
//     the answer's, Name and Message are the API's words, and the text says what to do. [oauth2.RetrieveError]
//     is found, too.
//   - The context's error, where the caller's own context is over: an exchange of a token source goes on for
//     others. Where it is not over, [context.DeadlineExceeded] means that the API did not answer within 30 s.
//   - Anything else: the network, or a credential that lacks something.
//
// # What never happens
//
// No secret or token in an error, a log record or a formatted value. No token to another host, and no credentials
// after a redirect. No request stuck behind someone else's renewal. No log-in per request while the log-in fails.
//
// For tests of programs that use the API there is the package netoauthtest, for a shell the command netotoken.
package netoauth
