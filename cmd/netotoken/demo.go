package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

const (
	demoCalls = 3
	demoPath  = "/api/v1/labels/ip"
)

// runDemo runs the three flows, and API calls through each, on a server of its own.
func runDemo(ctx context.Context, w io.Writer) error {
	srv := netoauthtest.NewServer()
	defer srv.Close()
	srv.Handle("GET "+demoPath, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "[]")
	}))
	ctx = context.WithValue(ctx, oauth2.HTTPClient, srv.Client())

	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		return err
	}
	password := &netoauth.Password{
		URL: srv.URL, Username: srv.Username, Password: netoauth.Secret(srv.Password),
	}
	refresh := &netoauth.Refresh{URL: srv.URL}

	fmt.Fprintf(w, "Three ways to an access token, and %d API calls with each, "+
		"on a server inside this process:\n\n", demoCalls)
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "FLOW\tTOKEN ENDPOINT\tAPI CALLS\tSTATUS\tTOKEN LIFETIME\tEXCHANGES")
	var token *oauth2.Token // the newest
	var failed error
	for _, flow := range []struct {
		name, endpoint string
		options        *netoauth.Options
		client         func(context.Context) *http.Client
	}{
		{"API key", netoauthtest.APIKeyPath, &key.Options, key.Client},
		{"password", netoauthtest.PasswordPath, &password.Options, password.Client},
		{"refresh token", netoauthtest.RefreshPath, &refresh.Options, refresh.Client},
	} {
		if token != nil {
			refresh.RefreshToken = netoauth.Secret(token.RefreshToken)
		}
		flow.options.OnToken = func(t *oauth2.Token) { token = t }
		before := srv.Requests("")
		status, err := call(ctx, flow.client(ctx), srv.URL+demoPath)
		lifetime := "-"
		if err != nil {
			status, failed = "failed", errors.Join(failed, fmt.Errorf("demo, %s: %w", flow.name, err))
		} else {
			lifetime = time.Until(token.Expiry).Round(time.Second).String()
		}
		fmt.Fprintf(table, "%s\tPOST %s\t%d x GET %s\t%s\t%s\t%d\n",
			flow.name, flow.endpoint, demoCalls, demoPath, status, lifetime, srv.Requests("")-before)
	}
	table.Flush()
	_, err = fmt.Fprintln(w, "\nNext: set NETOSECRET, or NETO_USERNAME and NETO_PASSWORD, or NETO_REFRESH_TOKEN, "+
		"and run netotoken to print a token of yours.")
	return errors.Join(failed, err)
}

// call makes the demo's API calls and returns the status that all of them had.
func call(ctx context.Context, client *http.Client, url string) (status string, err error) {
	for range demoCalls {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return "", err
		}
		resp, err := client.Do(req)
		if err != nil {
			return "", err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return "", fmt.Errorf("GET %s: %s", demoPath, resp.Status)
		}
		status = resp.Status
	}
	return status, nil
}
