package network_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

// seen is a request as a server saw it, and what it brought.
type seen struct{ Request, Authorization, Body string }

// record notes the requests of several servers, in order.
type record struct {
	mu   sync.Mutex
	seen []seen
}

func (rec *record) add(r *http.Request, name string) {
	body, _ := io.ReadAll(r.Body)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	token, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	rec.seen = append(rec.seen, seen{r.Method + " " + name + r.URL.Path, token, string(body)})
}

// An origin is scheme, host and port (RFC 6454 section 5). A redirect to another one goes without the token,
// and one back home has it again.
func TestRedirect_keepsTheTokenAtHome(t *testing.T) {
	type servers struct{ home, plain, secure *httptest.Server }
	otherHost := func(s servers) string { return strings.Replace(s.home.URL, "127.0.0.1", "localhost", 1) }
	otherPlain := func(s servers) string { return s.plain.URL }
	otherSecure := func(s servers) string { return s.secure.URL }
	for _, c := range []struct {
		name  string
		start func(*httptest.Server)
		away  func(servers) string
	}{
		{"http to another host", (*httptest.Server).Start, otherHost},
		{"http to another port", (*httptest.Server).Start, otherPlain},
		{"http to https", (*httptest.Server).Start, otherSecure},
		{"https to another host", (*httptest.Server).StartTLS, otherHost},
		{"https to another port", (*httptest.Server).StartTLS, otherSecure},
		{"https to http", (*httptest.Server).StartTLS, otherPlain},
	} {
		for _, source := range []string{"ours", "from elsewhere"} {
			for _, code := range []int{http.StatusFound, http.StatusTemporaryRedirect} {
				t.Run(fmt.Sprintf("%s/%d/source %s", c.name, code, source), func(t *testing.T) {
					leavesNothingBehind(t)
					var rec record
					var home *site
					var away string
					home = newSite(t, func(front *httptest.Server) {
						api := front.Config.Handler
						front.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
							name := "home"
							if strings.HasPrefix(r.Host, "localhost:") {
								name = "away"
							}
							switch r.URL.Path {
							case "/start":
								rec.add(r, name)
								http.Redirect(w, r, away+"/away", code)
							case "/away":
								rec.add(r, name)
								http.Redirect(w, r, home.url+"/back", code)
							case "/back":
								rec.add(r, name)
							default:
								api.ServeHTTP(w, r)
							}
						})
						c.start(front)
					})
					there := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						rec.add(r, "away")
						http.Redirect(w, r, home.url+"/back", code)
					})
					s := servers{home.front, httptest.NewServer(there), httptest.NewTLSServer(there)}
					t.Cleanup(s.plain.Close)
					t.Cleanup(s.secure.Close)
					away = c.away(s)
					home.transport = s.secure.Client().Transport.(*http.Transport)
					home.transport.TLSClientConfig.ServerName = "example.com" // a host that the certificate has
					t.Cleanup(home.transport.CloseIdleConnections)

					ctx := home.context(t, guard)
					client := home.key.Client(ctx)
					if source != "ours" {
						client.Transport.(*netoauth.Transport).Source = oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "static"})
					}
					resp, err := client.Post(home.url+"/start", "text/plain", strings.NewReader("label"))
					if err != nil {
						t.Fatal(err)
					}
					resp.Body.Close()

					want := []seen{{"POST home/start", "Bearer", "label"}, {"GET away/away", "", ""}, {"GET home/back", "Bearer", ""}}
					if code == http.StatusTemporaryRedirect {
						want = []seen{{"POST home/start", "Bearer", "label"}, {"POST away/away", "", "label"}, {"POST home/back", "Bearer", "label"}}
					}
					if diff := cmp.Diff(want, rec.seen); diff != "" {
						t.Errorf("(-want +got):\n%s", diff)
					}
				})
			}
		}
	}
}

// A 307 or 308 asks for the same body again, which holds the credentials.
func TestRedirect_ofATokenEndpointIsNotFollowed(t *testing.T) {
	for _, code := range []int{301, 302, 303, 307, 308} {
		for _, flow := range []string{"API key", "password", "refresh token"} {
			t.Run(fmt.Sprintf("%s/%d", flow, code), func(t *testing.T) {
				leavesNothingBehind(t)
				var rec record
				stranger := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { rec.add(r, "stranger") }))
				t.Cleanup(stranger.Close)
				s := newSite(t, (*httptest.Server).Start)
				s.Fail(-1, http.RedirectHandler(stranger.URL, code))
				var token func(context.Context) (*oauth2.Token, error)
				switch flow {
				case "API key":
					token = s.key.Token
				case "password":
					token = (&netoauth.Password{URL: s.url, Username: s.Username, Password: netoauth.Secret(s.Password)}).Token
				default:
					token = (&netoauth.Refresh{URL: s.url, RefreshToken: "a refresh token"}).Token
				}

				_, err := token(s.context(t, guard))
				var answer *netoauth.Error
				if !errors.As(err, &answer) || answer.StatusCode != code || !strings.Contains(err.Error(), "redirects are not followed") {
					t.Errorf("error %v, want one that says status %d", err, code)
				}
				if rec.seen != nil {
					t.Errorf("the stranger saw %q", rec.seen)
				}
			})
		}
	}
}
