package tokenfile_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
	"github.com/netoauth/netoauth/tokenfile"
)

// Two runs of a program, one after the other or at once, share a session: the second takes over the
// token that the first has stored. Removing it has the next run log in.
func Example() {
	srv := netoauthtest.NewServer()
	defer srv.Close()
	folder, err := os.MkdirTemp("", "tokenfile")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	ctx := context.Background()

	run := func() *tokenfile.File {
		key, err := netoauth.ParseAPIKey(srv.Netosecret)
		if err != nil {
			log.Fatal(err)
		}
		file := &tokenfile.File{
			Path:  filepath.Join(folder, "token"),
			Owner: key.URL + " " + key.Shortname + " " + key.AppName,
		}
		key.Store = file
		src := key.TokenSource(ctx)
		if _, err := src.Token(); err != nil {
			log.Fatal(err)
		}
		return file
	}

	run()
	file := run()
	fmt.Println("token requests of two runs:", srv.Requests(""))
	if err := file.Remove(ctx); err != nil {
		log.Fatal(err)
	}
	run()
	fmt.Println("with a third one, after Remove:", srv.Requests(""))
	// Output:
	// token requests of two runs: 1
	// with a third one, after Remove: 2
}
