// Package endpoint_test holds one token request and its response to what they promise, without a
// server: a function stands for the network.
package endpoint_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth/internal/endpoint"
	"github.com/netoauth/netoauth/internal/redact"
	"golang.org/x/oauth2"
)

// tokenURL is where the requests go.
const tokenURL = "https://api.test/token"

// network is a function as a network.
type network func(*http.Request) (*http.Response, error)

func (n network) RoundTrip(r *http.Request) (*http.Response, error) { return n(r) }

// over returns a context whose HTTP client goes over n.
func over(ctx context.Context, n network) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: n})
}

// respond returns a response with a body. header has names and values in turn; the names are kept
// as they are.
func respond(r *http.Request, code int, body string, header ...string) *http.Response {
	resp := &http.Response{StatusCode: code, Header: http.Header{}, Request: r, ContentLength: int64(len(body)),
		Body: io.NopCloser(strings.NewReader(body))}
	for i := 0; i < len(header); i += 2 {
		resp.Header[header[i]] = append(resp.Header[header[i]], header[i+1])
	}
	return resp
}

// answer is a network on which every response is this one.
func answer(code int, body string, header ...string) network {
	return func(r *http.Request) (*http.Response, error) { return respond(r, code, body, header...), nil }
}

// post sends a request with secrets over n and returns the response, which must come.
func post(t testing.TB, n network, secrets ...string) *endpoint.Response {
	t.Helper()
	res, err := endpoint.Post(over(t.Context(), n), endpoint.Request{URL: tokenURL, Secrets: redact.New(secrets...)})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// diff reports where got is not what is wanted.
func diff(t testing.TB, what string, want, got any, opts ...cmp.Option) {
	t.Helper()
	if d := cmp.Diff(want, got, opts...); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestPost_sendsTheBodyOnceWithTheTwoHeaders(t *testing.T) {
	for _, contentType := range []string{endpoint.JSON, endpoint.Form} {
		type request struct {
			Method, URL, Body string
			Header            http.Header
		}
		var sent []request
		ctx := over(t.Context(), func(r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			sent = append(sent, request{r.Method, r.URL.String(), string(body), r.Header})
			return respond(r, 500, ""), nil
		})
		req := endpoint.Request{URL: tokenURL, ContentType: contentType, Body: "a=b"}
		if _, err := endpoint.Post(ctx, req); err != nil {
			t.Fatal(err)
		}
		header := http.Header{"Accept": {endpoint.JSON}, "Content-Type": {contentType}}
		diff(t, "requests", []request{{"POST", tokenURL, "a=b", header}}, sent)
	}
}

// closeCounter counts how often a body is closed.
type closeCounter struct {
	io.Reader
	closed int
}

func (c *closeCounter) Close() error {
	c.closed++
	return nil
}

func TestPost_closesTheBody(t *testing.T) {
	for name, reader := range map[string]io.Reader{
		"read whole":   strings.NewReader("{}"),
		"too long":     strings.NewReader(strings.Repeat(" ", 2<<20)),
		"broken early": iotest.ErrReader(errors.New("broken")),
	} {
		body := &closeCounter{Reader: reader}
		post(t, func(r *http.Request) (*http.Response, error) {
			resp := respond(r, 200, "")
			resp.Body = body
			return resp, nil
		})
		diff(t, name+": closed", 1, body.closed)
	}
}

// Credentials must not follow a redirect, wherever it leads. The response is then like any other,
// but for a Location that is no URL, which net/http takes for the failure of the whole request.
func TestPost_followsNoRedirect(t *testing.T) {
	for _, code := range []int{301, 302, 303, 307, 308} {
		for _, location := range []string{"/other", "https://elsewhere.test/", "http://[::1", "%zz", "", "\x7f"} {
			requests := 0
			res := post(t, func(r *http.Request) (*http.Response, error) {
				requests++
				return respond(r, code, `{"name":"Moved","message":"look there"}`, "Location", location), nil
			})
			diff(t, location+": requests", 1, requests)
			diff(t, location+": response", said{code, "Moved", "look there", ""}, saidBy(res))
		}
	}
}

func TestPost_leavesTheClientInTheContextAsItIs(t *testing.T) {
	n := answer(500, "")
	client := &http.Client{Transport: n}
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, client)
	if _, err := endpoint.Post(ctx, endpoint.Request{URL: tokenURL}); err != nil {
		t.Fatal(err)
	}
	if _, same := client.Transport.(network); !same || client.CheckRedirect != nil {
		t.Errorf("the client became %+v", client)
	}
}

func TestPost_usesTheDefaultTransportWhereTheClientHasNone(t *testing.T) {
	was := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = was })
	http.DefaultTransport = answer(418, "")
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{})
	res, err := endpoint.Post(ctx, endpoint.Request{URL: tokenURL})
	if err != nil || res.StatusCode != 418 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestClient_isTheOneInTheContextOrTheDefault(t *testing.T) {
	was := http.DefaultClient
	t.Cleanup(func() { http.DefaultClient = was })
	http.DefaultClient = &http.Client{Transport: answer(418, "")}
	own := new(http.Client)
	for name, tt := range map[string]struct {
		value any
		want  *http.Client
	}{
		"a client":        {own, own},
		"nothing":         {nil, http.DefaultClient},
		"a nil client":    {(*http.Client)(nil), http.DefaultClient},
		"no client":       {"client", http.DefaultClient},
		"a client's copy": {*own, http.DefaultClient},
	} {
		ctx := context.WithValue(t.Context(), oauth2.HTTPClient, tt.value)
		if endpoint.Client(ctx) != tt.want {
			t.Errorf("%s: another client", name)
		}
		if tt.want == own {
			continue
		}
		if res, err := endpoint.Post(ctx, endpoint.Request{URL: tokenURL}); err != nil || res.StatusCode != 418 {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
}

func TestMarked_holdsInTheContextOfATokenRequestAlone(t *testing.T) {
	type key struct{}
	marked, value := false, any(nil)
	ctx := over(context.WithValue(t.Context(), key{}, "kept"), func(r *http.Request) (*http.Response, error) {
		marked, value = endpoint.Marked(r.Context()), r.Context().Value(key{})
		return respond(r, 500, ""), nil
	})
	if _, err := endpoint.Post(ctx, endpoint.Request{URL: tokenURL}); err != nil {
		t.Fatal(err)
	}
	diff(t, "the request's context", []any{true, "kept"}, []any{marked, value})
	diff(t, "the caller's context", false, endpoint.Marked(ctx))
}

const secret = "correct horse battery staple"

// slow is an error that is a timeout.
type slow struct{}

func (slow) Error() string { return "too slow" }
func (slow) Timeout() bool { return true }

func TestPost_saysWhyNoAnswerCame(t *testing.T) {
	const withheld = "the cause is not shown, it is empty or quotes a credential"
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"refused", &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}, "dial tcp: connection refused"},
		{"timeout", slow{}, "too slow"},
		{"cut off", io.ErrUnexpectedEOF, "unexpected EOF"},
		{"lines", errors.New("one\r\ntwo\tthree\x00"), "one two three"},
		{"long", errors.New(strings.Repeat("x", 1<<20)), strings.Repeat("x", 299) + "…"},
		{"empty", errors.New(""), withheld},
		{"a credential", errors.New("net/http: malformed header " + secret), withheld},
		{"a credential, escaped", errors.New("correct%20horse+battery%2Bstaple"), withheld},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx := over(t.Context(), func(*http.Request) (*http.Response, error) { return nil, tt.err })
			res, err := endpoint.Post(ctx, endpoint.Request{URL: tokenURL, Secrets: redact.New(secret)})
			if res != nil || err == nil {
				t.Fatalf("%+v, %v", res, err)
			}
			diff(t, "text", tt.want, err.Error())
			if !errors.Is(err, tt.err) {
				t.Error("errors.Is does not find the cause")
			}
			found, isNet := errors.AsType[*net.OpError](tt.err)
			if got, _ := errors.AsType[*net.OpError](err); isNet && got != found {
				t.Error("errors.As does not find the cause")
			}
			var timeout interface{ Timeout() bool }
			diff(t, "a timeout", tt.err == error(slow{}), errors.As(err, &timeout) && timeout.Timeout())
		})
	}
}

func TestPost_failsWhereNothingCanBeSent(t *testing.T) {
	for name, url := range map[string]string{
		"no scheme": "api.test/token", "no host": "https://", "not a URL": "https://api.test/\x7f" + secret,
	} {
		res, err := endpoint.Post(t.Context(), endpoint.Request{URL: url, Secrets: redact.New(secret)})
		if res != nil || err == nil {
			t.Errorf("%s: %+v, %v", name, res, err)
		} else if strings.Contains(err.Error(), "api.test") || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v names the URL", name, err)
		}
	}
	res, err := endpoint.Post(over(t.Context(), func(*http.Request) (*http.Response, error) { return nil, nil }),
		endpoint.Request{URL: tokenURL})
	if res != nil || err == nil {
		t.Errorf("neither a response nor an error: %+v, %v", res, err)
	}
}

func TestPost_endsWithItsContext(t *testing.T) {
	for _, want := range []error{context.Canceled, context.DeadlineExceeded} {
		for _, said := range []error{want, errors.New("some transport's words")} {
			synctest.Test(t, func(t *testing.T) { endsWithItsContext(t, want, said) })
		}
	}
}

// endsWithItsContext checks what comes of this end of the context, of which the transport says said.
func endsWithItsContext(t *testing.T, want, said error) {
	waits := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, said
	}
	ctx, cancel := context.WithTimeout(over(t.Context(), waits), time.Second)
	defer cancel()
	if want == context.Canceled {
		time.AfterFunc(time.Millisecond, cancel)
	}
	_, err := endpoint.Post(ctx, endpoint.Request{URL: tokenURL})
	if !errors.Is(err, want) || endpoint.Unsent(err) {
		t.Errorf("%v, want %v in it, and perhaps sent", err, want)
	}
	text := want.Error()
	if said != want {
		text += ": " + said.Error()
	}
	diff(t, "text", text, err.Error())
}

// The client's own Timeout is for the whole request, its answer's body included, and counts the time
// that the program runs.
func TestPost_endsWithTheClientsTimeout(t *testing.T) {
	type stalled struct {
		sent, silent time.Duration // until the header, and from then on
	}
	for _, tt := range []struct {
		name string
		stalled
		want bool // whether an answer comes
	}{
		{"in time", stalled{600 * time.Millisecond, 399 * time.Millisecond}, true},
		{"before the header", stalled{time.Hour, 0}, false},
		{"in the body", stalled{600 * time.Millisecond, time.Hour}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			var during context.Context
			n := network(func(r *http.Request) (*http.Response, error) {
				during = r.Context()
				if err := sleep(during, tt.sent); err != nil {
					return nil, err
				}
				resp := respond(r, 200, "")
				resp.Body = io.NopCloser(readFunc(func(p []byte) (int, error) {
					if err := sleep(during, tt.silent); err != nil {
						return 0, err
					}
					return copy(p, `{"access_token":"good"}`), io.EOF
				}))
				return resp, nil
			})
			ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: n, Timeout: time.Second})
			start := time.Now()
			res, err := endpoint.Post(ctx, endpoint.Request{URL: tokenURL})
			if res != nil {
				err = errors.Join(res.Causes...)
				diff(t, tt.name+": a token", tt.want, res.Token != nil)
			}
			var timeout interface{ Timeout() bool }
			if late := errors.Is(err, context.DeadlineExceeded) && errors.As(err, &timeout) && timeout.Timeout(); late == tt.want {
				t.Errorf("%s: error %v", tt.name, err)
			}
			took := time.Second
			if tt.want {
				took = tt.sent + tt.silent
			}
			diff(t, tt.name+": took", took.String(), time.Since(start).String())
			if _, fixed := during.Deadline(); fixed {
				t.Errorf("%s: the request has a deadline that does not wait for the program", tt.name)
			}
		})
	}
}

// sleep waits for d, or returns why ctx has ended.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestOneLine_refusesLineBreaks(t *testing.T) {
	for value, want := range map[string]string{
		"a b\tc": "", "": "", "a\n": "Field has a line break; remove it, as strings.TrimSpace does",
		"\ra": "Field has a line break; remove it, as strings.TrimSpace does",
	} {
		got := ""
		if err := endpoint.OneLine("Field", value); err != nil {
			got = err.Error()
		}
		diff(t, value, want, got)
	}
}
