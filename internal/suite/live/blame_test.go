package live_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

// A Store or a network may need a token of this package itself, as behind a gateway. That its credentials are refused
// does not say that the API has refused those of the exchange.
func TestErrRejected_isNotThatOfWhatAnExchangeNeeds(t *testing.T) {
	other := &netoauth.Password{URL: "https://other.test", Username: "other", Password: "the other password"}
	_, refusal := other.Token(suite.Over(t.Context(), rejects))
	suite.WantError(t, refusal, netoauth.ErrRejected)
	network := suite.RoundTripper(func(*http.Request) (*http.Response, error) { return nil, refusal })
	failing := newStore(nil)
	failing.before = func(context.Context) error { return refusal }

	for _, tt := range []struct {
		name    string
		of      func(netoauth.Options) suite.Credential
		o       netoauth.Options
		answers []http.RoundTripper
	}{
		{"a log-in's network", user, netoauth.Options{}, []http.RoundTripper{network}},
		{"a refresh's network", refresher, netoauth.Options{}, []http.RoundTripper{network}},
		{"a Store", refresher, netoauth.Options{Store: failing}, []http.RoundTripper{issues("A")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var e netoauth.Exchange
			tt.o.OnExchange = func(of netoauth.Exchange) { e = of }
			act(t, tt.of, tt.o, tt.answers, func(t *testing.T, src oauth2.TokenSource, _ *script) {
				if _, err := src.Token(); err == nil || errors.Is(err, netoauth.ErrRejected) {
					t.Errorf("error %v, want one that is not ErrRejected", err)
				}
				if e.RetryIn > time.Second {
					t.Errorf("the next try in %v, want what a passing fault has", e.RetryIn)
				}
			})
		})
	}
}
