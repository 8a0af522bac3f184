package live_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// wantStatus compares what StatusOf says. Of errors it looks only at whether there is one.
func wantStatus(t *testing.T, when string, want netoauth.Status, src oauth2.TokenSource) {
	t.Helper()
	got := netoauth.StatusOf(src)
	present := func(err error) error {
		if err != nil {
			return errAny
		}
		return nil
	}
	got.Err, got.StoreErr = present(got.Err), present(got.StoreErr)
	suite.Diff(t, when, want, got, cmpopts.EquateErrors())
}

var errAny = errors.New("any")

func TestStatusOf_followsATokensLife(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Handle("/", suite.Answer(200, ""))
		client := w.Key.Client(w.Ctx)
		src := client.Transport.(*netoauth.Transport).Source
		status := netoauth.Status{Flow: "API key", Account: "example"}
		wantStatus(t, "before anybody has asked", status, src)

		suite.MustGet(t, client, w.URL)
		status.Usable = true
		status.Expiry, status.SessionExpiry = time.Now().Add(5*time.Minute), time.Now().Add(30*time.Minute)
		wantStatus(t, "a token", status, src)

		w.RevokeAccessTokens()
		w.Fail(-1, netoauthtest.Status(503))
		suite.Diff(t, "status", 401, suite.MustGet(t, client, w.URL))
		failed := netoauth.StatusOf(src)
		if failed.RetryAt.Before(time.Now()) {
			t.Errorf("RetryAt is %v", failed.RetryAt)
		}
		status.Refused, status.Err = true, errAny
		status.FailingSince, status.RetryAt = time.Now(), failed.RetryAt
		wantStatus(t, "refused, and no other comes", status, src)

		w.Fail(0, nil)
		time.Sleep(30 * time.Second)
		suite.Diff(t, "status", 200, suite.MustGet(t, client, w.URL))
		status = netoauth.Status{Flow: "API key", Account: "example", Usable: true,
			Expiry: time.Now().Add(5 * time.Minute), SessionExpiry: time.Now().Add(30 * time.Minute)}
		wantStatus(t, "another token", status, src)

		time.Sleep(10 * time.Minute)
		status.Usable = false
		wantStatus(t, "long after", status, src)
	})
}

// Also where the 401 may start nothing.
func TestStatusOf_tellsOfEach401(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.Handle("/", suite.Answer(200, ""))
		w.Handle("/refused", netoauthtest.Status(401))
		client := w.Key.Client(w.Ctx)
		src := client.Transport.(*netoauth.Transport).Source
		suite.MustGet(t, client, w.URL+"/refused")
		suite.Diff(t, "Refused, after the second 401 of a request", true, netoauth.StatusOf(src).Refused)
		suite.Diff(t, "status", 200, suite.MustGet(t, client, w.URL))
		time.Sleep(5 * time.Minute)
		suite.MustGet(t, client, w.URL)
		suite.Diff(t, "Refused, with the next token", false, netoauth.StatusOf(src).Refused)
		send(t, client.Transport.(*netoauth.Transport), unrepeatableAt(w, "/refused"))
		suite.Diff(t, "Refused, after a 401 for what cannot be sent again", true, netoauth.StatusOf(src).Refused)
		netoauth.Wait(w.Ctx, src)
	})
}

func TestStatusOf_tellsOfTheStore(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		s := newStore(nil)
		s.load = failing
		src := w.Credential(suite.Password, s.options()).TokenSource(w.Ctx)
		suite.MustToken(t, src)
		suite.WantError(t, netoauth.StatusOf(src).StoreErr, errStore)
		s.load, s.after = nil, failing
		time.Sleep(spent)
		suite.MustToken(t, src)
		suite.WantError(t, netoauth.StatusOf(src).StoreErr, errStore)
		s.after = nil
		time.Sleep(spent)
		suite.MustToken(t, src)
		suite.Diff(t, "StoreErr", nil, netoauth.StatusOf(src).StoreErr, cmpopts.EquateErrors())
	})
}

// In the callbacks it tells what was before the exchange.
func TestStatusOf_inTheCallbacks(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		var src oauth2.TokenSource
		var usable []bool
		see := func() { usable = append(usable, netoauth.StatusOf(src).Usable) }
		w.User.OnToken = func(*oauth2.Token) { see() }
		w.User.OnExchange = func(netoauth.Exchange) { see() }
		src = w.User.TokenSource(w.Ctx)
		suite.MustToken(t, src)
		suite.Diff(t, "Usable", []bool{false, false}, usable)
	})
}

func TestStatusOf_otherSources(t *testing.T) {
	wantStatus(t, "from elsewhere", netoauth.Status{}, oauth2.StaticTokenSource(new(oauth2.Token)))
	wantStatus(t, "none", netoauth.Status{}, nil)
	unusable := (&netoauth.Password{Username: "ann"}).TokenSource(t.Context())
	wantStatus(t, "unusable", netoauth.Status{Flow: "password", Account: "ann", Err: errAny}, unusable)
}
