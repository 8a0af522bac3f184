package netoauthtest

import (
	"io"
	"net/http"
	"strconv"
)

// The faults work for [Server.Fail] and, as they are handlers, for [Server.Handle] too.

// Status answers with the API's error object under the status code, from 200 to 999. header has
// names and values in turn, and Status panics where one is missing:
//
//	Status(503, "Retry-After", "3")
func Status(code int, header ...string) http.Handler {
	if code < 200 || code > 999 {
		panic("netoauthtest: Status: not the status of an answer")
	}
	if len(header)%2 != 0 {
		panic("netoauthtest: Status: a header name without a value")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		writeError(w, code, "the test asked for this status")
	})
}

// Answer answers with these very bytes. With contentType "" the answer has no Content-Type.
func Answer(code int, contentType, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil // or net/http would guess one
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(code)
		io.WriteString(w, body)
	})
}

// Drop closes the connection without an answer, which a client sees as io.EOF.
func Drop() http.Handler {
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic(http.ErrAbortHandler)
	})
}

// CutOff answers 200 and closes the connection half way through the body, which a client sees as
// io.ErrUnexpectedEOF while it reads.
func CutOff() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		const half = `{"token_type":"bearer","expires_in":300,"access_`
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(2*len(half)))
		io.WriteString(w, half)
		http.NewResponseController(w).Flush() // else net/http would drop it with the connection
		panic(http.ErrAbortHandler)
	})
}

// Hang gives no answer until the client gives up or the server is closed.
func Hang() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // net/http notices that a client is gone only after that
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	})
}
