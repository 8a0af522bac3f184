package endpoint_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/netoauth/netoauth/internal/endpoint"
	"golang.org/x/oauth2"
)

// longest is the longest lifetime that a token is taken to have.
const longest = math.MaxInt32 * time.Second

// jwt returns a token whose second part is claims.
func jwt(claims string) string {
	return "h." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".s"
}

func TestObject_isNilForAllButAnObject(t *testing.T) {
	for text, want := range map[string]map[string]any{
		``: nil, `null`: nil, `[]`: nil, `[1e999]`: nil, `"a"`: nil, `1`: nil, `1e999`: nil, `{`: nil, `{}x`: nil,
		`{}`:                   {},
		`{"a":1,"b":"2"}`:      {"a": 1.0, "b": "2"},
		`{"a":1e999,"b":2}`:    {"a": nil, "b": 2.0},
		`{"a":[-1e999],"b":2}`: {"a": []any{nil}, "b": 2.0},
	} {
		diff(t, text, want, endpoint.Object([]byte(text)))
	}
}

func TestPost_needsAnAccessTokenThatAHeaderTakes(t *testing.T) {
	const none, unfit = "the answer has no access_token", "the access_token has characters that no header takes"
	for _, tt := range []struct{ name, field, problem string }{
		{"none", ``, none},
		{"empty", `"access_token":""`, none},
		{"null", `"access_token":null`, none},
		{"number", `"access_token":1`, none},
		{"object", `"access_token":{"a":"b"}`, none},
		{"another case", `"Access_Token":"good"`, none},
		{"not ASCII", `"access_token":"gööd"`, unfit},
		{"line break", `"access_token":"good\r\nX-Evil: 1"`, unfit},
		{"line break at the end", `"access_token":"good\n"`, unfit},
		{"space", `"access_token":"go od"`, unfit},
		{"NUL", `"access_token":"\u0000"`, unfit},
		{"DEL", `"access_token":"good\u007f"`, unfit},
		{"not UTF-8", "\"access_token\":\"\xff\"", unfit},
		{"first and last of ASCII", `"access_token":"!~"`, ""},
	} {
		res := post(t, answer(200, "{"+tt.field+"}"))
		diff(t, tt.name, []any{tt.problem, tt.problem == ""}, []any{res.Problem, res.Token != nil})
		if tt.problem != "" {
			retrieveError(t, res)
		}
	}
}

// A client must not use a token of a type that it does not know (RFC 6749 section 7.1).
func TestPost_takesBearerTokensAlone(t *testing.T) {
	for kind, want := range map[string]string{
		``: "", `,"token_type":""`: "", `,"token_type":null`: "", `,"token_type":7`: "",
		`,"token_type":"bearer"`: "bearer", `,"token_type":"Bearer"`: "Bearer", `,"token_type":"BEARER"`: "BEARER",
	} {
		res := post(t, answer(200, `{"access_token":"good"`+kind+`}`))
		if res.Token == nil || res.Token.TokenType != want {
			t.Errorf("%s: %+v", kind, res)
		}
	}
	for _, kind := range []string{"mac", "DPoP", "bearer ", "b\u0435arer"} {
		res := post(t, answer(200, `{"access_token":"good","token_type":"`+kind+`"}`))
		retrieveError(t, res)
		diff(t, kind, "the token_type is not bearer", res.Problem)
	}
}

func TestPost_keepsEveryFieldUnderItsWireName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		res := post(t, answer(201, `{"access_token":"good","token_type":"bearer","refresh_token":"again",
			"expires_in":"300","refresh_expires_in":1800,"id_token":"id","not-before-policy":0,"session-state":"s",
			"scope":"profile","more":[{"a":null}]}`))
		want := &oauth2.Token{AccessToken: "good", TokenType: "bearer", RefreshToken: "again", ExpiresIn: 300,
			Expiry: time.Now().Add(300 * time.Second)}
		diff(t, "token", want, res.Token, cmpopts.IgnoreUnexported(oauth2.Token{}))
		for name, want := range map[string]any{
			"access_token": "good", "token_type": "bearer", "refresh_token": "again", "expires_in": "300",
			"refresh_expires_in": 1800.0, "id_token": "id", "not-before-policy": 0.0, "session-state": "s",
			"scope": "profile", "more": []any{map[string]any{"a": nil}}, "absent": nil, "session_state": nil,
		} {
			diff(t, name, want, res.Token.Extra(name))
		}
	})
	if res := post(t, answer(200, `{"access_token":"good","refresh_token":7}`)); res.Token.RefreshToken != "" {
		t.Errorf("a refresh_token that is no string: %+v", res.Token)
	}
}

const (
	unknown = time.Duration(0)  // of a lifetime: the token has no end that anybody knows
	dead    = time.Duration(-1) // it is over as it comes
)

// The lifetime is the shorter of those that are positive, of expires_in, a number or a string of one,
// and of the access token where that is a JWT (RFC 7519 section 4.1). Without one, an expires_in of 0
// or none says nothing, and all else says that the token is over.
func TestPost_findsTheLifetime(t *testing.T) {
	const hour = 3600 * time.Second
	hourLong, lifeless := jwt(`{"iat":1000,"exp":4600}`), jwt(`{"iat":1000,"exp":1000}`)
	for _, tt := range []struct {
		expiresIn                  string // JSON; "": absent
		opaque, hourLong, lifeless time.Duration
	}{
		{`300`, 300 * time.Second, 300 * time.Second, 300 * time.Second},
		{`"300"`, 300 * time.Second, 300 * time.Second, 300 * time.Second},
		{`" 300\n"`, 300 * time.Second, 300 * time.Second, 300 * time.Second},
		{`3e2`, 300 * time.Second, 300 * time.Second, 300 * time.Second},
		{`"3e2"`, 300 * time.Second, 300 * time.Second, 300 * time.Second},
		{`3601`, hour + time.Second, hour, hour + time.Second},
		{`1.9`, time.Second, time.Second, time.Second},
		{`0.9`, time.Second, time.Second, time.Second},
		{`1e-300`, time.Second, time.Second, time.Second},
		{`2147483647`, longest, hour, longest},
		{`2147483648`, longest, hour, longest},
		{`1e300`, longest, hour, longest},
		{`"1e999"`, longest, hour, longest},

		{`-1`, dead, hour, dead},
		{`-0.1`, dead, hour, dead},
		{`-60`, dead, hour, dead},
		{`"-60"`, dead, hour, dead},
		{`-1e300`, dead, hour, dead},
		{`"-1e999"`, dead, hour, dead},

		{`0`, unknown, hour, dead},
		{`-0`, unknown, hour, dead},
		{`"0.0"`, unknown, hour, dead},
		{``, unknown, hour, dead},
		{`null`, unknown, hour, dead},
		{`1e999`, unknown, hour, dead}, // no float64 has it
		{`true`, unknown, hour, dead},
		{`[300]`, unknown, hour, dead},
		{`{"seconds":300}`, unknown, hour, dead},
		{`""`, unknown, hour, dead},
		{`"soon"`, unknown, hour, dead},
		{`"NaN"`, unknown, hour, dead},
		{`"-Inf"`, unknown, hour, dead},
		{`"0x10"`, unknown, hour, dead},
		{`"1_000"`, unknown, hour, dead},
		{`"-60s"`, unknown, hour, dead},
		{`"true"`, unknown, hour, dead},
		{`"[300]"`, unknown, hour, dead},
	} {
		field := ""
		if tt.expiresIn != "" {
			field = `,"expires_in":` + tt.expiresIn
		}
		diff(t, tt.expiresIn, tt.opaque, lifetimeIssued(t, "opaque", field))
		diff(t, tt.expiresIn+", with a JWT", tt.hourLong, lifetimeIssued(t, hourLong, field))
		diff(t, tt.expiresIn+", with a JWT that is over", tt.lifeless, lifetimeIssued(t, lifeless, field))
	}
}

// lifetimeIssued returns the time to the Expiry of a token that a response brings, or that it has
// none, or is over.
func lifetimeIssued(t *testing.T, access, more string) (life time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		res := post(t, answer(200, `{"access_token":"`+access+`"`+more+`}`))
		switch tok := res.Token; {
		case tok == nil:
			t.Fatalf("%+v", res)
		case res.Over:
			diff(t, "Expiry", start, tok.Expiry)
			life = dead
		case tok.Expiry.IsZero():
			diff(t, "ExpiresIn", int64(0), tok.ExpiresIn)
		default:
			life = tok.Expiry.Sub(start)
			diff(t, "ExpiresIn", int64(life/time.Second), tok.ExpiresIn)
		}
	})
	return life
}

func TestPost_readsTheLifetimeOfAJWT(t *testing.T) {
	encode := base64.RawURLEncoding.EncodeToString
	for token, want := range map[string]time.Duration{
		jwt(`{"iat":1000,"exp":4600}`):                      time.Hour,
		jwt(`{"iat":1000.5,"exp":1002,"sub":"ann"}`):        time.Second,
		jwt(`{"iat":1,"exp":1e300}`):                        longest,
		jwt(`{"iat":1,"exp":2,"sub":"???>>>"}`):             time.Second, // with - and _ in base64url
		"." + encode([]byte(`{"iat":1,"exp":2}`)):           time.Second, // of the three parts only this one counts
		"h." + encode([]byte(`{"iat":1,"exp":2}`)) + ".a.b": time.Second,

		jwt(`{"iat":1000,"exp":1000.9}`): time.Second,
		jwt(`{"iat":1000,"exp":1000}`):   dead,
		jwt(`{"iat":1000,"exp":999.9}`):  dead,
		jwt(`{"iat":4600,"exp":1000}`):   dead,
		jwt(`{"iat":1000,"exp":-5}`):     dead,
		jwt(`{"iat":1000,"exp":0}`):      dead,
		jwt(`{"iat":1e300,"exp":4600}`):  dead,

		jwt(`{"iat":0,"exp":4600}`):                               0, // without an iat, exp would be taken for a lifetime
		jwt(`{"exp":4600}`):                                       0,
		jwt(`{"iat":null,"exp":4600}`):                            0,
		jwt(`{"iat":-1,"exp":4600}`):                              0,
		jwt(`{"iat":1000}`):                                       0,
		jwt(`{"iat":1000,"exp":null}`):                            0,
		jwt(`{"iat":1000,"exp":1e999}`):                           0,
		jwt(`{"iat":"1000","exp":"4600"}`):                        0,
		jwt(`{"iat":"1000","exp":4600}`):                          0,
		jwt(`{"IAT":1000,"Exp":4600}`):                            0,
		jwt(`{"iat":1000,"exp":4600`):                             0,
		jwt(`{"iat":1000,"exp":4600}x`):                           0,
		jwt(`[1000,4600]`):                                        0,
		jwt(`null`):                                               0,
		jwt(``):                                                   0,
		encode([]byte(`{"iat":1000,"exp":4600}`)):                 0,
		"h." + `{"iat":1000,"exp":4600}`:                          0,
		"h." + encode([]byte(`{"iat":1000,"exp":4600} `)) + "!.s": 0, // what comes before the ! is whole
		"h.%%%.s":                           0,
		"..":                                0,
		".":                                 0,
		jwt(`{"iat":1000,"exp":4600}`)[:20]: 0,
		"h." + encode([]byte(`{"iat":1000,"exp":4600}`)) + "=.s": 0, // padded, against RFC 7515 section 2
	} {
		quoted := strings.ReplaceAll(token, `"`, `\"`)
		diff(t, token, want, lifetimeIssued(t, quoted, ``))
	}
}

// A server may count the lifetime from when it got the request, so a response that takes long has
// aged.
func TestPost_countsExpiryFromBeforeTheRequestWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		res := post(t, func(r *http.Request) (*http.Response, error) {
			time.Sleep(12 * time.Second)
			return respond(r, 200, `{"access_token":"good","expires_in":60,"refresh_expires_in":600}`), nil
		})
		diff(t, "time taken", "12s", time.Since(start).String())
		diff(t, "Expiry", "1m0s", res.Token.Expiry.Sub(start).String())
		diff(t, "RefreshEnd", "10m0s", endpoint.RefreshEnd(res.Token).Sub(start).String())
	})
}

func TestPost_givesExpiryByTheWallClock(t *testing.T) {
	res := post(t, answer(200, `{"access_token":"good","expires_in":60}`))
	if s := res.Token.Expiry.String(); strings.Contains(s, " m=") {
		t.Errorf("Expiry %s has a monotonic reading: the token would not age while the machine sleeps", s)
	}
}

func TestLifetime_isWhatATokenTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hourLong, soon := jwt(`{"iat":1000,"exp":4600}`), time.Now().Add(time.Minute)
		for _, tt := range []struct {
			name  string
			token oauth2.Token
			want  time.Duration
		}{
			{"nothing", oauth2.Token{AccessToken: "opaque"}, 0},
			{"ExpiresIn, the shorter", oauth2.Token{AccessToken: hourLong, ExpiresIn: 300, Expiry: soon}, 300 * time.Second},
			{"a JWT, the shorter", oauth2.Token{AccessToken: hourLong, ExpiresIn: 7200, Expiry: soon}, time.Hour},
			{"ExpiresIn, huge", oauth2.Token{ExpiresIn: math.MaxInt64}, longest},
			{"ExpiresIn, negative", oauth2.Token{AccessToken: hourLong, ExpiresIn: -1, Expiry: soon}, time.Hour},
			{"a JWT", oauth2.Token{AccessToken: hourLong, Expiry: soon}, time.Hour},
			{"a JWT, no Expiry", oauth2.Token{AccessToken: hourLong}, time.Hour},
			{"Expiry", oauth2.Token{AccessToken: "opaque", Expiry: soon}, time.Minute},
			{"Expiry, past", oauth2.Token{AccessToken: "opaque", Expiry: soon.Add(-time.Hour)}, 0},
		} {
			diff(t, tt.name, tt.want.String(), endpoint.Lifetime(&tt.token).String())
		}
	})
}

func TestRefreshEnd_countsFromWhenTheTokenWasIssued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issued := time.Now().Add(-2 * time.Minute)
		token := func(expiresIn int64, expiry time.Time, refreshExpiresIn any) *oauth2.Token {
			return (&oauth2.Token{AccessToken: "opaque", ExpiresIn: expiresIn, Expiry: expiry}).
				WithExtra(map[string]any{"refresh_expires_in": refreshExpiresIn})
		}
		fiveMinutes := issued.Add(5 * time.Minute)
		for _, tt := range []struct {
			name  string
			token *oauth2.Token
			want  time.Time
		}{
			{"number", token(300, fiveMinutes, 1800.0), issued.Add(30 * time.Minute)},
			{"string", token(300, fiveMinutes, "1800"), issued.Add(30 * time.Minute)},
			{"shorter than the token's", token(300, fiveMinutes, 60.0), issued.Add(time.Minute)},
			{"past", token(300, fiveMinutes, 30.0), issued.Add(30 * time.Second)},
			{"of a token that tells no lifetime", token(0, fiveMinutes, 1800.0), time.Now().Add(30 * time.Minute)},

			{"0", token(300, fiveMinutes, 0.0), time.Time{}},
			{"negative", token(300, fiveMinutes, -5.0), time.Time{}},
			{"garbage", token(300, fiveMinutes, "soon"), time.Time{}},
			{"absent", token(300, fiveMinutes, nil), time.Time{}},
			{"no fields at all", &oauth2.Token{ExpiresIn: 300, Expiry: fiveMinutes}, time.Time{}},
			{"a token without an Expiry", token(0, time.Time{}, 1800.0), time.Time{}},
			{"a token without an Expiry, with ExpiresIn", token(300, time.Time{}, 1800.0), time.Time{}},
		} {
			diff(t, tt.name, tt.want, endpoint.RefreshEnd(tt.token))
		}
	})
}

// What a response brings and what RefreshEnd makes of it agree.
func TestRefreshEnd_isThatOfTheResponse(t *testing.T) {
	for access, fields := range map[string]string{
		"opaque":                       `"expires_in":300`,
		jwt(`{"iat":1000,"exp":1060}`): `"expires_in":null`,
		jwt(`{"iat":1000,"exp":1061}`): `"expires_in":300`,
		jwt(`{"iat":1000,"exp":1000}`): `"expires_in":0`, // over as it comes
		"over":                         `"expires_in":-60`,
	} {
		synctest.Test(t, func(t *testing.T) {
			want := time.Now().Add(30 * time.Minute)
			res := post(t, answer(200, fmt.Sprintf(`{"access_token":%q,%s,"refresh_expires_in":1800}`, access, fields)))
			diff(t, fields, want, endpoint.RefreshEnd(res.Token))
			time.Sleep(20 * time.Second)
			diff(t, fields+", later", want, endpoint.RefreshEnd(res.Token))
		})
	}
	res := post(t, answer(200, `{"access_token":"opaque","refresh_expires_in":1800}`))
	diff(t, "a token without an end", time.Time{}, endpoint.RefreshEnd(res.Token))
}

// A token that is over as it comes is a failed request with a token in it: what came with it is for
// the caller, the access token is of no use.
func TestPost_givesATokenThatIsOverAsItComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		res := post(t, func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return respond(r, 200, `{"access_token":"short","expires_in":-60,"refresh_token":"next"}`, "Retry-After", "7"), nil
		})
		re, _ := errors.AsType[*oauth2.RetrieveError](errors.Join(res.Causes...))
		got := []any{res.Over, res.Token.AccessToken, res.Token.RefreshToken, res.Token.Expiry, res.Token.ExpiresIn, res.Token.Extra("expires_in"),
			res.Problem, res.Hint, res.Rejected, res.Unused, res.RetryAfter, re != nil}
		diff(t, "response", []any{true, "short", "next", start, int64(-60), -60.0,
			"the access token is over as it comes, by its expires_in or its exp",
			"the session may be near its end, or the server's clock wrong", false, false, 7 * time.Second, true}, got)
	})
}

// The clocks of a store's programs may differ by a minute, and the age of a token is known from its
// Expiry alone, or from what it says of itself as a JWT.
func TestStored(t *testing.T) {
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) time.Time { return now.Add(d) }
	until := func(d time.Duration) string { return jwt(fmt.Sprintf(`{"exp":%d}`, at(d).Unix())) }
	from := func(iat, exp time.Duration) string {
		return jwt(fmt.Sprintf(`{"iat":%d,"exp":%d}`, at(iat).Unix(), at(exp).Unix()))
	}
	const minute = time.Minute
	for _, tt := range []struct {
		name      string
		access    string
		expiresIn int64
		expiry    time.Time
		end       time.Time
		life      time.Duration
		stale     bool
	}{
		{"Expiry and ExpiresIn", "opaque", 300, at(2 * minute), at(2 * minute), 5 * minute, false},
		{"Expiry, past", "opaque", 300, at(-minute), at(-minute), 5 * minute, false},
		{"Expiry alone", "opaque", 0, at(2 * minute), at(2 * minute), 2 * minute, false},
		{"Expiry alone, past", "opaque", 0, at(-minute), at(-minute), 0, false},
		{"Expiry before that of the JWT", from(-minute, 4*minute), 0, at(2 * minute), at(2 * minute), 5 * minute, false},
		{"nothing at all", "opaque", 0, time.Time{}, time.Time{}, 0, false},

		{"exp alone", until(2 * minute), 0, time.Time{}, at(2 * minute), 2 * minute, false},
		{"exp alone, past", until(-minute), 0, time.Time{}, at(-minute), 0, false},
		{"exp of no time", jwt(`{"exp":-5}`), 0, time.Time{}, time.Unix(0, 0), 0, false},
		{"exp beyond all time", jwt(`{"exp":1e300}`), 0, time.Time{}, time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
			math.MaxInt64, false},
		{"exp and iat", from(-minute, 2*minute), 0, time.Time{}, at(2 * minute), 3 * minute, false},
		{"exp before ExpiresIn", until(2 * minute), 300, time.Time{}, at(2 * minute), 5 * minute, false},
		{"ExpiresIn alone", "opaque", 300, time.Time{}, at(5 * minute), 5 * minute, true},
		{"ExpiresIn, of a JWT without exp", jwt(`{"iat":1000}`), 300, time.Time{}, at(5 * minute), 5 * minute, true},

		{"a minute further off than ExpiresIn", "opaque", 300, at(6 * minute), at(6 * minute), 5 * minute, false},
		{"over a minute further off", "opaque", 300, at(6*minute + 1), at(5 * minute), 5 * minute, true},
		{"a day further off", "opaque", 300, at(24 * time.Hour), at(5 * minute), 5 * minute, true},
		{"further off than the JWT", from(0, 5*minute), 3600, at(6*minute + 1), at(5 * minute), 5 * minute, true},
		{"exp further off than the JWT", from(2*minute, 5*minute), 0, time.Time{}, at(3 * minute), 3 * minute, true},
		{"exp further off than ExpiresIn", from(0, 5*minute), 60, time.Time{}, at(minute), minute, true},

		{"over as it came", "opaque", -60, at(-minute), at(-minute), 0, true},
		{"over as it came, the clock set back", "opaque", -60, at(minute), now, 0, true},
		{"over as it came, no Expiry", "opaque", -60, time.Time{}, now, 0, true},
		{"over as it came, a JWT", from(0, 0), 0, at(minute), now, 0, true},
	} {
		end, life, stale := endpoint.Stored(&oauth2.Token{AccessToken: tt.access, ExpiresIn: tt.expiresIn, Expiry: tt.expiry}, now)
		diff(t, tt.name, []any{tt.end.UTC(), tt.life, tt.stale}, []any{end.UTC(), life, stale})
	}
	local := time.Now()
	if end, _, _ := endpoint.Stored(&oauth2.Token{ExpiresIn: 60}, local); end != local.Round(0).Add(minute) {
		t.Errorf("an end of %v has a monotonic reading: the token would not age while the machine sleeps", end)
	}
}
