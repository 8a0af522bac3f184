package ogen_test

import (
	"context"
	"fmt"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/integration/client/ogen"
	"github.com/netoauth/netoauth/netoauthtest"
)

// ogen's client takes the HTTP client by WithClient, and a SecuritySource that names no token.
func ExampleByTransport() {
	srv := netoauthtest.NewServer()
	defer srv.Close()
	srv.Handle("GET /api/v1/labels/ip", netoauthtest.Answer(200, "application/json", `{"data":[]}`))
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	c, err := ogen.NewClient(key.URL, ogen.ByTransport{}, ogen.WithClient(key.Client(ctx)))
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		answer, err := c.ListIPLabels(ctx)
		fmt.Printf("%T, %v\n", answer, err)
		srv.RevokeAccessTokens()
	}
	// Output:
	// *ogen.IPLabelList, <nil>
	// *ogen.IPLabelList, <nil>
}
