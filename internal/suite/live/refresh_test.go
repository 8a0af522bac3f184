package live_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
)

func TestRefresh_whileThatWorksElseLogIn(t *testing.T) {
	login, refresh := netoauthtest.PasswordPath, netoauthtest.RefreshPath
	tests := []struct {
		name    string
		refresh time.Duration // lifetime of the refresh token
		trouble func(w *suite.World)
		want    map[string]int // token requests, the first log-in included
		fails   bool
	}{
		{name: "the refresh token lasts", refresh: time.Hour, want: map[string]int{login: 1, refresh: 1}},
		{name: "its end is unknown", refresh: 0, want: map[string]int{login: 1, refresh: 1}},
		{name: "it has ended", refresh: time.Minute, want: map[string]int{login: 2, refresh: 0}},
		{name: "it is refused", refresh: time.Hour, trouble: func(w *suite.World) { w.RevokeRefreshTokens() },
			want: map[string]int{login: 2, refresh: 1}},
		{name: "it may be used up, then log-ins follow", refresh: time.Hour,
			trouble: func(w *suite.World) { w.Fail(-1, netoauthtest.Status(502)) },
			want:    map[string]int{login: 3, refresh: 1}, fails: true},
		{name: "it is certainly unused, then log-ins and refreshes take turns", refresh: time.Hour,
			trouble: func(w *suite.World) { w.Fail(-1, netoauthtest.Status(503)) },
			want:    map[string]int{login: 2, refresh: 2}, fails: true},
		{name: "a rate limit is no reason to log in", refresh: time.Hour,
			trouble: func(w *suite.World) { w.Fail(-1, netoauthtest.Status(429, "Retry-After", "7")) },
			want:    map[string]int{login: 1, refresh: 1}, fails: true},
	}
	for _, tt := range tests {
		suite.RunInBubble(t, tt.name, func(t *testing.T, w *suite.World) {
			w.SetLifetimes(5*time.Minute, tt.refresh)
			src := w.User.TokenSource(w.Ctx)
			suite.MustToken(t, src)
			time.Sleep(5 * time.Minute)
			if tt.trouble != nil {
				tt.trouble(w)
			}
			if _, err := src.Token(); (err != nil) != tt.fails {
				t.Errorf("error %v", err)
			}
			got := map[string]int{login: w.Requests(login), refresh: w.Requests(refresh)}
			suite.Diff(t, "token requests", tt.want, got)
		})
	}
}

// An hour at a request a second, of a flow that can log in.
func TestRefresh_brokenEndpointStarvesNobody(t *testing.T) {
	for name, fault := range map[string]http.Handler{
		"500":         netoauthtest.Status(500),
		"no token":    suite.Answer(200, "{}"),
		"cut off":     netoauthtest.CutOff(),
		"no answer":   netoauthtest.Hang(),
		"Retry-After": netoauthtest.Status(429, "Retry-After", "30"),
	} {
		suite.RunInBubble(t, name, func(t *testing.T, w *suite.World) {
			w.Fail(-1, fault, netoauthtest.RefreshPath)
			src := w.User.TokenSource(w.Ctx)
			for range 3600 {
				suite.MustToken(t, src)
				time.Sleep(time.Second)
			}
			if n := w.Requests(""); n > 80 {
				t.Errorf("%d token requests, want at most 80", n)
			}
		})
	}
}

func TestRefresh_sameTokenMayGetALaterEnd(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Fail(-1, suite.Answer(200,
			`{"access_token":"t","expires_in":300,"refresh_token":"same","refresh_expires_in":400}`))
		src := w.Key.TokenSource(w.Ctx)
		suite.MustToken(t, src)
		for range 2 { // the second refresh is past the end that the log-in gave it
			time.Sleep(300 * time.Second)
			suite.MustToken(t, src)
		}
		suite.Diff(t, "refreshes", 2, w.Requests(netoauthtest.RefreshPath))
	})
}

// A refresh token without a new end keeps its old one, whether the answer repeats it or not.
func TestRefresh_sameTokenKeepsItsEnd(t *testing.T) {
	for name, again := range map[string]string{
		"repeated":            `{"access_token":"t2","expires_in":300,"refresh_token":"same"}`,
		"left out":            `{"access_token":"t2","expires_in":300}`,
		"with an unknown end": `{"access_token":"t2","expires_in":300,"refresh_token":"same","refresh_expires_in":0}`,
	} {
		suite.RunInBubble(t, name, func(t *testing.T, w *suite.World) {
			w.Fail(1, suite.Answer(200,
				`{"access_token":"t1","expires_in":300,"refresh_token":"same","refresh_expires_in":500}`))
			src := w.Key.TokenSource(w.Ctx)
			suite.MustToken(t, src)
			time.Sleep(300 * time.Second)
			w.Fail(-1, suite.Answer(200, again))
			suite.MustToken(t, src)
			time.Sleep(300 * time.Second)
			suite.MustToken(t, src)
			suite.Diff(t, "log-ins and refreshes", []int{2, 1},
				[]int{w.Requests(netoauthtest.APIKeyPath), w.Requests(netoauthtest.RefreshPath)})
		})
	}
}

// The answer tells the refresh token's lifetime but not the access token's, so that neither end is
// known: the refresh token is tried when a 401 says that the access token is over.
func TestRefresh_tokenWithoutAnExpiryHasARefreshTokenWithoutAnEnd(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Handle("/", suite.Answer(200, ""))
		w.Fail(1, suite.Answer(200, `{"access_token":"t","refresh_token":"r","refresh_expires_in":1800}`))
		src := w.Key.TokenSource(w.Ctx)
		tok, err := src.Token()
		if err != nil || !tok.Expiry.IsZero() {
			t.Fatalf("%v, with the Expiry %v; want a token without", err, tok.Expiry)
		}
		time.Sleep(time.Minute)
		w.Fail(1, suite.Answer(200, `{"access_token":"t2"}`), netoauthtest.RefreshPath)
		client := &http.Client{Transport: &netoauth.Transport{Source: src, Base: w.InProcess().Transport}}
		suite.MustGet(t, client, w.URL) // 401: the API knows neither token
		suite.Diff(t, "the token after a refresh", "t2", suite.MustToken(t, src))
		suite.Diff(t, "log-ins and refreshes", []int{1, 1},
			[]int{w.Requests(netoauthtest.APIKeyPath), w.Requests(netoauthtest.RefreshPath)})
	})
}

func TestRefresh_triesAnEndedTokenForItHasNothingElse(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.SetLifetimes(5*time.Minute, time.Minute)
		src := signIn(t, w, suite.Refresh, netoauth.Options{}).TokenSource(w.Ctx)
		suite.MustToken(t, src)
		time.Sleep(time.Hour)
		_, err := src.Token()
		suite.WantError(t, err, netoauth.ErrRejected)
		suite.Diff(t, "refreshes", 2, w.Requests(netoauthtest.RefreshPath))
	})
}
