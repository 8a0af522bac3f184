// Netotoken prints an access token for the Netography API, for use at a shell:
//
//	netotoken -format header | curl -H @- https://api.netography.com/api/v1/...
//
// It takes credentials from the environment. "netotoken -demo" shows the package netoauth at work
// without any. This is what "netotoken -h" prints:
//
//	Usage: netotoken [flags]
//
//	Prints an access token for the Netography API. The credentials come from the
//	environment, the first found in this order (one that is empty is not set):
//
//	  NETOSECRET           an API key
//	  NETO_USERNAME        a user name, with
//	    NETO_PASSWORD        its password (or -password-stdin)
//	  NETO_REFRESH_TOKEN   a refresh token; a server may replace it at each use, and
//	                       -cache is what keeps the new one
//
//	NETO_URL is the API's base URL for the latter two, which have no other place for
//	it (default https://api.netography.com).
//
//	Flags:
//	  -account NAME
//	        print a token for the sub-account NAME (with an API key only)
//	  -cache FILE
//	        keep the token, and the refresh token, in FILE for later runs
//	  -demo
//	        run the three flows, and get through a revoked token, an expiry and an
//	        outage, on servers of its own, without a network, in 20s at most
//	  -format FORMAT
//	        FORMAT to print: token (the default), header (an HTTP header line),
//	        json, or jwt (the signed request token of an API key, for the try-out
//	        page of the API's reference: made without a network, for one log-in)
//	  -password-stdin
//	        read the password from standard input, one line, not from a terminal
//	  -renew
//	        do not print the token in FILE: renew the session first
//	  -status
//	        say whether FILE has the session of these credentials, and until when;
//	        prints no secret, makes no request, and needs no password
//	  -timeout DURATION
//	        give up after this DURATION, such as 5s or 1m (default 1m30s); with
//	        -cache, a token on its way has 10s more, unless interrupted again
//	  -version
//	        print which version of netotoken this is
//
//	The cache holds an access token and a refresh token, but neither the API key nor
//	the password. Runs with the same FILE, one after the other or at once, share one
//	session. Without -cache each run gets a new token. With it a stored token is
//	printed while it has at least 15 % of its lifetime left (up to 30 %: each run
//	draws anew), and else renewed first. Where that fails or takes more than 5s,
//	sooner near its end, the stored token is printed all the same if it has a tenth
//	of its lifetime left, or 10s if that is less; where the API cannot be reached it
//	may have as little as 1s. A warning says so where renewing failed. A token
//	without an end is printed until -renew. Delete FILE after changing a password or
//	a shared secret.
//
//	FILE belongs to the credentials that it was written for, and to you alone (mode
//	0600). Any other file at that place is refused and left as it is: one for other
//	credentials or another account, one that is no cache, a link, one that others
//	may read or write. Wherever the cache cannot be used, an API key or a password
//	gets a token all the same, which is printed, with the exit status 1; a refresh
//	token is left unused, because the next would be lost. FILE.lock, which is empty
//	and stays, keeps runs at the same time apart; FILE.tmp is there only while a
//	token is on its way.
//
//	Exit status:
//	  0    the token was printed; with -status, FILE has a session
//	  1    no token, or a token but the cache could not be used; with -status, FILE
//	       has neither an access token that is good nor a refresh token that may be
//	  2    wrong usage, or no usable credentials in the environment
//	  130  interrupted
//
//	Examples:
//	  set -o pipefail
//	  netotoken -format header |
//	    curl -H @- https://api.netography.com/api/v1/...
//	  pass show netography |
//	    NETO_USERNAME=ann@example.com netotoken -password-stdin -cache ~/.netotoken
//
// The file of -cache is a token file, of package tokenfile. A Go program shares the session in it with
// one of these as Owner, where key is what netoauth.ParseAPIKey returns, sub-account included, and base
// is a URL in the form of key.URL, without /api/v1:
//
//	key.URL + " " + key.Shortname + " " + key.AppName
//	base + " " + username
//	fmt.Sprintf("%s %x", base, sha256.Sum256([]byte(refreshToken))) // the one in NETO_REFRESH_TOKEN
package main
