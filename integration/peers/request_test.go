package peers

import (
	"context"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

// accessToken is as long as the API's.
var accessToken = strings.Repeat("x", 1000)

// newRequest returns a request with six headers.
func newRequest() *http.Request {
	req, err := http.NewRequest(http.MethodGet, "https://api.test/api/v1/things", nil)
	if err != nil {
		panic(err)
	}
	for _, h := range []string{"Accept", "Accept-Encoding", "Content-Type", "Traceparent", "User-Agent", "X-Request-Id"} {
		req.Header.Set(h, "value of "+h)
	}
	return req
}

// transports returns the RoundTripper of each subject, in their order, after the bare one. All have a token in
// hand that outlasts the test, and send into the void.
func transports(tb testing.TB) []http.RoundTripper {
	rts := []http.RoundTripper{bare{void{}, []string{"Bearer " + accessToken}}}
	key := &netoauth.APIKey{URL: "https://api.test", Shortname: "acme", AppName: "bench", AppKey: "key", SharedSecret: "secret"}
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Transport: void{}})
	for _, s := range subjects {
		rt := s.client(ctx, key).Transport
		if _, err := rt.RoundTrip(newRequest()); err != nil { // gets the token
			tb.Fatalf("%s: %v", s.name, err)
		}
		rts = append(rts, rt)
	}
	return rts
}

// bare is the least that a RoundTripper must do to authorize a request: copy it and set a prepared header.
type bare struct {
	base   http.RoundTripper
	header []string
}

func (b bare) RoundTrip(req *http.Request) (*http.Response, error) {
	out := req.WithContext(req.Context())
	out.Header = maps.Clone(req.Header)
	out.Header["Authorization"] = b.header
	return b.base.RoundTrip(out)
}

// void answers without I/O, and each request to the API with the same response.
type void struct{}

var empty = &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}

func (void) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodGet {
		return empty, nil
	}
	answer := `{"access_token":"` + accessToken + `","token_type":"bearer","expires_in":36000}`
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(strings.NewReader(answer)),
		Request:    req,
	}, nil
}

// allocations returns how many a request costs, in the order of transports.
func allocations(t *testing.T) []int {
	req := newRequest()
	var n []int
	for _, rt := range transports(t) {
		n = append(n, int(testing.AllocsPerRun(1000, func() { rt.RoundTrip(req) })))
	}
	return n
}

// costs returns the time that a request takes, in the order of transports: the least of several rounds, in
// which the subjects take turns, so that what else the machine does falls on all or on none. A round is long
// enough to have its share of garbage collection.
func costs(t *testing.T) []time.Duration {
	const requests = 20_000
	rts, req := transports(t), newRequest()
	least := make([]time.Duration, len(rts))
	enough := 8 * time.Second
	if !thorough {
		enough = time.Nanosecond // one round
	}
	for began := time.Now(); time.Since(began) < enough; {
		for i, rt := range rts {
			start := time.Now()
			for range requests {
				rt.RoundTrip(req)
			}
			if d := time.Since(start) / requests; least[i] == 0 || d < least[i] {
				least[i] = d
			}
		}
	}
	return least
}

func BenchmarkRequest(b *testing.B) {
	rts, req := transports(b), newRequest()
	for i, rt := range rts {
		name := "bare"
		if i > 0 {
			name = subjects[i-1].name
		}
		b.Run("serial/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rt.RoundTrip(req)
			}
		})
		b.Run("parallel/"+name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					rt.RoundTrip(req)
				}
			})
		})
	}
}
