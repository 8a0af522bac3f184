package scenario

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

const (
	clients   = 2000 // of a fleet
	perSecond = 100  // tokens that an overloaded endpoint can issue

	// Work that the endpoint can save up while nobody asks: what it does in the 50 ms that an answer takes.
	burst  = 5
	answer = 50 * time.Millisecond

	// After so long without a token for anybody, or so long in all, some clients are held to be lost.
	hopeless = time.Minute
	longest  = 10 * time.Minute
)

// Never is the Served of a fleet of which some clients got no token.
const Never = time.Duration(math.MaxInt64)

// Overload is a token endpoint that can issue 100 tokens a second, met by 2000 clients that start
// spread over one second and send a request a second each, until the first that succeeds. Tokens
// outlast the scenario.
type Overload struct {
	Name        string
	Down        time.Duration // from the start, in which no connection is made
	RefusalCost float64       // work of a refusal, where an issue is 1; it is caught up on before the next issue
	RetryAfter  time.Duration // what a refusal, then a 429, asks for; 0: it is a 503 that asks for nothing
}

// Overloads are the kinds of overload that a fleet is measured in.
var Overloads = [...]Overload{
	{Name: "refusals cost nothing"},
	{Name: "a refusal costs a tenth of a token's work", RefusalCost: 0.1},
	{Name: "after 2 min without an endpoint", Down: 2 * time.Minute},
	{Name: "429 with Retry-After: 5", RetryAfter: 5 * time.Second},
}

// Play returns the Served, Fetches and Busiest of clients made by s. Served counts from the end of
// Down; the busiest second is one after that, and after the first ten.
func (o Overload) Play(t *testing.T, s Subject) (f Figures) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{Overload: o, opens: time.Now().Add(o.Down)}
		e.settled, e.issuedAt = e.opens, e.opens
		var all sync.WaitGroup
		for i := range clients {
			all.Go(func() {
				time.Sleep(time.Duration(i) * time.Second / clients)
				e.ask(t.Context(), s)
			})
		}
		all.Wait()
		f = e.figures()
		time.Sleep(time.Minute) // an exchange under way ends
	})
	return f
}

// FetchesEach returns how many token requests a client of a fleet made on average.
func (f Figures) FetchesEach() float64 { return float64(f.Fetches) / clients }

// endpoint is an Overload under way.
type endpoint struct {
	Overload
	opens time.Time

	mu       sync.Mutex
	saved    float64   // work that can be done at once; negative: work to catch up on
	settled  time.Time // when saved was right
	issued   int
	issuedAt time.Time // the last token
	asked    []int     // token requests in each second
}

// ask sends a client's requests. There is one at a time, because some subjects hold a sync.Mutex while
// they fetch a token, and a second goroutine that waits for it would stop the bubble's clock.
func (e *endpoint) ask(ctx context.Context, s Subject) {
	key := &netoauth.APIKey{
		URL: "https://api.test", Shortname: "acme", AppName: "fleet", AppKey: "key", SharedSecret: "secret",
	}
	c := s(context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: e}), key)
	for ; e.hopeful(); time.Sleep(time.Second) {
		resp, err := c.Get(key.URL + "/api/v1/things")
		if err == nil {
			resp.Body.Close()
			return
		}
	}
}

func (e *endpoint) hopeful() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return time.Since(e.issuedAt) < hopeless && time.Since(e.opens) < longest
}

func (e *endpoint) figures() Figures {
	f := Figures{Served: Never}
	if e.issued >= clients {
		f.Served = e.issuedAt.Add(answer).Sub(e.opens)
	}
	for second, n := range e.asked {
		f.Fetches += n
		if time.Duration(second)*time.Second >= max(10*time.Second, e.Down) {
			f.Busiest = max(f.Busiest, n)
		}
	}
	return f
}

// RoundTrip is the network: the API answers each request with 200, in no time.
func (e *endpoint) RoundTrip(req *http.Request) (*http.Response, error) {
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: req}
	if req.Method == http.MethodGet {
		return resp, nil
	}
	req.Body.Close()
	token, err := e.issue()
	time.Sleep(answer)
	switch {
	case err != nil:
		return nil, err
	case token != "":
		body := `{"access_token":"` + token + `","token_type":"bearer","expires_in":36000}`
		resp.Body = io.NopCloser(strings.NewReader(body))
	case e.RetryAfter > 0:
		resp.StatusCode = http.StatusTooManyRequests
		resp.Header.Set("Retry-After", strconv.Itoa(int(e.RetryAfter.Seconds())))
	default:
		resp.StatusCode = http.StatusServiceUnavailable
	}
	return resp, nil
}

// issue returns a token, "" where the endpoint is overloaded, or an error where it cannot be reached.
func (e *endpoint) issue() (token string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	for time.Duration(len(e.asked))*time.Second <= now.Sub(e.opens)+e.Down {
		e.asked = append(e.asked, 0)
	}
	e.asked[len(e.asked)-1]++
	if now.Before(e.opens) {
		return "", syscall.ECONNREFUSED
	}
	e.saved = min(e.saved+now.Sub(e.settled).Seconds()*perSecond, burst)
	e.settled = now
	if e.saved < 1 {
		e.saved -= e.RefusalCost
		return "", nil
	}
	e.saved--
	e.issued++
	e.issuedAt = now
	return fmt.Sprintf("token-%d", e.issued), nil
}
