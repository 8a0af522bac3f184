package wire_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

// sample is the one in the vendor's documentation.
const sample = "ewogICJ1cmwiOiAiaHR0cHM6Ly9hcGkubmV0b2dyYXBoeS5jb20vYXBpL3YxIiwKICAic2hvcnRuYW1lIjogIm15c2hvcnRuYW1lIiwKICAiYXBwbmFtZSI6ICJteWFwcG5hbWUiLAogICJzaGFyZWRzZWNyZXQiOiAibXlzaGFyZWRzZWNyZXQiLAogICJhcHBrZXkiOiAibXlhcHBrZXkiCn0"

// plainKey is an APIKey in a form that cmp.Diff can show.
type plainKey struct{ URL, Shortname, AppName, AppKey, SharedSecret string }

func plain(k *netoauth.APIKey) plainKey {
	return plainKey{k.URL, k.Shortname, k.AppName, string(k.AppKey), string(k.SharedSecret)}
}

var sampleKey = plainKey{"https://api.netography.com", "myshortname", "myappname", "myappkey", "mysharedsecret"}

// nastyKey has, in base64, both characters in which the two alphabets differ, and needs padding.
var nastyKey = plainKey{"https://host.test/a", "sub.acme", "re<po>&rts", "ÿþ?>~~~ýü", "sec\"ret\\ \t\n ÿÿÿ???>>>"}

func encode(t testing.TB, k plainKey) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]string{
		"url": k.URL, "shortname": k.Shortname, "appname": k.AppName, "appkey": k.AppKey, "sharedsecret": k.SharedSecret,
	})
	if err != nil {
		t.Fatal(err)
	}
	// Go escapes <, > and &; most others do not, and that is where the two alphabets differ.
	return []byte(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(text)))
}

func TestParseAPIKey_readsTheDocumentedSample(t *testing.T) {
	k, err := netoauth.ParseAPIKey(sample)
	if err != nil {
		t.Fatal(err)
	}
	suite.Diff(t, "key", sampleKey, plain(k))
	suite.Diff(t, "options", true, k.InitialToken == nil && k.OnToken == nil && k.Logger == nil)
	_, claims := verify(t, requestTokens(t, k, 1)[0], "mysharedsecret")
	suite.Diff(t, "shortname", any("myshortname"), claims["shortname"])
}

func TestParseAPIKey_readsWhatPeoplePaste(t *testing.T) {
	text := encode(t, nastyKey)
	for len(text)%3 != 1 { // so that padded and unpadded differ
		text = append(text, ' ')
	}
	std := base64.StdEncoding.EncodeToString(text)
	if !strings.Contains(std, "+") || !strings.Contains(std, "/") || !strings.HasSuffix(std, "==") {
		t.Fatalf("%s does not show the difference between the alphabets", std)
	}
	wrap := func(s, by string, every int) string {
		var b strings.Builder
		for i, r := range s {
			if i > 0 && i%every == 0 {
				b.WriteString(by)
			}
			b.WriteRune(r)
		}
		return b.String()
	}
	forms := map[string]string{
		"standard, padded":        std,
		"standard, unpadded":      base64.RawStdEncoding.EncodeToString(text),
		"URL-safe, padded":        base64.URLEncoding.EncodeToString(text),
		"URL-safe, unpadded":      base64.RawURLEncoding.EncodeToString(text),
		"both alphabets at once":  strings.Replace(std, "+", "-", 1),
		"a final line break":      std + "\n",
		"surrounding white space": " \t\r\n" + std + "\r\n\t ",
		"quoted":                  `"` + std + `"`,
		"quoted for a shell":      " '" + std + "'\n",
		"quoted for Markdown":     "`" + std + "`",
		"quoted by a phone":       "“" + std + "”",
		"quoted in German":        "‚" + std + "‘",
		"no-break spaces around":  "\u00a0" + std + "\u00a0",
		"a byte order mark":       "\ufeff" + std + "\r\n",
		"invisible characters":    "\u200e" + std[:20] + "\u00ad" + std[20:] + "\u200b",
		"wrapped at 64":           wrap(std, "\n", 64),
		"wrapped at 76 with CRLF": wrap(std, "\r\n", 76),
		"wrapped and indented":    wrap(std, "\n    ", 40),
		"a space between any two": wrap(std, " ", 1),
		"a break inside the pad":  strings.TrimSuffix(std, "=") + "\n=\n",
		"URL-safe, wrapped at 20": wrap(base64.RawURLEncoding.EncodeToString(text), "\r\n", 20),
		"JSON indented":           base64.StdEncoding.EncodeToString(indent(t, text)),
		"JSON with an unknown name": base64.StdEncoding.EncodeToString(
			bytes.Replace(text, []byte("{"), []byte(`{"more":[1,{}],`), 1)),
	}
	for name, form := range forms {
		k, err := netoauth.ParseAPIKey(form)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		suite.Diff(t, name, nastyKey, plain(k))
	}
}

func indent(t testing.TB, text []byte) []byte {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAPIKey_netosecretIsTheInverseOfParseAPIKey(t *testing.T) {
	for _, want := range []plainKey{sampleKey, nastyKey} {
		k := &netoauth.APIKey{URL: want.URL, Shortname: want.Shortname, AppName: want.AppName,
			AppKey: netoauth.Secret(want.AppKey), SharedSecret: netoauth.Secret(want.SharedSecret)}
		got, err := netoauth.ParseAPIKey(k.Netosecret())
		if err != nil {
			t.Fatal(err)
		}
		suite.Diff(t, "key", want, plain(got))
		again, err := netoauth.ParseAPIKey(got.Netosecret())
		if err != nil {
			t.Fatal(err)
		}
		suite.Diff(t, "key after two rounds", want, plain(again))
	}
}

func TestAPIKey_netosecretHasTheDocumentedFields(t *testing.T) {
	k := &netoauth.APIKey{Shortname: "acme", AppName: "reports", AppKey: "key", SharedSecret: "secret"}
	text, err := base64.StdEncoding.DecodeString(k.Netosecret()) // which insists on the padding
	if err != nil {
		t.Fatal(err)
	}
	suite.Diff(t, "fields", map[string]any{
		"url": netoauth.DefaultURL + "/api/v1", "shortname": "acme", "appname": "reports", "appkey": "key", "sharedsecret": "secret",
	}, object(t, string(text)))
}

func TestAPIKey_accountIsTheSameKeyWithoutASession(t *testing.T) {
	k, err := netoauth.ParseAPIKey(sample)
	if err != nil {
		t.Fatal(err)
	}
	k.InitialToken = &oauth2.Token{AccessToken: "the parent's"}
	k.OnToken = func(*oauth2.Token) {}
	k.Store = noStore{}
	k.OnExchange = func(netoauth.Exchange) {}
	k.Reload = func(context.Context) (*netoauth.APIKey, error) { return nil, nil }
	k.Logger = slog.New(slog.DiscardHandler)
	sub := k.Account("subsidiary")

	want := sampleKey
	want.Shortname = "subsidiary"
	suite.Diff(t, "the sub-account's key", want, plain(sub))
	if sub.InitialToken != nil || sub.OnToken != nil || sub.Store != nil {
		t.Error("the sub-account has the parent's InitialToken, OnToken or Store")
	}
	if sub.Logger != k.Logger || sub.OnExchange == nil || sub.Reload == nil {
		t.Error("the sub-account lost Logger, OnExchange or Reload")
	}
	suite.Diff(t, "the parent's key", sampleKey, plain(k))
	if k.InitialToken == nil || k.OnToken == nil || k.Store == nil {
		t.Error("the parent lost its InitialToken, OnToken or Store")
	}
}

// noStore is a Store that nobody uses.
type noStore struct{ netoauth.Store }
