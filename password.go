package netoauth

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"
)

// Password signs in with a user's name and password, and renews with the refresh token while that lasts.
// In the API's reference it is "via User Credentials", POST /api/auth/bearer/token.
type Password struct {
	// URL is the API's base URL; "" means DefaultURL. /api/v1 or /v1 at its end is dropped, any other path
	// stays as a prefix. It must be https, unless its host is localhost or a loopback address.
	URL string

	// Username and Password are the user's, both required.
	Username string
	Password Secret

	Options
}

// Format prints the user name alone, whatever the verb.
func (p Password) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "netoauth.Password{Username:%q %s}", p.Username, redacted)
}

// Token logs in, now: nothing is cached, and ctx bounds it.
//
// The HTTP client is the one in ctx, see [oauth2.HTTPClient]. For the errors see [Error] and [ErrRejected].
func (p *Password) Token(ctx context.Context) (*oauth2.Token, error) {
	return once(ctx, p.flow)
}

// TokenSource returns a token source that caches the token, renews it ahead of its expiry, and logs in
// again where it cannot. It takes the HTTP client and the values from ctx, not its cancellation.
//
// Most users will use [Password.Client] instead.
func (p *Password) TokenSource(ctx context.Context) oauth2.TokenSource {
	return newSource(ctx, p.flow)
}

// Client returns the HTTP client in ctx, its timeout, jar and redirect policy included, with a [Transport] over
// its own transport and a token source as of [Password.TokenSource].
func (p *Password) Client(ctx context.Context) *http.Client {
	return newClient(ctx, p.TokenSource(ctx))
}

func (p *Password) flow() (*flow, error) {
	username, password := p.Username, string(p.Password)
	f, err := newFlow("password", p.URL, p.Options, "Username", username, "Password", password)
	if err != nil {
		return nil, err
	}
	f.hint = "check the user name and the password"
	f.secrets = []string{password}
	f.login = func(ctx context.Context) (*oauth2.Token, error) {
		form := url.Values{"username": {username}, "password": {password}}
		return f.post(ctx, "/api/auth/bearer/token", formType, form.Encode())
	}
	return f, nil
}
