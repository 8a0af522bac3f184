package fosite_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
)

// The tests of this file hold the server against what the others rely on.

func TestToken_eachFlowOverARealSocket(t *testing.T) {
	s := newServer(5*time.Minute, time.Hour)
	site := httptest.NewServer(s.mux)
	defer site.Close()
	first := exchange(t, t.Context(), s.withPassword(site.URL, netoauth.Options{}))
	for name, c := range map[string]credential{
		"API key":       s.withKey(site.URL, netoauth.Options{}),
		"password":      s.withPassword(site.URL, netoauth.Options{}),
		"refresh token": &netoauth.Refresh{URL: site.URL, RefreshToken: netoauth.Secret(first.RefreshToken)},
	} {
		t.Run(name, func(t *testing.T) {
			if status := list(t, c.Client(t.Context()), site.URL); status != http.StatusOK {
				t.Errorf("status %d", status)
			}
		})
	}
	s.checkAnswered(t, counts{LogIns: 3, Refreshes: 1})
}

// A refusal is for good, and says why in the server's words.
func TestToken_refused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		with    func(*testing.T, *server) credential
		status  int
		message string
	}{
		{"wrong password", func(*testing.T, *server) credential {
			return &netoauth.Password{URL: inProcessURL, Username: username, Password: "correct horse"}
		}, 401, "Unable to authenticate the provided username and password credentials."},
		{"wrong shared secret", func(_ *testing.T, s *server) credential {
			key := s.withKey(inProcessURL, netoauth.Options{})
			key.SharedSecret = "battery staple"
			return key
		}, 401, "Username or password are missing from the POST body."},
		{"garbage for a refresh token", refreshWith(func(*testing.T, *server) string {
			return "\x00é"
		}), 400, "The refresh token is malformed or not valid."},
		{"an access token for a refresh token", refreshWith(func(t *testing.T, s *server) string {
			return s.logIn(t).AccessToken
		}), 400, "The refresh token is malformed or not valid."},
		{"a refresh token of another server", refreshWith(func(t *testing.T, _ *server) string {
			return newServer(time.Minute, time.Hour).logIn(t).RefreshToken
		}), 400, "The refresh token is malformed or not valid."},
		{"a refresh token that has expired", refreshWith(func(t *testing.T, s *server) string {
			token := s.logIn(t).RefreshToken
			time.Sleep(2 * time.Hour)
			return token
		}), 400, "The refresh token expired."},
		{"a refresh token that was used", refreshWith(func(t *testing.T, s *server) string {
			token := s.logIn(t).RefreshToken
			if _, err := s.refresh(t, token); err != nil {
				t.Error(err)
			}
			return token
		}), 400, "The refresh token was already used."},
		{"a refresh token that was revoked", refreshWith(func(t *testing.T, s *server) string {
			token := s.logIn(t)
			s.revoke(t, token.AccessToken)
			return token.RefreshToken
		}), 400, "The refresh token was already used."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(time.Minute, time.Hour)
				_, err := tt.with(t, s).Token(s.context(t))
				var answer *netoauth.Error
				if !errors.Is(err, netoauth.ErrRejected) || !errors.As(err, &answer) {
					t.Fatalf("error %v, want %v", err, netoauth.ErrRejected)
				}
				if answer.StatusCode != tt.status || answer.Message != tt.message {
					t.Errorf("status %d, message %q, want %d, %q",
						answer.StatusCode, answer.Message, tt.status, tt.message)
				}
			})
		})
	}
}

func refreshWith(token func(*testing.T, *server) string) func(*testing.T, *server) credential {
	return func(t *testing.T, s *server) credential {
		return &netoauth.Refresh{URL: inProcessURL, RefreshToken: netoauth.Secret(token(t, s))}
	}
}

// TestToken_reuseEndsTheFamily is what rotation means on this server.
func TestToken_reuseEndsTheFamily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(5*time.Minute, time.Hour)
		other := s.logIn(t)
		first := s.logIn(t)
		second, err := s.refresh(t, first.RefreshToken)
		if err != nil {
			t.Fatal(err)
		}
		if s.takes(t, first) {
			t.Error("the first access token outlives the rotation")
		}
		if !s.takes(t, second) {
			t.Error("the second access token is not good")
		}
		if _, err := s.refresh(t, first.RefreshToken); !errors.Is(err, netoauth.ErrRejected) {
			t.Errorf("second use of the first refresh token: error %v, want %v", err, netoauth.ErrRejected)
		}
		if s.takes(t, second) {
			t.Error("the second access token outlives the reuse")
		}
		if _, err := s.refresh(t, second.RefreshToken); !errors.Is(err, netoauth.ErrRejected) {
			t.Errorf("the refresh token after a reuse: error %v, want %v", err, netoauth.ErrRejected)
		}
		if !s.takes(t, other) {
			t.Error("the reuse ends another family, too")
		}
	})
}
