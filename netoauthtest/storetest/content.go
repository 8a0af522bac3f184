package storetest

import (
	"errors"
	"strings"
	"time"
	"unicode"

	"golang.org/x/oauth2"
)

func token(name string) *oauth2.Token {
	name = strings.ReplaceAll(name, " ", "-")
	return &oauth2.Token{AccessToken: "access-" + name, TokenType: "bearer", RefreshToken: "refresh-" + name}
}

func beginsEmpty(t *trial) {
	a, b := t.open(t.owner), t.open(t.owner)
	a.want(nil, "where nothing has been stored")
	err := a.update(t.ctx, func(stored *oauth2.Token) (*oauth2.Token, error) {
		if stored != nil {
			t.errorf("Update gave f a token where nothing has been stored, want nil")
		}
		return token("first"), nil
	})
	if err != nil {
		t.fatalf("Update failed where nothing has been stored: %v: every session begins so", t.reason(err))
	}
	b.want(token("first"), "through another opening after the first Update")
}

// fields are stored one after the other in one session, so that each replaces another one whole.
var fields = []struct {
	name  string
	token oauth2.Token
}{
	{"every field", oauth2.Token{
		AccessToken: "access", TokenType: "bearer", RefreshToken: "refresh",
		Expiry: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), ExpiresIn: 3600,
	}},
	{"tokens of 100 KiB", oauth2.Token{
		AccessToken: strings.Repeat("a", 100<<10), RefreshToken: strings.Repeat("r", 100<<10),
	}},
	{"text beyond ASCII", oauth2.Token{AccessToken: "größe漢字\U0001f511", RefreshToken: "é\u00a0ü"}},
	{"characters of quoting", oauth2.Token{AccessToken: `'";--\%_$1?<&>{}` + "`", RefreshToken: `\'\"\n\0`}},
	{"an expiry that is past", oauth2.Token{AccessToken: "a", Expiry: time.Date(1970, 1, 1, 0, 0, 1, 0, time.UTC)}},
	{"no expiry", oauth2.Token{AccessToken: "a", RefreshToken: "r"}},
	{"a refresh token alone", oauth2.Token{RefreshToken: "r"}},
	{"an access token alone", oauth2.Token{AccessToken: "a"}},
}

func keepsAllFields(t *trial) {
	a, b := t.open(t.owner), t.open(t.owner)
	for _, f := range fields {
		a.put(&f.token)
		b.want(&f.token, "after an Update with "+f.name)
		err := b.update(t.ctx, func(stored *oauth2.Token) (*oauth2.Token, error) {
			if diff := difference(&f.token, stored); diff != "" {
				t.errorf("after an Update with %s the next gave f %s", f.name, diff)
			}
			return nil, nil
		})
		if err != nil {
			t.fatalf("Update failed after one with %s: %v", f.name, t.reason(err))
		}
	}
}

func tellsOwnersApart(t *trial) {
	swapped := strings.Map(func(r rune) rune {
		if unicode.IsUpper(r) {
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, t.owner)
	owners := []struct{ owner, differs string }{
		{t.owner + "e", ""},
		{t.owner + "f", "in one byte"},
		{swapped + "e", "in case"},
		{t.owner + "e ", "in a space at the end"},
		{t.owner + "é", "in an accent"},
		{t.owner, "in length"},
	}
	var openings []*opening
	for _, o := range owners {
		opened := t.open(o.owner)
		if got, err := opened.load(); err != nil || got != nil {
			t.errorf("owners that differ %s share a session: nothing was stored for this one, and Load returned "+
				"a token: %v, and the error %v", o.differs, got != nil, err)
			continue
		}
		opened.put(token("of an owner that differs " + o.differs))
		openings = append(openings, opened)
	}
	for i, opened := range openings {
		opened.want(token("of an owner that differs "+owners[i].differs),
			"after Updates of other owners, whose sessions must be their own,")
	}
}

func passesErrorsOn(t *trial) {
	failure := errors.New("storetest: f fails, as part of the test")
	for _, returned := range []*oauth2.Token{nil, token("beside an error")} {
		leavesAlone(t, returned, failure)
	}
}

func storesNoNil(t *trial) { leavesAlone(t, nil, nil) }

// leavesAlone expects an Update whose f returns a token or none and an error, or neither, to store
// nothing, where nothing is stored and where something is, and to give the place free.
func leavesAlone(t *trial, returned *oauth2.Token, failure error) {
	owner := t.owner + map[bool]string{true: " nil", false: " token"}[returned == nil]
	a, b := t.open(owner), t.open(owner)
	for _, before := range []*oauth2.Token{nil, token("before")} {
		if before != nil {
			b.put(before)
		}
		err := a.update(t.ctx, func(*oauth2.Token) (*oauth2.Token, error) { return returned, failure })
		switch {
		case err == failure:
		case failure == nil:
			t.errorf("f returned nil and nil, and Update failed: %v: want nil", t.reason(err))
		case errors.Is(err, failure):
			t.errorf("Update returned f's error in another one: %v: want it as it is", err)
		default:
			t.errorf("f failed, and Update returned %v: want f's error as it is", err)
		}
		b.want(before, "after an Update whose f returned no token to store")
	}
}
