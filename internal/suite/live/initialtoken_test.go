package live_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

func TestOptions_initialToken(t *testing.T) {
	ended := func(ago time.Duration, refreshToken ...string) func(*oauth2.Token) {
		return func(tok *oauth2.Token) {
			tok.Expiry = time.Now().Add(-ago)
			if refreshToken != nil {
				tok.RefreshToken = refreshToken[0]
			}
		}
	}
	tests := []struct {
		name         string
		tok          func(*oauth2.Token) // makes it of a token just issued
		wait         time.Duration
		login, fresh int // token requests beside those that issued it
	}{
		{name: "serves while it is valid", tok: func(*oauth2.Token) {}},
		{name: "is renewed at its end", tok: func(*oauth2.Token) {}, wait: 5 * time.Minute, fresh: 1},
		{name: "is refreshed when it has expired", tok: ended(time.Minute), fresh: 1},
		{name: "is no reason to refresh when its refresh token has ended", tok: ended(time.Hour), login: 1},
		{name: "may be a refresh token alone", tok: func(tok *oauth2.Token) { tok.AccessToken = "" }, fresh: 1},
		{name: "may lack a refresh token", tok: ended(0, ""), login: 1},
		{name: "may have a bad refresh token", tok: ended(0, "bad"), login: 1, fresh: 1},
		{name: "without an expiry or a lifetime serves for good", wait: 1000 * time.Hour, tok: func(tok *oauth2.Token) {
			tok.AccessToken, tok.Expiry, tok.ExpiresIn = "opaque", time.Time{}, 0
		}},
		{name: "without an expiry goes by its exp", wait: 5 * time.Minute, fresh: 1, tok: func(tok *oauth2.Token) {
			tok.Expiry = time.Time{}
		}},
		{name: "without an expiry or exp is stale by its lifetime", fresh: 1, tok: func(tok *oauth2.Token) {
			tok.AccessToken, tok.Expiry = "opaque", time.Time{}
		}},
		{name: "whose expiry is further off than its lifetime is stale", fresh: 1, tok: func(tok *oauth2.Token) {
			tok.Expiry = tok.Expiry.Add(24 * time.Hour)
		}},
		{name: "may be empty", tok: func(tok *oauth2.Token) { *tok = oauth2.Token{} }, login: 1},
	}
	for _, tt := range tests {
		suite.RunInBubble(t, tt.name, func(t *testing.T, w *suite.World) {
			tok, err := w.Key.Token(w.Ctx)
			if err != nil {
				t.Fatal(err)
			}
			tt.tok(tok)
			w.Key.InitialToken = tok
			src := w.Key.TokenSource(w.Ctx)
			stored := *tok
			*tok = oauth2.Token{AccessToken: "the caller's variable", Expiry: time.Now().Add(time.Hour)}
			time.Sleep(tt.wait)

			got, err := src.Token()
			if err != nil {
				t.Fatal(err)
			}
			requests := []int{w.Requests(netoauthtest.APIKeyPath), w.Requests(netoauthtest.RefreshPath)}
			suite.Diff(t, "log-ins and refreshes", []int{1 + tt.login, tt.fresh}, requests)
			if same := got.AccessToken == stored.AccessToken; same != (tt.login+tt.fresh == 0) {
				t.Errorf("the token is the stored one: %v", same)
			}
		})
	}
}

// One whose age is not known is renewed as soon as that works, though the first renewal has failed.
func TestOptions_initialTokenOfUnknownAgeIsRenewedAfterAFailure(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Key.InitialToken = &oauth2.Token{AccessToken: "t", ExpiresIn: 300}
		w.Fail(-1, netoauthtest.Status(503))
		src := w.Key.TokenSource(w.Ctx)
		suite.Diff(t, "token", "t", suite.MustToken(t, src))
		w.Fail(0, nil)
		time.Sleep(15 * time.Second)
		suite.MustToken(t, src)
		netoauth.Wait(t.Context(), src)
		if suite.MustToken(t, src) == "t" {
			t.Error("it is still in use")
		}
	})
}

func TestOptions_initialTokenMayLastForCenturies(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		for years := 1; years < 400; years++ {
			w.Key.InitialToken = &oauth2.Token{AccessToken: "t", Expiry: time.Now().AddDate(years, 0, 0)}
			if got := suite.MustToken(t, w.Key.TokenSource(w.Ctx)); got != "t" {
				t.Errorf("a token for %d years is not used", years)
			}
		}
	})
}

func TestOptions_initialTokenIsForSourcesAlone(t *testing.T) {
	path := ""
	p := &netoauth.Password{Username: "u", Password: "pppp"}
	p.InitialToken = &oauth2.Token{AccessToken: "t", TokenType: "mac", RefreshToken: "stored"}
	ctx := suite.Over(t.Context(), suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
		path = r.URL.Path + " " + r.Header.Get("Authorization")
		return suite.Answer(200, `{"access_token":"t"}`).RoundTrip(r)
	}))
	if _, err := p.Token(ctx); err != nil {
		t.Fatal(err)
	}
	suite.Diff(t, "Token's request", "/api/auth/bearer/token ", path)
	suite.MustGet(t, p.Client(ctx), "https://api.netography.com/")
	suite.Diff(t, "Client's request", "/ MAC t", path)
}
