package wire_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

func TestError_hasWhatTheAPISays(t *testing.T) {
	type said struct {
		StatusCode    int
		Name, Message string
	}
	tests := []struct {
		name, body string
		want       said // StatusCode is set by the test
	}{
		{"the API's error object", `{"status":%d,"name":"the name","message":"the message"}`,
			said{0, "the name", "the message"}},
		{"no name", `{"status":%d,"message":"the message"}`, said{0, "", "the message"}},
		{"no message", `{"status":%d,"name":"the name"}`, said{0, "the name", ""}},
		{"name and message of other types", `{"status":"%d","name":1,"message":["a"]}`, said{}},
		{"an OAuth error object", `{"error":"invalid_grant","error_description":"Token is not active","code":%d}`,
			said{0, "invalid_grant", "Token is not active"}},
		{"an OAuth error object without description", `{"error":"invalid_grant","code":%d}`, said{0, "invalid_grant", ""}},
		{"a token that does not count", `{"access_token":"good","status":%d}`, said{}},
		{"HTML", "<!DOCTYPE html>\n<html><body><h1>%d</h1>\n</body></html>", said{}},
		{"plain text", "error %d\n", said{}},
		{"an array", `[%d]`, said{}},
		{"a number", `%d`, said{}},
		{"null", "null", said{}},
		{"nothing", "", said{}},
	}
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				for _, code := range []int{400, 401, 404, 429, 500, 503} {
					body := tt.body
					if strings.Contains(body, "%d") {
						body = fmt.Sprintf(body, code)
					}
					srv := serve(t, suite.Answer(code, body))
					_, err := at(f, srv.URL).Token(t.Context())
					e := answered(t, f, srv.URL, err)
					want := tt.want
					want.StatusCode = code
					suite.Diff(t, "the error", want, said{e.StatusCode, e.Name, e.Message})
					mentions(t, err.Error(), fmt.Sprint(code), want.Name, want.Message, http.StatusText(code))
					if strings.Contains(err.Error(), ": :") {
						t.Errorf("%q names nothing between two colons", err)
					}
					var re *oauth2.RetrieveError
					errors.As(err, &re)
					wantBody := ""
					if want.Name+want.Message != "" {
						wantBody = fmt.Sprintf(`{"status":%d,"name":%q,"message":%q}`, code, want.Name, want.Message)
					}
					suite.Diff(t, "the RetrieveError's Body", wantBody, string(re.Body))
					if want.Name == "invalid_grant" && (re.ErrorCode != want.Name || re.ErrorDescription != want.Message) {
						t.Errorf("the RetrieveError has %q, %q", re.ErrorCode, re.ErrorDescription)
					}
				}
			})
		}
	})
}

// A gateway that answers in the API's place rejects nobody, whatever it says: a program that ends
// at a rejection would end at each deployment.
func TestError_isErrRejectedWhereTheAPISaysSo(t *testing.T) {
	const anyStatus, api, oauth = "", `{"name":"N"}`, `{"error":"E"}`
	rejects := func(f suite.Flow, code int, body string) bool {
		switch {
		case code == 401:
			return true
		case code/100 != 4 || code == 408 || code == 421 || code == 425 || code == 429:
			return false
		case code == 400 && (f.Name == suite.Refresh.Name || body == oauth):
			return true
		default:
			return body == api
		}
	}
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		for _, body := range []string{
			anyStatus, api, oauth, `{"message":"Forbidden"}`, "<html>Forbidden</html>",
			`{"name":7,"error":null}`, `{"name":"N"`, good,
		} {
			for code := 300; code <= 599; code++ {
				ctx := suite.Over(t.Context(), suite.Answer(code, body))
				_, err := at(f, "https://api.test").Token(ctx)
				e := answered(t, f, "https://api.test", err)
				suite.Diff(t, "StatusCode", code, e.StatusCode)
				if want := rejects(f, code, body); errors.Is(err, netoauth.ErrRejected) != want {
					t.Errorf("%d %s: errors.Is(err, ErrRejected) is %v", code, body, !want)
				}
			}
		}
	})
}

func TestError_saysWhatToDo(t *testing.T) {
	refused := map[string]string{suite.APIKey.Name: "NETOSECRET", suite.Password.Name: "password", suite.Refresh.Name: "log in"}
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		for _, tt := range []struct {
			code         int
			body, advice string
		}{
			{200, "", "proxy"}, {302, "", "URL"}, {400, `{"name":"N"}`, refused[f.Name]},
			{401, "", refused[f.Name]}, {403, `{"name":"N"}`, refused[f.Name]},
			{403, "<html>", "a gateway"}, {404, "", "URL"}, {404, "", `("nginx")`}, {405, `{"message":"M"}`, `("nginx")`},
			{408, "", "try again"}, {429, "", "try again"}, {500, "", "try again"}, {503, "", "try again"},
		} {
			srv := serve(t, suite.Answer(tt.code, tt.body, "Server", "nginx"))
			_, err := at(f, srv.URL).Token(t.Context())
			answered(t, f, srv.URL, err)
			_, hint, _ := strings.Cut(err.Error(), "; ")
			mentions(t, hint, tt.advice)
		}
		_, err := at(f, "http://127.0.0.1:1").Token(t.Context()) // tcpmux: nobody has that
		if err == nil || errors.Is(err, netoauth.ErrRejected) {
			t.Fatalf("no connection: %v", err)
		}
		mentions(t, err.Error(), f.Name, "http://127.0.0.1:1"+f.Path, "network")
		oneLine(t, "the error", err.Error(), 1000)
	})
}

func TestError_isOneLine(t *testing.T) {
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
			suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
				for _, body := range []string{
					`{"status":401,"name":"` + said + `","message":"` + said + `"}`,
					`{"error":"` + said + `","error_description":"` + said + `"}`,
					"<html>" + said,
				} {
					if len(said) > 10_000 && f.Name != suite.Password.Name {
						continue // once is enough
					}
					ctx := suite.Over(t.Context(), suite.Answer(401, body))
					_, err := at(f, "https://api.test").Token(ctx)
					e := answered(t, f, "https://api.test", err) // which looks at Error(), Name and Message
					if !utf8.ValidString(err.Error()) || !utf8.ValidString(e.Name+e.Message) {
						t.Error("the error is not valid UTF-8")
					}
				}
			})
		})
	}
}

func TestError_ofTheNetworkIsOneLineToo(t *testing.T) {
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		ctx := suite.Over(t.Context(), suite.RoundTripper(func(*http.Request) (*http.Response, error) {
			return nil, errors.New("a\nb\x1b[31m" + strings.Repeat("long ", 20_000))
		}))
		_, err := at(f, "https://api.test").Token(ctx)
		if err == nil {
			t.Fatal("no error")
		}
		oneLine(t, "the error", err.Error(), 2000)
	})
}

func TestError_ofADroppedConnectionSaysSo(t *testing.T) {
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		srv := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
		_, err := at(f, srv.URL).Token(t.Context())
		if !errors.Is(err, io.EOF) || errors.Is(err, netoauth.ErrRejected) || errors.As(err, new(*netoauth.Error)) {
			t.Fatalf("%v, want io.EOF and no answer in it", err)
		}
		mentions(t, err.Error(), f.Name, srv.URL+f.Path, "no answer")
		oneLine(t, "the error", err.Error(), 1000)
	})
}

func TestError_ofTheNetworkIsFoundByItsType(t *testing.T) {
	_, err := at(suite.Password, "http://127.0.0.1:1").Token(t.Context())
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" {
		t.Errorf("no *net.OpError in %v", err)
	}
}

func TestError_ofTheNetworkMayBeOneOfOurs(t *testing.T) {
	ctx := suite.Over(t.Context(), suite.RoundTripper(func(*http.Request) (*http.Response, error) {
		return nil, &netoauth.Error{StatusCode: 401}
	}))
	if _, err := at(suite.APIKey, "").TokenSource(ctx).Token(); err == nil {
		t.Error("no error")
	}
}
