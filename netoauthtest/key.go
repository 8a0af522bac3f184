package netoauthtest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
)

// apiKey is the JSON object inside a NETOSECRET.
type apiKey struct {
	URL          string `json:"url"`
	Shortname    string `json:"shortname"`
	AppName      string `json:"appname"`
	SharedSecret string `json:"sharedsecret"`
	AppKey       string `json:"appkey"`
}

// newAPIKey returns a key whose secrets are made up anew and whose names are always the same.
func newAPIKey(url string) apiKey {
	return apiKey{url, "example", "netoauthtest", rand.Text()[:14], rand.Text()}
}

func (k apiKey) netosecret() string {
	text, _ := json.MarshalIndent(k, "", "  ") // a struct of strings has no error
	return base64.RawStdEncoding.EncodeToString(text)
}

// RotateKey replaces the API key, as a person does in the portal while programs run, and returns the
// new one's NETOSECRET; the field Netosecret stays as it is. The new key has another AppKey and
// another shared secret, but the same AppName, as it is the same key to those who manage it.
//
// From then on the old key is refused with 401, and so is every access token that was got with it or
// with the refresh tokens that followed; those refresh tokens are refused with 400. Sessions that a
// password began go on.
func (s *Server) RotateKey() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = newAPIKey(s.key.URL)
	maps.DeleteFunc(s.accessTokens, func(_ string, a accessToken) bool { return a.session.withKey })
	maps.DeleteFunc(s.sessions, func(_ string, ses *session) bool { return ses.withKey })
	return s.key.netosecret()
}
