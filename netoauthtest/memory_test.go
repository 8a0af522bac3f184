package netoauthtest

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryStaysInProportionToTheTokensThatAreGood(t *testing.T) {
	s := NewServer()
	defer s.Close()
	synctest.Test(t, func(t *testing.T) {
		const perSecond, seconds = 10, 300
		s.SetLifetimes(time.Second, 2*time.Second)
		for range seconds {
			for range perSecond {
				token := sign(map[string]any{
					"iat": time.Now().Unix(), "jti": s.issue(grant{}).AccessToken,
					"appname": s.key.AppName, "appkey": s.key.AppKey, "shortname": "any",
				}, []byte(s.key.SharedSecret))
				if _, refused := s.checkRequestToken(map[string]any{"jwt": token}); refused != nil {
					t.Fatal(refused.message)
				}
			}
			time.Sleep(time.Second)
		}
		// The good ones and the 256 after which the others are forgotten.
		const tolerance = 256 + perSecond
		for name, n := range map[string]struct{ got, limit int }{
			"access tokens":  {len(s.accessTokens), 1*perSecond + tolerance},
			"refresh tokens": {len(s.refreshTokens), 2*perSecond + tolerance},
			"jtis":           {len(s.jtis), 62*perSecond + tolerance},
		} {
			if n.got > n.limit {
				t.Errorf("%d %s kept, want at most %d", n.got, name, n.limit)
			}
		}
	})
}
