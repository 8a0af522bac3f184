// Package endpoint is the wire: one request to a token endpoint, and what its response means.
//
// A token endpoint takes credentials and answers with a token (RFC 6749 section 3.2). A response is
// either a token, or what the API said instead, in its error object {status, name, message} or in
// that of OAuth 2.0 (RFC 6749 section 5.2). What a response says is shown only where it quotes no
// credential.
package endpoint

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/netoauth/netoauth/internal/redact"
	"golang.org/x/oauth2"
)

// maxBody is how many bytes of a response are read. A token of the API has some 10 KiB.
const maxBody = 1 << 20

// The content types of the reference's three endpoints.
const (
	JSON = "application/json"
	Form = "application/x-www-form-urlencoded"
)

// Request is a token request: a POST of Body to URL.
type Request struct {
	URL         string
	ContentType string
	Body        string
	Secrets     redact.Secrets // the credentials in Body, and those behind it
}

// Response is what a token endpoint answered.
type Response struct {
	Token *oauth2.Token // nil: none, and what follows says why

	StatusCode int

	// Name and Message are the error object's, each fit for one line; "" where it has none or one
	// that quotes a credential.
	Name, Message string

	Problem    string        // what is wrong with the response itself; "": nothing
	RetryAfter time.Duration // of the header (RFC 9110 section 10.2.3); 0: none
	Date       time.Time     // the server's clock (RFC 9110 section 6.6.1); zero: unknown
	Causes     []error       // an oauth2.RetrieveError, and why the body could not be read
}

type contextKey struct{}

// Marked reports whether ctx is that of a token request: whoever adds tokens to requests must add
// none to it, or it would wait for the very token that it is to bring.
func Marked(ctx context.Context) bool { return ctx.Value(contextKey{}) != nil }

// Client returns the HTTP client in ctx, where x/oauth2 looks for it, too, and http.DefaultClient
// without one.
func Client(ctx context.Context) *http.Client {
	c, _ := ctx.Value(oauth2.HTTPClient).(*http.Client)
	return cmp.Or(c, http.DefaultClient)
}

// Post sends r with the HTTP client in ctx and returns what the endpoint answered. It follows no
// redirect, which would carry the credentials along. An error means that no answer came; its text
// quotes no credential and does not name the URL, and [errors.As] finds its cause.
func Post(ctx context.Context, r Request) (*Response, error) {
	ctx = context.WithValue(ctx, contextKey{}, true)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, strings.NewReader(r.Body))
	if err != nil {
		return nil, r.failure(err)
	}
	req.Header.Set("Accept", JSON)
	req.Header.Set("Content-Type", r.ContentType)
	client := *Client(ctx)
	client.Transport = locationFilter{cmp.Or(client.Transport, http.DefaultTransport)}
	client.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}

	start := time.Now().Round(0) // the wall clock alone: a token ages while the machine sleeps
	resp, err := client.Do(req)
	if err != nil {
		return nil, r.failure(err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	resp.Body.Close()
	return r.read(req, resp, body, err, start), nil
}

// failure returns err, for which no answer came, without the URL that net/http and net/url put
// before its text.
func (r Request) failure(err error) error {
	if wrapper, ok := errors.AsType[*url.Error](err); ok {
		err = wrapper.Err
	}
	return redact.Error(r.Secrets.Cause(err), err)
}

// read makes a Response of what came back for req, which was sent at start: body, and then bodyErr.
func (r Request) read(
	req *http.Request, resp *http.Response, body []byte, bodyErr error, start time.Time,
) *Response {
	res := &Response{StatusCode: resp.StatusCode}
	fields := Object(body)
	switch {
	case bodyErr != nil:
		res.Problem = "the answer was cut off: " + r.Secrets.Cause(bodyErr)
		res.Causes = append(res.Causes, redact.Error(res.Problem, bodyErr))
	case len(body) == maxBody:
		res.Problem = "the answer is 1 MiB or more"
	case fields == nil:
		res.Problem = "the answer is not a JSON object"
	case res.StatusCode/100 == 2:
		res.Token, res.Problem = newToken(fields, start)
	}
	if res.Token != nil {
		return res
	}
	res.Date, _ = http.ParseTime(resp.Header.Get("Date"))
	res.RetryAfter = parseRetryAfter(resp.Header.Get("Retry-After"), res.Date)
	text := func(name string) string { s, _ := fields[name].(string); return r.Secrets.Line(s) }
	code, description := text("error"), text("error_description")
	res.Name, res.Message = cmp.Or(text("name"), code), cmp.Or(text("message"), description)
	res.Causes = append(res.Causes, &oauth2.RetrieveError{
		Response:         r.quotable(req, resp),
		Body:             res.errorObject(),
		ErrorCode:        code,
		ErrorDescription: description,
	})
	return res
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

// quotable returns resp without its body, and without the header values that quote a credential.
func (r Request) quotable(req *http.Request, resp *http.Response) *http.Response {
	out := &http.Response{
		Status:     fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode)),
		StatusCode: resp.StatusCode,
		Header:     make(http.Header),
		Body:       http.NoBody,
		Request:    &http.Request{Method: req.Method, URL: req.URL},
	}
	for name, values := range resp.Header {
		for _, v := range values {
			if !r.Secrets.In(name) && !r.Secrets.In(v) {
				out.Header.Add(name, v)
			}
		}
	}
	return out
}

// locationFilter drops a Location that is not a URL: http.Client would fail on it before it asks
// CheckRedirect.
type locationFilter struct{ http.RoundTripper }

func (t locationFilter) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(req)
	if resp != nil {
		if _, err := resp.Location(); err != nil {
			resp.Header.Del("Location")
		}
	}
	return resp, err
}
