package wire_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

func TestToken_followsNoRedirect(t *testing.T) {
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		for _, code := range []int{301, 302, 303, 307, 308} {
			target := serve(t, suite.Answer(200, good))
			elsewhere := serve(t, suite.Answer(code, "", "Location", target.URL+f.Path))
			withinHost := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/another/path" {
					suite.Answer(200, good).ServeHTTP(w, r)
					return
				}
				suite.Answer(code, "", "Location", "/another/path").ServeHTTP(w, r)
			}))
			nowhere := serve(t, suite.Answer(code, ""))
			for name, srv := range map[string]*api{
				"elsewhere": elsewhere, "within the host": withinHost, "without Location": nowhere,
			} {
				t.Run(fmt.Sprintf("%d %s", code, name), func(t *testing.T) {
					_, err := at(f, srv.URL).Token(t.Context())
					e := answered(t, f, srv.URL, err)
					suite.Diff(t, "StatusCode", code, e.StatusCode)
					mentions(t, err.Error(), "redirect", "check the URL")
					if n := len(srv.seen()); n != 1 {
						t.Errorf("the server saw %d requests, want 1", n)
					}
					if seen := target.seen(); seen != nil {
						t.Errorf("the target of the redirect saw %+v", seen)
					}
				})
			}
		}
	})
}

func TestToken_followsNoRedirectThoughTheClientWould(t *testing.T) {
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		target := serve(t, suite.Answer(200, good))
		srv := serve(t, suite.Answer(307, "", "Location", target.URL+f.Path))
		client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
		_, err := at(f, srv.URL).Token(context.WithValue(t.Context(), oauth2.HTTPClient, client))
		answered(t, f, srv.URL, err)
		if seen := target.seen(); seen != nil {
			t.Errorf("the target of the redirect saw %+v", seen)
		}
	})
}

func TestToken_redirectToWhatIsNoURLIsAnAnswerToo(t *testing.T) {
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		srv := serve(t, suite.Answer(302, "", "Location", "http://[::1/%zz"))
		_, err := at(f, srv.URL).Token(t.Context())
		suite.Diff(t, "StatusCode", 302, answered(t, f, srv.URL, err).StatusCode)
	})
}
