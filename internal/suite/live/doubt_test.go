package live_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// Ten requests a second, beside one a second that the API answers with 401, for a minute.
func TestTransport_401HurtsNobodyElse(t *testing.T) {
	for name, trouble := range map[string]func(w *suite.World){
		"a slow endpoint":     func(w *suite.World) { w.Delay(20 * time.Second) },
		"a hanging endpoint":  func(w *suite.World) { w.Fail(-1, netoauthtest.Hang()) },
		"no endpoint":         func(w *suite.World) { w.Fail(-1, netoauthtest.Drop()) },
		"a broken endpoint":   func(w *suite.World) { w.Fail(-1, netoauthtest.CutOff()) },
		"refused credentials": func(w *suite.World) { w.Fail(-1, netoauthtest.Status(401)) },
		"no trouble":          func(*suite.World) {},
	} {
		t.Run(name, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
				w.SetLifetimes(time.Hour, 2*time.Hour)
				w.Handle("/", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
				w.Handle("/forbidden", netoauthtest.Status(401))
				client := w.Key.Client(w.Ctx)
				mustGetAtOnce(t, client, w.URL)
				trouble(w)
				var refused sync.WaitGroup
				for n := range 600 {
					if n%10 == 0 {
						refused.Go(func() {
							suite.Diff(t, "status of the API's own 401", 401, suite.MustGet(t, client, w.URL+"/forbidden"))
						})
						synctest.Wait()
					}
					mustGetAtOnce(t, client, w.URL)
					time.Sleep(100 * time.Millisecond)
				}
				refused.Wait()
				time.Sleep(30 * time.Minute)
				mustGetAtOnce(t, client, w.URL)
			})
		})
	}
}

// mustGetAtOnce checks that a GET is answered with 200, and waits for nothing.
func mustGetAtOnce(t *testing.T, client *http.Client, url string) {
	t.Helper()
	start := time.Now()
	suite.Diff(t, "status", 200, suite.MustGet(t, client, url))
	suite.Diff(t, "time that a request waited", "0s", time.Since(start).String())
}

func TestTransport_401LeavesTheTokenInUse(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Handle("/", netoauthtest.Status(401))
		src := w.Key.TokenSource(w.Ctx)
		first := suite.MustToken(t, src)
		client := &http.Client{Transport: &netoauth.Transport{Source: src, Base: w.InProcess().Transport}}
		w.Delay(2 * time.Second)
		w.Fail(-1, netoauthtest.Status(401))
		go client.Get(w.URL)
		for range 100 { // while the renewal is under way, and after it has failed
			synctest.Wait()
			suite.Diff(t, "the token is the first", true, suite.MustToken(t, src) == first)
			time.Sleep(100 * time.Millisecond)
		}
		suite.Diff(t, "token requests: the first, a refresh and a log-in", 3, w.Requests(""))
	})
}

// Callers who come while the renewal is under way are refused, too, and wait for the rest of it.
func TestTransport_revocationIsSeenByNobody(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Handle("/", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		client := w.Key.Client(w.Ctx)
		suite.MustGet(t, client, w.URL)
		w.Delay(time.Second)
		w.RevokeAccessTokens()
		start := time.Now()
		var all sync.WaitGroup
		for n := range 64 {
			all.Go(func() {
				time.Sleep(time.Duration(n) * 10 * time.Millisecond)
				suite.Diff(t, "status", 200, suite.MustGet(t, client, w.URL))
			})
		}
		all.Wait()
		suite.Diff(t, "time until all were served", "1s", time.Since(start).String())
		suite.Diff(t, "token requests: the first and the renewal", 2, w.Requests(""))
	})
}

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
		t.Run(tt.name, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
				transport := refusing(t, w, tt.body)
				start := time.Now()
				suite.Diff(t, "status", 200, send(t, transport, get(w)).StatusCode)
				suite.Diff(t, "time taken", tt.took.String(), time.Since(start).String())
			})
		})
	}
}

func TestTransport_bodyOfA401IsTheCallersIfTheRenewalFails(t *testing.T) {
	for _, tt := range bodies {
		t.Run(tt.name, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
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
		})
	}
}

// get returns a request to the API of w.
func get(w *suite.World) *http.Request {
	req, _ := http.NewRequestWithContext(w.Ctx, http.MethodGet, w.URL, nil)
	return req
}

// send returns the answer to req.
func send(t *testing.T, transport *netoauth.Transport, req *http.Request) *http.Response {
	t.Helper()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
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
			suite.Diff(t, "status", 401, send(t, transport, get(w)).StatusCode)
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
		t.Run(tt.name, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) {
				tt.test(t, w, refusing(t, w, whole("no such token")))
			})
		})
	}
}

// unrepeatable returns a request to the API of w whose body cannot be had again.
func unrepeatable(w *suite.World) *http.Request {
	body := io.MultiReader(strings.NewReader("body"))
	req, _ := http.NewRequestWithContext(w.Ctx, http.MethodPost, w.URL, body)
	return req
}

func TestTransport_unrepeatableRequestStartsTheRenewalAndDoesNotWait(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		transport := refusing(t, w, whole("no such token"))
		w.Delay(20 * time.Second)
		start := time.Now()
		for range 3 { // which share the renewal
			resp := send(t, transport, unrepeatable(w))
			transport = &netoauth.Transport{Source: transport.Source, Base: suite.Answer(401, "")}
			suite.Diff(t, "status", 401, resp.StatusCode)
			suite.Diff(t, "time taken", "0s", time.Since(start).String())
			synctest.Wait()
			suite.Diff(t, "token requests", 2, w.Requests(""))
		}
	})
}

// Nobody waits for that renewal, so it makes one try at a fault.
func TestTransport_unrepeatableRequestMakesOneTry(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		transport := refusing(t, w, whole("no such token"))
		w.Fail(-1, netoauthtest.Status(503))
		send(t, transport, unrepeatable(w))
		time.Sleep(10 * time.Second)
		suite.Diff(t, "token requests", 2, w.Requests(""))
	})
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

// The request has waited, and its caller gets the 401 that was kept.
func TestTransport_401WhoseRequestGetBodyDoesNotGive(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		transport := refusing(t, w, whole("no such token"))
		src := transport.Source
		first := suite.MustToken(t, src)
		body := &suite.CountingBody{Reader: strings.NewReader("body")}
		req := unrepeatable(w)
		req.Body, req.GetBody = body, func() (io.ReadCloser, error) { return nil, errors.New("gone") }
		resp := send(t, transport, req)
		suite.Diff(t, "status", 401, resp.StatusCode)
		got, err := io.ReadAll(resp.Body)
		suite.Diff(t, "body", "no such token <nil>", fmt.Sprint(string(got), " ", err))
		suite.Diff(t, "times the request's body was closed", int64(1), body.Closed.Load())
		suite.Diff(t, "the token is the first", false, suite.MustToken(t, src) == first)
	})
}

// The 401 that a caller gets because its own time is over is whole, and the renewal goes on.
func TestTransport_401AndTheEndOfTheContext(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		transport := refusing(t, w, whole("no such token"))
		first := suite.MustToken(t, transport.Source)
		w.Delay(2 * time.Second)
		ctx, cancel := context.WithTimeout(w.Ctx, time.Second)
		defer cancel()
		start := time.Now()
		resp := send(t, transport, get(w).WithContext(ctx))
		suite.Diff(t, "time taken", "1s", time.Since(start).String())
		got, err := io.ReadAll(resp.Body)
		suite.Diff(t, "body", "no such token <nil>", fmt.Sprint(string(got), " ", err))
		suite.Diff(t, "error of Wait", nil, netoauth.Wait(w.Ctx, transport.Source))
		suite.Diff(t, "the token is the first", false, suite.MustToken(t, transport.Source) == first)
	})
}

// A stale InitialToken that was served because its renewal took long, and is refused, is one more
// token in doubt: its request waits for the rest of that renewal.
func TestTransport_401OfATokenThatWasHeldBack(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Handle("/", suite.Answer(200, ""))
		var err error
		if w.Key.InitialToken, err = w.Key.Token(w.Ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(256 * time.Second)
		w.RevokeAccessTokens()
		w.Delay(8 * time.Second)
		client := w.Key.Client(w.Ctx)
		start := time.Now()
		suite.Diff(t, "status", 200, suite.MustGet(t, client, w.URL))
		suite.Diff(t, "time taken", "8s", time.Since(start).String())
		suite.Diff(t, "refreshes", 1, w.Requests(netoauthtest.RefreshPath))
	})
}
