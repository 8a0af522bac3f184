package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/integration/client"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/sync/errgroup"
)

// A generated client is a small struct: each account has its own, over a token source of its own, for as long as the
// program runs. So no request can reach another account than its client's. An account in the request's context would be
// one that somebody forgets, and the request would write to the wrong one.
func Example_manyAccounts() {
	srv, accounts := newAccounts()
	defer srv.Close()
	key := must(netoauth.ParseAPIKey(srv.Netosecret))
	errs := make([]error, len(accounts))
	var jobs errgroup.Group
	jobs.SetLimit(20)
	for i, account := range accounts {
		ours := key.Account(account).Client(context.Background())
		c := must(client.NewClientWithResponses(key.URL, client.WithHTTPClient(ours)))
		jobs.Go(func() error { // nil, because one account's trouble is not the others'
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			_, errs[i] = oapiLabels{c}.list(ctx)
			return nil
		})
	}
	jobs.Wait()
	for i, err := range errs {
		if errors.Is(err, netoauth.ErrRejected) {
			fmt.Println(accounts[i], "is refused: a person must act")
		} else if err != nil {
			fmt.Println(accounts[i], "failed, the next run may succeed:", errors.Unwrap(err))
		}
	}
	// Output:
	// tenant-117 is refused: a person must act
	// tenant-204 failed, the next run may succeed: context deadline exceeded
}

// newAccounts starts an API with 300 accounts and returns their names. One is out of the key's reach, and one is slow.
func newAccounts() (*netoauthtest.Server, []string) {
	srv := netoauthtest.NewServer()
	var names []string
	for i := range 300 {
		names = append(names, fmt.Sprintf("tenant-%03d", i))
	}
	srv.SetAccounts(slices.Concat(names[:117], names[118:])...)
	srv.Handle("GET "+labelPath, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if netoauthtest.AccountOf(r) == "tenant-204" {
			<-r.Context().Done()
			return
		}
		reply(w, http.StatusOK, client.IPLabelList{Data: []client.IPLabel{}})
	}))
	return srv, names
}
