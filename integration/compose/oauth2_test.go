package compose_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

// A token source of netoauth fits wherever x/oauth2 takes one, and caches and renews there as ever. What
// the source cannot do alone is lost; TestOAuth2Transport_whatItLoses has the list.
func Example_oauth2Transport() {
	srv, key := newAPI()
	defer srv.Close()

	client := &http.Client{Transport: &oauth2.Transport{Source: key.TokenSource(context.Background())}}

	fmt.Println(list(client, srv), list(client, srv), "with", srv.Requests(""), "log-in")
	// Output:
	// 200 200 with 1 log-in
}

// oauth2.NewClient works, too, but puts a cache of its own on top, which asks the source only when its token
// is spent: renewal ahead of time is lost as well. Prefer key.Client, or the Transport above.
func Example_oauth2NewClient() {
	srv, key := newAPI()
	defer srv.Close()

	client := oauth2.NewClient(context.Background(), key.TokenSource(context.Background()))

	fmt.Println(list(client, srv), list(client, srv), "with", srv.Requests(""), "log-in")
	// Output:
	// 200 200 with 1 log-in
}

func TestOAuth2Transport_whatItLoses(t *testing.T) {
	const (
		exchange = 5 * time.Second // a slow one
		patience = time.Second
	)
	type promises struct {
		StrangerGetsToken bool
		AfterRevocation   int           // status of the next call
		LongestCall       time.Duration // of one each second, through a renewal
		ImpatientCall     time.Duration // with a deadline of patience, through a log-in
	}
	for _, c := range []struct {
		name string
		wrap func(oauth2.TokenSource, http.RoundTripper) http.RoundTripper
		want promises
	}{
		{
			"netoauth.Transport",
			func(src oauth2.TokenSource, base http.RoundTripper) http.RoundTripper {
				return &netoauth.Transport{Source: src, Base: base}
			},
			promises{false, 200, 0, patience},
		},
		{
			"oauth2.Transport",
			func(src oauth2.TokenSource, base http.RoundTripper) http.RoundTripper {
				return &oauth2.Transport{Source: src, Base: base}
			},
			promises{true, 401, 0, exchange},
		},
		{
			"oauth2.NewClient",
			func(src oauth2.TokenSource, base http.RoundTripper) http.RoundTripper {
				return oauth2.NewClient(with(&http.Client{Transport: base}), src).Transport
			},
			promises{true, 401, exchange, exchange},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv, key := newAPI()
			defer srv.Close()
			synctest.Test(t, func(t *testing.T) {
				var got promises
				inProcess := srv.InProcess().Transport
				base := roundTripper(func(req *http.Request) (*http.Response, error) {
					if !strings.HasPrefix(srv.URL, "http://"+req.URL.Host) {
						got.StrangerGetsToken = req.Header.Get("Authorization") != ""
					}
					return inProcess.RoundTrip(req)
				})
				newClient := func() *http.Client {
					return &http.Client{Transport: c.wrap(key.TokenSource(with(&http.Client{Transport: base})), base)}
				}

				client := newClient()
				if status := list(client, srv); status != 200 {
					t.Fatalf("status %d", status)
				}
				if resp, err := client.Get("http://stranger.example" + listPath); err == nil {
					resp.Body.Close()
				}

				srv.Delay(exchange)
				for range 300 { // the lifetime of a token, in seconds
					time.Sleep(time.Second)
					start := time.Now()
					if status := list(client, srv); status != 200 {
						t.Fatalf("status %d", status)
					}
					got.LongestCall = max(got.LongestCall, time.Since(start))
				}
				srv.RevokeAccessTokens()
				got.AfterRevocation = list(client, srv)

				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+listPath, nil)
				if err != nil {
					t.Fatal(err)
				}
				if resp, err := newClient().Do(req); err == nil {
					resp.Body.Close()
					t.Error("a call had an answer after its deadline")
				}
				got.ImpatientCall = time.Since(start)
				time.Sleep(exchange) // it goes on without its caller, and a bubble waits for nobody

				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}
