package netoauth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/netoauth/netoauth/internal/endpoint"
	"github.com/netoauth/netoauth/internal/origin"
	"golang.org/x/oauth2"
)

// APIKey signs in with an API key, as its NETOSECRET holds it (see [ParseAPIKey]), and renews with
// the refresh token while that lasts. In the API's reference it is "via API Key", POST
// /api/v1/auth/token.
type APIKey struct {
	// URL is the API's base URL; "" means DefaultURL. /api/v1 or /v1 at its end is dropped, any
	// other path stays as a prefix. It must be https, unless its host is localhost or a loopback
	// address.
	URL string

	// Shortname is the account or sub-account to sign in to, see [APIKey.Account].
	Shortname string

	// AppName, AppKey and SharedSecret are the key's; all three are required, as is Shortname.
	// SharedSecret signs the request token and is never sent.
	AppName      string
	AppKey       Secret
	SharedSecret Secret

	// Reload returns the key anew, when the API refuses this one: for a shared secret that is
	// regenerated while the program runs, as in a mounted file. It is asked once an exchange,
	// within its 30 s. Only AppName, AppKey and SharedSecret count, so a sub-account's may return
	// the parent's key; if they differ from those in use they are used from then on, and the log-in
	// is tried again at once. nil without an error means nothing new, and its error joins the
	// refusal. nil: the refusal stands.
	Reload func(context.Context) (*APIKey, error) `json:"-"`

	Options
}

const (
	// A request token is issued this much before the clock, for a server that takes none from the
	// future and whose clock is behind.
	backdated = 10 * time.Second

	// Where a request token is refused and the clocks differ by more, it is issued anew.
	maxClockError = 10 * time.Second
)

const pasteAll = "paste all of it, and nothing else"

// ParseAPIKey reads a NETOSECRET, the API key as the portal gives it out and the vendor documents
// it: base64 of a JSON object with url, shortname, appname, sharedsecret and appkey. The base64 may
// be standard or URL-safe, padded or not, with white space and invisible characters anywhere and
// quotes around it. Errors name what is missing or wrong, or what was passed instead, and show no
// part of the key.
func ParseAPIKey(s string) (*APIKey, error) {
	s = strings.Map(unformatted, s)
	if n := len(s) - 1; n > 0 && s[0] == s[n] && strings.IndexByte("\"'`", s[0]) >= 0 {
		s = s[1:n]
	}
	if s == "" {
		return nil, errors.New("netoauth: NETOSECRET is empty")
	}
	text, err := decodeBase64(s)
	if what := mistaken(s, text); what != "" {
		return nil, errors.New("netoauth: this is " + what)
	}
	if err != nil {
		return nil, errors.New("netoauth: NETOSECRET is not base64; " + pasteAll)
	}
	fields, err := parseFields(text)
	if err != nil {
		return nil, err
	}
	k := &APIKey{
		URL:          fields["url"],
		Shortname:    fields["shortname"],
		AppName:      fields["appname"],
		AppKey:       Secret(fields["appkey"]),
		SharedSecret: Secret(fields["sharedsecret"]),
	}
	base, err := origin.Parse(k.URL, DefaultURL)
	if err != nil {
		return nil, fmt.Errorf("netoauth: NETOSECRET: %w", err)
	}
	k.URL = base.String()
	return k, nil
}

// unformatted drops what nobody sees, such as white space or a byte order mark, and takes a text
// processor's quotes for plain ones.
func unformatted(r rune) rune {
	switch {
	case unicode.In(r, unicode.White_Space, unicode.Cf):
		return -1
	case unicode.In(r, unicode.Pi, unicode.Pf) || r == '„' || r == '‚':
		return '"'
	default:
		return r
	}
}

// decodeBase64 takes both alphabets, padded or not.
func decodeBase64(s string) ([]byte, error) {
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	return base64.RawStdEncoding.DecodeString(s)
}

// mistaken names what people pass instead of a NETOSECRET, and what to pass; "" where s, which is
// text in base64, is none of that. The base64 of an object, after white space perhaps, begins with
// one of e, C, D and I, and so with none of a path's characters.
func mistaken(s string, text []byte) string {
	payload := strings.Split(strings.TrimRight(s, "."), ".") // a NETOSECRET may end a sentence
	name, value, assigned := strings.Cut(strings.TrimRight(s, "="), "=")
	inner, err := decodeBase64(strings.Trim(strings.Map(unformatted, string(text)), "\"'"))
	switch {
	case strings.HasPrefix(s, "eyJ") && len(payload) > 1: // an encrypted one has five parts
		claims, _ := decodeBase64(payload[1])
		if _, ok := endpoint.Object(claims)["appkey"]; ok {
			return "a JWT, a request token made from a NETOSECRET, not the NETOSECRET itself"
		}
		return "a JWT, such as an access token, not a NETOSECRET, from which such tokens are got"
	case strings.HasPrefix(s, "{"):
		return "JSON in the clear, not a NETOSECRET; pass just the base64 that the portal gives out"
	case assigned && isName(name) && value != "" && strings.ContainsAny(value[:1], "eCDI\"'`"):
		return "an assignment, NAME=value, not the NETOSECRET itself; pass the value alone"
	case strings.ContainsAny(s[:1], "/.~\\") || strings.HasPrefix(s[1:], ":"):
		return "a path, not a NETOSECRET; pass what the file holds"
	case err == nil && endpoint.Object(inner) != nil:
		return "a NETOSECRET that is encoded twice; decode it once"
	default:
		return ""
	}
}

// isName reports whether s, without its white space, can be the name of a variable, with export
// before it perhaps.
func isName(s string) bool {
	return s != "" && len(s) < 50 && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}

// parseFields returns the fields of the JSON object that a NETOSECRET holds.
func parseFields(text []byte) (map[string]string, error) {
	object := endpoint.Object(text)
	if object == nil || !utf8.Valid(text) {
		return nil, errors.New("netoauth: NETOSECRET does not hold a JSON object; " + pasteAll)
	}
	fields := map[string]string{}
	var missing, wrong, unreadable []string
	for _, name := range []string{"url", "shortname", "appname", "appkey", "sharedsecret"} {
		v, isString := object[name].(string)
		switch {
		case object[name] != nil && !isString:
			wrong = append(wrong, name)
		case v == "":
			missing = append(missing, name)
		case strings.ContainsRune(v, utf8.RuneError): // encoding/json could not read it
			unreadable = append(unreadable, name)
		}
		fields[name] = v
	}
	list := func(names []string) string { return strings.Join(names, ", ") }
	switch {
	case missing != nil:
		return nil, errors.New("netoauth: NETOSECRET lacks " + list(missing))
	case wrong != nil:
		return nil, fmt.Errorf("netoauth: in NETOSECRET, %s must be a string", list(wrong))
	case unreadable != nil:
		return nil, fmt.Errorf("netoauth: in NETOSECRET, %s has a character that cannot be read; "+
			pasteAll, list(unreadable))
	}
	return fields, nil
}

// Netosecret returns the NETOSECRET of k, the inverse of [ParseAPIKey]: a secret in the clear. Its
// url ends in /api/v1, as the vendor's tools read it, and is DefaultURL's for a URL of ""; a URL
// that is not valid is written as it is. Options and Reload are not part of it.
func (k *APIKey) Netosecret() string {
	address := k.URL
	if base, err := origin.Parse(k.URL, DefaultURL); err == nil {
		address = base.String() + "/api/v1"
	}
	text, _ := json.Marshal(map[string]string{ // which cannot fail
		"url":          address,
		"shortname":    k.Shortname,
		"appname":      k.AppName,
		"sharedsecret": string(k.SharedSecret),
		"appkey":       string(k.AppKey),
	})
	return base64.StdEncoding.EncodeToString(text)
}

// Account returns the same key for a sub-account, which a parent account's key reaches. Tokens
// belong to an account, so the copy has no InitialToken, OnToken or Store: give it its own. It has
// the key's OnExchange, Logger and Reload.
func (k *APIKey) Account(shortname string) *APIKey {
	sub := *k
	sub.Shortname = shortname
	sub.InitialToken, sub.OnToken, sub.Store = nil, nil, nil
	return &sub
}

// Format prints the names alone, whatever the verb.
func (k APIKey) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "netoauth.APIKey{Shortname:%q AppName:%q %s}", k.Shortname, k.AppName, redacted)
}

// Token logs in, now: nothing is cached, and ctx bounds it.
//
// The HTTP client is the one in ctx, see [oauth2.HTTPClient]. For the errors see [Error] and
// [ErrRejected].
func (k *APIKey) Token(ctx context.Context) (*oauth2.Token, error) {
	return once(ctx, k.flow)
}

// TokenSource returns a token source that caches the token, renews it ahead of its expiry, and logs
// in again where it cannot. It takes the HTTP client and the values from ctx, not its cancellation.
//
// Most users will use [APIKey.Client] instead.
func (k *APIKey) TokenSource(ctx context.Context) oauth2.TokenSource {
	return newTokenSource(ctx, k.flow)
}

// Client returns the HTTP client in ctx, its timeout, jar and redirect policy included, with a
// [Transport] over its own transport and a token source as of [APIKey.TokenSource].
func (k *APIKey) Client(ctx context.Context) *http.Client {
	return NewClient(ctx, k.TokenSource(ctx))
}

func (k *APIKey) flow(ctx context.Context) (*flow, error) {
	key := *k
	f := newFlow(ctx, "API key", k.Shortname, k.URL, k.Options,
		endpoint.NotEmpty("Shortname", k.Shortname),
		endpoint.NotEmpty("AppName", k.AppName),
		endpoint.NotEmpty("AppKey", string(k.AppKey)),
		endpoint.NotEmpty("SharedSecret", string(k.SharedSecret)))
	f.credential = &key
	return f, f.unusable
}

func (k *APIKey) account() string { return k.Shortname }

func (k *APIKey) secrets() []string { return []string{string(k.AppKey), string(k.SharedSecret)} }

// logIn exchanges a request token, and where that is refused and the server's clock is far from
// ours, another one that is signed by the server's.
func (k *APIKey) logIn(ctx context.Context, x *exchange) (*oauth2.Token, error) {
	t, err := k.send(ctx, x, time.Now().Add(-backdated))
	if date := serverTime(err); !date.IsZero() {
		x.Logger.WarnContext(ctx, "netoauth: log-in refused, signing again with the server's time",
			x.attrs("clock_off_by", time.Until(date).Round(time.Second).String())...)
		t, err = k.send(ctx, x, date)
	}
	return t, err
}

// serverTime returns the server's clock, where that can be why a log-in was refused. Otherwise
// zero.
func serverTime(err error) time.Time {
	e, _ := errors.AsType[*Error](err)
	if e == nil || !e.rejected || e.date.IsZero() || time.Until(e.date).Abs() <= maxClockError {
		return time.Time{}
	}
	return e.date
}

// send exchanges a request token that is issued at iat.
func (k *APIKey) send(ctx context.Context, x *exchange, iat time.Time) (*oauth2.Token, error) {
	signed, err := k.requestToken(iat)
	if err != nil {
		return nil, err
	}
	body, _ := json.Marshal(map[string]string{"jwt": signed}) // which cannot fail
	hint := fmt.Sprintf("check that the NETOSECRET is current (a new shared secret ends the old one "+
		"at once) and reaches the account %.100q; an IP allow list of the account can be the cause, "+
		"too", k.Shortname)
	sent := append(strings.Split(signed, "."), signed) // the middle part alone tells the AppKey
	return x.newToken(x.post(ctx, endpoint.Request{
		URL: "/api/v1/auth/token", ContentType: endpoint.JSON, Body: string(body),
	}, hint, sent...))
}

// reload returns the key with what Reload has returned, if that is something new.
func (k *APIKey) reload(ctx context.Context) (credential, []string, error) {
	if k.Reload == nil {
		return nil, nil, nil
	}
	got, err := k.Reload(ctx)
	if got == nil {
		return nil, nil, err
	}
	next := *k
	next.AppName, next.AppKey, next.SharedSecret = got.AppName, got.AppKey, got.SharedSecret
	secrets := next.secrets() // its error, too, may quote them
	switch {
	case err != nil:
		return nil, secrets, err
	case next.AppName == "" || next.AppKey == "" || next.SharedSecret == "":
		return nil, secrets, errors.New("what it returned lacks AppName, AppKey or SharedSecret")
	case next.AppName == k.AppName && slices.Equal(secrets, k.secrets()):
		return nil, nil, nil
	}
	return &next, secrets, nil
}

// requestToken returns the JWT that the API exchanges for tokens: an HS256 JWS over the key's
// claims.
func (k *APIKey) requestToken(iat time.Time) (string, error) {
	// go-jose refuses a key under 32 bytes. HMAC fills a key up to its 64-byte block with zero
	// bytes (RFC 2104 section 2), so zero bytes added here do not change the signature.
	secret := make([]byte, max(32, len(k.SharedSecret)))
	copy(secret, k.SharedSecret)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: secret},
		new(jose.SignerOptions).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("netoauth: API key: signing the request token: %w", err)
	}
	id := make([]byte, 16)
	rand.Read(id)
	return jwt.Signed(signer).Claims(map[string]any{
		"iat":       iat.Unix(),
		"jti":       hex.EncodeToString(id),
		"appname":   k.AppName,
		"appkey":    string(k.AppKey),
		"shortname": k.Shortname,
	}).Serialize()
}
