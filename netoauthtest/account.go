package netoauthtest

import (
	"context"
	"net/http"
)

// accountKey is the key of the context's value that holds the account of a request.
type accountKey struct{}

func withAccount(r *http.Request, account string) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), accountKey{}, account))
}

// AccountOf tells a handler which account the access token of its request is for: the shortname that
// the log-in named, or after a log-in with [Server.Username] that of the field Netosecret. It is ""
// for a request that did not come through [Server.Handle]; what r says of itself does not count.
func AccountOf(r *http.Request) string {
	account, _ := r.Context().Value(accountKey{}).(string)
	return account
}
