package netoauthtest

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"time"
)

// session is what a log-in begins. It goes on through every refresh, until its last refresh token
// is over. Only that one is good: any other that names the session was used before. Server.mu
// guards it.
type session struct {
	id                 string // the answers' session-state, and the sid claim of its refresh tokens
	subject, shortname string
	withKey            bool      // it began with a request token, so that it ends with the API key
	refreshToken       string    // the last one issued
	end                time.Time // of that; zero: none
}

// accessToken is what the server knows of an access token that it accepts.
type accessToken struct {
	session *session
	end     time.Time
}

func newSession(subject, shortname string, withKey bool) *session {
	return &session{id: rand.Text(), subject: subject, shortname: shortname, withKey: withKey}
}

func (ses *session) over(now time.Time) bool { return !ses.end.IsZero() && !now.Before(ses.end) }

// answer has the fields of the reference's closed schema for a 200.
type answer struct {
	AccessToken      string `json:"access_token"`
	ExpiresIn        int64  `json:"expires_in"`
	RefreshExpiresIn int64  `json:"refresh_expires_in"`
	RefreshToken     string `json:"refresh_token"`
	TokenType        string `json:"token_type"`
	IDToken          string `json:"id_token"`
	NotBeforePolicy  int    `json:"not-before-policy"`
	SessionState     string `json:"session-state"`
	Scope            string `json:"scope"`
}

// issue makes the next tokens of a session, old or new. s.mu must be held.
func (s *Server) issue(ses *session) answer {
	now := time.Now()
	if s.issued++; s.issued%256 == 0 {
		s.forget(now)
	}
	jwt := func(lifetime time.Duration, sid string) string {
		iat := s.now().Unix()
		claims := map[string]any{
			"iat": iat, "jti": rand.Text(), "sub": ses.subject, "shortname": ses.shortname,
		}
		if lifetime != 0 {
			claims["exp"] = iat + int64(lifetime/time.Second)
		}
		if sid != "" {
			claims["sid"] = sid
		}
		return sign(claims, s.tokenKey)
	}
	a := answer{
		AccessToken:      jwt(s.access, ""),
		ExpiresIn:        int64(s.access / time.Second),
		RefreshExpiresIn: int64(s.refresh / time.Second),
		RefreshToken:     jwt(s.refresh, ses.id),
		TokenType:        "bearer",
		IDToken:          jwt(s.access, ""),
		SessionState:     ses.id,
		Scope:            "profile email",
	}
	s.accessTokens[a.AccessToken] = accessToken{ses, now.Add(s.access)}
	ses.refreshToken, ses.end = a.RefreshToken, time.Time{}
	if s.refresh != 0 {
		ses.end = now.Add(s.refresh)
	}
	s.sessions[ses.id] = ses
	return a
}

// sessionID returns the session that a refresh token of this server names, "" for any other text.
// Access tokens name none, so that one sent by mistake ends nothing.
func (s *Server) sessionID(token string) string {
	payload, err := verify(token, s.tokenKey)
	if err != nil {
		return ""
	}
	var claims struct {
		SID string `json:"sid"`
	}
	json.Unmarshal(payload, &claims) // the server's own, so there is no error
	return claims.SID
}

// end makes the server refuse all tokens of a session. s.mu must be held.
func (s *Server) end(ses *session) {
	delete(s.sessions, ses.id)
	maps.DeleteFunc(s.accessTokens, func(_ string, a accessToken) bool { return a.session == ses })
}

// forget drops what would be refused for its age anyway, so that memory stays in proportion to the
// sessions and tokens that are good. s.mu must be held.
func (s *Server) forget(now time.Time) {
	maps.DeleteFunc(s.accessTokens, func(_ string, a accessToken) bool { return !now.Before(a.end) })
	maps.DeleteFunc(s.sessions, func(_ string, ses *session) bool { return ses.over(now) })
	oldest := s.now().Add(-maxAge - time.Second) // iat was cut to a whole second
	maps.DeleteFunc(s.jtis, func(_ string, iat time.Time) bool { return iat.Before(oldest) })
}
