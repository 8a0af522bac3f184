package compose_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/netoauth/netoauth"
)

// Above, go-retryablehttp asks for a token at each try, so a try long after the first has a current one; here the
// first try's is revoked meanwhile. Token requests are none of its business.
//
// Its policy tries again at any error, a refused credential included, so it needs one that knows better.
func Example_retryableAbove() {
	srv, key := newAPI()
	defer srv.Close()
	srv.Handle("GET /busy", troubled(srv.RevokeAccessTokens))

	retry := newRetry()
	retry.CheckRetry = unlessRejected
	retry.HTTPClient = key.Client(with(&http.Client{Transport: logging("the wire", http.DefaultTransport)}))

	resp, err := retry.Get(srv.URL + "/busy")
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println("the caller sees", resp.StatusCode)
	// Output:
	// the wire sees POST /api/v1/auth/token 200
	// the wire sees GET /busy 503, with the token
	// the wire sees GET /busy 401, with the token
	// the wire sees POST /api/auth/bearer/refresh 200
	// the wire sees GET /busy 200, with the token
	// the caller sees 200
}

// Below, go-retryablehttp repeats a request with the token it came with: one is fetched and all tries use it.
// Where it lapses between two tries, the API's 401 goes up to the Transport, which renews it and starts over.
//
// Here it is below the Transport alone. In the client in ctx it would repeat log-ins, too: see
// TestRetryable_inTheContext. And it follows redirects down there, so it has to be told not to.
func Example_retryableBelow() {
	srv, key := newAPI()
	defer srv.Close()
	srv.Handle("GET /busy", troubled(func() {}))
	srv.Handle("GET /busy/long", troubled(srv.RevokeAccessTokens))

	wire := logging("the wire", http.DefaultTransport)
	retry := newRetry()
	retry.HTTPClient.Transport = wire
	retry.HTTPClient.CheckRedirect = stay
	client := &http.Client{Transport: &netoauth.Transport{
		Source: key.TokenSource(with(&http.Client{Transport: wire})),
		Base:   &retryablehttp.RoundTripper{Client: retry},
	}}

	for _, path := range []string{"/busy", "/busy/long"} {
		resp, err := client.Get(srv.URL + path)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Println("the caller sees", resp.StatusCode)
	}
	// Output:
	// the wire sees POST /api/v1/auth/token 200
	// the wire sees GET /busy 503, with the token
	// the wire sees GET /busy 200, with the token
	// the caller sees 200
	// the wire sees GET /busy/long 503, with the token
	// the wire sees GET /busy/long 401, with the token
	// the wire sees POST /api/auth/bearer/refresh 200
	// the wire sees GET /busy/long 200, with the token
	// the caller sees 200
}

func TestRetryable_stopsAtARejectedCredential(t *testing.T) {
	for _, c := range []struct {
		name  string
		check retryablehttp.CheckRetry
		asked int32 // how often the client was asked
	}{
		{"with a policy that knows ErrRejected", unlessRejected, 1},
		{"with its own policy", retryablehttp.DefaultRetryPolicy, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv, key := newAPI()
			defer srv.Close()
			key.SharedSecret = "an old one"
			var asked atomic.Int32
			retry := newRetry()
			retry.CheckRetry = c.check
			retry.HTTPClient = key.Client(t.Context())
			authorized := retry.HTTPClient.Transport
			retry.HTTPClient.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
				asked.Add(1)
				return authorized.RoundTrip(req)
			})

			_, err := retry.Get(srv.URL + listPath)
			if !errors.Is(err, netoauth.ErrRejected) {
				t.Errorf("error %v, want one that is ErrRejected", err)
			}
			// Either way the source does not hammer: until its pause is over it repeats its error.
			if got := srv.Requests(""); asked.Load() != c.asked || got != 1 {
				t.Errorf("asked %d times, %d log-ins; want %d and 1", asked.Load(), got, c.asked)
			}
		})
	}
}

// In the client in ctx, go-retryablehttp stands below the token requests, too. Three things come with that: it
// repeats a log-in as it was, where netoauth would sign anew; its tries multiply with netoauth's own; and it
// follows redirects, out of netoauth's sight, unless told not to.
func TestRetryable_inTheContext(t *testing.T) {
	t.Run("repeats a log-in with the same request token", func(t *testing.T) {
		srv, key := newAPI()
		defer srv.Close()
		var bodies []string
		srv.Fail(-1, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			bodies = append(bodies, string(body))
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		if _, err := key.Token(with(newRetry().StandardClient())); err == nil {
			t.Error("no error from an endpoint that is down")
		}
		if len(bodies) != 3 || len(slices.Compact(bodies)) != 1 {
			t.Errorf("log-ins %q, want the same one three times", bodies)
		}
	})

	for _, c := range []struct {
		name          string
		checkRedirect func(*http.Request, []*http.Request) error
		want          map[string]bool // whether a credential reached another origin
	}{
		{"follows redirects as it comes", nil, map[string]bool{"log-in": true, "call": true}},
		{"follows none when told so", stay, map[string]bool{"log-in": false, "call": false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv, key := newAPI()
			defer srv.Close()
			got := make(map[string]bool)
			for _, what := range []string{"log-in", "call"} {
				var leaked atomic.Bool
				stranger := strangerServer(&leaked)
				defer stranger.Close()
				away := http.RedirectHandler(stranger.URL, http.StatusTemporaryRedirect)
				retry := newRetry()
				retry.HTTPClient.CheckRedirect = c.checkRedirect
				ctx := with(retry.StandardClient())
				if what == "log-in" {
					srv.Fail(1, away)
					key.Token(ctx) // fails, either way
				} else {
					srv.Handle("GET /moved", away)
					if resp, err := key.Client(ctx).Get(srv.URL + "/moved"); err == nil {
						resp.Body.Close()
					}
				}
				got[what] = leaked.Load()
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("credentials at another origin (-want +got):\n%s", diff)
			}
		})
	}
}

func newRetry() *retryablehttp.Client {
	retry := retryablehttp.NewClient()
	retry.Logger = nil
	retry.RetryMax = 2
	retry.RetryWaitMin, retry.RetryWaitMax = time.Millisecond, time.Millisecond
	return retry
}

// unlessRejected is the default policy, but a refused credential does not get better by trying again.
func unlessRejected(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if errors.Is(err, netoauth.ErrRejected) {
		return false, err
	}
	return retryablehttp.DefaultRetryPolicy(ctx, resp, err)
}

// stay leaves redirects to the client above, which knows where the token may go.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
