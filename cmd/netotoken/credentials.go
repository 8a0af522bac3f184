package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/url"
	"strings"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/origin"
	"golang.org/x/oauth2"
)

const whatToSet = "no credentials: set NETOSECRET, or NETO_USERNAME and NETO_PASSWORD, or " +
	"NETO_REFRESH_TOKEN (-h says more, -demo needs none)"

// credentials are what the environment holds for one of the three flows.
type credentials struct {
	flow interface {
		Token(context.Context) (*oauth2.Token, error)
		TokenSource(context.Context) oauth2.TokenSource
	}
	options *netoauth.Options // those of flow
	owner   string            // whose session a cache holds; names no secret
	refresh string            // NETO_REFRESH_TOKEN, where that is the flow
}

func (c *command) credentials(ctx context.Context) (*credentials, error) {
	if secret := c.getenv("NETOSECRET"); secret != "" {
		return c.apiKey(secret)
	}
	user, refresh := c.getenv("NETO_USERNAME"), c.getenv("NETO_REFRESH_TOKEN")
	switch {
	case c.format == "jwt":
		return nil, usagef("-format jwt goes with an API key only: set NETOSECRET")
	case user == "" && c.passwordStdin:
		return nil, usagef("-password-stdin needs the user name: set NETO_USERNAME")
	case user == "" && refresh == "" && c.getenv("NETO_PASSWORD") != "":
		return nil, usagef("NETO_PASSWORD is set but no user name: set NETO_USERNAME")
	case user == "" && refresh == "":
		return nil, usagef(whatToSet)
	case c.account != "":
		return nil, usagef("-account goes with an API key only: set NETOSECRET")
	}
	base, err := baseURL(c.getenv("NETO_URL"))
	switch {
	case err != nil:
		return nil, err
	case user != "":
		return c.userName(ctx, base.String(), user)
	}
	return refreshToken(base.String(), refresh)
}

func (c *command) apiKey(netosecret string) (*credentials, error) {
	key, err := netoauth.ParseAPIKey(netosecret)
	if err != nil {
		return nil, usageError{err}
	}
	if beside := c.getenv("NETO_URL"); beside != "" {
		if err := sameURL(beside, key.URL); err != nil {
			return nil, err
		}
	}
	switch {
	case c.passwordStdin:
		return nil, usagef("-password-stdin does not go with an API key: unset NETOSECRET")
	case c.account != "":
		key = key.Account(c.account)
	}
	owner := key.URL + " " + key.Shortname + " " + key.AppName
	return &credentials{flow: key, options: &key.Options, owner: owner}, nil
}

func (c *command) userName(ctx context.Context, base, user string) (*credentials, error) {
	if err := oneLine("NETO_USERNAME", user); err != nil {
		return nil, err
	}
	p := &netoauth.Password{URL: base, Username: user}
	if !c.status {
		password, err := c.password(ctx)
		if err != nil {
			return nil, err
		}
		p.Password = netoauth.Secret(password)
	}
	return &credentials{flow: p, options: &p.Options, owner: base + " " + user}, nil
}

func refreshToken(base, token string) (*credentials, error) {
	if err := oneLine("NETO_REFRESH_TOKEN", token); err != nil {
		return nil, err
	}
	r := &netoauth.Refresh{URL: base, RefreshToken: netoauth.Secret(token)}
	owner := fmt.Sprintf("%s %x", base, sha256.Sum256([]byte(token)))
	return &credentials{flow: r, options: &r.Options, owner: owner, refresh: token}, nil
}

// oneLine refuses a value with a line break, which none of them can have (RFC 6749 appendix A) and
// which the API would answer as a wrong one.
func oneLine(name, value string) error {
	if strings.ContainsAny(value, "\r\n") {
		return usagef("%s has a line break in it: take that out", name)
	}
	return nil
}

// baseURL returns the base URL that NETO_URL stands for.
func baseURL(raw string) (*url.URL, error) {
	u, err := origin.Parse(raw, netoauth.DefaultURL)
	if err != nil {
		return nil, usagef("NETO_URL: %w", err)
	}
	return u, nil
}

// sameURL refuses a NETO_URL that is another than the base URL of an API key: of two addresses, one
// would be left out without a word.
func sameURL(beside, ofKey string) error {
	u, err := baseURL(beside)
	if err != nil {
		return err
	}
	key, err := origin.Parse(ofKey, netoauth.DefaultURL)
	if err != nil {
		return usageError{err}
	}
	if !origin.Same(u, key) || u.EscapedPath() != key.EscapedPath() {
		return usagef("NETO_URL is not %q, the URL in NETOSECRET: unset one of the two", ofKey)
	}
	return nil
}
