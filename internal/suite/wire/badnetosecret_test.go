package wire_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/netoauth/netoauth"
)

// badKey has values that are easy to find in an error.
var badKey = map[string]any{
	"url": "https://URLVALUE.test", "shortname": "SHORTNAMEVALUE", "appname": "APPNAMEVALUE",
	"appkey": "APPKEYVALUE", "sharedsecret": "SHAREDSECRETVALUE",
}

// wrongNetosecret is refused, and the error must have the parts in it.
type wrongNetosecret struct {
	name, text string
	parts      []string
}

func wrongNetosecrets(t *testing.T) []wrongNetosecret {
	b64 := base64.StdEncoding.EncodeToString
	with := func(name string, v any) string {
		m := maps.Clone(badKey)
		m[name] = v
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b64(text)
	}
	without := func(names ...string) string {
		m := maps.Clone(badKey)
		for _, name := range names {
			delete(m, name)
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b64(text)
	}
	whole := without()
	text, err := base64.StdEncoding.DecodeString(whole)
	if err != nil {
		t.Fatal(err)
	}
	padded := b64([]byte(string(text) + strings.Repeat(" ", 5-len(text)%3)))
	request := requestTokens(t, &netoauth.APIKey{URL: "https://api.test", Shortname: "SHORTNAMEVALUE", AppName: "APPNAMEVALUE",
		AppKey: "APPKEYVALUE", SharedSecret: "SHAREDSECRETVALUE"}, 1)[0]

	tests := []wrongNetosecret{
		{"empty", "", []string{"empty"}},
		{"white space only", " \t\r\n\u00a0 ", []string{"empty"}},
		{"padding only", "====", nil},
		{"not base64", "{not base64}: SHAREDSECRETVALUE", []string{"base64"}},
		{"the JSON itself", string(text), []string{"JSON in the clear", "NETOSECRET"}},
		{"quoted on one side", `"` + whole, []string{"base64"}},
		{"the JSON of a vault that holds it", `{"NETOSECRET":"` + whole + `"}`, []string{"JSON in the clear", "NETOSECRET"}},
		{"quotes alone", `''`, []string{"empty"}},
		{"with its variable's name", "NETOSECRET_2=" + whole, []string{"NAME=value"}},
		{"with export, and quoted", "export  NETOSECRET='" + whole + "'", []string{"NAME=value"}},
		{"with its variable's name, and quoted by a phone", "NETOSECRET=“" + whole + "”", []string{"NAME=value"}},
		{"encoded twice", b64([]byte(whole)), []string{"encoded twice"}},
		{"encoded twice, in lines", b64([]byte(whole[:76] + "\n" + whole[76:] + "\n")), []string{"encoded twice"}},
		{"encoded twice, with its quotes", b64([]byte(`"` + whole + `"`)), []string{"encoded twice"}},
		{"a path", "/run/secrets/netosecret", []string{"a path"}},
		{"a path from here", "./netosecret", []string{"a path"}},
		{"a path from home", "~/netosecret", []string{"a path"}},
		{"a path of Windows", `C:\netosecret.txt`, []string{"a path"}},
		{"a path of Windows, with slashes", `C:/netosecret.txt`, []string{"a path"}},
		{"an access token", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJTSE9SVE5BTUVWQUxVRSJ9.c2lnbmF0dXJl", []string{"access token"}},
		{"a path of another computer", `\\files\netosecret.txt`, []string{"a path"}},
		{"an access token with an iat", jwt(`{"iat":1000,"exp":1300}`), []string{"access token"}},
		{"an encrypted access token", "eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVy.dGFn", []string{"access token"}},
		{"an access token that is cut off", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJT", []string{"access token"}},
		{"at the end of a sentence", whole + ".", []string{"paste all of it, and nothing else"}},
		{"cut by one character", strings.TrimRight(whole, "=")[:81], []string{"base64"}},
		{"cut in the middle", strings.TrimRight(whole, "=")[:80], []string{"JSON"}},
		{"garbage after the padding", b64([]byte("SHAREDSECRETVALUE ")) + "=!", []string{"base64"}},
		{"two of them", whole + whole, []string{"paste all of it, and nothing else"}},
		{"two of them, padded", padded + padded, []string{"not base64"}},
		{"invalid UTF-8", "\xff\xfe" + whole, []string{"base64"}},
		{"not JSON", b64([]byte("SHAREDSECRETVALUE")), []string{"JSON"}},
		{"empty JSON", b64([]byte(" ")), []string{"JSON"}},
		{"JSON array", b64([]byte(`["SHAREDSECRETVALUE"]`)), []string{"JSON object"}},
		{"JSON array of the object", b64([]byte("[" + string(text) + "]")), []string{"JSON object"}},
		{"JSON null", b64([]byte("null")), []string{"JSON object"}},
		{"JSON string", b64([]byte(`"SHAREDSECRETVALUE"`)), []string{"JSON object"}},
		{"JSON number", b64([]byte("12345")), []string{"JSON object"}},
		{"JSON bool", b64([]byte("true")), []string{"JSON object"}},
		{"garbage after the JSON", b64([]byte(string(text) + " SHAREDSECRETVALUE")), []string{"JSON"}},
		{"a second JSON object", b64([]byte(string(text) + string(text))), []string{"JSON"}},
		{"no field", b64([]byte("{}")), []string{"url", "shortname", "appname", "appkey", "sharedsecret"}},
		{"two fields missing", without("appkey", "url"), []string{"appkey", "url"}},
		{"binary", b64([]byte{0, 1, 2, 0xff}), []string{"JSON"}},
		{"a request token", request, []string{"request token", "NETOSECRET"}},
		{"a request token, wrapped", request[:50] + "\r\n" + request[50:] + "\n", []string{"request token", "NETOSECRET"}},
		{"an unsigned JWT", strings.Join(strings.Split(request, ".")[:2], ".") + ".", []string{"request token", "NETOSECRET"}},
		{"huge, not base64", strings.Repeat("SHAREDSECRETVALUE!", 1<<16), []string{"base64"}},
		{"huge, not JSON", strings.Repeat("SHAREDSECRETVALU", 1<<16), []string{"JSON"}},
		{"huge, a field missing", b64([]byte(`{"shortname":"` + strings.Repeat("SHORTNAMEVALUE", 1<<16) + `"}`)),
			[]string{"appkey"}},
		{"huge, a field of the wrong type", with("appkey", []string{strings.Repeat("APPKEYVALUE", 1<<16)}),
			[]string{"appkey"}},
		{"deeply nested", b64([]byte(strings.Repeat("[", 1<<16))), []string{"JSON"}},
	}
	for name := range badKey {
		tests = append(tests,
			wrongNetosecret{name + " missing", without(name), []string{name}},
			wrongNetosecret{name + " null", with(name, nil), []string{name}},
			wrongNetosecret{name + " empty", with(name, ""), []string{name}},
			wrongNetosecret{name + " a number", with(name, 12345), []string{name, "string"}},
			wrongNetosecret{name + " a bool", with(name, true), []string{name, "string"}},
			wrongNetosecret{name + " an array", with(name, []any{badKey[name]}), []string{name, "string"}},
			wrongNetosecret{name + " an object", with(name, map[string]any{"x": badKey[name]}), []string{name, "string"}},
		)
	}
	for name, bad := range badURLs {
		tests = append(tests, wrongNetosecret{"URL " + name, with("url", bad), []string{"URL"}})
	}
	return tests
}

func TestParseAPIKey_saysWhatIsWrongAndShowsNothing(t *testing.T) {
	for _, tt := range wrongNetosecrets(t) {
		t.Run(tt.name, func(t *testing.T) {
			k, err := netoauth.ParseAPIKey(tt.text)
			if err == nil {
				t.Fatalf("no error; the key is %+v", k)
			}
			if k != nil {
				t.Error("a key beside the error")
			}
			text := err.Error()
			mentions(t, text, append(tt.parts, "netoauth", "NETOSECRET")...)
			oneLine(t, "the error", text, 300)
			for _, v := range append([]any{marker, "12345"}, slices.Collect(maps.Values(badKey))...) {
				if strings.Contains(text, v.(string)) {
					t.Errorf("the error shows %s: %q", v, text)
				}
			}
			if len(tt.text) > 12 && strings.Contains(text, tt.text[:12]) {
				t.Errorf("the error shows what was pasted: %q", text)
			}
		})
	}
}

func TestParseAPIKey_namesTheMissingFieldsAlone(t *testing.T) {
	text, err := json.Marshal(map[string]any{"url": badKey["url"], "appname": badKey["appname"]})
	if err != nil {
		t.Fatal(err)
	}
	_, err = netoauth.ParseAPIKey(base64.StdEncoding.EncodeToString(text))
	if err == nil {
		t.Fatal("no error")
	}
	var named []string
	for _, word := range strings.FieldsFunc(err.Error(), func(r rune) bool { return r == ' ' || r == ',' }) {
		if _, ok := badKey[word]; ok {
			named = append(named, word)
		}
	}
	sorted := cmpopts.SortSlices(func(a, b string) bool { return a < b })
	if d := cmp.Diff([]string{"appkey", "sharedsecret", "shortname"}, named, sorted); d != "" {
		t.Errorf("fields named in %q (-want +got):\n%s", err, d)
	}
}
