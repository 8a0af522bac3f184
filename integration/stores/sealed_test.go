package stores

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/netoauth/netoauth/tokensql"
	"github.com/netoauth/netoauth/tokenstore"
	"github.com/redis/go-redis/v9"
	"golang.org/x/oauth2"
)

// Who dumps the table sees nothing of a sealed token, in no usual form.
func TestSealed_leavesNothingInTheClear(t *testing.T) {
	each(t, engines, func(t *testing.T, s subject) {
		at := s.place(t)
		token := &oauth2.Token{
			AccessToken: "access-planted-1", RefreshToken: "refresh-planted-2", TokenType: "Bearer",
			Expiry: time.Now().Add(time.Hour),
		}
		store, end, err := at.open()
		if err != nil {
			t.Fatal(err)
		}
		defer end()
		f := func(*oauth2.Token) (*oauth2.Token, error) { return token, nil }
		if err := store.Update(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		if clear := at.dump(t); !shows(clear, token.AccessToken) || !shows(clear, token.RefreshToken) {
			t.Fatalf("an unsealed row does not show its token, so this test shows nothing: %q", clear)
		}

		sealed, err := tokenstore.Sealed(store, at.Owner, bytes.Repeat([]byte{7}, 32))
		if err != nil {
			t.Fatal(err)
		}
		at.empty(t)
		if err := sealed.Update(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		dump := at.dump(t)
		if len(dump) == 0 {
			t.Error("there is nothing to dump")
		}
		for _, text := range []string{token.AccessToken, token.RefreshToken} {
			if shows(dump, text) {
				t.Errorf("the row shows %q: %q", text, dump)
			}
		}
		got, err := sealed.Load(t.Context())
		if err != nil || got.RefreshToken != token.RefreshToken {
			t.Errorf("the sealed token comes back as %v, %v", got, err)
		}
	})
}

// shows reports whether text can be read in dump, as it is or in base64 or hexadecimal digits.
func shows(dump []byte, text string) bool {
	for shift := range 3 { // the ways in which base64 can cut it
		code := base64.StdEncoding.EncodeToString([]byte(text[shift:]))
		if bytes.Contains(dump, []byte(code[:len(code)/4*4-4])) {
			return true
		}
	}
	return bytes.Contains(dump, []byte(text)) || bytes.Contains(bytes.ToLower(dump), []byte(hex.EncodeToString([]byte(text))))
}

// dump returns all that the engine keeps of the session.
func (p place) dump(t *testing.T) []byte {
	t.Helper()
	if p.Engine == "Redis" {
		client := redis.NewClient(&redis.Options{Addr: p.Address})
		defer client.Close()
		all, err := client.HGetAll(t.Context(), p.redisKey()).Result()
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Append(nil, all)
	}
	db, _, err := p.database()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found, err := db.QueryContext(t.Context(), "SELECT * FROM netoauth_session WHERE id = '"+p.rowID()+"'")
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	var dump []byte
	for found.Next() {
		columns := make([][]byte, 5)
		if err := found.Scan(&columns[0], &columns[1], &columns[2], &columns[3], &columns[4]); err != nil {
			t.Fatal(err)
		}
		dump = append(dump, bytes.Join(columns, []byte("\n"))...)
	}
	return dump
}

// empty removes what is stored, as an operator would.
func (p place) empty(t *testing.T) {
	t.Helper()
	if p.Engine == "Redis" {
		client := redis.NewClient(&redis.Options{Addr: p.Address})
		defer client.Close()
		if err := client.Del(t.Context(), p.redisKey()).Err(); err != nil {
			t.Fatal(err)
		}
		return
	}
	s, end, err := p.open()
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	if err := s.(*tokensql.Store).Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (p place) redisKey() string { return "netoauth:{" + p.Owner + "}" }

// rowID is the id that the comment of tokensql documents.
func (p place) rowID() string { return fmt.Sprintf("%x", sha256.Sum256([]byte(p.Owner))) }
