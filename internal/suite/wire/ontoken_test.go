package wire_test

import (
	"testing"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

func TestOptions_onTokenGetsEachTokenBeforeTheCaller(t *testing.T) {
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		srv := serve(t, suite.Answer(200, `{"access_token":"good","refresh_token":"another","token_type":"bearer",
			"expires_in":300,"scope":"profile"}`))
		var issued []oauth2.Token
		c := account(srv.URL).Credential(f, netoauth.Options{OnToken: func(tok *oauth2.Token) { issued = append(issued, *tok) }})
		for n := 1; n <= 3; n++ {
			tok, err := c.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(issued) != n {
				t.Fatalf("OnToken was called %d times for %d tokens", len(issued), n)
			}
			fields := func(t oauth2.Token) []any {
				return []any{t.AccessToken, t.RefreshToken, t.TokenType, t.ExpiresIn, t.Expiry, t.Extra("scope")}
			}
			suite.Diff(t, "OnToken's token", fields(*tok), fields(issued[n-1]))
		}
	})
}

func TestOptions_onTokenMayWriteToItsToken(t *testing.T) {
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		srv := serve(t, suite.Answer(200, `{"access_token":"good","refresh_token":"another","expires_in":300}`))
		o := netoauth.Options{OnToken: func(tok *oauth2.Token) { *tok = oauth2.Token{AccessToken: "evil"} }}
		tok1, err1 := account(srv.URL).Credential(f, o).Token(t.Context())
		tok2, err2 := account(srv.URL).Credential(f, o).TokenSource(t.Context()).Token()
		for i, err := range []error{err1, err2} {
			tok := []*oauth2.Token{tok1, tok2}[i]
			if err != nil || tok.AccessToken != "good" || tok.RefreshToken != "another" || tok.Expiry.IsZero() {
				t.Errorf("%+v, %v", tok, err)
			}
		}
	})
}

func TestOptions_onTokenIsForIssuedTokensAlone(t *testing.T) {
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		srv := serve(t, suite.Answer(401, ""))
		o := netoauth.Options{OnToken: func(tok *oauth2.Token) { t.Errorf("OnToken(%+v)", tok) }}
		if _, err := account(srv.URL).Credential(f, o).Token(t.Context()); err == nil {
			t.Error("no error")
		}
		o.InitialToken = &oauth2.Token{AccessToken: "stored", RefreshToken: "stored"}
		tok, err := account(srv.URL).Credential(f, o).TokenSource(t.Context()).Token()
		if err != nil || tok.AccessToken != "stored" {
			t.Errorf("%+v, %v", tok, err)
		}
	})
}
