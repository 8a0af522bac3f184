package peers

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/httptransport"
	"github.com/aws/smithy-go/auth/bearer"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite/scenario"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
	"k8s.io/client-go/transport"
	"k8s.io/klog/v2"
)

// subjects are the columns of the table.
var subjects = []struct {
	name   string
	module string // whose version the table names
	client scenario.Subject
}{
	{"netoauth", "", netoauthClient},
	{"x/oauth2", "golang.org/x/oauth2", oauth2Client},
	{"cloud auth", "cloud.google.com/go/auth", cloudClient},
	{"smithy bearer", "github.com/aws/smithy-go", smithyClient},
	{"client-go", "k8s.io/client-go", clientGoClient},
}

func netoauthClient(ctx context.Context, key *netoauth.APIKey) *http.Client { return key.Client(ctx) }

// oauth2Client is what the Client methods of x/oauth2 make: its transport over its cache.
func oauth2Client(ctx context.Context, key *netoauth.APIKey) *http.Client {
	return &http.Client{Transport: &oauth2.Transport{
		Source: oauth2.ReuseTokenSource(nil, logIn{ctx, key}),
		Base:   contextClient(ctx).Transport,
	}}
}

// cloudClient has the defaults of cloud.google.com/go/auth: renewal in the background, 3 min 45 s early.
func cloudClient(ctx context.Context, key *netoauth.APIKey) *http.Client {
	cache := auth.NewCachedTokenProvider(cloudProvider{logIn{ctx, key}}, nil)
	c := &http.Client{Transport: contextClient(ctx).Transport}
	if err := httptransport.AddAuthorizationMiddleware(c, auth.NewCredentials(&auth.CredentialsOptions{TokenProvider: cache})); err != nil {
		panic(err) // only for a nil client or nil credentials
	}
	return c
}

type cloudProvider struct{ src logIn }

func (p cloudProvider) Token(ctx context.Context) (*auth.Token, error) {
	t, err := p.src.TokenContext(ctx)
	if err != nil {
		return nil, err
	}
	return &auth.Token{Value: t.AccessToken, Type: t.Type(), Expiry: t.Expiry}, nil
}

// smithyClient renews 1 minute early. The cache itself has no default that renews ahead, and the 5 minutes of
// the AWS SDK (config/resolve_bearer_token.go), for tokens of hours, would here be a renewal at every request.
// The timeout is the SDK's.
func smithyClient(ctx context.Context, key *netoauth.APIKey) *http.Client {
	src := logIn{ctx, key}
	provider := bearer.TokenProviderFunc(func(ctx context.Context) (bearer.Token, error) {
		t, err := src.TokenContext(ctx)
		if err != nil {
			return bearer.Token{}, err
		}
		return bearer.Token{Value: t.AccessToken, CanExpire: !t.Expiry.IsZero(), Expires: t.Expiry}, nil
	})
	return &http.Client{Transport: smithyTransport{
		cache: bearer.NewTokenCache(provider, func(o *bearer.TokenCacheOptions) {
			o.RefreshBeforeExpires = time.Minute
			o.RetrieveBearerTokenTimeout = 30 * time.Second
		}),
		base: contextClient(ctx).Transport,
	}}
}

// smithyTransport does for net/http what bearer.SignHTTPSMessage does for smithy's own requests: it sets the
// header on a clone. smithy-go has no RoundTripper.
type smithyTransport struct {
	cache *bearer.TokenCache
	base  http.RoundTripper
}

func (t smithyTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := t.cache.RetrieveBearerToken(req.Context())
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	out := req.Clone(req.Context())
	out.Header.Set("Authorization", "Bearer "+token.Value)
	return t.base.RoundTrip(out)
}

// clientGoClient is what client-go makes of a rest.Config with its token source: cache, transport, and a 401
// that resets the cache.
func clientGoClient(ctx context.Context, key *netoauth.APIKey) *http.Client {
	wrap := transport.ResettableTokenSourceWrapTransport(transport.NewCachedTokenSource(logIn{ctx, key}))
	return &http.Client{Transport: wrap(contextClient(ctx).Transport)}
}

// client-go logs each token that it could not get, thousands here.
func init() { klog.SetSlogLogger(slog.New(slog.DiscardHandler)) }

// logIn is the source under each peer's cache: one log-in a call.
type logIn struct {
	ctx context.Context
	key *netoauth.APIKey
}

func (l logIn) Token() (*oauth2.Token, error) { return l.TokenContext(l.ctx) }

// TokenContext is for peers that pass a context. It lacks the HTTP client, which the one in l has.
func (l logIn) TokenContext(ctx context.Context) (*oauth2.Token, error) {
	if l.ctx.Value(plain{}) != nil {
		return l.plain()
	}
	return l.key.Token(context.WithValue(ctx, oauth2.HTTPClient, contextClient(l.ctx)))
}

// plain is the key of a context value that has logIn send an unsigned request, and look at the answer no longer
// than it must. A fleet of peers logs in over a million times, which else takes minutes.
type plain struct{}

func plainly(s scenario.Subject) scenario.Subject {
	return func(ctx context.Context, key *netoauth.APIKey) *http.Client {
		return s(context.WithValue(ctx, plain{}, true), key)
	}
}

func (l logIn) plain() (*oauth2.Token, error) {
	resp, err := contextClient(l.ctx).Post(l.key.URL+netoauthtest.APIKeyPath, "application/json", http.NoBody)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	t := new(oauth2.Token)
	if err := json.NewDecoder(resp.Body).Decode(t); err != nil {
		return nil, err
	}
	t.Expiry = time.Now().Add(time.Duration(t.ExpiresIn) * time.Second)
	return t, nil
}

func contextClient(ctx context.Context) *http.Client {
	return ctx.Value(oauth2.HTTPClient).(*http.Client)
}
