package netoauth_test

import (
	"context"
	"errors"
	"expvar"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
	"github.com/netoauth/netoauth/tokenfile"
	"golang.org/x/oauth2"
)

// A test of a program that uses the API, with no network and no credentials.
func Example() {
	srv := netoauthtest.NewServer()
	defer srv.Close()
	srv.Handle("GET /api/v1/vpc", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"data":[]}`)
	}))

	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		log.Fatal(err)
	}
	resp, err := key.Client(context.Background()).Get(srv.URL + "/api/v1/vpc")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, string(body), "token requests:", srv.Requests(""))
	// Output: 200 OK {"data":[]} token requests: 1
}

func ExampleAPIKey() {
	srv := newExampleAPI()
	defer srv.Close()
	os.Setenv("NETOSECRET", srv.Netosecret)

	key, err := netoauth.ParseAPIKey(os.Getenv("NETOSECRET"))
	if err != nil {
		log.Fatal(err)
	}
	get(key.Client(context.Background()), srv.URL+"/api/v1/whoami")

	// The same key reaches a sub-account.
	get(key.Account("branch-office").Client(context.Background()), srv.URL+"/api/v1/whoami")
	// Output:
	// 200 OK
	// 200 OK
}

func ExamplePassword() {
	srv := newExampleAPI()
	defer srv.Close()

	user := &netoauth.Password{
		URL:      srv.URL,
		Username: srv.Username,
		Password: netoauth.Secret(srv.Password),
	}
	get(user.Client(context.Background()), srv.URL+"/api/v1/whoami")
	// Output: 200 OK
}

func ExampleRefresh() {
	srv := newExampleAPI()
	defer srv.Close()
	user := &netoauth.Password{
		URL:      srv.URL,
		Username: srv.Username,
		Password: netoauth.Secret(srv.Password),
	}
	tok, err := user.Token(context.Background())
	if err != nil {
		log.Fatal(err)
	}

	// Elsewhere, where the password is not known:
	session := &netoauth.Refresh{URL: srv.URL, RefreshToken: netoauth.Secret(tok.RefreshToken)}
	get(session.Client(context.Background()), srv.URL+"/api/v1/whoami")

	// The refresh token was good for one exchange. A person must log in again.
	_, err = session.Token(context.Background())
	fmt.Println(errors.Is(err, netoauth.ErrRejected))
	// Output:
	// 200 OK
	// true
}

// roundTripper is a function as a layer of transports.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// A layer inside Transport sees what goes over the wire, one outside what the program asks for.
func ExampleTransport() {
	srv := newExampleAPI()
	defer srv.Close()
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		log.Fatal(err)
	}
	logged := func(name string, next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(req)
			if err == nil {
				fmt.Println(name, req.Method, req.URL.Path, resp.StatusCode)
			}
			return resp, err
		})
	}
	client := &http.Client{Transport: logged("outside:", &netoauth.Transport{
		Source: key.TokenSource(context.Background()),
		Base:   logged("inside: ", http.DefaultTransport),
	})}
	get(client, srv.URL+"/api/v1/whoami")
	srv.RevokeAccessTokens()
	get(client, srv.URL+"/api/v1/whoami")
	// Output:
	// inside:  GET /api/v1/whoami 200
	// outside: GET /api/v1/whoami 200
	// 200 OK
	// inside:  GET /api/v1/whoami 401
	// inside:  GET /api/v1/whoami 200
	// outside: GET /api/v1/whoami 200
	// 200 OK
}

// A session in a file outlives the program, and other programs with the same file share it.
func ExampleStore() {
	srv := newExampleAPI()
	defer srv.Close()
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	run := func() {
		key, err := netoauth.ParseAPIKey(srv.Netosecret)
		if err != nil {
			log.Fatal(err)
		}
		key.Store = &tokenfile.File{
			Path:  filepath.Join(folder, "token"),
			Owner: key.URL + " " + key.Shortname + " " + key.AppName,
		}
		ctx := context.Background()
		src := key.TokenSource(ctx)
		get(netoauth.NewClient(ctx, src), srv.URL+"/api/v1/whoami")
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		netoauth.Wait(end, src) // for a renewal's refresh token
	}
	run()
	run()
	fmt.Println("token requests:", srv.Requests(""))
	// Output:
	// 200 OK
	// 200 OK
	// token requests: 1
}

// The NETOSECRET is in a file, as a Secret that Kubernetes mounts, which replaces it while the
// program runs.
func ExampleAPIKey_reload() {
	srv := newExampleAPI()
	defer srv.Close()
	file, err := os.CreateTemp("", "netosecret")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(file.Name())
	old, _ := netoauth.ParseAPIKey(srv.Netosecret)
	old.SharedSecret = "the one before it was regenerated"
	os.WriteFile(file.Name(), []byte(old.Netosecret()), 0o600)

	load := func(context.Context) (*netoauth.APIKey, error) {
		text, err := os.ReadFile(file.Name())
		if err != nil {
			return nil, err
		}
		return netoauth.ParseAPIKey(string(text))
	}
	key, err := load(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	key.Reload = load

	os.WriteFile(file.Name(), []byte(srv.Netosecret), 0o600)
	get(key.Client(context.Background()), srv.URL+"/api/v1/whoami")
	fmt.Println("log-ins:", srv.Requests(netoauthtest.APIKeyPath))
	// Output:
	// 200 OK
	// log-ins: 2
}

// Many sub-accounts: one client for each, which keeps the token of that account.
func ExampleAPIKey_Account() {
	srv := newExampleAPI()
	defer srv.Close()
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		log.Fatal(err)
	}

	var mu sync.Mutex
	clients := make(map[string]*http.Client)
	client := func(account string) *http.Client {
		mu.Lock()
		defer mu.Unlock()
		c, ok := clients[account]
		if !ok {
			c = key.Account(account).Client(context.Background())
			clients[account] = c
		}
		return c
	}

	for _, account := range []string{"north", "south", "north"} {
		get(client(account), srv.URL+"/api/v1/whoami")
	}
	fmt.Println("token requests:", srv.Requests(""))
	// Output:
	// 200 OK
	// 200 OK
	// 200 OK
	// token requests: 2
}

// Metrics with expvar, which sources that share them may write at once.
func ExampleOptions_onExchange() {
	srv := newExampleAPI()
	defer srv.Close()
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		log.Fatal(err)
	}

	metrics := expvar.NewMap("netoauth")
	key.OnExchange = func(e netoauth.Exchange) {
		metrics.Add("exchanges", 1)
		metrics.AddFloat("seconds", e.Took.Seconds())
		if e.Err != nil {
			metrics.Add("failures", 1)
		}
		if !e.Refreshed {
			metrics.Add("log-ins", 1)
		}
	}

	srv.Fail(1, netoauthtest.Status(http.StatusServiceUnavailable))
	key.Token(context.Background())
	key.Token(context.Background())
	fmt.Println("exchanges:", metrics.Get("exchanges"), "failures:", metrics.Get("failures"))
	// Output: exchanges: 2 failures: 1
}

// What went wrong, and who must act.
func ExampleError() {
	srv := newExampleAPI()
	defer srv.Close()
	user := &netoauth.Password{URL: srv.URL, Username: srv.Username, Password: "yesterday's"}

	_, err := user.Token(context.Background())
	var answer *netoauth.Error
	switch {
	case errors.Is(err, netoauth.ErrRejected):
		fmt.Println("a person must act: the credentials are refused")
	case errors.As(err, &answer):
		fmt.Println("it may pass: the API answered", answer.StatusCode)
	case err != nil:
		fmt.Println("no answer, or something is not set:", err)
	}
	// Output: a person must act: the credentials are refused
}

// A daemon that ends at SIGTERM, in order: ctx is over by then, so Wait gets another one, and what a
// renewal under way brings is stored.
func ExampleWait() {
	srv := newExampleAPI()
	defer srv.Close()
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		log.Fatal(err)
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	src := key.TokenSource(ctx)
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		fmt.Println("ends in order:", netoauth.Wait(end, src) == nil)
	}()

	client := netoauth.NewClient(ctx, src)
	for range 2 { // until ctx is over
		get(client, srv.URL+"/api/v1/whoami")
	}
	// Output:
	// 200 OK
	// 200 OK
	// ends in order: true
}

// A /healthz that is right through an outage, a revocation, a refusal and a stored token that is
// taken over, and a gauge of the seconds that the token has left.
func ExampleStatusOf() {
	srv := newExampleAPI()
	defer srv.Close()
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		log.Fatal(err)
	}
	src := key.TokenSource(context.Background())

	healthz := func(w http.ResponseWriter, r *http.Request) {
		src.Token() // since without a need nobody asks
		s := netoauth.StatusOf(src)
		if s.Err != nil && (s.Refused || !s.Usable) {
			http.Error(w, s.Err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "token_seconds_left %.0f\n", time.Until(s.Expiry).Seconds())
	}

	w := httptest.NewRecorder()
	healthz(w, httptest.NewRequest("GET", "/healthz", nil))
	fmt.Print(w.Code, " ", w.Body)
	// Output: 200 token_seconds_left 300
}

// newExampleAPI returns an API that answers one path.
func newExampleAPI() *netoauthtest.Server {
	srv := netoauthtest.NewServer()
	srv.Handle("/api/v1/whoami", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	return srv
}

func get(client *http.Client, url string) {
	resp, err := client.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
}

// sourceWithToken returns a token source of the package for https://api.test that has a fresh token.
func sourceWithToken() oauth2.TokenSource {
	p := &netoauth.Password{URL: "https://api.test/api/v1", Username: "u", Password: "p"}
	p.InitialToken = &oauth2.Token{
		AccessToken: strings.Repeat("t", 1000),
		Expiry:      time.Now().Add(time.Hour),
	}
	return p.TokenSource(context.Background())
}

// bare does the least that a RoundTripper with a header to set can do.
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

// contenders are the round trippers to compare, with a token of 1 kB, and a request with six headers.
func contenders() (map[string]http.RoundTripper, *http.Request) {
	resp := &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}
	base := roundTripper(func(*http.Request) (*http.Response, error) { return resp, nil })
	src := sourceWithToken()
	tok, _ := src.Token()
	req, _ := http.NewRequest(http.MethodGet, "https://api.test/api/v1/things", nil)
	for _, h := range []string{
		"Accept", "Accept-Encoding", "Content-Type", "Traceparent", "User-Agent", "X-Request-Id",
	} {
		req.Header.Set(h, "value of "+h)
	}
	return map[string]http.RoundTripper{
		"bare":     bare{base, []string{"Bearer " + tok.AccessToken}},
		"netoauth": &netoauth.Transport{Source: src, Base: base},
		"oauth2":   &oauth2.Transport{Source: oauth2.ReuseTokenSource(tok, nil), Base: base},
	}, req
}

func TestTransport_costsThreeAllocationsWithATokenInHand(t *testing.T) {
	rts, req := contenders()
	if got := testing.AllocsPerRun(1000, func() { rts["netoauth"].RoundTrip(req) }); got != 3 {
		t.Errorf("%v allocations, want 3", got)
	}
}

func BenchmarkTransport(b *testing.B) {
	rts, req := contenders()
	for _, name := range []string{"bare", "netoauth", "oauth2"} {
		b.Run("serial/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rts[name].RoundTrip(req)
			}
		})
		b.Run("parallel/"+name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					rts[name].RoundTrip(req)
				}
			})
		})
	}
}
