package suite

import (
	"iter"
	"testing"

	"github.com/netoauth/netoauth"
)

// Flow is one of the three ways to a token.
type Flow struct {
	Name string // as errors and Exchange call it
	Path string // of the endpoint where it begins
}

// The flows, all of which are in Flows.
var (
	APIKey   = Flow{"API key", "/api/v1/auth/token"}
	Password = Flow{"password", "/api/auth/bearer/token"}
	Refresh  = Flow{"refresh token", "/api/auth/bearer/refresh"}
	Flows    = []Flow{APIKey, Password, Refresh}
)

// EachFlow runs test for each of the flows, as a test of its own.
func EachFlow(t *testing.T, test func(*testing.T, Flow)) {
	for _, f := range Flows {
		t.Run(f.Name, func(t *testing.T) { test(t, f) })
	}
}

// Account is what credentials of each flow are made of.
type Account struct {
	Key          netoauth.APIKey
	User         netoauth.Password // its URL is that of a refresh, too
	RefreshToken netoauth.Secret
}

// Credential returns credentials of the flow with these options.
func (a Account) Credential(f Flow, o netoauth.Options) Credential {
	switch f {
	case APIKey:
		a.Key.Options = o
		return &a.Key
	case Password:
		a.User.Options = o
		return &a.User
	default:
		return &netoauth.Refresh{URL: a.User.URL, RefreshToken: a.RefreshToken, Options: o}
	}
}

// All returns credentials of each flow with these options, by the flow's name.
func (a Account) All(o netoauth.Options) iter.Seq2[string, Credential] {
	return func(yield func(string, Credential) bool) {
		for _, f := range Flows {
			if !yield(f.Name, a.Credential(f, o)) {
				return
			}
		}
	}
}

// Credential returns credentials that w accepts. Those of Refresh have a refresh token only where the
// options bring one.
func (w *World) Credential(f Flow, o netoauth.Options) Credential {
	return Account{Key: *w.Key, User: *w.User}.Credential(f, o)
}
