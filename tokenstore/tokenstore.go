// Package tokenstore has what every netoauth.Store needs: the stored form of a token, and
// encryption.
//
// The stored form ([Encode], [Decode]) is one JSON object, the same in every Store, so that a session
// can be moved from a file to a table. It has a version, names its owner, and keeps when the refresh
// token ends, which [oauth2.Token] itself does not. [Sealed] puts encryption over any Store.
//
// An owner says whose session it is. By convention that is the API's URL, the account and, of an API
// key, its AppName, with spaces between:
//
//	owner := key.URL + " " + key.Shortname + " " + key.AppName
//
// What was stored for one owner is refused for every other, so that no account gets the token of
// another by a path or a row that was mixed up. An owner is stored in the clear and must not hold a
// secret.
package tokenstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/oauth2"
)

const (
	version = 1

	maxOwner = 4 << 10 // bytes
	maxSize  = 1 << 20 // bytes of a stored token, as many as netoauth reads of an answer

	// refreshLife is the field of an answer that says how many seconds its refresh token has.
	refreshLife = "refresh_expires_in"
)

// stored is what Encode writes. What tokenfile wrote at first is the same without a version.
type stored struct {
	Version int             `json:"version"`
	Owner   string          `json:"owner"`
	Token   json.RawMessage `json:"token"`
}

// token is an oauth2.Token with what of Token.Extra is kept.
type token struct {
	oauth2.Token
	RefreshExpiresIn *float64 `json:"refresh_expires_in,omitempty"`
}

// Encode returns the stored form of t: a JSON object {"version":1,"owner":…,"token":{…}} of at most
// 1 MiB in one line, without a line end. Of what [oauth2.Token.Extra] returns it has
// refresh_expires_in alone, and that only where it is a finite number.
//
// Encode refuses what Decode would: a t that is nil or has neither an access nor a refresh token,
// line breaks and other control characters in a text of t, a space in its type, text that is not
// UTF-8, an Expiry beyond the year 9999, and an owner that is not 1 to 4096 bytes of UTF-8. Its
// errors are as those of Decode.
func Encode(owner string, t *oauth2.Token) ([]byte, error) {
	if err := checkOwner(owner); err != nil {
		return nil, err
	}
	if err := usable(t); err != nil {
		return nil, err
	}
	next := token{Token: *t}
	next.Expiry = t.Expiry.UTC() // a zone can have an offset that RFC 3339 does not
	if next.Expiry.Year() < 0 || next.Expiry.Year() > 9999 {
		return nil, errors.New("a token whose expiry is not in the years 0 to 9999")
	}
	if life, ok := number(t.Extra(refreshLife)); ok {
		next.RefreshExpiresIn = &life
	}
	data, err := marshal(next)
	if err == nil {
		data, err = marshal(stored{version, owner, data})
	}
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxSize:
		return nil, errors.New("a token of more than 1 MiB in its stored form")
	}
	return data, nil
}

// Decode returns the token that Encode put into data for owner. It also reads what package tokenfile
// wrote before there was Encode.
//
// An error is a phrase that says what data is instead, and what to do, as in
//
//	something else than a token: delete it or choose another place
//
// A Store puts before it where data lies: fmt.Errorf("the row %q holds %w", id, err). It is one line
// and shows nothing of data.
func Decode(owner string, data []byte) (*oauth2.Token, error) {
	if err := checkOwner(owner); err != nil {
		return nil, err
	}
	var s stored
	switch {
	case len(data) > maxSize:
		return nil, errors.New("more than the 1 MiB of a token: delete it or choose another place")
	case json.Unmarshal(data, &s) != nil || s.Version < 0 || s.Owner == "":
		return nil, errNoToken
	case s.Version > version:
		return nil, fmt.Errorf("a token that a newer version of this package stored (its format is %d, not %d): "+
			"update this program or choose another place", s.Version, version)
	case s.Owner != owner:
		return nil, errors.New("the session of another owner: choose another place, or set the owner that stored it; " +
			"deleting it would lose that session")
	}
	var t token
	if len(s.Token) > 0 && json.Unmarshal(s.Token, &t) != nil {
		return nil, errNoToken
	}
	if err := usable(&t.Token); err != nil {
		return nil, fmt.Errorf("%w: delete it or choose another place", err)
	}
	if !utf8.Valid(data) {
		return nil, errors.New("a token that is not UTF-8: delete it or choose another place")
	}
	if t.RefreshExpiresIn == nil {
		return &t.Token, nil
	}
	return t.WithExtra(map[string]any{refreshLife: *t.RefreshExpiresIn}), nil
}

var errNoToken = errors.New("something else than a token: delete it or choose another place")

func checkOwner(owner string) error {
	if owner == "" || len(owner) > maxOwner || notUTF8(owner) {
		return errors.New("a token without a usable owner: name one, in 1 to 4096 bytes of UTF-8")
	}
	return nil
}

// usable says what keeps t from being used: it is empty, or has what no header and no form takes
// (RFC 6749 appendix A).
func usable(t *oauth2.Token) error {
	if t == nil || t.AccessToken == "" && t.RefreshToken == "" {
		return errors.New("neither an access nor a refresh token")
	}
	for _, text := range []struct{ name, value string }{
		{"a token type", t.TokenType}, {"an access token", t.AccessToken}, {"a refresh token", t.RefreshToken},
	} {
		switch {
		case notUTF8(text.value):
			return fmt.Errorf("%s that is not UTF-8", text.name)
		case strings.ContainsFunc(text.value, unicode.IsControl):
			return fmt.Errorf("%s with a line break or another control character", text.name)
		}
	}
	if strings.Contains(t.TokenType, " ") {
		return errors.New("a token type with a space")
	}
	return nil
}

// notUTF8 also reports the character that encoding/json puts in place of what it cannot read.
func notUTF8(s string) bool { return strings.ContainsRune(s, utf8.RuneError) }

// number returns v, a number of any type or a text that is one.
func number(v any) (float64, bool) {
	f, err := strconv.ParseFloat(strings.TrimSpace(fmt.Sprint(v)), 64)
	return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
}

// marshal is json.Marshal that leaves <, > and & as they are.
func marshal(v any) ([]byte, error) {
	var data bytes.Buffer
	e := json.NewEncoder(&data)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(data.Bytes(), []byte("\n")), err
}
