package tokenstore

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

// Sealed returns a Store that encrypts what s keeps, so that who reads the file, the row or a backup
// of it has no token. A key is 32 random bytes, kept elsewhere, such as in a secret manager: it seals
// with key, and opens with key or any of older. To change keys give every program the new one as an
// older one first, then let them seal with it, and drop the former one when each session has been
// renewed.
//
// The cipher is AES-256-GCM with a random nonce (NIST SP 800-38D), bound to owner: what was sealed
// for another one does not open. It does not hide when a token was stored and how long it is, and it
// cannot tell that an older sealed token was put back. In s it takes a third more space than the
// token.
//
// What is stored in the clear, or was sealed with another key or for another owner, is an error of
// Load, and of Update before it calls its function, and stays as it is. All else is s's own: its
// lock, its errors, and how to remove what it keeps.
//
// A nil s, a key of another length, and an owner that Encode refuses are errors.
func Sealed(s netoauth.Store, owner string, key []byte, older ...[]byte) (netoauth.Store, error) {
	if s == nil {
		return nil, errors.New("tokenstore: there is no Store to seal: pass one")
	}
	if err := checkOwner(owner); err != nil {
		return nil, fmt.Errorf("tokenstore: cannot seal %w", err)
	}
	sealed := &sealed{store: s, owner: owner}
	for _, k := range append([][]byte{key}, older...) {
		if len(k) != 32 {
			return nil, fmt.Errorf("tokenstore: a key to seal with has %d bytes: pass 32 random ones", len(k))
		}
		aead, err := newAEAD(k)
		if err != nil {
			return nil, fmt.Errorf("tokenstore: cannot seal: %w", err)
		}
		sealed.keys = append(sealed.keys, aead)
	}
	return sealed, nil
}

func newAEAD(key []byte) (aead cipher.AEAD, err error) {
	block, err := aes.NewCipher(key)
	if err == nil {
		aead, err = cipher.NewGCMWithRandomNonce(block)
	}
	return aead, err
}

// A sealed token travels as the access token of another: its type is sealedType and its text the
// sealed stored form in base64. It expired long ago, so that a program that does not unseal it never
// sends it as a bearer token.
const sealedType = "netoauth-sealed-1"

var sealedExpiry = time.Unix(0, 0).UTC()

// sealed is what Sealed returns. Nobody writes to it.
type sealed struct {
	store netoauth.Store
	owner string
	keys  []cipher.AEAD // the first one seals
}

// Load returns the token that the Store has, unsealed.
func (s *sealed) Load(ctx context.Context) (*oauth2.Token, error) {
	t, err := s.store.Load(ctx)
	if err != nil {
		return nil, err
	}
	return s.open(t)
}

// Update is that of the Store, with f in the clear.
func (s *sealed) Update(ctx context.Context, f func(stored *oauth2.Token) (*oauth2.Token, error)) error {
	return s.store.Update(ctx, func(stored *oauth2.Token) (*oauth2.Token, error) {
		t, err := s.open(stored)
		if err != nil {
			return nil, err
		}
		if t, err = f(t); t == nil || err != nil {
			return nil, err
		}
		return s.seal(t)
	})
}

func (s *sealed) seal(t *oauth2.Token) (*oauth2.Token, error) {
	data, err := Encode(s.owner, t)
	if err != nil {
		return nil, fmt.Errorf("tokenstore: cannot seal %w", err)
	}
	data = s.keys[0].Seal(nil, nil, data, s.bound())
	return &oauth2.Token{
		AccessToken: base64.RawURLEncoding.EncodeToString(data),
		TokenType:   sealedType,
		Expiry:      sealedExpiry,
	}, nil
}

// open returns nil for nil.
func (s *sealed) open(t *oauth2.Token) (*oauth2.Token, error) {
	if t == nil {
		return nil, nil
	}
	if t.TokenType != sealedType {
		return nil, errors.New("tokenstore: the stored token is not sealed: " +
			"remove it, or use the Store without Sealed")
	}
	data, err := base64.RawURLEncoding.DecodeString(t.AccessToken)
	if err != nil {
		return nil, errOtherKey
	}
	for _, key := range s.keys {
		if clear, err := key.Open(nil, nil, data, s.bound()); err == nil {
			return s.decode(clear)
		}
	}
	return nil, errOtherKey
}

func (s *sealed) decode(data []byte) (*oauth2.Token, error) {
	t, err := Decode(s.owner, data)
	if err != nil {
		return nil, fmt.Errorf("tokenstore: the seal holds %w", err)
	}
	return t, nil
}

// bound is what a seal holds for besides its content.
func (s *sealed) bound() []byte { return []byte(sealedType + " " + s.owner) }

var errOtherKey = errors.New("tokenstore: the stored token does not open: it was sealed with another key or for " +
	"another owner, or has been changed: pass its key as an older one, or remove it and lose that session")
