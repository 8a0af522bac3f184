package wire_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

func TestARedirectIsNotFollowed(t *testing.T) {
	eachFlow(t, func(t *testing.T, f flow) {
		for _, code := range []int{301, 302, 303, 307, 308} {
			target := serve(t, answer(200, good))
			elsewhere := serve(t, answer(code, "", "Location", target.URL+f.path))
			withinHost := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/another/path" {
					answer(200, good)(w, r)
					return
				}
				answer(code, "", "Location", "/another/path")(w, r)
			}))
			nowhere := serve(t, answer(code, ""))
			for name, srv := range map[string]*api{"elsewhere": elsewhere, "within the host": withinHost, "without Location": nowhere} {
				t.Run(fmt.Sprintf("%d %s", code, name), func(t *testing.T) {
					_, err := f.new(srv.URL, netoauth.Options{}).Token(t.Context())
					e := answered(t, f, srv.URL, err)
					diff(t, "StatusCode", code, e.StatusCode)
					mentions(t, err.Error(), "redirect", "check the URL")
					if n := len(srv.seen()); n != 1 {
						t.Errorf("the server saw %d requests, want 1", n)
					}
					if seen := target.seen(); seen != nil {
						t.Errorf("the target of the redirect saw %+v", seen)
					}
				})
			}
		}
	})
}

func TestARedirectIsNotFollowedEvenWhereTheCallersClientWould(t *testing.T) {
	eachFlow(t, func(t *testing.T, f flow) {
		target := serve(t, answer(200, good))
		srv := serve(t, answer(307, "", "Location", target.URL+f.path))
		client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
		_, err := f.new(srv.URL, netoauth.Options{}).Token(context.WithValue(t.Context(), oauth2.HTTPClient, client))
		answered(t, f, srv.URL, err)
		if seen := target.seen(); seen != nil {
			t.Errorf("the target of the redirect saw %+v", seen)
		}
	})
}

func TestARedirectToWhatIsNoURLIsAnAnswerToo(t *testing.T) {
	eachFlow(t, func(t *testing.T, f flow) {
		srv := serve(t, answer(302, "", "Location", "http://[::1/%zz"))
		_, err := f.new(srv.URL, netoauth.Options{}).Token(t.Context())
		diff(t, "StatusCode", 302, answered(t, f, srv.URL, err).StatusCode)
	})
}

func TestWhatTheAPISaysIsInTheError(t *testing.T) {
	type said struct {
		StatusCode    int
		Name, Message string
	}
	tests := []struct {
		name, body string
		want       said // StatusCode is set by the test
	}{
		{"the API's error object", `{"status":%d,"name":"the name","message":"the message"}`, said{0, "the name", "the message"}},
		{"no name", `{"status":%d,"message":"the message"}`, said{0, "", "the message"}},
		{"no message", `{"status":%d,"name":"the name"}`, said{0, "the name", ""}},
		{"name and message of other types", `{"status":"%d","name":1,"message":["a"]}`, said{}},
		{"an OAuth error object", `{"error":"invalid_grant","error_description":"Token is not active","code":%d}`, said{0, "invalid_grant", "Token is not active"}},
		{"an OAuth error object without description", `{"error":"invalid_grant","code":%d}`, said{0, "invalid_grant", ""}},
		{"a token that does not count", `{"access_token":"good","status":%d}`, said{}},
		{"HTML", "<!DOCTYPE html>\n<html><body><h1>%d</h1>\n</body></html>", said{}},
		{"plain text", "error %d\n", said{}},
		{"an array", `[%d]`, said{}},
		{"a number", `%d`, said{}},
		{"null", "null", said{}},
		{"nothing", "", said{}},
	}
	eachFlow(t, func(t *testing.T, f flow) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				for _, code := range []int{400, 401, 404, 429, 500, 503} {
					body := tt.body
					if strings.Contains(body, "%d") {
						body = fmt.Sprintf(body, code)
					}
					srv := serve(t, answer(code, body))
					_, err := f.new(srv.URL, netoauth.Options{}).Token(t.Context())
					e := answered(t, f, srv.URL, err)
					want := tt.want
					want.StatusCode = code
					diff(t, "the error", want, said{e.StatusCode, e.Name, e.Message})
					mentions(t, err.Error(), fmt.Sprint(code), want.Name, want.Message, http.StatusText(code))
					var re *oauth2.RetrieveError
					errors.As(err, &re)
					if want.Name+want.Message == "" {
						diff(t, "the RetrieveError's Body", "", string(re.Body))
					} else {
						diff(t, "the RetrieveError's Body", fmt.Sprintf(`{"status":%d,"name":%q,"message":%q}`, code, want.Name, want.Message), string(re.Body))
					}
					if want.Name == "invalid_grant" && (re.ErrorCode != want.Name || re.ErrorDescription != want.Message) {
						t.Errorf("the RetrieveError has %q, %q", re.ErrorCode, re.ErrorDescription)
					}
				}
			})
		}
	})
}

func TestErrRejectedIsA4xxOtherThan408And425And429(t *testing.T) {
	eachFlow(t, func(t *testing.T, f flow) {
		for code := 300; code <= 599; code++ {
			ctx := over(t.Context(), roundTripper(func(r *http.Request) (*http.Response, error) { return respond(r, code, good), nil }))
			_, err := f.new("https://api.test", netoauth.Options{}).Token(ctx)
			diff(t, "StatusCode", code, answered(t, f, "https://api.test", err).StatusCode)
		}
	})
}

func TestTheErrorSaysWhatToDo(t *testing.T) {
	refused := map[string]string{apiKey.name: "NETOSECRET", password.name: "password", refresh.name: "log in"}
	eachFlow(t, func(t *testing.T, f flow) {
		for code, advice := range map[int]string{
			200: "proxy", 302: "URL", 400: refused[f.name], 401: refused[f.name], 403: refused[f.name], 404: "URL",
			408: "try again", 429: "try again", 500: "try again", 503: "try again",
		} {
			srv := serve(t, answer(code, ""))
			_, err := f.new(srv.URL, netoauth.Options{}).Token(t.Context())
			answered(t, f, srv.URL, err)
			_, hint, _ := strings.Cut(err.Error(), "; ")
			mentions(t, hint, advice)
		}
		_, err := f.new("http://127.0.0.1:1", netoauth.Options{}).Token(t.Context()) // tcpmux: nobody has that
		if err == nil || errors.Is(err, netoauth.ErrRejected) {
			t.Fatalf("no connection: %v", err)
		}
		mentions(t, err.Error(), f.name, "http://127.0.0.1:1"+f.path, "network")
		oneLine(t, "the error", err.Error(), 1000)
	})
}

func TestA200WithoutAUsableTokenIsAnError(t *testing.T) {
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
		{"token_type mac", `{"access_token":"good","token_type":"mac"}`, "token_type"},
		{"token_type basic", `{"access_token":"good","token_type":"Basic"}`, "token_type"},
		{"token_type with a line break", `{"access_token":"good","token_type":"bearer\r\nX-Evil: 1"}`, "token_type"},
	}
	eachFlow(t, func(t *testing.T, f flow) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				srv := serve(t, answer(200, tt.body))
				tok, err := f.new(srv.URL, netoauth.Options{OnToken: func(*oauth2.Token) { t.Error("OnToken was called") }}).Token(t.Context())
				if tok != nil {
					t.Errorf("a token: %+v", tok)
				}
				e := answered(t, f, srv.URL, err)
				diff(t, "StatusCode", 200, e.StatusCode)
				said := [2]string{}
				if strings.Contains(tt.body, "message") {
					said = [2]string{"x", "y"}
				}
				diff(t, "Name and Message", said, [2]string{e.Name, e.Message})
				mentions(t, err.Error(), tt.reason, "200")
			})
		}
	})
}

func TestA204IsAnError(t *testing.T) {
	eachFlow(t, func(t *testing.T, f flow) {
		srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
		_, err := f.new(srv.URL, netoauth.Options{}).Token(t.Context())
		diff(t, "StatusCode", 204, answered(t, f, srv.URL, err).StatusCode)
	})
}

func TestTheTokenTypeMayBeAbsentAndInAnyCase(t *testing.T) {
	for _, kind := range []string{"", `,"token_type":""`, `,"token_type":"bearer"`, `,"token_type":"Bearer"`, `,"token_type":"BEARER"`, `,"token_type":null`} {
		srv := serve(t, answer(200, `{"access_token":"good"`+kind+`}`))
		tok, err := password.new(srv.URL, netoauth.Options{}).Token(t.Context())
		if err != nil || tok.Type() != "Bearer" || tok.AccessToken != "good" {
			t.Errorf("%s: %+v, %v", kind, tok, err)
		}
	}
}

// jwt returns a token that looks like a JWT with these claims.
func jwt(claims string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"RS256"}`)) + "." + enc([]byte(claims)) + "." + enc([]byte("signature"))
}

func TestTheLifetimeIsExpiresInOrElseThatOfTheJWT(t *testing.T) {
	const forever = 0
	tests := []struct {
		name, access, expiresIn string // the latter as JSON; "": absent
		want                    time.Duration
	}{
		{"a number", "good", "300", 300 * time.Second},
		{"a numeric string", "good", `"300"`, 300 * time.Second},
		{"with an exponent", "good", "3e2", 300 * time.Second},
		{"a fraction", "good", "300.9", 300 * time.Second},
		{"a fraction in a string", "good", `"300.9"`, 300 * time.Second},
		{"one", "good", "1", time.Second},
		{"absent", "good", "", forever},
		{"null", "good", "null", forever},
		{"zero", "good", "0", forever},
		{"zero in a string", "good", `"0"`, forever},
		{"negative", "good", "-300", forever},
		{"negative in a string", "good", `"-300"`, forever},
		{"negative and huge", "good", "-1e400", forever},
		{"a fraction of a second", "good", "0.4", forever},
		{"garbage", "good", `"soon"`, forever},
		{"an empty string", "good", `""`, forever},
		{"not a number", "good", `"NaN"`, forever},
		{"infinite, which is no number in JSON", "good", `"Infinity"`, forever},
		{"hexadecimal, which is no number in JSON", "good", `"0x10"`, forever},
		{"an object", "good", `{"seconds":300}`, forever},
		{"an array", "good", `[300]`, forever},
		{"a bool", "good", `true`, forever},
		{"a number beside a JWT", jwt(`{"iat":1000,"exp":1900}`), "300", 300 * time.Second},
		{"absent beside a JWT", jwt(`{"iat":1000,"exp":1900}`), "", 900 * time.Second},
		{"null beside a JWT", jwt(`{"iat":1000,"exp":1900}`), "null", 900 * time.Second},
		{"zero beside a JWT", jwt(`{"iat":1000,"exp":1900}`), "0", 900 * time.Second},
		{"negative beside a JWT", jwt(`{"iat":1000,"exp":1900}`), "-1", 900 * time.Second},
		{"garbage beside a JWT", jwt(`{"iat":1000,"exp":1900}`), `"soon"`, 900 * time.Second},
		{"beside a JWT of today", jwt(`{"iat":1.7e9,"exp":1700000300}`), "", 300 * time.Second},
		{"beside a JWT without iat", jwt(`{"exp":1900}`), "", forever},
		{"beside a JWT without exp", jwt(`{"iat":1000}`), "", forever},
		{"beside a JWT without either", jwt(`{}`), "", forever},
		{"beside a JWT that ends before it begins", jwt(`{"iat":1900,"exp":1000}`), "", forever},
		{"beside a JWT that ends as it begins", jwt(`{"iat":1000,"exp":1000}`), "", forever},
		{"beside a JWT with strings for numbers", jwt(`{"iat":"1000","exp":"1900"}`), "", forever},
		{"beside a JWT with an array for claims", jwt(`[1000,1900]`), "", forever},
		{"beside a JWT with claims that are not JSON", jwt(`iat=1000`), "", forever},
		{"beside what has the dots of a JWT", "a.b.c", "", forever},
		{"beside what has more dots", "a.b.c.d.e", "", forever},
	}
	eachFlow(t, func(t *testing.T, f flow) {
		synctest.Test(t, func(t *testing.T) { // for a clock that stands still
			for _, tt := range tests {
				body := `{"access_token":"` + tt.access + `"}`
				if tt.expiresIn != "" {
					body = `{"access_token":"` + tt.access + `","expires_in":` + tt.expiresIn + `}`
				}
				ctx := over(t.Context(), roundTripper(func(r *http.Request) (*http.Response, error) { return respond(r, 200, body), nil }))
				tok, err := f.new("https://api.test", netoauth.Options{}).Token(ctx)
				if err != nil {
					t.Errorf("%s: %v", tt.name, err)
					continue
				}
				if tt.want == forever {
					if !tok.Expiry.IsZero() || !tok.Valid() {
						t.Errorf("%s: Expiry is %v from now, want none", tt.name, time.Until(tok.Expiry))
					}
					continue
				}
				diff(t, tt.name+": Expiry from now", tt.want.String(), time.Until(tok.Expiry).String())
				diff(t, tt.name+": ExpiresIn", int64(tt.want/time.Second), tok.ExpiresIn)
			}
		})
	})
}

func TestAHugeLifetimeIsALongOne(t *testing.T) {
	for _, huge := range []string{"1e400", `"1e400"`, "99999999999999999999", `"99999999999999999999"`, "9223372036854775807", "1e18", "4294967296"} {
		srv := serve(t, answer(200, `{"access_token":"good","expires_in":`+huge+`}`))
		tok, err := apiKey.new(srv.URL, netoauth.Options{}).Token(t.Context())
		if err != nil {
			t.Errorf("%s: %v", huge, err)
			continue
		}
		if left := time.Until(tok.Expiry); !tok.Expiry.IsZero() && left < 10*365*24*time.Hour || tok.ExpiresIn < 0 || !tok.Valid() {
			t.Errorf("%s: the token lasts %v (ExpiresIn %d), want a long time", huge, left, tok.ExpiresIn)
		}
	}
}

func TestEveryOtherFieldIsInExtraUnderItsWireName(t *testing.T) {
	const body = `{"access_token":"good","expires_in":300,"refresh_expires_in":1800,"refresh_token":"another","token_type":"bearer",
		"id_token":"the id token","not-before-policy":0,"session-state":"the session","scope":"profile email","unknown":{"a":[1]}}`
	eachFlow(t, func(t *testing.T, f flow) {
		srv := serve(t, answer(200, body))
		tok, err := f.new(srv.URL, netoauth.Options{}).Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "fields", []any{"good", "bearer", "another", int64(300)},
			[]any{tok.AccessToken, tok.TokenType, tok.RefreshToken, tok.ExpiresIn})
		got := make(map[string]any)
		for _, name := range []string{"refresh_expires_in", "id_token", "not-before-policy", "session-state", "scope", "unknown", "absent"} {
			got[name] = tok.Extra(name)
		}
		diff(t, "extra fields", map[string]any{
			"refresh_expires_in": 1800., "id_token": "the id token", "not-before-policy": 0., "session-state": "the session",
			"scope": "profile email", "unknown": map[string]any{"a": []any{1.}}, "absent": nil,
		}, got)
	})
}

func TestARefreshAnswerWithoutARefreshTokenKeepsTheOldOne(t *testing.T) {
	for _, field := range []string{"", `,"refresh_token":""`, `,"refresh_token":null`, `,"refresh_token":12345`, `,"refresh_token":["x"]`} {
		body := `{"access_token":"good"` + field + `}`
		srv := serve(t, answer(200, body))
		want := map[string]string{apiKey.name: "", password.name: "", refresh.name: "the refresh token"}
		for _, f := range flows {
			var issued string
			tok, err := f.new(srv.URL, netoauth.Options{OnToken: func(t *oauth2.Token) { issued = t.RefreshToken }}).Token(t.Context())
			if err != nil {
				t.Errorf("%s: %s: %v", f.name, body, err)
				continue
			}
			diff(t, f.name+": "+body+": RefreshToken", want[f.name], tok.RefreshToken)
			diff(t, f.name+": "+body+": RefreshToken for OnToken", want[f.name], issued)
		}
	}
}

// countedBody counts what is read of it, and notes that it was closed.
type countedBody struct {
	io.Reader
	read   int
	closed bool
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read += n
	return n, err
}

func (b *countedBody) Close() error { b.closed = true; return nil }

func TestAtMostOneMiBIsReadAndTheBodyIsClosed(t *testing.T) {
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
	eachFlow(t, func(t *testing.T, f flow) {
		for _, tt := range tests {
			body := &countedBody{Reader: strings.NewReader(tt.body)}
			ctx := over(t.Context(), roundTripper(func(r *http.Request) (*http.Response, error) {
				resp := respond(r, tt.code, "")
				resp.Body, resp.ContentLength = body, -1
				return resp, nil
			}))
			_, err := f.new("https://api.test", netoauth.Options{}).Token(ctx)
			if tt.issued != (err == nil) {
				t.Errorf("%s: %v", tt.name, err)
			}
			if err != nil {
				diff(t, tt.name+": StatusCode", tt.code, answered(t, f, "https://api.test", err).StatusCode)
			}
			if body.read > mib+4096 {
				t.Errorf("%s: %d bytes were read, want about 1 MiB at most", tt.name, body.read)
			}
			if !body.closed {
				t.Errorf("%s: the body was not closed", tt.name)
			}
		}
	})
}

func TestA5MiBAnswerOverTheNetworkIsAnError(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 5<<20)
	eachFlow(t, func(t *testing.T, f flow) {
		for _, code := range []int{200, 401} {
			srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(code)
				w.Write(big)
			}))
			_, err := f.new(srv.URL, netoauth.Options{}).Token(t.Context())
			diff(t, "StatusCode", code, answered(t, f, srv.URL, err).StatusCode)
		}
	})
}

func TestAnAnswerCutOffHalfWayIsNotTaken(t *testing.T) {
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
	eachFlow(t, func(t *testing.T, f flow) {
		for _, tt := range []struct {
			code int
			body string
		}{
			{200, good}, {200, good[:10]}, {200, ""}, {401, `{"name":"the na`}, {401, ""}, {500, `{"na`},
		} {
			srv := serve(t, cutOff(tt.code, tt.body))
			tok, err := f.new(srv.URL, netoauth.Options{}).Token(t.Context())
			if err == nil {
				t.Errorf("%d %q: %+v", tt.code, tt.body, tok)
				continue
			}
			diff(t, "StatusCode", tt.code, answered(t, f, srv.URL, err).StatusCode)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d %q: io.ErrUnexpectedEOF is not in %v", tt.code, tt.body, err)
			}
			if tt.code == 200 {
				mentions(t, err.Error(), "cut off")
			}
		}
	})
}

func TestADroppedConnectionIsAnErrorThatSaysSo(t *testing.T) {
	eachFlow(t, func(t *testing.T, f flow) {
		srv := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
		_, err := f.new(srv.URL, netoauth.Options{}).Token(t.Context())
		if !errors.Is(err, io.EOF) || errors.Is(err, netoauth.ErrRejected) || errors.As(err, new(*netoauth.Error)) {
			t.Fatalf("%v, want io.EOF and no answer in it", err)
		}
		mentions(t, err.Error(), f.name, srv.URL+f.path, "no answer")
		oneLine(t, "the error", err.Error(), 1000)
	})
}

func TestOneLogLineStaysOneLogLine(t *testing.T) {
	long := strings.Repeat("long ", 20_000)
	for name, said := range map[string]string{
		"line breaks":               `a\nb\r\nc\u2028d\u2029e\u0085f`,
		"terminal escapes":          `\u001b[31mred\u001b]0;title\u0007\u009b2J`,
		"NUL, DEL and backspace":    `a\u0000b\u007fc\bd`,
		"bidirectional controls":    `\u202eevil\u2066evil\u200fevil`,
		"invalid UTF-8":             "a\xff\xfeb\xed\xa0\x80",
		"half a surrogate":          `a\ud800b`,
		"100 kB":                    long,
		"100 kB of line breaks":     strings.Repeat(`\n`, 100_000),
		"100 kB of wide characters": strings.Repeat("界", 33_000),
	} {
		t.Run(name, func(t *testing.T) {
			eachFlow(t, func(t *testing.T, f flow) {
				for _, body := range []string{
					`{"status":401,"name":"` + said + `","message":"` + said + `"}`,
					`{"error":"` + said + `","error_description":"` + said + `"}`,
					"<html>" + said,
				} {
					if len(said) > 10_000 && f.name != password.name {
						continue // once is enough
					}
					ctx := over(t.Context(), roundTripper(func(r *http.Request) (*http.Response, error) { return respond(r, 401, body), nil }))
					_, err := f.new("https://api.test", netoauth.Options{}).Token(ctx)
					e := answered(t, f, "https://api.test", err) // which looks at Error(), Name and Message
					if !utf8.ValidString(err.Error()) || !utf8.ValidString(e.Name+e.Message) {
						t.Error("the error is not valid UTF-8")
					}
				}
			})
		})
	}
}

func TestTheErrorOfABrokenConnectionIsOneBoundedLineToo(t *testing.T) {
	eachFlow(t, func(t *testing.T, f flow) {
		ctx := over(t.Context(), roundTripper(func(*http.Request) (*http.Response, error) {
			return nil, errors.New("a\nb\x1b[31m" + strings.Repeat("long ", 20_000))
		}))
		_, err := f.new("https://api.test", netoauth.Options{}).Token(ctx)
		if err == nil {
			t.Fatal("no error")
		}
		oneLine(t, "the error", err.Error(), 2000)
	})
}

// retriedAfter returns how long after a failed log-in the live source makes the next exchange.
func retriedAfter(t *testing.T, code int, header ...string) time.Duration {
	var exchanges atomic.Int32
	src := password.new("https://api.test", netoauth.Options{}).TokenSource(over(t.Context(), roundTripper(func(r *http.Request) (*http.Response, error) {
		exchanges.Add(1)
		resp := respond(r, code, "")
		for i := 0; i < len(header); i += 2 {
			resp.Header.Set(header[i], header[i+1])
		}
		return resp, nil
	})))
	if _, err := src.Token(); err == nil {
		t.Fatal("no error")
	}
	n := exchanges.Load()
	start := time.Now()
	for exchanges.Load() == n && time.Since(start) < time.Hour {
		time.Sleep(100 * time.Millisecond)
		if _, err := src.Token(); err == nil {
			t.Fatal("no error")
		}
	}
	return time.Since(start)
}

func TestRetryAfterCountsWhereItIsLongerAndGarbageIsNothing(t *testing.T) {
	tests := []struct {
		name     string
		code     int
		header   []string
		min, max time.Duration
	}{
		{"none", 503, nil, 0, 3 * time.Second},
		{"seconds", 503, []string{"Retry-After", "60"}, 60 * time.Second, 68 * time.Second},
		{"seconds at 429", 429, []string{"Retry-After", "60"}, 60 * time.Second, 68 * time.Second},
		{"a date, by the server's clock", 503, []string{"Date", "Mon, 02 Jan 2006 15:04:05 GMT", "Retry-After", "Mon, 02 Jan 2006 15:05:05 GMT"}, 60 * time.Second, 68 * time.Second},
		{"a date, without the server's clock", 503, []string{"Retry-After", "Sat, 01 Jan 2000 00:01:00 GMT"}, 50 * time.Second, 68 * time.Second},
		{"a date that has passed", 503, []string{"Retry-After", "Mon, 02 Jan 1995 15:04:05 GMT"}, 0, 3 * time.Second},
		{"too long", 503, []string{"Retry-After", "86400"}, 9 * time.Minute, 10*time.Minute + time.Second},
		{"huge", 503, []string{"Retry-After", "99999999999999999999999"}, 9 * time.Minute, 10*time.Minute + time.Second},
		{"zero", 503, []string{"Retry-After", "0"}, 0, 3 * time.Second},
		{"negative", 503, []string{"Retry-After", "-60"}, 0, 3 * time.Second},
		{"garbage", 503, []string{"Retry-After", "soon"}, 0, 3 * time.Second},
		{"empty", 503, []string{"Retry-After", ""}, 0, 3 * time.Second},
		{"a garbage date", 503, []string{"Retry-After", "Mon, 99 Foo 2006 15:04:05 GMT"}, 0, 3 * time.Second},
		{"garbage at a refusal", 401, []string{"Retry-After", "soon"}, 4 * time.Second, 6 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := retriedAfter(t, tt.code, tt.header...); got < tt.min || got > tt.max {
					t.Errorf("the next exchange came after %v, want %v to %v", got, tt.min, tt.max)
				}
			})
		})
	}
}

func TestRetryAfterDoesNotMakeTokenWait(t *testing.T) {
	eachFlow(t, func(t *testing.T, f flow) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			ctx := over(t.Context(), roundTripper(func(r *http.Request) (*http.Response, error) {
				resp := respond(r, 503, "")
				resp.Header.Set("Retry-After", "60")
				return resp, nil
			}))
			_, err := f.new("https://api.test", netoauth.Options{}).Token(ctx)
			answered(t, f, "https://api.test", err)
			diff(t, "time taken", "0s", time.Since(start).String())
		})
	})
}
