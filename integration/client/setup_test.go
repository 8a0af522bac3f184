package client_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/integration/client"
	"github.com/netoauth/netoauth/integration/schema"
	"github.com/netoauth/netoauth/netoauthtest"
)

// logIn is a way to an HTTP client.
type logIn func(*testing.T, context.Context, *netoauthtest.Server) *http.Client

var logins = []struct {
	name string
	path string // where it logs in; "" if it has only a refresh token
	dial logIn
}{
	{"API key", netoauthtest.APIKeyPath, func(t *testing.T, ctx context.Context, srv *netoauthtest.Server) *http.Client {
		key, err := netoauth.ParseAPIKey(srv.Netosecret)
		if err != nil {
			t.Fatal(err)
		}
		return key.Client(ctx)
	}},
	{"password", netoauthtest.PasswordPath, func(_ *testing.T, ctx context.Context, srv *netoauthtest.Server) *http.Client {
		return password(srv).Client(ctx)
	}},
	{"refresh token", "", func(t *testing.T, ctx context.Context, srv *netoauthtest.Server) *http.Client {
		token, err := password(srv).Token(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return (&netoauth.Refresh{URL: srv.URL, RefreshToken: netoauth.Secret(token.RefreshToken)}).Client(ctx)
	}},
}

func password(srv *netoauthtest.Server) *netoauth.Password {
	return &netoauth.Password{URL: srv.URL, Username: srv.Username, Password: netoauth.Secret(srv.Password)}
}

// newServer starts an API with the three resources, empty.
func newServer(t *testing.T) *netoauthtest.Server {
	t.Helper()
	srv := netoauthtest.NewServer()
	t.Cleanup(srv.Close)
	serveResources(srv)
	return srv
}

// check returns a transport over base that fails t at whatever the document does not allow.
func check(t *testing.T, base http.RoundTripper) *schema.Transport {
	t.Helper()
	doc, err := schema.Load("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return &schema.Transport{Document: doc, Base: base, Report: func(err error) { t.Error(err) }}
}

// count returns how many exchanges begin with prefix and end with suffix.
func count(checked *schema.Transport, prefix, suffix string) int {
	exchanges := checked.Exchanges()
	return len(slices.DeleteFunc(exchanges, func(e string) bool {
		return !strings.HasPrefix(e, prefix) || !strings.HasSuffix(e, suffix)
	}))
}

func withClient(t *testing.T, transport http.RoundTripper) context.Context {
	return context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: transport})
}

// generated returns the generated client of srv over doer.
func generated(t *testing.T, srv *netoauthtest.Server, doer *http.Client) *client.ClientWithResponses {
	t.Helper()
	c, err := client.NewClientWithResponses(srv.URL, client.WithHTTPClient(doer))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// list calls a method of the generated client that takes nothing.
func list[R any](t *testing.T, method func(context.Context, ...client.RequestEditorFn) (R, error)) R {
	t.Helper()
	r, err := method(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// call calls a method of the generated client that takes an id or a body.
func call[A, R any](t *testing.T, method func(context.Context, A, ...client.RequestEditorFn) (R, error), arg A) R {
	t.Helper()
	r, err := method(t.Context(), arg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
