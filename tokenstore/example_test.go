package tokenstore_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"

	"github.com/netoauth/netoauth/tokenfile"
	"github.com/netoauth/netoauth/tokenstore"
	"golang.org/x/oauth2"
)

// processStore keeps a session for the goroutines of one process, in the form that a file or a table
// would have. A place that several programs use needs a lock that all of them heed in place of turn.
type processStore struct {
	owner string
	turn  chan struct{} // has room for one: a mutex would not heed ctx

	mu   sync.Mutex
	data []byte
}

func newProcessStore(owner string) *processStore {
	return &processStore{owner: owner, turn: make(chan struct{}, 1)}
}

func (s *processStore) Load(context.Context) (*oauth2.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data == nil {
		return nil, nil
	}
	return tokenstore.Decode(s.owner, s.data)
}

func (s *processStore) Update(ctx context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return fmt.Errorf("waiting for another Update: %w", ctx.Err())
	}
	stored, err := s.Load(ctx)
	if err != nil {
		return err
	}
	next, err := f(stored)
	if err != nil || next == nil {
		return err
	}
	data, err := tokenstore.Encode(s.owner, next)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = data
	return nil
}

// A Store of one's own needs a place for some bytes and a lock.
func ExampleEncode() {
	ctx := context.Background()
	s := newProcessStore("https://api.netography.com acme reports")
	err := s.Update(ctx, func(stored *oauth2.Token) (*oauth2.Token, error) {
		return &oauth2.Token{AccessToken: "a", RefreshToken: "r"}, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	t, err := s.Load(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(t.AccessToken, t.RefreshToken)
	// Output: a r
}

// A token file that is backed up, or lies on a disk of somebody else's, is sealed with a key that is
// kept elsewhere.
func ExampleSealed() {
	folder, err := os.MkdirTemp("", "tokenstore")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	key := make([]byte, 32) // from a secret manager
	rand.Read(key)

	const owner = "https://api.netography.com acme reports"
	file := &tokenfile.File{Path: filepath.Join(folder, "token"), Owner: owner}
	store, err := tokenstore.Sealed(file, owner, key)
	if err != nil {
		log.Fatal(err)
	}
	err = store.Update(context.Background(), func(*oauth2.Token) (*oauth2.Token, error) {
		return &oauth2.Token{AccessToken: "secret-access", RefreshToken: "secret-refresh"}, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	data, err := os.ReadFile(file.Path)
	if err != nil {
		log.Fatal(err)
	}
	t, err := store.Load(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("in the clear:", bytes.Contains(data, []byte("secret")))
	fmt.Println("opened:", t.RefreshToken)
	// Output:
	// in the clear: false
	// opened: secret-refresh
}
