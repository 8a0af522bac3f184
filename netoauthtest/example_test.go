package netoauthtest_test

import (
	"context"
	"fmt"
	"io"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
)

// A program under test gets an API key from the server and calls a handler of
// the test's own. Revoking its token in between must not show.
func Example() {
	srv := netoauthtest.NewServer()
	defer srv.Close()
	srv.Handle("GET /api/v1/hello", netoauthtest.Answer(200, "text/plain", "hello\n"))

	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := key.Client(context.Background())
	for range 2 {
		resp, err := client.Get(srv.URL + "/api/v1/hello")
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Print(resp.Status, ": ", string(body))
		srv.RevokeAccessTokens()
	}
	fmt.Println("token requests:", srv.Requests(""))
	// Output:
	// 200 OK: hello
	// 200 OK: hello
	// token requests: 2
}
