// Package secrecy_test looks for secrets wherever text comes out of the package: in whatever fmt,
// encoding/json, encoding/xml, text/template and log/slog make of its values, in errors whatever
// the server echoed into them, and in logs.
package secrecy_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/netoauth/netoauth/internal/suite"
)

// vault is the secrets of a test, by what they are, and the forms to look for them in.
type vault struct {
	mu    sync.Mutex
	forms map[string]string // form to what it is
}

// newVault returns a vault with secrets, which come in pairs of what they are and their value.
func newVault(secrets ...string) *vault {
	v := &vault{forms: make(map[string]string)}
	for i := 0; i < len(secrets); i += 2 {
		v.add(secrets[i], secrets[i+1])
	}
	return v
}

// add makes v look for one more secret.
func (v *vault) add(what, secret string) {
	if len(secret) < 8 {
		panic("too short to be told from other text: " + what)
	}
	jsonWith := func(escapeHTML bool) string {
		var b strings.Builder
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(escapeHTML)
		enc.Encode(secret) // a string has no error
		return strings.Trim(strings.TrimSpace(b.String()), `"`)
	}
	quoted := func(s string) string { return s[1 : len(s)-1] }
	inDecimal := fmt.Sprint([]byte(secret))
	inGo := fmt.Sprintf("%#v", []byte(secret))

	v.mu.Lock()
	defer v.mu.Unlock()
	for form, text := range map[string]string{
		"":                           secret,
		"in a URL's query":           url.QueryEscape(secret),
		"in a URL's path":            url.PathEscape(secret),
		"in JSON":                    jsonWith(true),
		"in JSON that is not HTML":   jsonWith(false),
		"in JSON that is ASCII":      quoted(strconv.QuoteToASCII(secret)),
		"in Go":                      quoted(strconv.Quote(secret)),
		"in HTML":                    html.EscapeString(secret),
		"in hex":                     hex.EncodeToString([]byte(secret)),
		"in HEX":                     strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"in hex with spaces":         fmt.Sprintf("% x", secret),
		"in HEX with spaces":         fmt.Sprintf("% X", secret),
		"as the bytes of %d":         inDecimal[1 : len(inDecimal)-1],
		"as the bytes of %#v":        inGo[len("[]byte{") : len(inGo)-1],
		"as the bytes of %x, # flag": fmt.Sprintf("%# x", secret),
	} {
		v.note(text, strings.TrimSpace(what+" "+form))
	}
	// Base64 of a text that has the secret somewhere in it depends on where.
	for offset := range 3 {
		padded := append(make([]byte, offset), secret...)
		from := (offset*8 + 5) / 6
		to := len(padded) * 8 / 6
		v.note(base64.RawStdEncoding.EncodeToString(padded)[from:to], what+" in base64")
		v.note(base64.RawURLEncoding.EncodeToString(padded)[from:to], what+" in URL-safe base64")
	}
}

func (v *vault) note(text, what string) {
	if _, ok := v.forms[text]; !ok {
		v.forms[text] = what
	}
}

// found returns what of the vault is in text, in any form.
func (v *vault) found(text string) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var what []string
	for form, name := range v.forms {
		if strings.Contains(text, form) {
			what = append(what, name)
		}
	}
	slices.Sort(what)
	return what
}

// check reports secrets in text.
func (v *vault) check(t testing.TB, where, text string) {
	t.Helper()
	if what := v.found(text); what != nil {
		t.Errorf("%s shows %s: %.600q", where, strings.Join(what, ", "), text)
	}
}

// checkAll reports secrets in texts, at most three of them.
func (v *vault) checkAll(t testing.TB, what string, texts map[string]string) {
	t.Helper()
	if v.found(strings.Join(slices.Collect(maps.Values(texts)), "\n")) == nil {
		return
	}
	shown := 0
	for how, text := range texts {
		if found := v.found(text); found != nil {
			if shown++; shown <= 3 {
				v.check(t, what+", "+how+",", text)
			}
		}
	}
	t.Errorf("%s: %d of %d texts show a secret", what, shown, len(texts))
}

// watch makes v look for the request tokens that go through the returned round tripper, too.
func (v *vault) watch(base http.RoundTripper) http.RoundTripper {
	return suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
		if r.GetBody != nil {
			if body, err := r.GetBody(); err == nil {
				text, _ := io.ReadAll(body)
				var m struct{ JWT string }
				if json.Unmarshal(text, &m) == nil && m.JWT != "" {
					v.add("a request token", m.JWT)
				}
			}
		}
		return base.RoundTrip(r)
	})
}

// tokensOf makes v look for all tokens that go through, in requests and answers.
func (v *vault) tokensOf(base http.RoundTripper) http.RoundTripper {
	return v.watch(suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
		if auth := r.Header.Get("Authorization"); auth != "" {
			v.add("an access token", strings.TrimPrefix(auth, "Bearer "))
		}
		resp, err := base.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		resp.Body = io.NopCloser(bytes.NewReader(body))
		if err != nil {
			resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
		}
		var m map[string]any
		if json.Unmarshal(body, &m) == nil {
			for name, x := range m {
				if s, _ := x.(string); strings.HasSuffix(name, "_token") {
					v.add(name, s)
				}
			}
		}
		return resp, nil
	}))
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

func TestVault_findsSecretsInEveryForm(t *testing.T) {
	for name, k := range map[string]kit{"plain": plainKit, "awkward": awkwardKit} {
		v := k.vault()
		if what := v.found("netoauth: password: POST https://api.test: 401 Unauthorized; check the password"); what != nil {
			t.Errorf("%s: found %v where nothing is", name, what)
		}
		inJSON, err := json.Marshal(map[string]any{"a": k.password, "b": []byte("12" + k.password + "3")})
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{
			k.password, fmt.Sprintf("%x", k.password), fmt.Sprintf("% X", k.password), fmt.Sprintf("%q", k.password),
			fmt.Sprintf("%v", []byte(k.password)), fmt.Sprintf("%#v", []byte(k.password)), fmt.Sprintf("%+q", k.password),
			url.Values{"password": {k.password}}.Encode(), string(inJSON), html.EscapeString(k.password),
			base64.StdEncoding.EncodeToString([]byte(k.password)),
			base64.StdEncoding.EncodeToString([]byte("1" + k.password + "2")),
			base64.URLEncoding.EncodeToString([]byte("12" + k.password)),
			base64.URLEncoding.EncodeToString([]byte("123" + k.password + "45")),
		} {
			if v.found(text) == nil {
				t.Errorf("%s: nothing found in %q", name, text)
			}
		}
	}
}
