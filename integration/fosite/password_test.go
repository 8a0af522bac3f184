package fosite_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

// callFor calls the API every ten seconds for that long and holds the status to be 200.
func callFor(t *testing.T, client *http.Client, during time.Duration) {
	t.Helper()
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(10 * time.Second) {
		if status := list(t, client, inProcessURL); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
	}
	synctest.Wait()
}

func TestPassword_renewsByRefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(5*time.Minute, time.Hour)
		callFor(t, s.withPassword(inProcessURL, netoauth.Options{}).Client(s.context(t)), 3*time.Hour)
		// A token serves for 70 % to 85 % of its five minutes.
		got := s.answered()
		if got.LogIns != 1 || got.Refused != 0 || got.Refreshes < 3*60/5 || got.Refreshes > 3*60*10/5/7 {
			t.Errorf("token requests in three hours: %+v", got)
		}
	})
}

// A refresh token whose end is known is not tried after it.
func TestPassword_logsInWhenTheRefreshTokenHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(5*time.Minute, time.Hour)
		client := s.withPassword(inProcessURL, netoauth.Options{}).Client(s.context(t))
		callFor(t, client, time.Second)
		time.Sleep(2 * time.Hour)
		callFor(t, client, time.Second)
		s.checkAnswered(t, counts{LogIns: 2})
	})
}

func TestPassword_healsARevocation(t *testing.T) {
	for _, tt := range []struct {
		name   string
		revoke func(t *testing.T, s *server, used string, now *oauth2.Token)
		want   counts
	}{
		{"of the access token alone", func(t *testing.T, s *server, _ string, _ *oauth2.Token) {
			clear(s.store.AccessTokens)
		}, counts{LogIns: 1, Refreshes: 2}},
		{"of the family", func(t *testing.T, s *server, _ string, now *oauth2.Token) {
			s.revoke(t, now.AccessToken)
		}, counts{LogIns: 2, Refreshes: 1, Refused: 1}},
		{"by a thief with a used refresh token", func(t *testing.T, s *server, used string, _ *oauth2.Token) {
			if _, err := s.refresh(t, used); err == nil {
				t.Error("a refresh token was good twice")
			}
		}, counts{LogIns: 2, Refreshes: 1, Refused: 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(5*time.Minute, time.Hour)
				var issued []*oauth2.Token
				onToken := func(t *oauth2.Token) { issued = append(issued, t) }
				client := s.withPassword(inProcessURL, netoauth.Options{OnToken: onToken}).Client(s.context(t))
				for len(issued) < 2 {
					callFor(t, client, time.Second)
				}
				tt.revoke(t, s, issued[0].RefreshToken, issued[1])
				callFor(t, client, time.Minute)
				s.checkAnswered(t, tt.want)
			})
		})
	}
}
