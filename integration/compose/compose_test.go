// Package compose_test puts netoauth into one chain with the transports that programs have already.
//
// Each example says what its order does. In short: what is above (outside) a [netoauth.Transport] sees API
// calls without their token; what is below (inside, in the client in ctx) sees each request on the wire, log-ins
// and credentials included.
package compose_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

const listPath = "/api/v1/ip/list"

// newAPI starts an API with one list, and returns it with a key to it.
func newAPI() (*netoauthtest.Server, *netoauth.APIKey) {
	srv := netoauthtest.NewServer()
	srv.Handle("GET "+listPath, netoauthtest.Answer(200, "application/json", `["192.0.2.7"]`))
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		panic(err)
	}
	return srv, key
}

// with returns a context with hc for the flows of x/oauth2 and netoauth.
func with(hc *http.Client) context.Context {
	return context.WithValue(context.Background(), oauth2.HTTPClient, hc)
}

// list calls the API and returns the answer's status, or 0 where there is none.
func list(client *http.Client, srv *netoauthtest.Server) int {
	resp, err := client.Get(srv.URL + listPath)
	if err != nil {
		return 0
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode
}

// roundTripper is a function in the place of a transport, for the layers that a program writes itself.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// logging prints what passes and whether the token is there to be seen.
func logging(who string, base http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		resp, err := base.RoundTrip(req)
		if err != nil {
			fmt.Println(who, "sees", req.Method, req.URL.Path, "fail")
			return resp, err
		}
		seen := ""
		if req.Header.Get("Authorization") != "" || resp.Request.Header.Get("Authorization") != "" {
			seen = ", with the token"
		}
		fmt.Printf("%s sees %s %s %d%s\n", who, req.Method, req.URL.Path, resp.StatusCode, seen)
		return resp, err
	})
}

// troubled answers the first call with 503 once it has done trouble, and the others with 200.
func troubled(trouble func()) http.Handler {
	var calls atomic.Int32
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			trouble()
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
}

// strangerServer starts a server that notes whether anything that looks like a credential arrives.
func strangerServer(got *atomic.Bool) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "" || strings.Contains(string(body), "jwt") {
			got.Store(true)
		}
	}))
}
