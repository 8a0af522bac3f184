// Package session keeps a session: what a log-in starts and its refresh tokens carry on. It decides
// which refresh token comes next, and what of the session a Store has.
//
// A refresh token that has been used with success must not be sent again: a server that rotates
// them ends the session then (RFC 9700 section 4.14.2). So much hangs on which one is used:
//
//	the Store has                           the refresh token to use is
//	a token that it did not have before     that token's, or none: another program has renewed it
//	the newest token of this program        that token's
//	the token that it had before, or none   the newest one's, which could not be stored
//	none, at the first look                 the initial token's, or the program's own
//
// and what the API did with it when it was last sent decides whether it is sent:
//
//	state    since                               it is sent
//	ready    it came, or it was idle and a       first
//	         log-in has failed since
//	idle     a fault that left it unused         after a log-in that failed or was refused
//	doubtful a fault that may have used it up    after a log-in that was refused
//
// One that the API refused is forgotten.
//
// Who cannot log in has no choice, and sends it whatever its state.
package session

import (
	"cmp"
	"slices"
	"time"

	"github.com/netoauth/netoauth/internal/endpoint"
	"golang.org/x/oauth2"
)

// Session is a session, for one goroutine at a time. The methods that record something, and those
// that look at the Store, may change all of its fields but the first two.
type Session struct {
	store    Store // nil: none
	mayLogIn bool  // there are credentials beside the refresh tokens

	next    string    // the refresh token to use; "": none
	end     time.Time // of next; zero: unknown
	idle    bool      // next met a fault that left it unused
	doubted []string  // refresh tokens that a fault may have used up: next, or what a look may bring back
	untaken bool      // next is of a stored token that is neither newest nor taken over
	own     string    // the program's own, as long as it has not been used or refused; "": none
	initial *oauth2.Token

	newest *oauth2.Token // the last one that was issued or taken over; nil: none
	seen   *oauth2.Token // the last one that a look at the Store found, or that was put there; nil: none

	loads, updates call // of the Store
}

// New returns the session of a program. own is a refresh token that it was given, "" for none;
// initial is a token that it was given, nil for none, which counts where the Store has none.
// mayLogIn says that it can log in.
func New(store Store, own string, initial *oauth2.Token, mayLogIn bool) *Session {
	return &Session{store: store, mayLogIn: mayLogIn, next: own, own: own, initial: initial}
}

// identity tells tokens apart: by the access token or, where there is none, by the refresh token.
func identity(t *oauth2.Token) string {
	if t == nil {
		return ""
	}
	return cmp.Or(t.AccessToken, t.RefreshToken)
}

// notice looks at what the Store has, and returns it if it is news: another program has put it
// there since the last look. Its refresh token is the next one then, whatever becomes of the access
// token. Where there is nothing, the initial token stands in, once.
func (s *Session) notice(stored *oauth2.Token) (news *oauth2.Token) {
	if stored == nil && s.seen == nil {
		stored, s.initial = s.initial, nil
	}
	if stored == nil || identity(stored) == identity(s.seen) {
		return nil
	}
	s.seen = stored
	if identity(stored) != identity(s.newest) {
		s.adopt(stored)
		s.untaken = true
		return stored
	}
	if s.untaken {
		s.adopt(s.newest) // in the place of an older one, which a Load that lags behind gave
	}
	return nil
}

// adopt makes the refresh token of t the next one.
func (s *Session) adopt(t *oauth2.Token) {
	s.next, s.end, s.idle, s.untaken = t.RefreshToken, endpoint.RefreshEnd(t), false, false
}

// doubtful reports whether next is in doubt.
func (s *Session) doubtful() bool { return slices.Contains(s.doubted, s.next) }

// Taken records that t, which came from Load or Update, is the newest token from now on.
func (s *Session) Taken(t *oauth2.Token) {
	s.newest, s.doubted, s.untaken = t, nil, false
}

// Issued records that the API has issued t.
func (s *Session) Issued(t *oauth2.Token) {
	s.carry(t)
	s.newest = t
}

// Over records that the API has issued t with an access token that is over as it came, so that it
// is not the newest token, but the refresh token with it is the next.
func (s *Session) Over(t *oauth2.Token) { s.carry(t) }

// carry makes the refresh token of t, which the API has issued, the next one.
func (s *Session) carry(t *oauth2.Token) {
	if t.RefreshToken != s.next || !endpoint.RefreshEnd(t).IsZero() {
		s.end = endpoint.RefreshEnd(t)
	}
	s.next, s.idle, s.doubted, s.untaken = t.RefreshToken, false, nil, false
}

// Next returns the refresh token with which to begin, "" where a log-in comes first. A program that
// cannot log in gets its own where there is no other.
func (s *Session) Next() string {
	switch {
	case !s.mayLogIn:
		return cmp.Or(s.next, s.own)
	case s.idle || s.doubtful() || !s.end.IsZero() && time.Now().After(s.end):
		return ""
	default:
		return s.next
	}
}

// Left returns the refresh token that is left where a log-in was refused: one that was not sent again
// after a fault. "": none.
func (s *Session) Left() string {
	if s.idle || s.doubtful() {
		return s.next
	}
	return ""
}

// Spare returns the program's own refresh token where it differs from token, which was refused. "":
// it has been used, or there is none.
func (s *Session) Spare(token string) string {
	if s.own == token {
		return ""
	}
	return s.own
}

// Used records that the API has exchanged token, a refresh token.
func (s *Session) Used(token string) {
	if token == s.own {
		s.own = ""
	}
}

// Refused records that the API has refused token. Who cannot log in keeps it: it is the newest that
// there is, and was perhaps refused for another's fault.
func (s *Session) Refused(token string) {
	s.Used(token)
	if s.mayLogIn && token == s.next {
		s.next, s.end = "", time.Time{}
	}
}

// Faulted records that sending token met a fault that may pass. unused says that the API has
// certainly not exchanged it.
func (s *Session) Faulted(token string, unused bool) {
	switch {
	case token != s.next || s.doubtful():
	case unused:
		s.idle = true
	default:
		s.doubted = append(s.doubted, token)
	}
}

// LogInFailed records that a log-in met a fault that may pass, or was refused.
func (s *Session) LogInFailed() { s.idle = false }

// RefreshEnd returns when the next refresh token ends; zero: there is none, or its end is unknown.
func (s *Session) RefreshEnd() time.Time {
	if s.next == "" {
		return time.Time{}
	}
	return s.end
}

// Secrets returns all tokens that s knows.
func (s *Session) Secrets() []string {
	all := append([]string{s.next, s.own}, s.doubted...)
	for _, t := range []*oauth2.Token{s.seen, s.newest, s.initial} {
		if t != nil {
			all = append(all, t.AccessToken, t.RefreshToken)
		}
	}
	return all
}
