package wire_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
)

// requestTokens returns the request tokens that n Token calls of k send.
func requestTokens(t testing.TB, k *netoauth.APIKey, n int) []string {
	t.Helper()
	var jwts []string
	ctx := suite.Over(t.Context(), suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		jwt, _ := object(t, string(body))["jwt"].(string)
		jwts = append(jwts, jwt)
		return suite.Answer(200, good).RoundTrip(r)
	}))
	for range n {
		if _, err := k.Token(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if len(jwts) != n {
		t.Fatalf("%d requests, want %d", len(jwts), n)
	}
	return jwts
}

// verify returns header and claims of a JWT, after seeing that it is signed, HS256, with the raw
// secret.
func verify(t testing.TB, jwt, secret string) (header string, claims map[string]any) {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("%q has not three parts", jwt)
	}
	var raw [3]string
	for i, p := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(p)
		if err != nil {
			t.Fatalf("part %d: %v", i, err)
		}
		raw[i] = string(b)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(parts[0] + "." + parts[1]))
	if raw[2] != string(mac.Sum(nil)) {
		t.Fatalf("a shared secret of %d bytes: the signature is wrong", len(secret))
	}
	return raw[0], object(t, raw[1])
}

func TestAPIKey_signsWithSharedSecretsOf1To200Bytes(t *testing.T) {
	for n := 1; n <= 200; n++ {
		for _, unit := range []string{"s", "ü", "\x00"} {
			secret := strings.Repeat(unit, n)[:n]
			k := at(suite.APIKey, "https://api.test").(*netoauth.APIKey)
			k.SharedSecret = netoauth.Secret(secret)
			verify(t, requestTokens(t, k, 1)[0], secret)
		}
	}
}

func TestAPIKey_sendsTheDocumentedHeaderAndClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // for a clock that stands still
		time.Sleep(90*time.Minute + 700*time.Millisecond)
		k := &netoauth.APIKey{URL: "https://api.test", Shortname: `a"c&me`, AppName: "re<ports>",
			AppKey: "ü \\ key", SharedSecret: "mysharedsecret"}
		header, claims := verify(t, requestTokens(t, k, 1)[0], "mysharedsecret")
		suite.Diff(t, "header", map[string]any{"alg": "HS256", "typ": "JWT"}, object(t, header))
		jti, ok := claims["jti"].(string)
		if !ok || jti == "" {
			t.Errorf("jti is %#v, want a string", claims["jti"])
		}
		suite.Diff(t, "claims", map[string]any{
			"iat": float64(time.Now().Unix() - 10), "jti": jti, "appname": "re<ports>", "appkey": "ü \\ key", "shortname": `a"c&me`,
		}, claims)
	})
}

func TestAPIKey_jtiIs128RandomBits(t *testing.T) {
	const n = 1000
	seen := make(map[string]bool)
	var chars []map[byte]bool // by position
	for _, jwt := range requestTokens(t, at(suite.APIKey, "https://api.test").(*netoauth.APIKey), n) {
		_, claims := verify(t, jwt, "the shared secret")
		jti := claims["jti"].(string)
		if seen[jti] {
			t.Fatalf("the jti %q comes twice", jti)
		}
		seen[jti] = true
		if chars == nil {
			chars = make([]map[byte]bool, len(jti))
		}
		if len(jti) != len(chars) {
			t.Fatalf("the jti %q has not the length of the others, %d", jti, len(chars))
		}
		for i := range len(jti) {
			if chars[i] == nil {
				chars[i] = make(map[byte]bool)
			}
			chars[i][jti[i]] = true
		}
	}
	var bits float64
	for _, c := range chars {
		bits += math.Log2(float64(len(c)))
	}
	if bits < 127.5 {
		t.Errorf("%d jtis vary in %.1f bits, want 128", n, bits)
	}
}

func TestAPIKey_iatIsTenSecondsBeforeTheExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := at(suite.APIKey, "https://api.test").(*netoauth.APIKey)
		for range 3 {
			time.Sleep(17 * time.Minute)
			_, claims := verify(t, requestTokens(t, k, 1)[0], "the shared secret")
			suite.Diff(t, "iat", any(float64(time.Now().Unix()-10)), claims["iat"])
		}
	})
}

func TestAPIKey_accountSignsForTheSubAccountWithTheSameKey(t *testing.T) {
	k := at(suite.APIKey, "https://api.test").(*netoauth.APIKey)
	_, parent := verify(t, requestTokens(t, k, 1)[0], "the shared secret")
	_, sub := verify(t, requestTokens(t, k.Account("subsidiary"), 1)[0], "the shared secret")
	for _, c := range []map[string]any{parent, sub} {
		delete(c, "iat")
		delete(c, "jti")
	}
	want := maps.Clone(parent)
	want["shortname"] = "subsidiary"
	suite.Diff(t, "claims of the sub-account", want, sub)
	suite.Diff(t, "names of the claims", []string{"appkey", "appname", "shortname"}, slices.Sorted(maps.Keys(sub)))
	if k.Shortname != "acme" {
		t.Errorf("Account changed the key itself: %s", fmt.Sprint(k.Shortname))
	}
}

func TestAPIKey_sharesNoRequestTokenBetweenExchanges(t *testing.T) {
	w := suite.NewWorld(t) // which refuses a replayed jti
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := w.Key.Token(w.Ctx); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
