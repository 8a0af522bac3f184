package endpoint

import (
	"cmp"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/netoauth/netoauth/internal/redact"
	"golang.org/x/oauth2"
)

// maxHeader is how many bytes are kept of a header value of a response without a usable token. One
// of more than maxHeaderRead is not looked at: no honest server sends it.
const (
	maxHeader     = 200
	maxHeaderRead = 64 << 10
)

// keptHeader is what is kept of that header.
var keptHeader = []string{"Date", "Retry-After", "Server", "Via", "X-Request-Id"}

// Response is what a token endpoint answered.
//
// Whether it is [Response.Rejected] or [Response.Unused] goes by what the server sent, not by what of
// it is shown: no credential that it quotes changes the meaning of the answer.
type Response struct {
	// Token is nil where there is none, and what follows says why. Where Over is set, it was over as
	// it came, as from a server whose session is near its end: its Expiry is when the request was
	// sent, and nothing but its refresh token can be used.
	Token *oauth2.Token
	Over  bool

	StatusCode int

	// Name and Message are the error object's, each fit for one line; "" where it has none or one
	// that quotes a credential.
	Name, Message string

	Problem string // what is wrong with the response itself; "": nothing

	// Hint is what to do next, as far as the response tells; "": the flow knows. Of what is not the
	// API's own it says who answered.
	Hint string

	RetryAfter time.Duration // of the header (RFC 9110 section 10.2.3); 0: none
	Date       time.Time     // the server's clock (RFC 9110 section 6.6.1); zero: unknown

	// Rejected says that the API refused the credentials for good: by 401, by 400 of a refresh, by
	// another 4xx with its error object, or by 400 with that of OAuth 2.0. Whatever else refuses a
	// request, such as a gateway that answers in the API's place, may let the next one pass.
	Rejected bool

	// Unused says that the server has not processed the request, so that a refresh token in it can
	// be used again: 408, 421, 425, 429, and 503 with the API's error object.
	Unused bool

	Causes []error // an oauth2.RetrieveError, and why the body could not be read
}

// read makes a Response of resp, which came back for what was sent at start: body, and then bodyErr.
func (r Request) read(resp *http.Response, body []byte, bodyErr error, start time.Time) *Response {
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
	header := r.quotable(resp.Header)
	res.Date, _ = http.ParseTime(first(resp.Header, "Date"))
	res.RetryAfter = parseRetryAfter(first(resp.Header, "Retry-After"), res.Date)
	text := func(name string) string { s, _ := fields[name].(string); return r.Secrets.Line(s) }
	code, description := text("error"), text("error_description")
	res.Name, res.Message = cmp.Or(text("name"), code), cmp.Or(text("message"), description)
	res.judge(r.Refresh, fields)
	res.Hint = res.hint(r.answered(resp.Header, header))
	res.Causes = append(res.Causes, &oauth2.RetrieveError{
		Response:         r.response(resp.StatusCode, header),
		Body:             res.errorObject(),
		ErrorCode:        code,
		ErrorDescription: description,
	})
	return res
}

// judge sets Rejected and Unused. An error object counts where it came whole.
func (res *Response) judge(refresh bool, fields map[string]any) {
	if res.Problem != "" {
		fields = nil
	}
	_, ofAPI := fields["name"].(string)
	_, ofOAuth := fields["error"].(string)
	switch code := res.StatusCode; {
	case code == http.StatusRequestTimeout, code == http.StatusMisdirectedRequest,
		code == http.StatusTooEarly, code == http.StatusTooManyRequests,
		code == http.StatusServiceUnavailable && ofAPI:
		res.Unused = true
	case code == http.StatusUnauthorized, code/100 == 4 && ofAPI,
		code == http.StatusBadRequest && (refresh || ofOAuth):
		res.Rejected = true
	}
}

// hint returns what to do next where the response does not reject the credentials, and who answered
// where that was not the API.
func (res *Response) hint(who string) string {
	switch code := res.StatusCode; {
	case res.Rejected:
		return ""
	case res.Over:
		return "the session may be near its end, or the server's clock wrong"
	case code/100 == 2:
		return "does a proxy answer in the API's place?"
	case code/100 == 3 || code == http.StatusNotFound:
		return who + "; check the URL; redirects are not followed, they would carry the " +
			"credentials along"
	case code/100 == 4 && !res.Unused:
		return who + "; the fault may pass, try again later"
	}
	return "the fault may pass, try again later"
}

// answered says what answered in the API's place, as far as its header tells. header is what is kept
// of all.
func (r Request) answered(all, header http.Header) string {
	text := "these are not the API's words, a gateway seems to answer in its place"
	var who []string
	for _, name := range []string{"Server", "Via"} {
		if line := r.Secrets.Line(header.Get(name)); line != "" {
			who = append(who, fmt.Sprintf("%.60q", line))
		}
	}
	if len(who) > 0 {
		text += " (" + strings.Join(who, ", ") + ")"
	}
	media, _, _ := mime.ParseMediaType(first(all, "Content-Type"))
	if media = r.Secrets.Line(media); media != "" {
		text += fmt.Sprintf(", with %.60s", media)
	}
	return text
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

// quotable returns what is kept of a response's header: of some fields the first value, cut, where
// that quotes no credential.
func (r Request) quotable(all http.Header) http.Header {
	kept := make(http.Header)
	for _, name := range keptHeader {
		v := all.Get(name)
		if v != "" && len(v) <= maxHeaderRead && !r.Secrets.In(v) {
			kept.Set(name, first(all, name))
		}
	}
	return kept
}

// first returns the first value of a header's field, cut.
func first(header http.Header, name string) string {
	v := header.Get(name)
	return strings.ToValidUTF8(v[:min(len(v), maxHeader)], "")
}

// response returns a response that leads to no credential: without a body, and without the header
// and the body of the request.
func (r Request) response(code int, header http.Header) *http.Response {
	u, _ := url.Parse(r.URL) // which has been sent to
	return &http.Response{
		Status:     fmt.Sprintf("%d %s", code, http.StatusText(code)),
		StatusCode: code,
		Header:     header,
		Body:       http.NoBody,
		Request:    &http.Request{Method: http.MethodPost, URL: u},
	}
}
