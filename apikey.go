package netoauth

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"
)

// APIKey signs in with an API key, as its NETOSECRET holds it (see [ParseAPIKey]), and renews with the
// refresh token while that lasts. In the API's reference it is "via API Key", POST /api/v1/auth/token.
type APIKey struct {
	// URL is the API's base URL; "" means DefaultURL. /api/v1 or /v1 at its end is dropped, any other path
	// stays as a prefix. It must be https, unless its host is localhost or a loopback address.
	URL string

	// Shortname is the account or sub-account to sign in to, see [APIKey.Account].
	Shortname string

	// AppName, AppKey and SharedSecret are the key's; all three are required, as is Shortname.
	// SharedSecret signs the request token and is never sent.
	AppName      string
	AppKey       Secret
	SharedSecret Secret

	Options
}

// ParseAPIKey reads a NETOSECRET, the API key as the portal gives it out and the vendor documents it: base64 of a
// JSON object with url, shortname, appname, sharedsecret and appkey. The base64 may be standard or URL-safe, padded
// or not, with white space anywhere. Errors name what is missing or wrong, and show no part of the key.
func ParseAPIKey(s string) (*APIKey, error) {
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.Join(strings.Fields(s), ""))
	if s == "" {
		return nil, errors.New("netoauth: NETOSECRET is empty")
	}
	if strings.HasPrefix(s, "eyJ") && strings.Count(s, ".") == 2 {
		return nil, errors.New("netoauth: this is a JWT, a request token made from a NETOSECRET, not the NETOSECRET itself")
	}
	text, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil {
		return nil, errors.New("netoauth: NETOSECRET is not base64; paste all of it, and nothing else")
	}
	fields := decode(text)
	if fields == nil || !utf8.Valid(text) { // in which encoding/json would replace what it cannot read
		return nil, errors.New("netoauth: NETOSECRET does not hold a JSON object; paste all of it, and nothing else")
	}
	var missing, wrong []string
	field := func(name string) string {
		v, ok := fields[name].(string)
		if present := fields[name] != nil; present && !ok {
			wrong = append(wrong, name)
		} else if v == "" {
			missing = append(missing, name)
		}
		return v
	}
	k := &APIKey{
		URL:          field("url"),
		Shortname:    field("shortname"),
		AppName:      field("appname"),
		AppKey:       Secret(field("appkey")),
		SharedSecret: Secret(field("sharedsecret")),
	}
	if missing != nil {
		return nil, fmt.Errorf("netoauth: NETOSECRET lacks %s", strings.Join(missing, ", "))
	}
	if wrong != nil {
		return nil, fmt.Errorf("netoauth: in NETOSECRET, %s must be a string", strings.Join(wrong, ", "))
	}
	if _, err := parseURL(k.URL); err != nil {
		return nil, fmt.Errorf("netoauth: NETOSECRET: %w", err)
	}
	return k, nil
}

// Netosecret returns the NETOSECRET of k, the inverse of [ParseAPIKey]: a secret in the clear. Options are
// not part of it, and a URL of "" is written as DefaultURL.
func (k *APIKey) Netosecret() string {
	text, _ := json.Marshal(map[string]string{ // which cannot fail
		"url":          cmp.Or(k.URL, DefaultURL),
		"shortname":    k.Shortname,
		"appname":      k.AppName,
		"sharedsecret": string(k.SharedSecret),
		"appkey":       string(k.AppKey),
	})
	return base64.RawStdEncoding.EncodeToString(text)
}

// Account returns the same key for a sub-account, which a parent account's key reaches. The copy has no
// InitialToken, which is for another account; OnToken it keeps, so one that stores tokens must tell them apart.
func (k *APIKey) Account(shortname string) *APIKey {
	sub := *k
	sub.Shortname = shortname
	sub.InitialToken = nil
	return &sub
}

// Format prints the names alone, whatever the verb.
func (k APIKey) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "netoauth.APIKey{Shortname:%q AppName:%q %s}", k.Shortname, k.AppName, redacted)
}

// Token logs in, now: nothing is cached, and ctx bounds it.
//
// The HTTP client is the one in ctx, see [oauth2.HTTPClient]. For the errors see [Error] and [ErrRejected].
func (k *APIKey) Token(ctx context.Context) (*oauth2.Token, error) {
	return once(ctx, k.flow)
}

// TokenSource returns a token source that caches the token, renews it ahead of its expiry, and logs in
// again where it cannot. It takes the HTTP client and the values from ctx, not its cancellation.
//
// Most users will use [APIKey.Client] instead.
func (k *APIKey) TokenSource(ctx context.Context) oauth2.TokenSource {
	return newSource(ctx, k.flow)
}

// Client returns the HTTP client in ctx, its timeout, jar and redirect policy included, with a [Transport] over
// its own transport and a token source as of [APIKey.TokenSource].
func (k *APIKey) Client(ctx context.Context) *http.Client { return newClient(ctx, k.TokenSource(ctx)) }

func (k *APIKey) flow() (*flow, error) {
	key := *k
	f, err := newFlow("API key", k.URL, k.Options, "Shortname", k.Shortname, "AppName", k.AppName,
		"AppKey", string(k.AppKey), "SharedSecret", string(k.SharedSecret))
	if err != nil {
		return nil, err
	}
	f.hint = "check that the NETOSECRET is current; a new shared secret ends the old one at once"
	f.secrets = []string{string(k.AppKey), string(k.SharedSecret)}
	login := func(ctx context.Context, now time.Time) (*oauth2.Token, error) {
		signed, err := key.requestToken(now)
		if err != nil {
			return nil, err
		}
		body, _ := json.Marshal(map[string]string{"jwt": signed}) // which cannot fail
		sent := append(strings.Split(signed, "."), signed)        // the middle part alone tells the AppKey
		return f.post(ctx, "/api/v1/auth/token", "application/json", string(body), sent...)
	}
	f.login = func(ctx context.Context) (*oauth2.Token, error) {
		t, err := login(ctx, time.Now())
		if off := clockError(err); off != 0 {
			f.Logger.WarnContext(ctx, "netoauth: log-in refused, signing again with the server's time", "clock_off_by", off)
			t, err = login(ctx, time.Now().Add(off))
		}
		return t, err
	}
	return f, nil
}

// clockError returns how far the server's clock is ahead of ours, where that can be why a log-in was
// refused: over 30 s, by the answer's Date. Otherwise 0.
func clockError(err error) time.Duration {
	e := answerIn(err)
	off := time.Until(e.serverTime)
	if !errors.Is(e, ErrRejected) || e.serverTime.IsZero() || off.Abs() <= 30*time.Second {
		return 0
	}
	return off
}

// requestToken returns the JWT that the API exchanges for tokens: an HS256 JWS over the key's claims.
func (k *APIKey) requestToken(now time.Time) (string, error) {
	// go-jose refuses a key under 32 bytes. HMAC fills a key up to its 64-byte block with zero
	// bytes (RFC 2104 section 2), so zero bytes added here do not change the signature.
	secret := make([]byte, max(32, len(k.SharedSecret)))
	copy(secret, k.SharedSecret)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: secret}, new(jose.SignerOptions).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("netoauth: API key: signing the request token: %w", err)
	}
	id := make([]byte, 16)
	rand.Read(id)
	return jwt.Signed(signer).Claims(map[string]any{
		"iat":       now.Unix(),
		"jti":       hex.EncodeToString(id),
		"appname":   k.AppName,
		"appkey":    string(k.AppKey),
		"shortname": k.Shortname,
	}).Serialize()
}
