package live_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

// script is an API whose token endpoints answer one request after the other as it says, the last
// answer for ever. Its journal has what was asked: "log in", or "refresh" with the refresh token.
type script struct {
	suite.Journal

	mu      sync.Mutex
	answers []http.RoundTripper // guarded by mu
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	text, err := io.ReadAll(req.Body)
	req.Body.Close()
	if err != nil {
		return nil, err
	}
	form, _ := url.ParseQuery(string(text))
	asked := "log in"
	if token := form.Get("refresh_token"); token != "" {
		asked = "refresh " + token
	}
	s.Add(asked)
	s.mu.Lock()
	answer := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	s.mu.Unlock()
	return answer.RoundTrip(req)
}

// issues is the answer with a token of a minute's life, and a refresh token, named after it.
func issues(name string) suite.Response {
	return suite.Answer(200, fmt.Sprintf(`{"access_token":%q,"expires_in":60,"refresh_token":%q}`, name, "R-"+name))
}

// over is the answer with a token that is over as it comes.
func over(name string) suite.Response {
	return suite.Answer(200, fmt.Sprintf(`{"access_token":%q,"expires_in":-60,"refresh_token":%q}`, name, "R-"+name))
}

var (
	rejects    = suite.Answer(401, `{"status":401,"name":"Unauthorized","message":"no"}`)
	refuses    = suite.Answer(400, "")
	gateway    = suite.Answer(504, "<html>Gateway Timeout</html>")
	overload   = suite.Answer(503, `{"status":503,"name":"Service Unavailable","message":"later"}`)
	noHost     = unreachable("dial")
	reset      = unreachable("read")
	unanswered = suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	})
)

// act runs a test against a script, in a bubble.
func act(t *testing.T, of func(o netoauth.Options) suite.Credential, o netoauth.Options, answers []http.RoundTripper,
	test func(t *testing.T, src oauth2.TokenSource, s *script)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: answers}
		test(t, of(o).TokenSource(suite.Over(t.Context(), s)), s)
		time.Sleep(time.Minute)
	})
}

// user and refresher sign in to the script.
func user(o netoauth.Options) suite.Credential {
	return &netoauth.Password{URL: "https://api.test", Username: "ann", Password: "the password", Options: o}
}

func refresher(o netoauth.Options) suite.Credential {
	return &netoauth.Refresh{URL: "https://api.test", RefreshToken: "R", Options: o}
}

// names are what got returns of each of n callers, who ask a second apart: an access token or
// "error".
func ask(src oauth2.TokenSource, n int) string {
	var names []string
	for range n {
		tok, err := src.Token()
		name := "error"
		if err == nil {
			name = tok.AccessToken
		}
		names = append(names, name)
		time.Sleep(time.Second)
	}
	return strings.Join(names, " ")
}
