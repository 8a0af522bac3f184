// Package suite has what the test suites below it share: networks made of functions, a strict API
// with credentials for it, and checks. The suites know the exported names of netoauth alone.
package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// Credential is what the three types of credentials have in common.
type Credential interface {
	Token(context.Context) (*oauth2.Token, error)
	TokenSource(context.Context) oauth2.TokenSource
	Client(context.Context) *http.Client
}

// RoundTripper is a function as a network.
type RoundTripper func(*http.Request) (*http.Response, error)

// RoundTrip calls f.
func (f RoundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// TokenSource is a function as a token source.
type TokenSource func() (*oauth2.Token, error)

// Token calls f.
func (f TokenSource) Token() (*oauth2.Token, error) { return f() }

// Over returns ctx with an HTTP client over rt, for token requests and for what Client returns.
func Over(ctx context.Context, rt http.RoundTripper) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: rt})
}

// Response is what each request is answered with, by a network or by a server.
type Response struct {
	status int
	body   string
	header []string
}

// Answer returns a response with the given body, and a header of names and values in turn.
func Answer(status int, body string, header ...string) Response {
	return Response{status, body, header}
}

// RoundTrip answers as a network, which closes the request's body.
func (a Response) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		req.Body.Close()
	}
	resp := &http.Response{
		Status:     fmt.Sprint(a.status, " ", http.StatusText(a.status)),
		StatusCode: a.status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: req,
		ContentLength: int64(len(a.body)), Body: io.NopCloser(strings.NewReader(a.body)),
	}
	a.setHeader(resp.Header)
	return resp, nil
}

// ServeHTTP answers as a server, by these very bytes as JSON.
func (a Response) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	a.setHeader(w.Header())
	w.WriteHeader(a.status)
	io.WriteString(w, a.body) // an error here is the client's leaving
}

func (a Response) setHeader(h http.Header) {
	for i := 0; i < len(a.header); i += 2 {
		h.Set(a.header[i], a.header[i+1])
	}
}

// CountingBody counts the bytes that are read of it, and how often it is closed.
type CountingBody struct {
	io.Reader
	BytesRead, Closed atomic.Int64
}

// Read reads from the Reader.
func (b *CountingBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.BytesRead.Add(int64(n))
	return n, err
}

// Close counts.
func (b *CountingBody) Close() error {
	b.Closed.Add(1)
	return nil
}

// Serve starts a server on the loopback interface for the time of the test, and returns its URL.
func Serve(t testing.TB, h http.HandlerFunc) string {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// World is a strict API, and credentials for it.
type World struct {
	*netoauthtest.Server
	Ctx  context.Context // its HTTP client reaches the API
	Key  *netoauth.APIKey
	User *netoauth.Password
}

// NewWorld starts an API on the loopback interface for the time of the test.
func NewWorld(t *testing.T) *World {
	t.Helper()
	srv := netoauthtest.NewServer()
	t.Cleanup(srv.Close)
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		t.Fatal(err)
	}
	user := &netoauth.Password{URL: srv.URL, Username: srv.Username, Password: netoauth.Secret(srv.Password)}
	return &World{srv, t.Context(), key, user}
}

// InBubble runs test in a bubble of testing/synctest, in whose world the API is reached without a
// network. It fails the test if a goroutine outlives it by a minute.
func InBubble(t *testing.T, test func(t *testing.T, w *World)) {
	t.Helper()
	w := NewWorld(t)
	synctest.Test(t, func(t *testing.T) {
		w.Ctx = Over(t.Context(), w.InProcess().Transport)
		test(t, w)
		time.Sleep(time.Minute)
	})
}

// RunInBubble is InBubble for a test of its own below t.
func RunInBubble(t *testing.T, name string, test func(t *testing.T, w *World)) {
	t.Run(name, func(t *testing.T) { InBubble(t, test) })
}

// ExchangesOver asks src for a token every 10 ms and returns when each token request came, from now
// on.
func (w *World) ExchangesOver(src oauth2.TokenSource, d time.Duration) (at []time.Duration) {
	start, seen := time.Now(), w.Requests("")
	for ; time.Since(start) < d; time.Sleep(10 * time.Millisecond) {
		src.Token()
		synctest.Wait()
		for n := w.Requests(""); seen < n; seen++ {
			at = append(at, time.Since(start))
		}
	}
	return at
}

// MustToken returns the access token that src gives.
func MustToken(t *testing.T, src oauth2.TokenSource) string {
	t.Helper()
	tok, err := src.Token()
	if err != nil {
		t.Fatal(err)
	}
	return tok.AccessToken
}

// MustGet returns the status of the answer to a GET.
func MustGet(t *testing.T, client *http.Client, url string) int {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// Diff reports where got is not what is wanted.
func Diff(t testing.TB, what string, want, got any, opts ...cmp.Option) {
	t.Helper()
	if d := cmp.Diff(want, got, opts...); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// WantError reports an err in which target is not found.
func WantError(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("error %v, want %v in it", err, target)
	}
}
