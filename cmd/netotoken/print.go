package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/oauth2"
)

// printToken gets a token anew and prints it.
func (c *command) printToken(ctx context.Context, creds *credentials) error {
	t, err := creds.flow.Token(ctx)
	if err != nil {
		return err
	}
	if creds.refresh != "" && cmp.Or(t.RefreshToken, creds.refresh) != creds.refresh {
		c.say("warning: the server has replaced NETO_REFRESH_TOKEN, which may not work again; " +
			"-cache keeps the new one")
	}
	return c.print(t)
}

// print prints a token.
func (c *command) print(t *oauth2.Token) (err error) {
	switch c.format {
	case "header":
		_, err = fmt.Fprintf(c.stdout, "Authorization: %s %s\n", t.Type(), t.AccessToken)
	case "json":
		err = printJSON(c.stdout, t)
	default:
		_, err = fmt.Fprintln(c.stdout, t.AccessToken)
	}
	return err
}

// printJSON leaves out the refresh token: it is worth more than the access token, and -cache keeps it.
func printJSON(w io.Writer, t *oauth2.Token) error {
	out := struct {
		AccessToken string     `json:"access_token"`
		TokenType   string     `json:"token_type"`
		Expiry      *time.Time `json:"expiry,omitempty"`
		ExpiresIn   *int64     `json:"expires_in,omitempty"`
	}{AccessToken: t.AccessToken, TokenType: t.Type()}
	if !t.Expiry.IsZero() {
		expiry, left := t.Expiry.UTC().Truncate(time.Second), int64(time.Until(t.Expiry)/time.Second)
		out.Expiry, out.ExpiresIn = &expiry, &left
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

// network is a function as a network.
type network func(*http.Request) (*http.Response, error)

func (n network) RoundTrip(req *http.Request) (*http.Response, error) { return n(req) }

// printRequestToken prints the signed request token of an API key. No function of netoauth returns
// that, only the log-in sends it: so this log-in gets a network that reads the request and fails.
func (c *command) printRequestToken(ctx context.Context, creds *credentials) error {
	var sent struct{ JWT string }
	none := network(func(req *http.Request) (*http.Response, error) {
		defer req.Body.Close()
		if err := json.NewDecoder(req.Body).Decode(&sent); err != nil {
			return nil, err
		}
		return nil, errors.New("no network")
	})
	_, err := creds.flow.Token(context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: none}))
	if sent.JWT == "" {
		return err
	}
	_, err = fmt.Fprintln(c.stdout, sent.JWT)
	return err
}
