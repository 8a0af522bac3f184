package schema_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/integration/schema"
	"github.com/netoauth/netoauth/netoauthtest"
)

const labelPath = "/api/v1/labels/ip"

// newServer starts an API with an empty list of IP labels.
func newServer(t *testing.T) *netoauthtest.Server {
	t.Helper()
	srv := netoauthtest.NewServer()
	t.Cleanup(srv.Close)
	srv.Handle("GET "+labelPath, netoauthtest.Answer(http.StatusOK, jsonType, `{"data":[]}`))
	return srv
}

func apiKey(t *testing.T, srv *netoauthtest.Server) *netoauth.APIKey {
	t.Helper()
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func password(srv *netoauthtest.Server) *netoauth.Password {
	return &netoauth.Password{URL: srv.URL, Username: srv.Username, Password: netoauth.Secret(srv.Password)}
}

// refresh logs in for a refresh token.
func refresh(t *testing.T, ctx context.Context, srv *netoauthtest.Server) *netoauth.Refresh {
	t.Helper()
	return &netoauth.Refresh{URL: srv.URL, RefreshToken: netoauth.Secret(token(t, ctx, password(srv)).RefreshToken)}
}

type credential interface {
	Token(context.Context) (*oauth2.Token, error)
	Client(context.Context) *http.Client
}

func token(t *testing.T, ctx context.Context, c credential) *oauth2.Token {
	t.Helper()
	tok, err := c.Token(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// refused expects that c gets no token, and that a person must act.
func refused(t *testing.T, ctx context.Context, c credential) {
	t.Helper()
	if _, err := c.Token(ctx); !errors.Is(err, netoauth.ErrRejected) {
		t.Errorf("Token: %v; want ErrRejected", err)
	}
}

// list fetches the labels and expects to be let in.
func list(t *testing.T, client *http.Client, srv *netoauthtest.Server) {
	t.Helper()
	resp, err := client.Get(srv.URL + labelPath)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("GET %s: %s, %v", labelPath, resp.Status, err)
	}
}

func TestFlows_exchangesFitTheDocument(t *testing.T) {
	const (
		get       = "GET " + labelPath
		byKey     = "POST " + netoauthtest.APIKeyPath
		byName    = "POST " + netoauthtest.PasswordPath
		byRefresh = "POST " + netoauthtest.RefreshPath
	)
	type test = struct {
		name string
		run  func(*testing.T, context.Context, *netoauthtest.Server)
		want []string
	}
	for _, test := range []test{
		{"API key, one token", func(t *testing.T, ctx context.Context, srv *netoauthtest.Server) {
			token(t, ctx, apiKey(t, srv))
		}, []string{byKey + " 200"}},
		{"API key, sub-account", func(t *testing.T, ctx context.Context, srv *netoauthtest.Server) {
			token(t, ctx, apiKey(t, srv).Account("sub"))
		}, []string{byKey + " 200"}},
		{"API key, calls share a token", func(t *testing.T, ctx context.Context, srv *netoauthtest.Server) {
			client := apiKey(t, srv).Client(ctx)
			list(t, client, srv)
			list(t, client, srv)
		}, []string{byKey + " 200", get + " 200", get + " 200"}},
		{"API key, renewal by refresh token", func(t *testing.T, ctx context.Context, srv *netoauthtest.Server) {
			client := apiKey(t, srv).Client(ctx)
			list(t, client, srv)
			time.Sleep(5 * time.Minute)
			list(t, client, srv)
		}, []string{byKey + " 200", get + " 200", byRefresh + " 200", get + " 200"}},
		{"API key, log-in after the refresh token's end", func(t *testing.T, ctx context.Context, srv *netoauthtest.Server) {
			client := apiKey(t, srv).Client(ctx)
			list(t, client, srv)
			time.Sleep(time.Hour)
			list(t, client, srv)
		}, []string{byKey + " 200", get + " 200", byKey + " 200", get + " 200"}},
		{"API key, log-in after a refused refresh", func(t *testing.T, ctx context.Context, srv *netoauthtest.Server) {
			client := apiKey(t, srv).Client(ctx)
			list(t, client, srv)
			srv.RevokeAccessTokens()
			srv.RevokeRefreshTokens()
			list(t, client, srv)
		}, []string{byKey + " 200", get + " 200", get + " 401", byRefresh + " 400", byKey + " 200", get + " 200"}},
		{"API key, server's clock ahead", func(t *testing.T, ctx context.Context, srv *netoauthtest.Server) {
			srv.SetClock(10 * time.Minute)
			token(t, ctx, apiKey(t, srv))
		}, []string{byKey + " 401", byKey + " 200"}},
		{"API key, server's clock behind", func(t *testing.T, ctx context.Context, srv *netoauthtest.Server) {
			srv.SetClock(-10 * time.Minute)
			list(t, apiKey(t, srv).Client(ctx), srv)
		}, []string{byKey + " 401", byKey + " 200", get + " 200"}},
		{"API key, wrong shared secret", func(t *testing.T, ctx context.Context, srv *netoauthtest.Server) {
			key := apiKey(t, srv)
			key.SharedSecret = "not it"
			refused(t, ctx, key)
		}, []string{byKey + " 401"}},
		{"API key, passing fault", func(t *testing.T, ctx context.Context, srv *netoauthtest.Server) {
			srv.Fail(2, netoauthtest.Status(http.StatusServiceUnavailable))
			list(t, apiKey(t, srv).Client(ctx), srv)
		}, []string{byKey + " 503", byKey + " 503", byKey + " 200", get + " 200"}},
		{"password, one token", func(t *testing.T, ctx context.Context, srv *netoauthtest.Server) {
			token(t, ctx, password(srv))
		}, []string{byName + " 200"}},
		{"password, renewal by refresh token", func(t *testing.T, ctx context.Context, srv *netoauthtest.Server) {
			client := password(srv).Client(ctx)
			list(t, client, srv)
			srv.RevokeAccessTokens()
			list(t, client, srv)
		}, []string{byName + " 200", get + " 200", get + " 401", byRefresh + " 200", get + " 200"}},
		{"password, wrong", func(t *testing.T, ctx context.Context, srv *netoauthtest.Server) {
			login := password(srv)
			login.Password = "+ &="
			refused(t, ctx, login)
		}, []string{byName + " 401"}},
		{"refresh token, one token", func(t *testing.T, ctx context.Context, srv *netoauthtest.Server) {
			token(t, ctx, refresh(t, ctx, srv))
		}, []string{byName + " 200", byRefresh + " 200"}},
		{"refresh token, rotated at each renewal", func(t *testing.T, ctx context.Context, srv *netoauthtest.Server) {
			client := refresh(t, ctx, srv).Client(ctx)
			list(t, client, srv)
			time.Sleep(5 * time.Minute)
			list(t, client, srv)
			time.Sleep(5 * time.Minute)
			list(t, client, srv)
		}, []string{byName + " 200", byRefresh + " 200", get + " 200", byRefresh + " 200", get + " 200", byRefresh + " 200", get + " 200"}},
		{"refresh token, used twice", func(t *testing.T, ctx context.Context, srv *netoauthtest.Server) {
			once := refresh(t, ctx, srv)
			token(t, ctx, once)
			refused(t, ctx, once)
		}, []string{byName + " 200", byRefresh + " 200", byRefresh + " 400"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			doc := document(t)
			synctest.Test(t, func(t *testing.T) {
				checked := &schema.Transport{
					Document: doc,
					Base:     srv.InProcess().Transport,
					Report:   func(err error) { t.Error(err) },
				}
				test.run(t, withClient(t, checked), srv)
				synctest.Wait()
				if diff := cmp.Diff(test.want, checked.Exchanges()); diff != "" {
					t.Errorf("exchanges (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func withClient(t *testing.T, transport http.RoundTripper) context.Context {
	return context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: transport})
}

// requestToken returns a request token signed by key that no server has seen.
func requestToken(t *testing.T, key *netoauth.APIKey) string {
	t.Helper()
	var sent string
	_, err := key.Token(withClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		sent = string(body)
		return nil, errors.Join(err, errors.New("not sent"))
	})))
	jwt, ok := strings.CutPrefix(sent, `{"jwt":"`)
	if !ok {
		t.Fatalf("no request token in %q: %v", sent, err)
	}
	return strings.TrimSuffix(jwt, `"}`)
}
