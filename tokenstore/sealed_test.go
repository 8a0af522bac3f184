package tokenstore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest/storetest"
	"github.com/netoauth/netoauth/tokenfile"
	"github.com/netoauth/netoauth/tokenstore"
	"golang.org/x/oauth2"
)

// memory is a Store for one goroutine.
type memory struct {
	token  *oauth2.Token
	err    error // of Load, and of Update before it calls f
	called int   // f
}

func (m *memory) Load(context.Context) (*oauth2.Token, error) { return m.token, m.err }

func (m *memory) Update(_ context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
	if m.err != nil {
		return m.err
	}
	m.called++
	t, err := f(m.token)
	if t != nil && err == nil {
		m.token = t
	}
	return err
}

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func seal(t *testing.T, s netoauth.Store, owner string, key []byte, older ...[]byte) netoauth.Store {
	t.Helper()
	sealed, err := tokenstore.Sealed(s, owner, key, older...)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func returning(t *oauth2.Token, err error) func(*oauth2.Token) (*oauth2.Token, error) {
	return func(*oauth2.Token) (*oauth2.Token, error) { return t, err }
}

// stored is a memory with goodToken, sealed for owner with key 1.
func stored(t *testing.T) *memory {
	t.Helper()
	m := &memory{}
	if err := seal(t, m, owner, key(1)).Update(t.Context(), returning(goodToken, nil)); err != nil {
		t.Fatal(err)
	}
	return m
}

func wantLoad(t *testing.T, s netoauth.Store, want *oauth2.Token) {
	t.Helper()
	got, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantToken(t, got, want)
}

func TestSealed_keepsATokenOutOfSight(t *testing.T) {
	m := stored(t)
	data, err := json.Marshal(m.token)
	if err != nil {
		t.Fatal(err)
	}
	for _, clear := range []string{"planted", "bearer", "2030", "3600", "7200", owner} {
		if bytes.Contains(data, []byte(clear)) {
			t.Errorf("%q is stored in the clear: %s", clear, data)
		}
	}
	if m.token.Valid() {
		t.Error("a program that does not unseal the token would send it")
	}
	if _, err := tokenstore.Encode(owner, m.token); err != nil {
		t.Errorf("a Store cannot keep what is sealed: %v", err)
	}

	s := seal(t, m, owner, key(1))
	wantLoad(t, s, goodToken)
	got, err := s.Load(t.Context())
	if err != nil || got.Extra("refresh_expires_in") != 7200.5 {
		t.Errorf("refresh_expires_in %v, %v", got.Extra("refresh_expires_in"), err)
	}
	err = s.Update(t.Context(), func(stored *oauth2.Token) (*oauth2.Token, error) {
		wantToken(t, stored, goodToken)
		return plainToken, nil
	})
	if err != nil || m.called != 2 {
		t.Errorf("called %d times, %v", m.called, err)
	}
	wantLoad(t, s, plainToken)
}

// The same token looks different each time.
func TestSealed_neverRepeatsItself(t *testing.T) {
	first, second := stored(t), stored(t)
	if first.token.AccessToken == second.token.AccessToken {
		t.Error("two seals of one token are alike")
	}
}

func TestSealed_withNothingStored(t *testing.T) {
	s := seal(t, &memory{}, owner, key(1))
	wantLoad(t, s, nil)
	err := s.Update(t.Context(), func(stored *oauth2.Token) (*oauth2.Token, error) {
		if stored != nil {
			t.Error("a token from nowhere")
		}
		return goodToken, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantLoad(t, s, goodToken)
}

func TestSealed_withoutANewToken(t *testing.T) {
	failure := errors.New("the function's own")
	for name, tt := range map[string]struct {
		token *oauth2.Token
		err   error
	}{
		"it fails":              {nil, failure},
		"it fails with a token": {plainToken, failure},
		"it returns nil":        {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := stored(t)
			before := m.token
			s := seal(t, m, owner, key(1))
			if err := s.Update(t.Context(), returning(tt.token, tt.err)); err != tt.err || m.token != before {
				t.Errorf("got %v, want %v itself and the token from before", err, tt.err)
			}
		})
	}
}

func TestSealed_passesTheStoresErrorsOn(t *testing.T) {
	m := &memory{err: errors.New("the Store's own"), token: goodToken}
	s := seal(t, m, owner, key(1))
	if got, err := s.Load(t.Context()); err != m.err || got != nil {
		t.Errorf("Load: %v, %v", got, err)
	}
	if err := s.Update(t.Context(), returning(goodToken, nil)); err != m.err {
		t.Errorf("Update: %v", err)
	}
}

// Keys change while programs run: each opens what the other sealed, and seals with its own.
func TestSealed_changesKeys(t *testing.T) {
	m := stored(t)
	s := seal(t, m, owner, key(3), key(2), key(1))
	wantLoad(t, s, goodToken)
	if err := s.Update(t.Context(), returning(plainToken, nil)); err != nil {
		t.Fatal(err)
	}
	wantLoad(t, seal(t, m, owner, key(1), key(3)), plainToken)
	wantUnopened(t, seal(t, m, owner, key(1), key(2)), m, "sealed with another key")
}

// wantUnopened expects an error, and what is stored left as it is.
func wantUnopened(t *testing.T, s netoauth.Store, m *memory, says string) {
	t.Helper()
	was := *m.token
	got, err := s.Load(t.Context())
	if wantError(t, err, says); got != nil {
		t.Error("a token with an error")
	}
	err = s.Update(t.Context(), func(*oauth2.Token) (*oauth2.Token, error) {
		t.Error("the function was called")
		return goodToken, nil
	})
	wantError(t, err, says)
	if diff := cmp.Diff(&was, m.token, cmpopts.IgnoreUnexported(oauth2.Token{})); diff != "" {
		t.Errorf("what was stored (-want +got):\n%s", diff)
	}
}

func TestSealed_opensNothingElse(t *testing.T) {
	edited := func(edit func(string) string) func(*oauth2.Token) {
		return func(t *oauth2.Token) { t.AccessToken = edit(t.AccessToken) }
	}
	flip := func(at int) func(string) string {
		return func(s string) string {
			b := []byte(s)
			b[(at+len(b))%len(b)] ^= 'A' ^ 'B'
			return string(b)
		}
	}
	for name, tt := range map[string]struct {
		edit func(*oauth2.Token)
		says string
	}{
		"in the clear":       {func(t *oauth2.Token) { *t = *goodToken }, "is not sealed"},
		"another type":       {func(t *oauth2.Token) { t.TokenType = "netoauth-sealed-2" }, "is not sealed"},
		"nothing sealed":     {edited(func(string) string { return "" }), "does not open"},
		"cut off":            {edited(func(s string) string { return s[:len(s)/2] }), "does not open"},
		"a nonce alone":      {edited(func(s string) string { return s[:16] }), "does not open"},
		"not base64":         {edited(func(s string) string { return "!" + s }), "does not open"},
		"something after":    {edited(func(s string) string { return s + "AAAA" }), "does not open"},
		"another nonce":      {edited(flip(0)), "does not open"},
		"another ciphertext": {edited(flip(40)), "does not open"},
		"another tag":        {edited(flip(-3)), "does not open"},
		"garbage":            {edited(func(string) string { return strings.Repeat("planted", 99) }), "does not open"},
	} {
		t.Run(name, func(t *testing.T) {
			m := stored(t)
			tt.edit(m.token)
			wantUnopened(t, seal(t, m, owner, key(1)), m, tt.says)
		})
	}
	t.Run("another owner", func(t *testing.T) {
		m := stored(t)
		wantUnopened(t, seal(t, m, owner+" ", key(1)), m, "does not open")
	})
	t.Run("another key", func(t *testing.T) {
		m := stored(t)
		wantUnopened(t, seal(t, m, owner, key(2)), m, "does not open")
	})
}

func TestSealed_refusesTokensAsEncodeDoes(t *testing.T) {
	m := stored(t)
	before := m.token
	err := seal(t, m, owner, key(1)).Update(t.Context(), returning(&oauth2.Token{AccessToken: "planted\n"}, nil))
	if wantError(t, err, "cannot seal an access token with a line break"); m.token != before {
		t.Error("it was stored")
	}
}

func TestSealed_needsAStoreAndKeys(t *testing.T) {
	_, err := tokenstore.Sealed(nil, owner, key(1))
	wantError(t, err, "no Store")
	for name, keys := range map[string][][]byte{
		"none":         {nil},
		"empty":        {{}},
		"16 bytes":     {key(1)[:16]},
		"33 bytes":     {append(key(1), 0)},
		"short older":  {key(1), key(1)[:31]},
		"second older": {key(1), key(2), nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := tokenstore.Sealed(&memory{}, owner, keys[0], keys[1:]...)
			if wantError(t, err, "pass 32 random ones"); s != nil {
				t.Error("a Store with an error")
			}
		})
	}
}

// Who clears a key after use does not change the Store.
func TestSealed_keepsItsKeys(t *testing.T) {
	k := key(1)
	s := seal(t, stored(t), owner, k)
	clear(k)
	wantLoad(t, s, goodToken)
}

// Over a Store that is right, Sealed is one, too.
func TestSealed_isAStore(t *testing.T) {
	dir := t.TempDir()
	storetest.Run(t, func(t *testing.T, owner string) netoauth.Store {
		name := fmt.Sprintf("%x", sha256.Sum256([]byte(owner)))
		return seal(t, &tokenfile.File{Path: filepath.Join(dir, name), Owner: owner}, owner, key(1))
	}, nil)
}
