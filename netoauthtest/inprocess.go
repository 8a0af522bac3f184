package netoauthtest

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing/iotest"
)

// InProcess returns an HTTP client whose requests reach the server's handlers without a network,
// whatever the host in their URL, even after [Server.Close]. It is for tests in a testing/synctest
// bubble, where waiting for a socket would stop the clock: create the Server outside, as it has a
// listener, and the client inside or outside. The package comment shows a whole test.
//
// The answer arrives when the handler has ended, so it cannot be streamed. Where a handler ends
// with panic(http.ErrAbortHandler), as [Drop] and [CutOff] do, the client sees the broken
// connection that it would see over the network. Of the context of the client's request the handler
// sees the end, but neither the values nor the deadline, which no network carries. When the handler
// ends, or the request's context before it, the request's body is closed: a handler that reads on
// gets [http.ErrBodyReadAfterClose].
func (s *Server) InProcess() *http.Client {
	return &http.Client{Transport: inProcess{s}}
}

type inProcess struct{ handler http.Handler }

func (t inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	body := &requestBody{ReadCloser: http.NoBody}
	if req.Body != nil {
		body.ReadCloser = req.Body
	}
	if req.Context().Err() != nil {
		body.Close()
		return nil, context.Cause(req.Context())
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r := serverRequest(ctx, req, body) // here, as req is the caller's again once RoundTrip has returned
	rec := httptest.NewRecorder()
	ended := make(chan bool, 1)
	go func() {
		whole := false
		// Deferred, because a handler may also end by runtime.Goexit, in t.FailNow.
		defer func() {
			body.Close()
			ended <- whole
		}()
		whole = serve(t.handler, rec, r)
	}()

	whole := false
	select {
	case whole = <-ended:
	case <-req.Context().Done():
	}
	if req.Context().Err() != nil {
		body.Close() // the handler may be reading it
		return nil, context.Cause(req.Context())
	}
	return response(req, rec, whole)
}

// serve reports whether the handler came to its end, rather than break the connection.
func serve(h http.Handler, w http.ResponseWriter, r *http.Request) (whole bool) {
	defer func() {
		if v := recover(); v != nil && v != http.ErrAbortHandler {
			panic(v)
		}
	}()
	h.ServeHTTP(w, r)
	return true
}

// serverRequest returns req as a server would see it.
func serverRequest(ctx context.Context, req *http.Request, body io.ReadCloser) *http.Request {
	r := req.Clone(ctx)
	r.Body, r.GetBody = body, nil
	if req.Body != nil && req.Body != http.NoBody && req.ContentLength == 0 {
		r.ContentLength = -1 // to a client 0 means unknown, to a server it means none
	}
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	if r.Host == "" {
		r.Host = req.URL.Host
	}
	r.RequestURI = req.URL.RequestURI()
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil {
		r.URL = u
	}
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	r.RemoteAddr = "192.0.2.1:1234" // TEST-NET-1 of RFC 5737, as in httptest.NewRequest
	r.Response = nil
	return r
}

// response returns what the handler wrote. Where it did not come to its end, the connection broke
// after that.
func response(req *http.Request, rec *httptest.ResponseRecorder, whole bool) (*http.Response, error) {
	if !whole && !rec.Flushed && rec.Body.Len() == 0 {
		return nil, io.EOF
	}
	resp := rec.Result()
	resp.Request = req
	switch {
	case !whole:
		resp.Body = io.NopCloser(io.MultiReader(resp.Body, iotest.ErrReader(io.ErrUnexpectedEOF)))
	case req.Method == http.MethodHead:
		resp.Body = http.NoBody
	case resp.StatusCode == http.StatusNoContent, resp.StatusCode == http.StatusNotModified:
		resp.Body, resp.ContentLength = http.NoBody, 0
	default:
		resp.ContentLength = int64(rec.Body.Len())
	}
	return resp, nil
}

// requestBody can be closed by the handler, by the client that gives up and at the handler's end,
// whichever comes first. Bodies need not take a second Close, and are no longer the handler's to
// read after the first, as the client may use them again. Close does not wait for a Read that has
// begun, since it is what ends one that waits for input.
type requestBody struct {
	io.ReadCloser
	closed atomic.Bool
}

func (b *requestBody) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.ReadCloser.Read(p)
}

func (b *requestBody) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	return b.ReadCloser.Close()
}
