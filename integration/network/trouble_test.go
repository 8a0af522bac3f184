package network_test

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
)

var quiet = log.New(io.Discard, "", 0) // TLS handshakes that the tests break on purpose

// trouble is what the first exchange meets. Whatever comes after it stalls until the network is healed.
type trouble struct {
	name     string
	meet     func(t *testing.T, s *site, healed <-chan struct{})
	requests int    // token requests that reach the site, if somebody waits
	says     string // what the error of a single exchange says; "": it stalls, or the moment decides
}

var troubles = []trouble{
	{
		name: "token endpoint never answers",
		meet: atEndpoint(func(_ *site, _ http.ResponseWriter, r *http.Request, healed <-chan struct{}) {
			wait(r, healed)
			panic(http.ErrAbortHandler)
		}),
		requests: 2,
	},
	{
		name:     "token endpoint drips",
		meet:     atEndpoint(drip),
		requests: 1,
	},
	{
		name: "token endpoint resets in the middle of the body",
		meet: atEndpoint(func(_ *site, w http.ResponseWriter, r *http.Request, _ <-chan struct{}) {
			half(w)
			reset(r)
		}),
		requests: 2,
	},
	{
		name: "proxy refuses",
		meet: atProxy(func(_ *proxy, w http.ResponseWriter, _ *http.Request, _ <-chan struct{}) {
			w.WriteHeader(http.StatusForbidden)
		}),
		requests: 1,
		says:     "Forbidden; no answer, check the network",
	},
	{
		name: "proxy says nothing",
		meet: atProxy(func(_ *proxy, _ http.ResponseWriter, r *http.Request, healed <-chan struct{}) {
			wait(r, healed)
			panic(http.ErrAbortHandler)
		}),
		requests: 1,
	},
	{
		name: "proxy opens a tunnel to nowhere",
		meet: atProxy(func(p *proxy, w http.ResponseWriter, r *http.Request, healed <-chan struct{}) {
			if down, err := p.open(w); err == nil {
				wait(r, healed)
				down.Close()
			}
		}),
		requests: 1,
	},
	{
		name: "proxy dies in the middle of the answer",
		meet: func(t *testing.T, s *site, healed <-chan struct{}) {
			p := newProxy(t)
			p.through(t, s)
			atEndpoint(func(_ *site, w http.ResponseWriter, _ *http.Request, _ <-chan struct{}) {
				half(w)
				p.die()
			})(t, s, healed)
		},
		requests: 2,
	},
}

// A caller whose http.Client.Timeout is over has its error at once and leaves; the exchange goes on, and its
// token reaches who waits longer.
func TestTimeout_ofOneCallerLeavesTheExchangeToOthers(t *testing.T) {
	leavesNothingBehind(t)
	forEachTrouble(t, func(t *testing.T, s *site, tr trouble, proto string) {
		healed := make(chan struct{})
		tr.meet(t, s, healed)
		patient := s.client(t, 0)
		impatient := *patient
		impatient.Timeout = patience

		done := make(chan struct{})
		go func() {
			defer close(done)
			status, got, err := get(t, patient, s.url+listPath)
			if status != http.StatusOK || got != proto || err != nil {
				t.Errorf("the patient caller has status %d, %s, error %v; want 200, %s", status, got, err, proto)
			}
		}()
		start := time.Now()
		_, _, err := get(t, &impatient, s.url+listPath)
		checkTimeout(t, start, err)
		close(healed)
		<-done
		if n := int(s.tokenRequests.Load()); n != tr.requests || len(s.issued) != 1 {
			t.Errorf("%d token requests for %d tokens, want %d for 1", n, len(s.issued), tr.requests)
		}
	})
}

// The Timeout of the client in ctx covers token requests, too, so that nothing goes on after it.
func TestTimeout_ofTheContextsClientEndsTheExchange(t *testing.T) {
	leavesNothingBehind(t)
	forEachTrouble(t, func(t *testing.T, s *site, tr trouble, proto string) {
		healed := make(chan struct{})
		tr.meet(t, s, healed)
		start := time.Now()
		_, _, err := get(t, s.client(t, patience), s.url+listPath)
		checkTimeout(t, start, err)
		if len(s.issued) != 0 {
			t.Error("a token was issued in spite of the trouble")
		}
		close(healed)
		mustGet(t, s.client(t, guard), s.url+listPath)
	})
}

// A single exchange fails with one line that says what happened, without the credentials.
func TestError_ofABrokenExchangeSaysWhatHappened(t *testing.T) {
	leavesNothingBehind(t)
	forEachTrouble(t, func(t *testing.T, s *site, tr trouble, _ string) {
		healed := make(chan struct{})
		defer close(healed)
		tr.meet(t, s, healed)
		timeout := guard
		if tr.says == "" {
			timeout = patience
		}
		_, err := s.key.Token(s.context(t, timeout))
		if err == nil {
			t.Fatal("no error")
		}
		text := err.Error()
		if strings.ContainsAny(text, "\r\n") || !strings.Contains(text, tr.says) {
			t.Errorf("error %q, want one line with %q", text, tr.says)
		}
		for _, secret := range []netoauth.Secret{s.key.AppKey, s.key.SharedSecret} {
			if strings.Contains(text, string(secret)) {
				t.Errorf("error %q shows a secret", text)
			}
		}
		if errors.Is(err, netoauth.ErrRejected) {
			t.Errorf("error %q is ErrRejected, which a network cannot say", text)
		}
	})
}

// A token that arrives when nobody waits any more has used up a refresh token, so it must be kept.
func TestTimeout_keepsATokenThatCameTooLate(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.proto, func(t *testing.T) {
			leavesNothingBehind(t)
			s := newSite(t, p.start)
			first, err := s.key.Token(s.context(t, guard))
			if err != nil {
				t.Fatal(err)
			}
			<-s.issued
			s.tokenRequests.Store(0)
			refresh := &netoauth.Refresh{URL: s.url, RefreshToken: netoauth.Secret(first.RefreshToken), Options: s.key.Options}
			client := refresh.Client(s.context(t, 0))
			impatient := *client
			impatient.Timeout = patience

			healed := make(chan struct{})
			atEndpoint(drip)(t, s, healed)
			start := time.Now()
			_, _, err = get(t, &impatient, s.url+listPath)
			checkTimeout(t, start, err)
			close(healed)
			select {
			case <-s.issued:
			case <-time.After(guard):
				t.Fatal("no token")
			}
			mustGet(t, client, s.url+listPath)
			if n := s.Requests(netoauthtest.RefreshPath); n != 1 {
				t.Errorf("%d refreshes, want 1", n)
			}
		})
	}
}

// forEachTrouble runs test with each trouble over each protocol, all at the same time.
func forEachTrouble(t *testing.T, test func(t *testing.T, s *site, tr trouble, proto string)) {
	t.Helper()
	for _, tr := range troubles {
		for _, p := range protocols {
			t.Run(tr.name+"/"+p.proto, func(t *testing.T) {
				t.Parallel()
				test(t, newSite(t, p.start), tr, p.proto)
			})
		}
	}
}

// atEndpoint lets the first token request meet trouble.
func atEndpoint(trouble func(*site, http.ResponseWriter, *http.Request, <-chan struct{})) func(*testing.T, *site, <-chan struct{}) {
	return func(_ *testing.T, s *site, healed <-chan struct{}) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if s.tokenRequests.Load() == 1 {
				trouble(s, w, r, healed)
				return
			}
			wait(r, healed)
			s.ServeHTTP(w, r)
		})
		s.inFront.Store(&h)
	}
}

// atProxy puts the site behind a proxy, which makes trouble at the first CONNECT.
func atProxy(trouble func(*proxy, http.ResponseWriter, *http.Request, <-chan struct{})) func(*testing.T, *site, <-chan struct{}) {
	return func(t *testing.T, s *site, healed <-chan struct{}) {
		p := newProxy(t)
		p.through(t, s)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if p.connects.Load() == 1 {
				trouble(p, w, r, healed)
				return
			}
			wait(r, healed)
			p.pass(w, r)
		})
		p.tunnel.Store(&h)
	}
}

// drip gives the endpoint's own answer a byte every 20 ms until the network is healed: slow enough for every
// patience here to end first, as it would at a byte a second.
func drip(s *site, w http.ResponseWriter, r *http.Request, healed <-chan struct{}) {
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, r)
	w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
	w.WriteHeader(answer.Code)
	for _, b := range answer.Body.Bytes() {
		w.Write([]byte{b})
		http.NewResponseController(w).Flush()
		select {
		case <-healed:
		case <-r.Context().Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// half begins a token and stops.
func half(w http.ResponseWriter) {
	w.Header().Set("Content-Length", "1000")
	io.WriteString(w, `{"token_type":"bearer","access_`)
	http.NewResponseController(w).Flush()
}

// wait returns when the network is healed or the client has gone.
func wait(r *http.Request, healed <-chan struct{}) {
	// net/http notices that a client is gone only once the body has been read.
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	select {
	case <-healed:
	case <-r.Context().Done():
	}
}
