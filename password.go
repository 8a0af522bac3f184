package netoauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/netoauth/netoauth/internal/endpoint"
	"golang.org/x/oauth2"
)

// Password signs in with a user's name and password, and renews with the refresh token while that
// lasts. In the API's reference it is "via User Credentials", POST /api/auth/bearer/token.
type Password struct {
	// URL is the API's base URL; "" means DefaultURL. /api/v1 or /v1 at its end is dropped, any
	// other path stays as a prefix. It must be https, unless its host is localhost or a loopback
	// address.
	URL string

	// Username and Password are the user's, both required.
	Username string
	Password Secret

	// Reload returns the user's credentials anew, when the API refuses these: for a password that
	// is changed while the program runs. It is asked once an exchange, within its 30 s. Only
	// Username and Password count; if they differ from those in use they are used from then on, and
	// the log-in is tried again at once. nil without an error means nothing new, and its error
	// joins the refusal. nil: the refusal stands.
	Reload func(context.Context) (*Password, error) `json:"-"`

	Options
}

// Format prints the user name alone, whatever the verb.
func (p Password) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "netoauth.Password{Username:%q %s}", p.Username, redacted)
}

// Token logs in, now: nothing is cached, and ctx bounds it.
//
// The HTTP client is the one in ctx, see [oauth2.HTTPClient]. For the errors see [Error] and
// [ErrRejected].
func (p *Password) Token(ctx context.Context) (*oauth2.Token, error) {
	return once(ctx, p.flow)
}

// TokenSource returns a token source that caches the token, renews it ahead of its expiry, and logs
// in again where it cannot. It takes the HTTP client and the values from ctx, not its cancellation.
//
// Most users will use [Password.Client] instead.
func (p *Password) TokenSource(ctx context.Context) oauth2.TokenSource {
	return newTokenSource(ctx, p.flow)
}

// Client returns the HTTP client in ctx, its timeout, jar and redirect policy included, with a
// [Transport] over its own transport and a token source as of [Password.TokenSource].
func (p *Password) Client(ctx context.Context) *http.Client {
	return NewClient(ctx, p.TokenSource(ctx))
}

func (p *Password) flow(ctx context.Context) (*flow, error) {
	user := *p
	f := newFlow(ctx, "password", p.Username, p.URL, p.Options,
		endpoint.NotEmpty("Username", p.Username),
		endpoint.NotEmpty("Password", string(p.Password)),
		endpoint.OneLine("Username", p.Username),
		endpoint.OneLine("Password", string(p.Password)))
	f.credential = &user
	return f, f.unusable
}

func (p *Password) account() string { return p.Username }

func (p *Password) secrets() []string { return []string{string(p.Password)} }

// logIn exchanges the user's name and password.
func (p *Password) logIn(ctx context.Context, x *exchange) (*oauth2.Token, error) {
	form := url.Values{"username": {p.Username}, "password": {string(p.Password)}}
	return x.newToken(x.post(ctx, endpoint.Request{
		URL: "/api/auth/bearer/token", ContentType: endpoint.Form, Body: form.Encode(),
	}, "check the user name and the password; multi-factor log-in or an IP allow list of the account "+
		"can be the cause, too"))
}

// reload returns the user with what Reload has returned, if that is something new.
func (p *Password) reload(ctx context.Context) (credential, []string, error) {
	if p.Reload == nil {
		return nil, nil, nil
	}
	got, err := p.Reload(ctx)
	if got == nil {
		return nil, nil, err
	}
	next := *p
	next.Username, next.Password = got.Username, got.Password
	secrets := next.secrets() // its error, too, may quote them
	switch {
	case err != nil:
		return nil, secrets, err
	case next.Username == "" || next.Password == "":
		return nil, secrets, errors.New("what it returned lacks Username or Password")
	case next.Username == p.Username && next.Password == p.Password:
		return nil, nil, nil
	}
	bad := cmp.Or(
		endpoint.OneLine("Username", next.Username),
		endpoint.OneLine("Password", string(next.Password)))
	if bad != nil {
		return nil, secrets, fmt.Errorf("in what it returned, %w", bad)
	}
	return &next, secrets, nil
}
