package netoauthtest

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// send asks an endpoint for tokens as a client does, and wants a status.
func send(t *testing.T, s *Server, path, contentType, body string, want int) (a answer) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Accept", jsonType)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != want {
		t.Fatalf("%s: status %d, want %d: %s", path, w.Code, want, w.Body)
	}
	json.Unmarshal(w.Body.Bytes(), &a)
	return a
}

func TestServer_memoryStaysInProportionToWhatIsGood(t *testing.T) {
	s := NewServer()
	defer s.Close()
	logIn := func(t *testing.T) answer {
		token := sign(map[string]any{
			"iat": time.Now().Unix(), "jti": rand.Text(),
			"appname": s.key.AppName, "appkey": s.key.AppKey, "shortname": "any",
		}, []byte(s.key.SharedSecret))
		return send(t, s, APIKeyPath, jsonType, `{"jwt":"`+token+`"}`, 200)
	}
	refresh := func(t *testing.T, token string, want int) answer {
		return send(t, s, RefreshPath, formType, url.Values{"refresh_token": {token}}.Encode(), want)
	}
	synctest.Test(t, func(t *testing.T) {
		const perSecond, seconds = 4, 120
		s.SetLifetimes(time.Second, 0)
		lasting := logIn(t).RefreshToken // of a session that never ends
		s.SetLifetimes(time.Second, 2*time.Second)
		for range seconds {
			for range perSecond {
				first := logIn(t).RefreshToken
				refresh(t, first, 200)
				s.SetLifetimes(time.Second, 0)
				lasting = refresh(t, lasting, 200).RefreshToken
				thrownOut := logIn(t).RefreshToken // a session without an end, that its reuse ends
				refresh(t, thrownOut, 200)
				refresh(t, thrownOut, 400)
				s.SetLifetimes(time.Second, 2*time.Second)
			}
			time.Sleep(time.Second)
		}
		// The good ones, and the 256 issued after which the others are forgotten.
		const tolerance = 256 + 5*perSecond
		for name, n := range map[string]struct{ got, limit int }{
			"access tokens": {len(s.accessTokens), 3*perSecond + tolerance},
			"sessions":      {len(s.sessions), 1 + 2*perSecond + tolerance},
			"jtis":          {len(s.jtis), 62*2*perSecond + tolerance},
		} {
			if n.got > n.limit {
				t.Errorf("%d %s kept, want at most %d", n.got, name, n.limit)
			}
		}
	})
}
