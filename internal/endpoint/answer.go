package endpoint

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/netoauth/netoauth/internal/redact"
	"golang.org/x/oauth2"
)

// maxHeader is how many bytes of a header value are kept.
const maxHeader = 200

// kept are the header fields that are kept of an answer without a token. They tell who answered.
var kept = []string{"Date", "Retry-After", "Server", "Via", "X-Request-Id"}

// read makes a Response of what came back for req, which was sent at start: body, and then bodyErr.
func (r Request) read(
	req *http.Request, resp *http.Response, body []byte, bodyErr error, start time.Time,
) *Response {
	res := &Response{StatusCode: resp.StatusCode}
	fields := Object(body)
	switch {
	case bodyErr != nil:
		res.Problem = "the answer was cut off: " + r.Secrets.Cause(bodyErr)
		res.Causes = append(res.Causes, redact.NewError(res.Problem, bodyErr))
	case len(body) == maxBody:
		res.Problem = "the answer is 1 MiB or more"
	case fields == nil:
		res.Problem = "the answer is not a JSON object"
	case res.StatusCode/100 == 2:
		res.Token, res.Over, res.Problem = newToken(fields, start)
	}
	if res.Token != nil && !res.Over {
		return res
	}
	header := r.header(resp.Header)
	res.Date, _ = http.ParseTime(header.Get("Date"))
	res.RetryAfter = parseRetryAfter(header.Get("Retry-After"), res.Date)
	text := func(name string) string { s, _ := fields[name].(string); return r.Secrets.Line(s) }
	code, description := text("error"), text("error_description")
	res.Name, res.Message = cmp.Or(text("name"), code), cmp.Or(text("message"), description)
	res.judge(r.Refresh, fields)
	if code := res.StatusCode / 100; !res.Rejected && (code == 3 || code == 4) {
		res.Hint += answeredBy(header)
	}
	res.Causes = append(res.Causes, &oauth2.RetrieveError{
		Response:         quotable(req, resp.StatusCode, header),
		Body:             res.errorObject(),
		ErrorCode:        code,
		ErrorDescription: description,
	})
	return res
}

const (
	proxyHint   = "does a proxy answer in the API's place?"
	overHint    = "the session may be near its end, or the server's clock wrong; try again later"
	urlHint     = "check the URL; redirects are not followed, they would carry the credentials along"
	passingHint = "the fault may pass, try again later"
	gatewayHint = "these are not the API's words, a gateway seems to answer in its place"
	missingHint = gatewayHint + ", or the URL is wrong"
)

// judge says whose words the answer is, and what follows from it. The API's error object has a
// string "name", that of OAuth 2.0, at 400, a string "error" (RFC 6749 section 5.2); what a gateway
// says in the API's place rejects nobody. Whether a text is withheld does not matter.
func (res *Response) judge(refresh bool, fields map[string]any) {
	_, api := fields["name"].(string)
	_, oauth := fields["error"].(string)
	switch code := res.StatusCode; {
	case code == http.StatusRequestTimeout, code == http.StatusMisdirectedRequest,
		code == http.StatusTooEarly, code == http.StatusTooManyRequests:
		res.Unused, res.Hint = true, passingHint
	case code >= 500:
		res.Unused, res.Hint = code == http.StatusServiceUnavailable && api, passingHint
	case code == http.StatusUnauthorized,
		code == http.StatusBadRequest && (refresh || oauth),
		code/100 == 4 && api:
		res.Rejected = true
	case code == http.StatusNotFound:
		res.Hint = missingHint
	case code/100 == 4:
		res.Hint = gatewayHint
	case res.Over:
		res.Hint = overHint
	case code/100 == 2:
		res.Hint = proxyHint
	default:
		res.Hint = urlHint
	}
}

// answeredBy names who answered, as far as the header tells.
func answeredBy(header http.Header) string {
	if who := cmp.Or(header.Get("Server"), header.Get("Via")); who != "" {
		return fmt.Sprintf(" (%.60q)", who)
	}
	return ""
}

// header returns what is kept of the header of an answer without a token: of each field the first
// value, unless that quotes a credential.
func (r Request) header(from http.Header) http.Header {
	to := make(http.Header)
	for _, name := range kept {
		v := from.Get(name)
		v = v[:min(len(v), maxHeader)]
		if v != "" && !r.Secrets.In(v) {
			to.Set(name, v)
		}
	}
	return to
}

// quotable returns the response without its body.
func quotable(req *http.Request, code int, header http.Header) *http.Response {
	return &http.Response{
		Status:     fmt.Sprintf("%d %s", code, http.StatusText(code)),
		StatusCode: code,
		Header:     header,
		Body:       http.NoBody,
		Request:    &http.Request{Method: req.Method, URL: req.URL},
	}
}

// errorObject returns the API's error object without what quotes a credential, nil where nothing is
// left of it.
func (res *Response) errorObject() []byte {
	if res.Name+res.Message == "" {
		return nil
	}
	b, _ := json.Marshal(struct { // which cannot fail
		Status  int    `json:"status"`
		Name    string `json:"name"`
		Message string `json:"message"`
	}{res.StatusCode, res.Name, res.Message})
	return b
}

// parseRetryAfter returns how long a Retry-After asks to wait: seconds, or a date by the server's
// clock, for which the zero time stands for ours.
func parseRetryAfter(v string, serverTime time.Time) time.Duration {
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(cmp.Or(serverTime, time.Now())), 0)
	}
	return max(0, seconds(v))
}
