package tokenstore_test

import (
	"encoding/json"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/netoauth/netoauth/tokenstore"
	"golang.org/x/oauth2"
)

const owner = "https://api.netography.com R&D reports"

// good is what Encode makes of goodToken.
const good = `{"version":1,"owner":"https://api.netography.com R&D reports",` +
	`"token":{"access_token":"planted-access","token_type":"bearer","refresh_token":"planted-refresh",` +
	`"expiry":"2030-01-02T03:04:05.000000006Z","expires_in":3600,"refresh_expires_in":7200.5}}`

// before is what package tokenfile wrote when there was no Encode.
const before = `{
  "owner": "https://api.netography.com R&D reports",
  "token": {
    "access_token": "planted-access",
    "token_type": "bearer",
    "refresh_token": "planted-refresh",
    "expiry": "2030-01-02T04:04:05.000000006+01:00",
    "expires_in": 3600
  }
}
`

var (
	plainToken = &oauth2.Token{
		AccessToken:  "planted-access",
		TokenType:    "bearer",
		RefreshToken: "planted-refresh",
		Expiry:       time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC),
		ExpiresIn:    3600,
	}
	goodToken = plainToken.WithExtra(map[string]any{"refresh_expires_in": 7200.5, "scope": "planted"})
)

func wantToken(t *testing.T, got, want *oauth2.Token) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(oauth2.Token{})); diff != "" {
		t.Errorf("token (-want +got):\n%s", diff)
	}
}

// wantError expects one line with says, and nothing of a token in it.
func wantError(t *testing.T, err error, says string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", says)
	}
	text := err.Error()
	if !strings.Contains(text, says) || strings.Contains(text, "plant") || strings.Contains(text, "\n") {
		t.Errorf("error %q, want one line with %q and nothing of the data", text, says)
	}
}

func TestEncode_makesOneLineOfJSON(t *testing.T) {
	data, err := tokenstore.Encode(owner, goodToken)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(good, string(data)); diff != "" {
		t.Errorf("stored form (-want +got):\n%s", diff)
	}
}

func TestDecode_readsWhatEncodeWrote(t *testing.T) {
	for name, tok := range map[string]*oauth2.Token{
		"all fields":            goodToken,
		"an access token alone": {AccessToken: "a"},
		"a refresh token alone": {RefreshToken: "r"},
		"beyond ASCII":          {AccessToken: "é<&>\u2028\U0001f511", RefreshToken: "\u00a0 ", TokenType: "ü"},
		"long expired":          {AccessToken: "a", Expiry: time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC)},
		"an odd zone":           {AccessToken: "a", Expiry: time.Date(2030, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3601))},
		"a negative life":       {AccessToken: "a", ExpiresIn: -60},
		"600 kB":                {AccessToken: strings.Repeat("a", 300_000), RefreshToken: strings.Repeat("r", 300_000)},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := tokenstore.Encode(owner, tok)
			if err != nil {
				t.Fatal(err)
			}
			got, err := tokenstore.Decode(owner, data)
			if err != nil {
				t.Fatal(err)
			}
			wantToken(t, got, tok)
		})
	}
}

func TestDecode_readsWhatTokenfileWroteBefore(t *testing.T) {
	for name, data := range map[string]string{
		"as it was":                 before,
		"edited by a person":        strings.ReplaceAll(before, "\n", "\r\n\t"),
		"a refresh token put there": `{"token":{"refresh_token":"planted-refresh"},"owner":"` + owner + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tokenstore.Decode(owner, []byte(data))
			if err != nil {
				t.Fatal(err)
			}
			want := plainToken
			if name == "a refresh token put there" {
				want = &oauth2.Token{RefreshToken: "planted-refresh"}
			}
			wantToken(t, got, want)
			if life := got.Extra("refresh_expires_in"); life != nil {
				t.Errorf("refresh_expires_in %v from nowhere", life)
			}
		})
	}
}

// The refresh token's end comes back as a float64, whatever it was before.
func TestEncode_keepsTheRefreshTokensEnd(t *testing.T) {
	number := func(v any) any { return map[string]any{"refresh_expires_in": v} }
	for name, tt := range map[string]struct{ extra, want any }{
		"a number of JSON":  {number(7200.0), 7200.0},
		"a fraction":        {number(0.1), 0.1},
		"a large one":       {number(1e300), 1e300},
		"2^53 + 2":          {number(9007199254740994.0), 9007199254740994.0},
		"zero":              {number(0.0), 0.0},
		"negative":          {number(-1.0), -1.0},
		"an int":            {number(7200), 7200.0},
		"a json.Number":     {number(json.Number("7200")), 7200.0},
		"a text":            {number(" 7200 "), 7200.0},
		"a form":            {url.Values{"refresh_expires_in": {"7200"}}, 7200.0},
		"none":              {map[string]any{}, nil},
		"no Extra":          {nil, nil},
		"null":              {number(nil), nil},
		"no number":         {number("planted"), nil},
		"a list":            {number([]any{1.0}), nil},
		"infinite":          {number(math.Inf(1)), nil},
		"not a number":      {number(math.NaN()), nil},
		"a text beyond all": {number("1e999"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := tokenstore.Encode(owner, plainToken.WithExtra(tt.extra))
			if err != nil {
				t.Fatal(err)
			}
			got, err := tokenstore.Decode(owner, data)
			if err != nil {
				t.Fatal(err)
			}
			wantToken(t, got, plainToken)
			if life := got.Extra("refresh_expires_in"); life != tt.want {
				t.Errorf("refresh_expires_in %v, want %v", life, tt.want)
			}
		})
	}
}

func TestEncode_leavesTheTokenAlone(t *testing.T) {
	tok := *goodToken
	tok.Expiry = tok.Expiry.In(time.FixedZone("", 3600))
	zone := tok.Expiry.Location()
	if _, err := tokenstore.Encode(owner, &tok); err != nil || tok.Expiry.Location() != zone {
		t.Errorf("%v, %v", tok.Expiry, err)
	}
}

// badTokens is what Encode and Decode refuse alike.
var badTokens = map[string]struct {
	token *oauth2.Token
	says  string
}{
	"no token":                   {nil, "neither an access nor a refresh token"},
	"an empty token":             {&oauth2.Token{TokenType: "bearer", ExpiresIn: 1}, "neither an access nor a refresh token"},
	"a second header":            {&oauth2.Token{AccessToken: "planted\r\nX: planted"}, "an access token with a line break"},
	"a line end":                 {&oauth2.Token{AccessToken: "planted\n"}, "an access token with a line break"},
	"a NUL":                      {&oauth2.Token{AccessToken: "planted\x00"}, "an access token with a line break"},
	"a line end in the refresh":  {&oauth2.Token{RefreshToken: "planted\n"}, "a refresh token with a line break"},
	"a return in the refresh":    {&oauth2.Token{RefreshToken: "planted\r"}, "a refresh token with a line break"},
	"a line end in the type":     {&oauth2.Token{AccessToken: "a", TokenType: "planted\n"}, "a token type with a line break"},
	"a space in the type":        {&oauth2.Token{AccessToken: "a", TokenType: "planted x"}, "a token type with a space"},
	"access token not UTF-8":     {&oauth2.Token{AccessToken: "planted\xff"}, "an access token that is not UTF-8"},
	"refresh token not UTF-8":    {&oauth2.Token{RefreshToken: "planted\xff"}, "a refresh token that is not UTF-8"},
	"type not UTF-8":             {&oauth2.Token{AccessToken: "a", TokenType: "planted\xff"}, "a token type that is not UTF-8"},
	"what stands for not UTF-8":  {&oauth2.Token{AccessToken: "planted\ufffd"}, "an access token that is not UTF-8"},
	"an encoded surrogate half":  {&oauth2.Token{AccessToken: "planted\xed\xa0\x80"}, "an access token that is not UTF-8"},
	"a year of five digits":      {&oauth2.Token{AccessToken: "a", Expiry: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, ""},
	"a year before the first":    {&oauth2.Token{AccessToken: "a", Expiry: time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)}, ""},
	"more than 1 MiB":            {&oauth2.Token{AccessToken: strings.Repeat("planted", 1<<18)}, "more than"},
	"more than 1 MiB by escapes": {&oauth2.Token{AccessToken: strings.Repeat(`\`, 600_000)}, "more than"},
}

func TestEncode_refusesWhatDecodeWould(t *testing.T) {
	for name, tt := range badTokens {
		t.Run(name, func(t *testing.T) {
			data, err := tokenstore.Encode(owner, tt.token)
			if wantError(t, err, tt.says); data != nil {
				t.Error("data with an error")
			}
			// What another program may have stored all the same.
			data, err = json.Marshal(map[string]any{"version": 1, "owner": owner, "token": tt.token})
			if err != nil {
				return // no JSON has it
			}
			tok, err := tokenstore.Decode(owner, data)
			if wantError(t, err, tt.says); tok != nil {
				t.Error("a token with an error")
			}
		})
	}
}

// edited is the good form with one thing changed.
func edited(from, to string) string {
	if !strings.Contains(good, from) {
		panic("no " + from + " in the good form")
	}
	return strings.Replace(good, from, to, 1)
}

func TestDecode_refuses(t *testing.T) {
	for name, tt := range map[string]struct{ data, says string }{
		"nothing":                {"", "something else than a token"},
		"garbage":                {"planted\nplanted", "something else than a token"},
		"binary":                 {"\x00\xff\xfe planted", "something else than a token"},
		"cut off":                {good[:len(good)/2], "something else than a token"},
		"cut off by a bracket":   {good[:len(good)-1], "something else than a token"},
		"something after":        {good + "planted", "something else than a token"},
		"twice":                  {good + good, "something else than a token"},
		"an array":               {"[" + good + "]", "something else than a token"},
		"null":                   {"null", "something else than a token"},
		"another JSON object":    {`{"planted":true}`, "something else than a token"},
		"an empty owner":         {edited(owner, ""), "something else than a token"},
		"an owner of a number":   {edited(`"`+owner+`"`, "7"), "something else than a token"},
		"a number for a token":   {`{"owner":"` + owner + `","token":17}`, "something else than a token"},
		"a bad time":             {edited("2030-01-02T", "planted"), "something else than a token"},
		"a text for a number":    {edited("7200.5", `"planted"`), "something else than a token"},
		"a number too large":     {edited("7200.5", "1e999"), "something else than a token"},
		"a version before all":   {edited(`"version":1`, `"version":-1`), "something else than a token"},
		"a version of text":      {edited(`"version":1`, `"version":"planted"`), "something else than a token"},
		"nested deep":            {strings.Repeat("[", 100_000), "something else than a token"},
		"a newer version":        {edited(`"version":1`, `"version":2`), "a newer version of this package stored (its format is 2, not 1): update"},
		"newer, in another form": {`{"version":17,"owner":"planted","token":"planted"}`, "update this program"},
		"another owner":          {edited("R&D", "planted"), "another owner: choose another place"},
		"owner in other case":    {edited("R&D", "r&d"), "deleting it would lose that session"},
		"owner and a space":      {edited(`reports"`, `reports "`), "another owner"},
		"owner not UTF-8":        {edited("R&D", "R&D\xff"), "another owner"},
		"no token":               {`{"version":1,"owner":"` + owner + `"}`, "neither an access nor"},
		"null for a token":       {`{"version":1,"owner":"` + owner + `","token":null}`, "neither an access nor"},
		"invalid UTF-8":          {edited("planted-refresh", "planted\xff"), "not UTF-8"},
		"half a surrogate pair":  {edited("planted-refresh", `planted\ud800`), "not UTF-8"},
		"invalid UTF-8 beside":   {edited(`"version"`, "\"x\xff\":1,\"version\""), "not UTF-8"},
		"a byte too many":        {good + strings.Repeat(" ", 1<<20+1-len(good)), "more than the 1 MiB"},
		"huge":                   {good + strings.Repeat(" ", 1<<21), "more than the 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			tok, err := tokenstore.Decode(owner, []byte(tt.data))
			if wantError(t, err, tt.says); tok != nil {
				t.Error("a token with an error")
			}
			// What is another's is nobody's to delete.
			keep := strings.Contains(tt.says, "owner") || strings.Contains(tt.says, "update") || strings.Contains(tt.says, "lose")
			if keep == strings.Contains(err.Error(), "delete it") {
				t.Errorf("wrong advice: %v", err)
			}
		})
	}
}

func TestDecode_takesAMebibyte(t *testing.T) {
	got, err := tokenstore.Decode(owner, []byte(good+strings.Repeat(" ", 1<<20-len(good))))
	if err != nil {
		t.Fatal(err)
	}
	wantToken(t, got, goodToken)
}

func TestEncode_fillsAMebibyte(t *testing.T) {
	tok := &oauth2.Token{AccessToken: "a"}
	data, err := tokenstore.Encode(owner, tok)
	if err != nil {
		t.Fatal(err)
	}
	tok.AccessToken = strings.Repeat("a", 1<<20-len(data)+1)
	if data, err = tokenstore.Encode(owner, tok); err != nil || len(data) != 1<<20 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	tok.AccessToken += "a"
	_, err = tokenstore.Encode(owner, tok)
	wantError(t, err, "more than 1 MiB")
}

func TestEncode_needsAnOwner(t *testing.T) {
	for name, bad := range map[string]string{
		"none":       "",
		"4097 bytes": strings.Repeat("o", 4097),
		"not UTF-8":  "o\xff",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tokenstore.Encode(bad, goodToken)
			wantError(t, err, "1 to 4096 bytes of UTF-8")
			_, err = tokenstore.Decode(bad, []byte(good))
			wantError(t, err, "1 to 4096 bytes of UTF-8")
			_, err = tokenstore.Sealed(&memory{}, bad, key(1))
			wantError(t, err, "1 to 4096 bytes of UTF-8")
		})
	}
	for _, fine := range []string{"o", strings.Repeat("o", 4096), "größe\n\t \x00"} {
		data, err := tokenstore.Encode(fine, goodToken)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = tokenstore.Decode(fine, data); err != nil {
			t.Errorf("%d bytes: %v", len(fine), err)
		}
	}
}
