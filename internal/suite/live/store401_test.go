package live_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// What another program has stored meanwhile is taken over and sent. Where that is refused too, an exchange follows.
func TestStore_401(t *testing.T) {
	for _, tt := range []struct {
		name    string
		first   bool // the token in hand is one taken over
		revoked bool // what the other program stored is refused, too
		late    bool // it is stored only when Update is under way
		want    int  // token requests after the 401
		sends   int  // of the request
	}{
		{name: "the stored one is good", want: 0, sends: 2},
		{name: "in hand is one taken over", first: true, want: 0, sends: 2},
		{name: "the stored one is refused, too", revoked: true, want: 1, sends: 3},
		{name: "in hand is one taken over, the stored one is refused, too", first: true, revoked: true, want: 1, sends: 3},
		{name: "stored late", late: true, want: 0, sends: 2},
		{name: "stored late, and refused, too", late: true, revoked: true, want: 1, sends: 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
				w.Handle("/", suite.Answer(200, ""))
				age := spent
				if tt.first {
					age = 0
				}
				s := newStore(mustLogIn(t, w, age))
				sends := 0
				watch(w, func(r *http.Request) {
					if r.URL.Path == "/" {
						sends++
					}
				})
				client := of(s.options()).Client(w.Ctx)
				suite.MustGet(t, client, w.URL+"/")
				for range 2 { // 30 s do not matter: a takeover does not count for them
					w.RevokeAccessTokens()
					next := renew(t, w, s.get(), nil)
					if tt.late {
						s.before = func(context.Context) error { s.put(next); s.before = nil; return nil }
					} else {
						s.put(next)
					}
					if tt.revoked {
						w.RevokeAccessTokens()
					}
					before := w.Requests("")
					sends = 0
					suite.Diff(t, "status", 200, suite.MustGet(t, client, w.URL+"/"))
					suite.Diff(t, "token requests", tt.want, w.Requests("")-before)
					suite.Diff(t, "times the request was sent", tt.sends, sends)
					if tt.revoked {
						time.Sleep(30 * time.Second)
					}
				}
			})
		})
	}
}

// A server that ends the old access token at each renewal gives every other program a 401 each time.
// However often that happens, what the Store has is good, also to a program whose requests the API
// takes but does not fulfil.
func TestStore_401AfterEachRenewalOfAnotherProgramLeadsToNoExchange(t *testing.T) {
	for _, status := range []int{200, 304, 403, 404} {
		suite.RunInBubble(t, fmt.Sprint(status), func(t *testing.T, w *suite.World) {
			w.Handle("/", netoauthtest.Status(status))
			s := newStore(mustLogIn(t, w, 0))
			client := w.Credential(suite.Refresh, s.options()).Client(w.Ctx)
			suite.MustGet(t, client, w.URL+"/")
			for range 5 {
				w.RevokeAccessTokens()
				renew(t, w, s.get(), s)
				before := w.Requests("")
				suite.Diff(t, "status", status, suite.MustGet(t, client, w.URL+"/"))
				suite.Diff(t, "token requests", 0, w.Requests("")-before)
			}
		})
	}
}

// Where a 401 may not lead to an exchange, because one has just failed or was forced, the Store is looked at all the
// same, by one request a second.
func TestStore_401IsAnsweredFromItWhereNoExchangeMayBe(t *testing.T) {
	for name, failed := range map[string]bool{"in the wait after a failure": true, "within 30 s of a forced one": false} {
		t.Run(name, func(t *testing.T) {
			eachFlow(t, func(t *testing.T, w *suite.World, of func(netoauth.Options) suite.Credential) {
				w.Handle("/", suite.Answer(200, ""))
				s := newStore(mustLogIn(t, w, 0))
				client := of(s.options()).Client(w.Ctx)
				suite.MustGet(t, client, w.URL+"/")
				w.RevokeAccessTokens()
				if failed {
					w.Fail(-1, netoauthtest.Status(429, "Retry-After", "600"))
					suite.Diff(t, "status, the exchange failing", 401, suite.MustGet(t, client, w.URL+"/"))
					w.Fail(0, nil)
				} else {
					suite.Diff(t, "status, after an exchange", 200, suite.MustGet(t, client, w.URL+"/"))
					w.RevokeAccessTokens()
				}
				time.Sleep(time.Second)
				s.Take()
				before := w.Requests("")
				for range 5 {
					suite.Diff(t, "status, nothing new", 401, suite.MustGet(t, client, w.URL+"/"))
				}
				suite.Diff(t, "calls within a second", []string{"Load"}, s.Take())
				suite.Diff(t, "token requests", 0, w.Requests("")-before)

				time.Sleep(time.Second)
				s.put(mustLogIn(t, w, 0))
				before = w.Requests("")
				suite.Diff(t, "status, another program's token stored", 200, suite.MustGet(t, client, w.URL+"/"))
				suite.Diff(t, "token requests", 0, w.Requests("")-before)
			})
		})
	}
}

// Also where another program stores the next token while Update is under way. The second request leads to an exchange then.
func TestStore_401LeadsToThreeRequestsAtMost(t *testing.T) {
	for _, late := range []bool{false, true} {
		suite.InBubble(t, func(t *testing.T, w *suite.World) {
			s := newStore(mustLogIn(t, w, 0))
			n, sends, network := 0, 0, w.InProcess().Transport
			s.load = func(context.Context) error { // another program stores one after the other
				n++
				s.put(&oauth2.Token{AccessToken: fmt.Sprint("token ", n), Expiry: time.Now().Add(time.Hour)})
				return nil
			}
			if late {
				s.before = s.load
			}
			w.Ctx = suite.Over(w.Ctx, suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path != "" {
					return network.RoundTrip(r)
				}
				if sends++; sends > 10 {
					t.Error("the request is sent again and again")
					return suite.Answer(200, "").RoundTrip(r)
				}
				return network.RoundTrip(r)
			}))
			w.Handle("/", netoauthtest.Status(401))
			client := w.Credential(suite.Password, s.options()).Client(w.Ctx)
			before := w.Requests("")
			suite.Diff(t, "status", 401, suite.MustGet(t, client, w.URL))
			suite.Diff(t, "times the request was sent", 3, sends)
			suite.MustGet(t, client, w.URL)
			suite.Diff(t, "exchanges for both", 1, w.Requests("")-before)
		})
	}
}

func TestStore_401LeadsToOneExchangeForAllPrograms(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Handle("/", suite.Answer(200, ""))
		s := newStore(mustLogIn(t, w, 0))
		w.Delay(time.Second)
		clients := make([]*http.Client, 5)
		for i := range clients {
			clients[i] = w.Credential(suite.Refresh, s.options()).Client(w.Ctx)
			suite.MustGet(t, clients[i], w.URL)
		}
		w.RevokeAccessTokens()
		var all sync.WaitGroup
		for _, c := range clients {
			all.Go(func() { suite.Diff(t, "status", 200, suite.MustGet(t, c, w.URL)) })
		}
		all.Wait()
		synctest.Wait()
		suite.Diff(t, "token requests", 2, w.Requests(""))
	})
}

func TestStore_401WithABodySendsItEachTime(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		s := newStore(mustLogIn(t, w, 0))
		j, network := new(suite.Journal), w.InProcess().Transport
		n := 0
		w.Ctx = suite.Over(w.Ctx, suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path != "/" {
				return network.RoundTrip(r)
			}
			b := new(strings.Builder)
			r.Write(b)
			_, text, _ := strings.Cut(b.String(), "\r\n\r\n")
			j.Add(text)
			if n++; n < 3 {
				return suite.Answer(401, "").RoundTrip(r)
			}
			return suite.Answer(200, "").RoundTrip(r)
		}))
		client := w.Credential(suite.Refresh, s.options()).Client(w.Ctx)
		suite.MustToken(t, client.Transport.(*netoauth.Transport).Source)
		renew(t, w, s.get(), s)
		resp, err := client.Post(w.URL+"/", "text/plain", strings.NewReader("body"))
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("%v, %v; want 200", resp, err)
		}
		suite.Diff(t, "bodies sent", []string{"body", "body", "body"}, j.Take())
	})
}
