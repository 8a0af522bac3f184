package wire_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

func TestToken_200WithoutAUsableTokenIsAnError(t *testing.T) {
	tests := []struct{ name, body, reason string }{
		{"HTML", "<html><body>Sign in to the hotel's network</body></html>", "JSON object"},
		{"nothing", "", "JSON object"},
		{"white space", " \n", "JSON object"},
		{"null", "null", "JSON object"},
		{"an array", `[{"access_token":"good"}]`, "JSON object"},
		{"an empty array", `[]`, "JSON object"},
		{"a string", `"good"`, "JSON object"},
		{"a number", `42`, "JSON object"},
		{"two objects", good + good, "JSON object"},
		{"a form", "access_token=good&token_type=bearer", "JSON object"},
		{"half an object", good[:len(good)-1], "JSON object"},
		{"no field", `{}`, "access_token"},
		{"an error in spite of the status", `{"status":401,"name":"x","message":"y"}`, "access_token"},
		{"no access_token", `{"token_type":"bearer","expires_in":300}`, "access_token"},
		{"access_token in another case", `{"Access_Token":"good"}`, "access_token"},
		{"an empty access_token", `{"access_token":""}`, "access_token"},
		{"a null access_token", `{"access_token":null}`, "access_token"},
		{"a number for access_token", `{"access_token":12345}`, "access_token"},
		{"an array for access_token", `{"access_token":["good"]}`, "access_token"},
		{"an object for access_token", `{"access_token":{"token":"good"}}`, "access_token"},
		{"a line break in access_token", `{"access_token":"go\r\nX-Evil: 1"}`, "access_token"},
		{"a NUL in access_token", `{"access_token":"go\u0000od"}`, "access_token"},
		{"a space in access_token", `{"access_token":"go od"}`, "access_token"},
		{"DEL in access_token", `{"access_token":"go\u007fod"}`, "access_token"},
		{"not ASCII in access_token", `{"access_token":"gööd"}`, "access_token"},
		{"a line break in refresh_token", `{"access_token":"good","refresh_token":"another\n"}`, "refresh_token"},
		{"token_type mac", `{"access_token":"good","token_type":"mac"}`, "token_type"},
		{"token_type basic", `{"access_token":"good","token_type":"Basic"}`, "token_type"},
		{"token_type with a line break", `{"access_token":"good","token_type":"bearer\r\nX-Evil: 1"}`, "token_type"},
	}
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				srv := serve(t, suite.Answer(200, tt.body))
				o := netoauth.Options{OnToken: func(*oauth2.Token) { t.Error("OnToken was called") }}
				tok, err := account(srv.URL).Credential(f, o).Token(t.Context())
				if tok != nil {
					t.Errorf("a token: %+v", tok)
				}
				e := answered(t, f, srv.URL, err)
				suite.Diff(t, "StatusCode", 200, e.StatusCode)
				said := [2]string{}
				if strings.Contains(tt.body, "message") {
					said = [2]string{"x", "y"}
				}
				suite.Diff(t, "Name and Message", said, [2]string{e.Name, e.Message})
				mentions(t, err.Error(), tt.reason, "200")
			})
		}
	})
}

func TestToken_204IsAnError(t *testing.T) {
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		srv := serve(t, suite.Answer(204, ""))
		_, err := at(f, srv.URL).Token(t.Context())
		suite.Diff(t, "StatusCode", 204, answered(t, f, srv.URL, err).StatusCode)
	})
}

func TestToken_typeMayBeAbsentAndInAnyCase(t *testing.T) {
	for _, kind := range []string{"", `,"token_type":""`, `,"token_type":"bearer"`, `,"token_type":"Bearer"`,
		`,"token_type":"BEARER"`, `,"token_type":null`} {
		srv := serve(t, suite.Answer(200, `{"access_token":"good"`+kind+`}`))
		tok, err := at(suite.Password, srv.URL).Token(t.Context())
		if err != nil || tok.Type() != "Bearer" || tok.AccessToken != "good" {
			t.Errorf("%s: %+v, %v", kind, tok, err)
		}
	}
}

func TestToken_hasOtherFieldsInExtraUnderTheirWireNames(t *testing.T) {
	const body = `{"access_token":"good","expires_in":300,"refresh_expires_in":1800,"refresh_token":"another",
		"token_type":"bearer","id_token":"the id token","not-before-policy":0,"session-state":"the session",
		"scope":"profile email","unknown":{"a":[1]}}`
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		srv := serve(t, suite.Answer(200, body))
		tok, err := at(f, srv.URL).Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		suite.Diff(t, "fields", []any{"good", "bearer", "another", int64(300)},
			[]any{tok.AccessToken, tok.TokenType, tok.RefreshToken, tok.ExpiresIn})
		got := make(map[string]any)
		for _, name := range []string{
			"refresh_expires_in", "id_token", "not-before-policy", "session-state", "scope", "unknown", "absent",
		} {
			got[name] = tok.Extra(name)
		}
		suite.Diff(t, "extra fields", map[string]any{
			"refresh_expires_in": 1800., "id_token": "the id token", "not-before-policy": 0., "session-state": "the session",
			"scope": "profile email", "unknown": map[string]any{"a": []any{1.}}, "absent": nil,
		}, got)
	})
}

func TestRefresh_answerWithoutARefreshTokenKeepsTheOldOne(t *testing.T) {
	for _, field := range []string{"", `,"refresh_token":""`, `,"refresh_token":null`, `,"refresh_token":12345`,
		`,"refresh_token":["x"]`} {
		body := `{"access_token":"good"` + field + `}`
		srv := serve(t, suite.Answer(200, body))
		want := map[string]string{suite.APIKey.Name: "", suite.Password.Name: "", suite.Refresh.Name: "the refresh token"}
		for _, f := range suite.Flows {
			var issued string
			o := netoauth.Options{OnToken: func(t *oauth2.Token) { issued = t.RefreshToken }}
			tok, err := account(srv.URL).Credential(f, o).Token(t.Context())
			if err != nil {
				t.Errorf("%s: %s: %v", f.Name, body, err)
				continue
			}
			suite.Diff(t, f.Name+": "+body+": RefreshToken", want[f.Name], tok.RefreshToken)
			suite.Diff(t, f.Name+": "+body+": RefreshToken for OnToken", want[f.Name], issued)
		}
	}
}

func TestToken_readsAtMostOneMiBAndClosesTheBody(t *testing.T) {
	const mib = 1 << 20
	spaces := func(n int) string { return strings.Repeat(" ", n) }
	tests := []struct {
		name   string
		code   int
		body   string
		issued bool
	}{
		{"200 with just a token", 200, good, true},
		{"200 with a token and half a MiB", 200, good + spaces(mib/2), true},
		{"200 with spaces after the token", 200, good + spaces(2*mib), false},
		{"200 with 5 MiB in the token", 200, `{"access_token":"` + strings.Repeat("x", 5*mib) + `"}`, false},
		{"401 with 5 MiB", 401, `{"message":"` + strings.Repeat("x", 5*mib) + `"}`, false},
		{"302 with 2 MiB", 302, spaces(2 * mib), false},
	}
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		for _, tt := range tests {
			body := &suite.CountingBody{Reader: strings.NewReader(tt.body)}
			ctx := suite.Over(t.Context(), suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
				resp, err := suite.Answer(tt.code, "").RoundTrip(r)
				resp.Body, resp.ContentLength = body, -1
				return resp, err
			}))
			_, err := at(f, "https://api.test").Token(ctx)
			if tt.issued != (err == nil) {
				t.Errorf("%s: %v", tt.name, err)
			}
			if err != nil {
				suite.Diff(t, tt.name+": StatusCode", tt.code, answered(t, f, "https://api.test", err).StatusCode)
			}
			if n := body.BytesRead.Load(); n > mib+4096 {
				t.Errorf("%s: %d bytes were read, want about 1 MiB at most", tt.name, n)
			}
			if body.Closed.Load() == 0 {
				t.Errorf("%s: the body was not closed", tt.name)
			}
		}
	})
}

func TestToken_takesNoAnswerThatIsCutOff(t *testing.T) {
	// What arrived is a whole JSON object, so only the connection tells that something is missing.
	cutOff := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)+10))
			w.WriteHeader(code)
			io.WriteString(w, body)
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		for _, tt := range []struct {
			code int
			body string
		}{
			{200, good}, {200, good[:10]}, {200, ""}, {401, `{"name":"the na`}, {401, ""}, {500, `{"na`},
		} {
			srv := serve(t, cutOff(tt.code, tt.body))
			tok, err := at(f, srv.URL).Token(t.Context())
			if err == nil {
				t.Errorf("%d %q: %+v", tt.code, tt.body, tok)
				continue
			}
			suite.Diff(t, "StatusCode", tt.code, answered(t, f, srv.URL, err).StatusCode)
			suite.WantError(t, err, io.ErrUnexpectedEOF)
			if tt.code == 200 {
				mentions(t, err.Error(), "cut off")
			}
		}
	})
}
