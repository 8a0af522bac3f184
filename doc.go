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
// It is not an official client of the vendor.
//
// # Flows
//
// [APIKey] is for programs, [Password] for a user's name and password, and [Refresh] for a refresh
// token that somebody else got. Each has the methods of golang.org/x/oauth2/clientcredentials:
// Token exchanges the credentials once, TokenSource keeps a token current, Client adds it to
// requests. One API key of a parent account reaches its sub-accounts, see [APIKey.Account]; each
// needs a client, and a Store, of its own.
//
// # A token's life
//
//	issued           renewal point                       last use   end
//	  |---- fresh ----|--------------- stale ---------------|---------|---- expired ---->
//	  0 %          70 to 85 %                            90 %, at most 10 s before the end
//
//	a token is   callers get                               whoever asks starts
//	fresh        the token                                 nothing
//	stale        the token                                 its renewal, in the background
//	expired      what the exchange brings, or its error    an exchange, one for all
//	in doubt     the token, but a request that was         its renewal, once in 30 s
//	             refused, or cannot be sent twice, waits
//	             for the next one
//
// So no request of a busy client waits for a renewal; after a pause as long as a token's life, the
// first one does. A 401 from the API puts a token in doubt: it is renewed, and the requests that
// were refused are sent once more, if they have no body or a GetBody.
//
//	where                                       how long
//	a renewal point                             random, 70 to 85 % of the lifetime
//	the margin before the end                   a tenth of the lifetime, 10 s at most; 1 s while
//	                                            renewals meet passing faults or wait for a Store
//	an exchange, all its tries included         30 s, without the time for which the program is frozen
//	tries of an exchange that somebody awaits   3 at a passing fault, after an exchange that succeeded
//	the wait after a passing fault              1 s doubling to 15 s, a random half to the whole
//	the wait after a refusal                    5 s doubling to 2 min, a random half to the whole
//	Retry-After, where that is longer           10 min at most, and up to 15 s on top at random
//	a stored token that is stale at first use   held back for 5 s at most, while it is renewed
//	a Store                                     Load 5 s, Update 35 s before the exchange, 20 s after
//
// Renewal uses the refresh token while that works, and logs in where it is refused, has ended, or
// met a fault. A refresh token whose answer was lost may be used up, and is not sent again where
// the flow can log in instead.
//
// The context given to TokenSource and Client supplies the HTTP client ([oauth2.HTTPClient]) and
// its values; its end does not end the source. No goroutine or timer outlives an exchange, so a
// source needs no Close. But a program that ends calls [Wait] first, and a function at the end of
// each invocation, so that the refresh token that an exchange under way is about to bring does not
// get lost. Their own context is often over by then:
//
//	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
//	defer cancel()
//	netoauth.Wait(end, src)
//
// # Sessions
//
// A session is what a log-in starts and its refresh tokens carry on. The API replaces a refresh
// token as it is used, and one that is used twice can end the session (RFC 9700 section 4.14.2). A
// [Store] keeps the session for later runs, and lets several programs share it: they take over what
// one of them has renewed, also after a 401. Package tokenfile has a Store in a file, for the
// programs of one machine, and tokensql one in a table, for a fleet; tokenstore and
// netoauthtest/storetest are for authors of others.
//
// # Operators
//
// [StatusOf] is for health checks and gauges. Options.OnExchange is told what each exchange came
// to, for metrics and alerts. Reload of [APIKey] and [Password] reads credentials anew that were
// replaced while the program runs. Options.Logger gets a Debug record of each token issued, of each
// stored token taken over, of a Store that could not be read and of a request to another origin,
// which gets no token; and a Warn of each exchange that failed, of each fall-back and of a token
// that could not be stored. Their attributes are
//
//	flow, account, took, expiry, err, retry_in   as in Exchange, durations as text
//	endpoint                                     the URL of the last token request; "": none
//	origin                                       that of the request which gets no token
//	clock_off_by                                 how far the server's clock is ahead
//
// The messages may change.
//
// # Composing
//
// A layer outside [Transport] sees a request as the program sent it, one inside (in Base, or as the
// transport of the client in the context) each request on the wire, token included. Retries belong
// outside, so that each try gets a current token. Of several Transports in a stack for one origin
// the outermost decides the token. A token source works wherever x/oauth2's do. Asked through
// anything but this package's Transport, it keeps its renewal, but a caller's context no longer
// ends a wait, a 401 renews nothing, and the token goes where that transport sends it.
//
// Coming from x/oauth2: conf.Client(ctx) of clientcredentials becomes key.Client(ctx);
// [oauth2.NewClient] becomes [NewClient], and [oauth2.Transport] becomes [Transport].
// oauth2.ReuseTokenSource(t, src) is dropped, because it would put a second cache above the source
// and hide it from Transport: t becomes Options.InitialToken, or a Store keeps it.
//
// A layer inside Transport that follows redirects or repeats requests by itself does so out of this
// package's sight, and takes the token, or the credentials of a log-in, along.
//
// # Errors
//
//   - [ErrRejected], with [errors.Is]: the API refused the credentials. A person must act.
//   - [Error], with [errors.As]: the API, or a gateway in its place, answered with something else
//     than a token. StatusCode is the answer's, Name and Message are the API's words, and the text
//     says what to do. [oauth2.RetrieveError] is found, too.
//   - The context's error, where the caller's own context is over: an exchange of a token source
//     goes on for others. Where it is not over, [context.DeadlineExceeded] means that the API did
//     not answer within 30 s.
//   - Anything else: the network, a Store, or a credential that lacks something.
//
// A 401 that a caller still gets is for a request that cannot be sent again, comes twice in 30 s,
// while the renewal fails, or is not about the token: [StatusOf] tells.
//
// # What never happens
//
// No secret or token in an error, a log record or a formatted value. No token to another host, and
// no credentials after a redirect. No request stuck behind a renewal for longer than its context
// lasts, and none behind one that it could do without. No good token lost to one path's 401. No
// log-in per request while the log-in fails. No fleet that keeps an overloaded endpoint down.
//
// For tests of programs that use the API there is the package netoauthtest, for a shell the command
// netotoken.
package netoauth
