package live_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

// Near a session's maximum a server issues tokens with no life left. Nobody is given one, but the
// refresh token with it took the place of the one that was sent.
func TestTokenSource_tokenThatIsOverAsItComes(t *testing.T) {
	bare := suite.Answer(200, `{"access_token":"O","expires_in":-60}`)
	for _, tt := range []struct {
		name    string
		of      func(netoauth.Options) suite.Credential
		answers []http.RoundTripper
		asked   []string
		want    string
		told    []string // to OnToken
		stored  string   // the refresh token
	}{
		{"from a refresh: a log-in follows", user, []http.RoundTripper{over("O"), issues("B")},
			[]string{"refresh R-stored", "log in"}, "B", []string{"B"}, "R-B"},
		{"from a refresh, and the log-in is refused", user, []http.RoundTripper{over("O"), rejects, issues("B")},
			[]string{"refresh R-stored", "log in"}, "error", []string{"O"}, "R-O"},
		{"from a log-in: a fault that may pass", user, []http.RoundTripper{refuses, over("O"), issues("B")},
			[]string{"refresh R-stored", "log in", "refresh R-O"}, "B", []string{"B"}, "R-B"},
		{"from a log-in, without a refresh token", user, []http.RoundTripper{refuses, bare, bare, bare, issues("B")},
			[]string{"refresh R-stored", "log in", "log in", "log in"}, "error", nil, "R-stored"},
		{"of Refresh", refresher, []http.RoundTripper{over("O"), issues("B")},
			[]string{"refresh R-stored"}, "error", []string{"O"}, "R-O"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStore(&oauth2.Token{AccessToken: "stored", RefreshToken: "R-stored", Expiry: time.Unix(1, 0)})
			var told []string
			o := netoauth.Options{Store: st, OnToken: func(tok *oauth2.Token) { told = append(told, tok.AccessToken) }}
			act(t, tt.of, o, tt.answers, func(t *testing.T, src oauth2.TokenSource, s *script) {
				suite.Diff(t, "what a caller gets", tt.want, ask(src, 1))
				suite.Diff(t, "requests", tt.asked, s.Take())
				suite.Diff(t, "OnToken", tt.told, told)
				suite.Diff(t, "stored refresh token", tt.stored, st.get().RefreshToken)
				if st.get().AccessToken == "O" && time.Now().Before(st.get().Expiry) {
					t.Error("the stored token has not expired")
				}
				time.Sleep(20 * time.Second)
				suite.Diff(t, "then", "B", ask(src, 1))
			})
		})
	}
}

// Its refresh token is lost with the program, which is told beside the failure.
func TestStore_tokenThatIsOverAndCannotBeStored(t *testing.T) {
	st := newStore(&oauth2.Token{RefreshToken: "R-stored"})
	st.after = failing
	act(t, refresher, st.options(), []http.RoundTripper{over("O")}, func(t *testing.T, src oauth2.TokenSource, _ *script) {
		_, err := src.Token()
		if err == nil || errors.Is(err, errStore) {
			t.Errorf("error %v, want why there is no token", err)
		}
		suite.WantError(t, netoauth.StatusOf(src).StoreErr, errStore)
		suite.Diff(t, "calls and callbacks", []string{"Load", "Update", "WARN", "OnToken", "OnExchange", "WARN"}, st.Take())
	})
}

func TestError_ofATokenThatIsOverAsItComes(t *testing.T) {
	for _, of := range []func(netoauth.Options) suite.Credential{user, refresher} {
		act(t, of, netoauth.Options{}, []http.RoundTripper{over("O")}, func(t *testing.T, src oauth2.TokenSource, _ *script) {
			_, err := src.Token()
			if err == nil || errors.Is(err, netoauth.ErrRejected) || !strings.Contains(err.Error(), "over as it comes") {
				t.Errorf("error %v, want one that says so, and is no refusal of the credentials", err)
			}
			if err != nil && strings.Contains(err.Error(), "check the user name") {
				t.Errorf("error %v blames the credentials", err)
			}
		})
	}
}
