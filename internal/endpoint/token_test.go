package endpoint_test

import (
	"encoding/base64"
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

// expires_in counts where it is a positive number of seconds, or a string of one. Otherwise the
// lifetime is exp − iat of the access token where that is a JWT (RFC 7519 section 4.1), and else
// the token has no end.
func TestPost_findsTheLifetime(t *testing.T) {
	hourLong := jwt(`{"iat":1000,"exp":4600}`)
	for _, tt := range []struct {
		expiresIn string // JSON; "": absent
		want      time.Duration
		orJWT     bool // whether a JWT of an hour has the last word
	}{
		{`300`, 300 * time.Second, false},
		{`"300"`, 300 * time.Second, false},
		{`" 300\n"`, 300 * time.Second, false},
		{`3e2`, 300 * time.Second, false},
		{`"3e2"`, 300 * time.Second, false},
		{`1.9`, time.Second, false},
		{`"1.9"`, time.Second, false},
		{`1`, time.Second, false},
		{`0.9`, 0, true},
		{`2147483647`, longest, true},
		{`2147483648`, longest, true},
		{`1e300`, longest, true},
		{`"1e999"`, longest, true},
		{`1e999`, 0, true}, // no float64 has it
		{`-1e999`, 0, true},
		{`"-1e999"`, dead, true},
		{`0`, 0, true},
		{`-300`, dead, true},
		{`"-300"`, dead, true},
		{`-0.4`, dead, true},
		{`null`, 0, true},
		{`true`, 0, true},
		{`[300]`, 0, true},
		{`{"seconds":300}`, 0, true},
		{`""`, 0, true},
		{`"soon"`, 0, true},
		{`"NaN"`, 0, true},
		{`"Inf"`, 0, true},
		{`"0x10"`, 0, true},
		{`"1_000"`, 0, true},
		{`"300s"`, 0, true},
		{`"true"`, 0, true},
		{`"[300]"`, 0, true},
		{``, 0, true},
	} {
		field := ""
		if tt.expiresIn != "" {
			field = `,"expires_in":` + tt.expiresIn
		}
		diff(t, tt.expiresIn, tt.want.String(), lifetimeIssued(t, "opaque", field).String())
		if tt.orJWT {
			tt.want = time.Hour
		}
		diff(t, tt.expiresIn+", with a JWT", tt.want.String(), lifetimeIssued(t, hourLong, field).String())
	}
}

// dead is the lifetime of a token that is over as it comes.
const dead = -1

// lifetimeIssued returns the time to the Expiry of a token that a response brings, 0 where it has
// none.
func lifetimeIssued(t *testing.T, access, more string) (life time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		res := post(t, answer(200, `{"access_token":"`+access+`"`+more+`}`))
		if res.Token == nil {
			t.Fatalf("%+v", res)
		}
		if !res.Token.Expiry.IsZero() {
			life = res.Token.Expiry.Sub(start)
		}
		if res.Over {
			diff(t, "Expiry of what is over, from the request on", time.Duration(0), life)
			life = dead
			return
		}
		diff(t, "ExpiresIn", int64(life/time.Second), res.Token.ExpiresIn)
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

		jwt(`{"iat":1000,"exp":1000}`):                            dead,
		jwt(`{"iat":4600,"exp":1000}`):                            dead,
		jwt(`{"iat":1000,"exp":1000.9}`):                          dead,
		jwt(`{"iat":0,"exp":4600}`):                               0, // without an iat, exp would be taken for a lifetime
		jwt(`{"exp":4600}`):                                       0,
		jwt(`{"iat":null,"exp":4600}`):                            0,
		jwt(`{"iat":-1,"exp":4600}`):                              0,
		jwt(`{"iat":1000}`):                                       0,
		jwt(`{"iat":1000,"exp":null}`):                            0,
		jwt(`{"iat":1000,"exp":-5}`):                              0,
		jwt(`{"iat":1000,"exp":1e999}`):                           0,
		jwt(`{"iat":"1000","exp":"4600"}`):                        0,
		jwt(`{"iat":"1000","exp":4600}`):                          0,
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
		diff(t, token, want.String(), lifetimeIssued(t, quoted, ``).String())
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
			{"ExpiresIn", oauth2.Token{AccessToken: hourLong, ExpiresIn: 300, Expiry: soon}, 300 * time.Second},
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
	} {
		synctest.Test(t, func(t *testing.T) {
			want := time.Now().Add(30 * time.Minute)
			res := post(t, answer(200, fmt.Sprintf(`{"access_token":%q,%s,"refresh_expires_in":1800}`, access, fields)))
			time.Sleep(20 * time.Second)
			diff(t, fields, want, endpoint.RefreshEnd(res.Token))
		})
	}
	res := post(t, answer(200, `{"access_token":"opaque","refresh_expires_in":1800}`))
	diff(t, "a token without an end", time.Time{}, endpoint.RefreshEnd(res.Token))
}

// What a program gets from elsewhere may lack the one or the other, and its clock may have been set
// since.
func TestStored_readsATokenOfUnknownAge(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	hourLong := jwt(`{"iat":999000,"exp":1002600}`)
	for _, tt := range []struct {
		name  string
		token oauth2.Token
		end   time.Time
		life  time.Duration
		stale bool
	}{
		{"no end", oauth2.Token{AccessToken: "opaque"}, time.Time{}, 0, false},
		{"as it was issued", oauth2.Token{AccessToken: "opaque", ExpiresIn: 300, Expiry: now.Add(time.Minute)},
			now.Add(time.Minute), 300 * time.Second, false},
		{"an Expiry alone", oauth2.Token{AccessToken: "opaque", Expiry: now.Add(time.Hour)},
			now.Add(time.Hour), time.Hour, false},
		{"an Expiry alone, past", oauth2.Token{AccessToken: "opaque", Expiry: now.Add(-time.Hour)},
			now.Add(-time.Hour), 0, false},
		{"a JWT", oauth2.Token{AccessToken: hourLong}, time.Unix(1_002_600, 0), time.Hour, false},
		{"a JWT with exp alone", oauth2.Token{AccessToken: jwt(`{"exp":1000060}`)},
			now.Add(time.Minute), time.Minute, false},
		{"a JWT that lives less than ExpiresIn", oauth2.Token{AccessToken: hourLong, ExpiresIn: 86400},
			time.Unix(1_002_600, 0), time.Hour, false},
		{"ExpiresIn alone", oauth2.Token{AccessToken: "opaque", ExpiresIn: 300}, now.Add(300 * time.Second),
			300 * time.Second, true},
		{"a minute further off than its lifetime",
			oauth2.Token{AccessToken: "opaque", ExpiresIn: 300, Expiry: now.Add(360 * time.Second)},
			now.Add(360 * time.Second), 300 * time.Second, false},
		{"further off than that",
			oauth2.Token{AccessToken: "opaque", ExpiresIn: 300, Expiry: now.Add(361 * time.Second)},
			now.Add(300 * time.Second), 300 * time.Second, true},
		{"further off than its JWT lives", oauth2.Token{AccessToken: hourLong, Expiry: now.Add(24 * time.Hour)},
			now.Add(time.Hour), time.Hour, true},
	} {
		end, life, stale := endpoint.Stored(&tt.token, now)
		diff(t, tt.name, []any{tt.end, tt.life.String(), tt.stale}, []any{end, life.String(), stale})
	}
}
