package netoauthtest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/netoauth/netoauth/netoauthtest"
)

// say answers with the account that a handler sees.
func say(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%q for %s", netoauthtest.AccountOf(r), r.PathValue("id"))
}

func TestAccountOf_isTheAccountOfTheLogIn(t *testing.T) {
	withKey := func(account string) func(*testing.T, *server, *http.Client) answer {
		return func(t *testing.T, srv *server, c *http.Client) answer {
			key := parseKey(t, srv)
			key.Shortname = account
			return logInWithKey(t, srv, c, key)
		}
	}
	for _, tt := range []struct {
		name  string
		logIn func(*testing.T, *server, *http.Client) answer
		want  string
	}{
		{"the key's own", withKey("example"), "example"},
		{"a sub-account", withKey("sub-account"), "sub-account"},
		{"not ASCII", withKey("zürich & \"söhne\""), "zürich & \"söhne\""},
		{"password", logIn, "example"},
		{"refresh token", func(t *testing.T, srv *server, c *http.Client) answer {
			return refresh(t, srv, c, withKey("sub-account")(t, srv, c).RefreshToken)
		}, "sub-account"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, srv *server, c *http.Client) {
				srv.Handle("GET /account/{id}", http.HandlerFunc(say))
				a := tt.logIn(t, srv, c)
				_, _, got := call(t, srv, c, "GET", "/account/7", "Bearer "+a.AccessToken)
				if diff := cmp.Diff(fmt.Sprintf("%q for 7", tt.want), got); diff != "" {
					t.Errorf("the handler sees (-want +got):\n%s", diff)
				}
				if got := payload(t, a.AccessToken)["shortname"]; got != tt.want {
					t.Errorf("the token's shortname is %q, want %q", got, tt.want)
				}
			})
		})
	}
}

func TestAccountOf_believesNoRequestThatIsNotTheServers(t *testing.T) {
	srv := newServer(t)
	a := logIn(t, srv, srv.InProcess())
	r := httptest.NewRequest("GET", "/account/7", nil)
	r.Header.Set("Authorization", "Bearer "+a.AccessToken)
	if got := netoauthtest.AccountOf(r); got != "" {
		t.Errorf("a request that the server has not seen is for %q", got)
	}
	other := newServer(t)
	other.Handle("GET /account/{id}", srv)
	srv.Handle("GET /account/{id}", http.HandlerFunc(say))
	key := parseKey(t, other)
	key.Shortname = "other"
	got := logInWithKey(t, other, other.Client(), key)
	if code, _, body := call(t, other, other.Client(), "GET", "/account/7", "Bearer "+got.AccessToken); code != 401 {
		t.Errorf("a server behind another one takes its account: %d %s", code, body)
	}
}
