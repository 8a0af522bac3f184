package netoauthtest_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestServer_rotateKeyReplacesTheSecretsAlone(t *testing.T) {
	srv := newServer(t)
	field, before := srv.Netosecret, parseKey(t, srv)
	key := parseNetosecret(t, srv.RotateKey())
	if srv.Netosecret != field {
		t.Error("the field has changed")
	}
	if key.AppKey == before.AppKey || key.SharedSecret == before.SharedSecret {
		t.Error("the new key has a secret of the old one")
	}
	if len(key.SharedSecret) != len(before.SharedSecret) {
		t.Errorf("the new shared secret has %d bytes, want %d", len(key.SharedSecret), len(before.SharedSecret))
	}
	key.AppKey, key.SharedSecret = before.AppKey, before.SharedSecret
	if diff := cmp.Diff(before, key); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

// What the old key has brought is refused, however it was got; nothing else is.
func TestServer_rotateKeyRefusesWhatTheOldKeyBrought(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *server, c *http.Client) {
		old := parseKey(t, srv)
		sub := old
		sub.Shortname = "sub-account"
		own, other := logInWithKey(t, srv, c, old), logInWithKey(t, srv, c, sub)
		refreshed := refresh(t, srv, c, logInWithKey(t, srv, c, old).RefreshToken)
		password := logIn(t, srv, c)
		srv.RevokeRefreshTokens() // their access tokens stay good
		alone := password.AccessToken
		password = logIn(t, srv, c)
		last := logInWithKey(t, srv, c, old)

		next := parseNetosecret(t, srv.RotateKey())
		sub = next
		sub.Shortname = "sub-account"
		checkError(t, logInWithKey(t, srv, c, old), 401, old.AppKey)
		checkError(t, refresh(t, srv, c, last.RefreshToken), 400)
		got := make(map[string]bool)
		for name, token := range map[string]string{
			"of a password, its refresh token revoked": alone,
			"of a password":                          password.AccessToken,
			"of a password, refreshed":               refresh(t, srv, c, password.RefreshToken).AccessToken,
			"of the new key":                         logInWithKey(t, srv, c, next).AccessToken,
			"of the new key, for a sub-account":      logInWithKey(t, srv, c, sub).AccessToken,
			"of the old key":                         last.AccessToken,
			"of the old key, its refresh token gone": own.AccessToken,
			"of the old key, for a sub-account":      other.AccessToken,
			"of the old key, refreshed":              refreshed.AccessToken,
		} {
			got[name] = accepts(t, srv, c, token)
		}
		want := map[string]bool{
			"of a password, its refresh token revoked": true,
			"of a password":                          true,
			"of a password, refreshed":               true,
			"of the new key":                         true,
			"of the new key, for a sub-account":      true,
			"of the old key":                         false,
			"of the old key, its refresh token gone": false,
			"of the old key, for a sub-account":      false,
			"of the old key, refreshed":              false,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("access tokens that are accepted (-want +got):\n%s", diff)
		}
	})
}

// A rotation between the requests of many leaves no token of the old key that is good.
func TestServer_rotateKeyMeetsLogIns(t *testing.T) {
	srv := newServer(t)
	old := parseKey(t, srv)
	var clients sync.WaitGroup
	answers := make([]answer, 16)
	for i := range answers {
		clients.Go(func() { answers[i] = logInWithKey(t, srv, srv.Client(), old) })
	}
	time.Sleep(time.Millisecond)
	key := parseNetosecret(t, srv.RotateKey())
	clients.Wait()
	for _, a := range answers {
		if a.Code == 200 && accepts(t, srv, srv.Client(), a.AccessToken) {
			t.Error("an access token of the old key is accepted")
		}
	}
	if a := logInWithKey(t, srv, srv.Client(), key); a.Code != http.StatusOK {
		t.Errorf("the new key: %d", a.Code)
	}
}
