package live_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// unending is a body of a few bytes that neither goes on nor ends until it is closed.
type unending struct {
	text   io.Reader
	closed chan struct{}
}

func newUnending(text string) io.ReadCloser {
	return &unending{strings.NewReader(text), make(chan struct{})}
}

func (u *unending) Read(p []byte) (int, error) {
	if n, _ := u.text.Read(p); n > 0 {
		return n, nil
	}
	<-u.closed
	return 0, errors.New("read on a closed body")
}

func (u *unending) Close() error {
	close(u.closed)
	return nil
}

// dripping is a reader of a byte every 300 ms, for good.
type dripping struct{}

func (dripping) Read(p []byte) (int, error) {
	time.Sleep(300 * time.Millisecond)
	return copy(p, "x"), nil
}

var errBroken = errors.New("connection reset")

// bodies are those of a 401, how long they delay a renewal, and what a caller reads of them who gets
// the 401 after all. That ends with the error, nil for io.EOF.
var bodies = []struct {
	name string
	body func() io.ReadCloser // made in the bubble
	took time.Duration
	kept string
	end  error
}{

	{"none", func() io.ReadCloser { return nil }, 0, "", nil},
	{"empty", func() io.ReadCloser { return http.NoBody }, 0, "", nil},
	{"short", whole("no such token"), 0, "no such token", nil},
	{"64 KiB less one", whole(long[:64<<10-1]), 0, long[:64<<10-1], nil},
	{"64 KiB", whole(long[:64<<10]), 0, long[:64<<10], nil},
	{"64 KiB and one", whole(long[:64<<10+1]), 0, long[:64<<10], io.ErrUnexpectedEOF},
	{"200 KiB", whole(long), 0, long[:64<<10], io.ErrUnexpectedEOF},
	{"a byte every 300 ms", func() io.ReadCloser { return io.NopCloser(dripping{}) }, time.Second,
		"xxx", io.ErrUnexpectedEOF},
	{"12 bytes and silence", func() io.ReadCloser { return newUnending("no such toke") }, time.Second,
		"no such toke", io.ErrUnexpectedEOF},
	{"silence", func() io.ReadCloser { return newUnending("") }, time.Second, "", io.ErrUnexpectedEOF},
	{"broken", func() io.ReadCloser {
		return io.NopCloser(io.MultiReader(strings.NewReader("no such"), iotest.ErrReader(errBroken)))
	}, 0, "no such", errBroken},
}

var long = strings.Repeat("0123456789abcdef", 200<<10/16)

func whole(text string) func() io.ReadCloser {
	return func() io.ReadCloser { return io.NopCloser(strings.NewReader(text)) }
}

func TestTransport_bodyOfA401DelaysTheRenewalByASecondAtMost(t *testing.T) {
	for _, tt := range bodies {
		suite.RunInBubble(t, tt.name, func(t *testing.T, w *suite.World) {
			transport := refusing(t, w, tt.body)
			start := time.Now()
			suite.Diff(t, "status", 200, send(t, transport, get(w)).StatusCode)
			suite.Diff(t, "time taken", tt.took.String(), time.Since(start).String())
		})
	}
}

func TestTransport_bodyOfA401IsTheCallersIfTheRenewalFails(t *testing.T) {
	for _, tt := range bodies {
		suite.RunInBubble(t, tt.name, func(t *testing.T, w *suite.World) {
			transport := refusing(t, w, tt.body)
			w.Fail(-1, netoauthtest.Status(401))
			start := time.Now()
			resp := send(t, transport, get(w))
			suite.Diff(t, "status", 401, resp.StatusCode)
			suite.Diff(t, "time taken", tt.took.String(), time.Since(start).String())
			if resp.Body == nil {
				return
			}
			got, err := io.ReadAll(io.LimitReader(resp.Body, 1<<17)) // of a body that ends too late
			suite.Diff(t, "what was kept", tt.kept, string(got))
			if err != tt.end {
				t.Errorf("read, and then %v, want %v", err, tt.end)
			}
			if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("after its end, %d bytes and %v", n, err)
			}
			suite.Diff(t, "error of Close", nil, resp.Body.Close())
		})
	}
}

// refusing returns a Transport with a token in hand. Its first request is answered with 401 and the
// body, and each later one with 200.
func refusing(t *testing.T, w *suite.World, body func() io.ReadCloser) *netoauth.Transport {
	t.Helper()
	src := w.Key.TokenSource(w.Ctx)
	suite.MustToken(t, src)
	n := 0
	base := suite.RoundTripper(func(req *http.Request) (*http.Response, error) {
		if n++; n > 1 {
			return suite.Answer(200, "").RoundTrip(req)
		}
		if req.Body != nil {
			req.Body.Close()
		}
		return &http.Response{StatusCode: 401, Body: body(), Request: req}, nil
	})
	return &netoauth.Transport{Source: src, Base: base}
}

// Over the network the rest of a body is left unread by closing the connection, so that the renewal
// and the replay need no second one.
func TestTransport_bodyOfA401OverTheNetwork(t *testing.T) {
	for name, refuse := range map[string]http.HandlerFunc{
		"12 bytes and silence": func(rw http.ResponseWriter, r *http.Request) {
			rw.WriteHeader(401)
			io.WriteString(rw, "no such toke")
			http.NewResponseController(rw).Flush()
			<-r.Context().Done()
		},
		"200 KiB": func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(401)
			io.WriteString(rw, long)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := suite.NewWorld(t)
			var n atomic.Int32
			w.Handle("/", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if n.Add(1)%2 == 1 {
					refuse(rw, r)
				}
			}))
			base := &http.Transport{MaxConnsPerHost: 1}
			t.Cleanup(base.CloseIdleConnections)
			src := w.Key.TokenSource(suite.Over(w.Ctx, base))
			transport := &netoauth.Transport{Source: src, Base: base}
			resp := send(t, transport, get(w))
			suite.Diff(t, "status", 200, resp.StatusCode)
			resp.Body.Close()
		})
	}
}

func TestTransport_401ThatStartsNoWaitIsNotTouched(t *testing.T) {
	sameBody := func(t *testing.T, transport *netoauth.Transport, req *http.Request) {
		t.Helper()
		body := &suite.CountingBody{Reader: strings.NewReader("no such token")}
		transport.Base = suite.RoundTripper(func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 401, Body: body, Request: req}, nil
		})
		resp := send(t, transport, req)
		if resp.Body != body || body.BytesRead.Load() != 0 || body.Closed.Load() != 0 {
			t.Errorf("the body is %#v, want the API's own, unread", resp.Body)
		}
	}
	tests := []struct {
		name string
		test func(t *testing.T, w *suite.World, transport *netoauth.Transport)
	}{
		{"so soon after a forced renewal", func(t *testing.T, w *suite.World, transport *netoauth.Transport) {
			suite.Diff(t, "status", 200, send(t, transport, get(w)).StatusCode)
			sameBody(t, transport, get(w))
		}},
		{"during back-off", func(t *testing.T, w *suite.World, transport *netoauth.Transport) {
			w.Fail(-1, netoauthtest.Status(401))
			time.Sleep(stale)
			suite.MustToken(t, transport.Source) // starts a renewal, which fails
			netoauth.Wait(w.Ctx, transport.Source)
			sameBody(t, transport, get(w))
		}},
		{"of a request that cannot be sent again", func(t *testing.T, w *suite.World, transport *netoauth.Transport) {
			sameBody(t, transport, unrepeatable(w))
		}},
		{"the second", func(t *testing.T, w *suite.World, transport *netoauth.Transport) {
			bodies := []*suite.CountingBody{{Reader: strings.NewReader("1")}, {Reader: strings.NewReader("2")}}
			n := 0
			transport.Base = suite.RoundTripper(func(req *http.Request) (*http.Response, error) {
				n++
				return &http.Response{StatusCode: 401, Body: bodies[n-1], Request: req}, nil
			})
			if resp := send(t, transport, get(w)); resp.Body != bodies[1] || bodies[1].BytesRead.Load() != 0 {
				t.Errorf("the body is %#v, want that of the second answer, unread", resp.Body)
			}
			suite.Diff(t, "times the first was closed", int64(1), bodies[0].Closed.Load())
		}},
		{"with a foreign source", func(t *testing.T, w *suite.World, transport *netoauth.Transport) {
			transport.Source = oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "t"})
			sameBody(t, transport, get(w))
		}},
	}
	for _, tt := range tests {
		suite.RunInBubble(t, tt.name, func(t *testing.T, w *suite.World) {
			tt.test(t, w, refusing(t, w, whole("no such token")))
		})
	}
}

func TestTransport_401WithoutANewTokenAsksForNoBody(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		transport := refusing(t, w, whole("no such token"))
		w.Fail(-1, netoauthtest.Status(401))
		asked := 0
		req := unrepeatable(w)
		req.GetBody = func() (io.ReadCloser, error) { asked++; return http.NoBody, nil }
		suite.Diff(t, "status", 401, send(t, transport, req).StatusCode)
		suite.Diff(t, "bodies that nobody closes", 0, asked)
	})
}
