package netoauthtest_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
)

// report is a program under test: it keeps a client for the account whose API key is in a file, and
// reads the file again when the API refuses the key.
func report(ctx context.Context, path string) (*http.Client, error) {
	read := func(context.Context) (*netoauth.APIKey, error) {
		secret, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		return netoauth.ParseAPIKey(string(secret))
	}
	key, err := read(ctx)
	if err != nil {
		return nil, err
	}
	key.Reload = read
	return key.Client(ctx), nil
}

// The API key of a program that runs is replaced, as a person does in the portal and in the file that
// the program has it from. No call fails for it.
func ExampleServer_RotateKey() {
	srv := netoauthtest.NewServer()
	defer srv.Close()
	srv.Handle("GET /api/v1/hello", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello, %s", netoauthtest.AccountOf(r))
	}))
	dir, err := os.MkdirTemp("", "rotation") // in a test: t.TempDir()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "netosecret")

	os.WriteFile(path, []byte(srv.Netosecret), 0o600)
	client, err := report(context.Background(), path)
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		resp, err := client.Get(srv.URL + "/api/v1/hello")
		if err != nil {
			fmt.Println(err)
			return
		}
		var text strings.Builder
		resp.Write(&text)
		resp.Body.Close()
		fmt.Println(resp.Status, text.String()[strings.LastIndex(text.String(), "\n")+1:])

		os.WriteFile(path, []byte(srv.RotateKey()), 0o600)
	}
	fmt.Println("log-ins:", srv.Requests(netoauthtest.APIKeyPath)) // the second was refused, the third has the new key
	// Output:
	// 200 OK hello, example
	// 200 OK hello, example
	// log-ins: 3
}
