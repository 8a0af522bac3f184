package endpoint_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/netoauth/netoauth/internal/endpoint"
	"golang.org/x/oauth2"
)

// said is what a Response without a token says.
type said struct {
	StatusCode             int
	Name, Message, Problem string
}

func saidBy(r *endpoint.Response) said { return said{r.StatusCode, r.Name, r.Message, r.Problem} }

// retrieveError returns the oauth2.RetrieveError that every Response without a token has.
func retrieveError(t testing.TB, r *endpoint.Response) *oauth2.RetrieveError {
	t.Helper()
	re, ok := errors.AsType[*oauth2.RetrieveError](errors.Join(r.Causes...))
	if r.Token != nil || !ok {
		t.Fatalf("token %v, causes %v", r.Token, r.Causes)
	}
	return re
}

// The API's error object is {status, name, message}. That of OAuth 2.0 has error and
// error_description (RFC 6749 section 5.2), which stand in for a name and a message that are
// missing.
func TestPost_readsTheErrorObject(t *testing.T) {
	tests := []struct {
		title             string
		body              string
		name, message     string
		code, description string
		shown             string // the Body of the oauth2.RetrieveError
	}{
		{"the API's", `{"status":401,"name":"Unauthorized","message":"wrong key"}`, "Unauthorized", "wrong key", "", "",
			`{"status":401,"name":"Unauthorized","message":"wrong key"}`},
		{"OAuth's", `{"error":"invalid_grant","error_description":"expired"}`,
			"invalid_grant", "expired", "invalid_grant", "expired",
			`{"status":401,"name":"invalid_grant","message":"expired"}`},
		{"both", `{"name":"N","message":"M","error":"E","error_description":"D"}`, "N", "M", "E", "D",
			`{"status":401,"name":"N","message":"M"}`},
		{"half of each", `{"name":"N","error":"E","error_description":"D"}`, "N", "D", "E", "D",
			`{"status":401,"name":"N","message":"D"}`},
		{"a message alone", `{"message":"M"}`, "", "M", "", "", `{"status":401,"name":"","message":"M"}`},
		{"a name alone", `{"name":"N"}`, "N", "", "", "", `{"status":401,"name":"N","message":""}`},
		{"another status", `{"status":200,"name":"N"}`, "N", "", "", "", `{"status":401,"name":"N","message":""}`},
		{"no strings", `{"name":1,"message":["M"],"error":{"code":"E"},"error_description":true}`, "", "", "", "", ""},
		{"null", `{"name":null,"message":null}`, "", "", "", "", ""},
		{"empty", `{}`, "", "", "", "", ""},
		{"unprintable", `{"name":"\u0000\n","message":"\t"}`, "", "", "", "", ""},
		{"lines", `{"name":"a\nb","message":" c\r\n\u2028\u001b[31md "}`, "a b", "c [31md", "", "",
			`{"status":401,"name":"a b","message":"c [31md"}`},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			res := post(t, answer(401, tt.body))
			re := retrieveError(t, res)
			diff(t, "response", said{401, tt.name, tt.message, ""}, saidBy(res))
			diff(t, "oauth2.RetrieveError", []string{tt.code, tt.description, tt.shown},
				[]string{re.ErrorCode, re.ErrorDescription, string(re.Body)})
		})
	}
}

func TestPost_cutsALongMessage(t *testing.T) {
	n, u := strings.Repeat("n", 1<<18), strings.Repeat("ü", 1<<18)
	res := post(t, answer(500, `{"name":"`+n+`","message":"`+u+`"}`))
	diff(t, "response", said{500, n[:299] + "…", u[:2*299] + "…", ""}, saidBy(res))
}

// No status but 2xx brings a token, whatever the body has.
func TestPost_takesATokenFromASuccessAlone(t *testing.T) {
	for code := 200; code <= 599; code++ {
		res := post(t, answer(code, `{"access_token":"good"}`))
		diff(t, http.StatusText(code), []any{code < 300, code, ""}, []any{res.Token != nil, res.StatusCode, res.Problem})
	}
}

func TestPost_namesWhatIsWrongWithAnAnswer(t *testing.T) {
	const noObject, tooLong = "the answer is not a JSON object", "the answer is 1 MiB or more"
	object := func(size int) string {
		const before, after = `{"access_token":"`, `"}`
		return before + strings.Repeat("a", size-len(before)-len(after)) + after
	}
	tests := []struct{ name, body, want string }{
		{"nothing", "", noObject},
		{"white space", " \r\n", noObject},
		{"HTML", "<html>Bad gateway</html>", noObject},
		{"array", `[{"access_token":"good"}]`, noObject},
		{"string", `"access_token"`, noObject},
		{"number", `1`, noObject},
		{"number beyond float64", `1e999`, noObject},
		{"null", `null`, noObject},
		{"cut off", `{"access_token":"good"`, noObject},
		{"twice", `{"access_token":"good"}{"access_token":"good"}`, noObject},
		{"after a byte order mark", "\ufeff" + `{"access_token":"good"}`, noObject},
		{"too deep", strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000), noObject},
		{"between white space", " \n{\"access_token\":\"good\"}\r\n", ""},
		{"one byte below 1 MiB", object(1<<20 - 1), ""},
		{"1 MiB", object(1 << 20), tooLong},
		{"one byte above 1 MiB", object(1<<20 + 1), tooLong},
		{"an object in the first MiB", object(1<<20-1) + "  ", tooLong},
		{"much above 1 MiB", strings.Repeat("x", 3<<20), tooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := post(t, answer(200, tt.body))
			diff(t, "Problem", tt.want, res.Problem)
			if tt.want == "" && res.Token == nil {
				t.Error("no token")
			}
			if tt.want != "" {
				diff(t, "Body of the oauth2.RetrieveError", "", string(retrieveError(t, res).Body))
			}
		})
	}
}

// What came before a response broke off is no token, however whole it looks.
func TestPost_saysWhyAnAnswerWasCutOff(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"by the server", io.ErrUnexpectedEOF, "the answer was cut off: unexpected EOF"},
		{"with lines", errors.New("a\r\nb"), "the answer was cut off: a b"},
		{"at length", errors.New(strings.Repeat("x", 1<<20)),
			"the answer was cut off: " + strings.Repeat("x", 299) + "…"},
		{"with a credential", errors.New("malformed chunk: " + secret),
			"the answer was cut off: the cause is not shown, it is empty or quotes a credential"},
	}
	for _, tt := range tests {
		for _, code := range []int{200, 500} {
			res := post(t, func(r *http.Request) (*http.Response, error) {
				resp := respond(r, code, "")
				whole := strings.NewReader(`{"access_token":"good","name":"N","message":"M"}`)
				resp.Body = io.NopCloser(io.MultiReader(whole, iotest.ErrReader(tt.err)))
				return resp, nil
			}, secret)
			diff(t, tt.name, said{code, "N", "M", tt.want}, saidBy(res))
			retrieveError(t, res)
			if len(res.Causes) != 2 || !errors.Is(res.Causes[0], tt.err) || res.Causes[0].Error() != tt.want {
				t.Errorf("%s: causes %q", tt.name, res.Causes)
			}
			if strings.ContainsFunc(res.Problem, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%s: %q is not one line", tt.name, res.Problem)
			}
		}
	}
}

// A field that quotes a credential is withheld whole: the response is that without the field.
func TestPost_withholdsWhatQuotesACredential(t *testing.T) {
	type sent struct {
		body   string
		header []string // names and values in turn
	}
	const form = "correct+horse%20battery%2Bstaple"
	tests := []struct {
		name          string
		quoting, bare sent
	}{
		{"name", sent{body: `{"name":"No ` + secret + `","message":"M"}`}, sent{body: `{"name":"","message":"M"}`}},
		{"name, and a code", sent{body: `{"name":"` + secret + `","error":"E"}`}, sent{body: `{"name":"","error":"E"}`}},
		{"message", sent{body: `{"name":"N","message":"wrong: ` + secret + `!"}`}, sent{body: `{"name":"N"}`}},
		{"message, escaped", sent{body: `{"name":"N","message":"` + form + `"}`}, sent{body: `{"name":"N"}`}},
		{"message, beyond what is shown",
			sent{body: `{"name":"N","message":"` + strings.Repeat("x", 400) + secret + `"}`}, sent{body: `{"name":"N"}`}},
		{"both", sent{body: `{"name":"` + secret + `","message":"` + secret + `"}`}, sent{body: `{"name":""}`}},
		{"error", sent{body: `{"error":"` + secret + `","error_description":"D"}`},
			sent{body: `{"error":"","error_description":"D"}`}},
		{"error_description", sent{body: `{"error":"E","error_description":"` + secret + `"}`},
			sent{body: `{"error":"E"}`}},
		{"a field that is not read", sent{body: `{"name":"N","detail":"` + secret + `"}`}, sent{body: `{"name":"N"}`}},
		{"text", sent{body: "unknown: " + secret}, sent{body: "unknown"}},
		{"header value", sent{`{}`, []string{"Server", form, "Via", "1"}}, sent{`{}`, []string{"Via", "1"}}},
		{"header value, beyond what is kept",
			sent{`{}`, []string{"Server", strings.Repeat("x", 190) + secret, "Via", "1"}}, sent{`{}`, []string{"Via", "1"}}},
		{"content type", sent{`{}`, []string{"Content-Type", "text/correcthorsebatterystaple"}}, sent{body: `{}`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := post(t, answer(400, tt.bare.body, tt.bare.header...), secret)
			got := post(t, answer(400, tt.quoting.body, tt.quoting.header...), secret)
			diff(t, "response", want, got, cmpopts.IgnoreUnexported(http.Request{}))
		})
	}
}

// The response in the oauth2.RetrieveError is for programs that print it: it leads neither to the
// credentials in the request nor to what the server says in its status line or its body.
func TestPost_givesTheResponseWithoutTheRequest(t *testing.T) {
	res := post(t, func(r *http.Request) (*http.Response, error) {
		resp := respond(r, 429, `{}`, "Retry-After", "7", "Via", "1.1 a", "Via", "1.1 b",
			"Date", "Mon, 02 Mar 2026 12:00:00 GMT", "Server", strings.Repeat("ü", 101), "X-Request-Id", "r", "Set-Cookie", "s=1",
			"Location", "/", "Www-Authenticate", "Bearer", "X-A", "1", "Content-Type", "text/html")
		resp.Status = "429 " + secret
		resp.Trailer = http.Header{"X-Echo": {secret}}
		return resp, nil
	}, secret)
	want := &http.Response{
		Status: "429 Too Many Requests", StatusCode: 429, Body: http.NoBody,
		Header: http.Header{"Retry-After": {"7"}, "Via": {"1.1 a"}, "Date": {"Mon, 02 Mar 2026 12:00:00 GMT"},
			"Server": {strings.Repeat("ü", 100)}, "X-Request-Id": {"r"}},
		Request: &http.Request{Method: "POST", URL: &url.URL{Scheme: "https", Host: "api.test", Path: "/token"}},
	}
	diff(t, "Response", want, retrieveError(t, res).Response, cmpopts.IgnoreUnexported(http.Request{}))
}

// A date counts from the response's own Date, since the server's clock may be wrong together with
// it, and from the local clock without one.
func TestPost_readsRetryAfterAndDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().UTC()
		date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
		for _, tt := range []struct {
			name, retryAfter, date string
			wait                   time.Duration
			serverTime             time.Time
		}{
			{"neither", "", "", 0, time.Time{}},
			{"seconds", "120", "", 2 * time.Minute, time.Time{}},
			{"seconds between spaces", " 5 ", "", 5 * time.Second, time.Time{}},
			{"seconds, and a Date", "5", date(-time.Hour), 5 * time.Second, now.Add(-time.Hour)},
			{"0", "0", "", 0, time.Time{}},
			{"negative", "-5", "", 0, time.Time{}},
			{"huge", "99999999999999999999999", "", (1<<31 - 1) * time.Second, time.Time{}},
			{"beyond float64", "1e999", "", (1<<31 - 1) * time.Second, time.Time{}},
			{"date by the server's clock", date(-59 * time.Minute), date(-time.Hour), time.Minute, now.Add(-time.Hour)},
			{"date by ours", date(time.Minute), "", time.Minute, time.Time{}},
			{"date by ours, the Date being none", date(time.Minute), "soon", time.Minute, time.Time{}},
			{"past date", date(-time.Minute), "", 0, time.Time{}},
			{"date before Date", date(time.Hour), date(2 * time.Hour), 0, now.Add(2 * time.Hour)},
			{"date of another form", now.Add(time.Minute).Format(time.ANSIC), "", time.Minute, time.Time{}},
			{"Date alone", "", date(time.Hour), 0, now.Add(time.Hour)},
			{"garbage", "soon", "garbage", 0, time.Time{}},
			{"no JSON number", "0x10", "", 0, time.Time{}},
			{"NaN", "NaN", "", 0, time.Time{}},
			{"words of JSON", "true", "null", 0, time.Time{}},
		} {
			res := post(t, answer(503, `{}`, "Retry-After", tt.retryAfter, "Date", tt.date))
			diff(t, tt.name+": RetryAfter", tt.wait.String(), res.RetryAfter.String())
			diff(t, tt.name+": Date", tt.serverTime, res.Date)
		}
	})
}
