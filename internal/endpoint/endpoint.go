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
	Refresh     bool           // it exchanges a refresh token: a 400 refuses that, whatever its body
	Secrets     redact.Secrets // the credentials in Body, and those behind it
}

// NotEmpty returns an error where a field has no value.
func NotEmpty(field, value string) error {
	if value == "" {
		return fmt.Errorf("%s is empty; set it", field)
	}
	return nil
}

// OneLine returns an error where a field has a line break, which no user name, password or refresh
// token has (RFC 6749 appendix A): a file that ends in one, say.
func OneLine(field, value string) error {
	if strings.ContainsAny(value, "\r\n") {
		return fmt.Errorf("%s has a line break; remove it, as strings.TrimSpace does", field)
	}
	return nil
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

// Post sends r with the HTTP client in ctx, whose Timeout counts as in [WithTimeout], and returns
// what the endpoint answered. It follows no redirect, which would carry the credentials along. An
// error means that no answer came, and [Unsent] tells whether r was sent at all; its text quotes no
// credential and does not name the URL, and [errors.As] finds its cause.
func Post(ctx context.Context, r Request) (*Response, error) {
	client := *Client(ctx)
	if client.Timeout > 0 {
		limited, cancel := WithTimeout(ctx, client.Timeout)
		defer cancel()
		ctx, client.Timeout = limited, 0
	}
	client.Transport = locationFilter{cmp.Or(client.Transport, http.DefaultTransport)}
	client.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}

	var conn dialing
	marked := context.WithValue(conn.trace(ctx), contextKey{}, true)
	req, err := http.NewRequestWithContext(marked, http.MethodPost, r.URL, strings.NewReader(r.Body))
	if err = cmp.Or(err, ctx.Err()); err != nil {
		return nil, r.failure(ctx, err, true)
	}
	req.Header.Set("Accept", JSON)
	req.Header.Set("Content-Type", r.ContentType)
	start := time.Now().Round(0) // the wall clock alone: a token ages while the machine sleeps
	resp, err := client.Do(req)
	if err != nil {
		return nil, r.failure(ctx, err, conn.unsent(err))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	resp.Body.Close()
	return r.read(resp, body, err, start), nil
}

// settling is how long after its caller has the error HTTP/2 may take to end a request.
const settling = 10 * time.Millisecond

// AwaitIdle waits until the connection of a request that has just timed out counts as idle, or for the
// end of ctx.
func AwaitIdle(ctx context.Context) {
	select {
	case <-time.After(settling):
	case <-ctx.Done():
	}
}

// Silent reports whether Post, which returned res and err, got no answer in time, or no end of it.
func Silent(res *Response, err error) bool {
	if err == nil {
		err = errors.Join(res.Causes...)
	}
	return errors.Is(err, context.DeadlineExceeded)
}

// failure returns err, for which no answer came, without the URL that net/http and net/url put
// before its text. It tells of the end of ctx where err, of whatever transport, does not.
func (r Request) failure(ctx context.Context, err error, unsent bool) error {
	if wrapper, ok := errors.AsType[*url.Error](err); ok {
		err = wrapper.Err
	}
	if over := ctx.Err(); over != nil && !errors.Is(err, over) {
		err = fmt.Errorf("%w: %w", over, err)
	}
	text := r.Secrets.Cause(err)
	if unsent {
		err = errors.Join(err, errUnsent)
	}
	return redact.NewError(text, err)
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
