// Netotoken prints an access token for the Netography API, for use at a shell:
//
//	netotoken -format header | curl -H @- https://api.netography.com/api/v1/...
//
// It takes credentials from the environment; "netotoken -h" names the variables and flags,
// "netotoken -demo" shows the package at work without any credentials.
package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

const usageHead = `Usage: netotoken [flags]

Prints an access token for the Netography API. The credentials come from the environment,
the first found in this order (an empty variable counts as not set):

  NETOSECRET                     an API key
  NETO_USERNAME, NETO_PASSWORD   a user name and its password (or -password-stdin)
  NETO_REFRESH_TOKEN             a refresh token; a server may replace it at each use,
                                 and -cache is what keeps the new one

NETO_URL is the API's base URL for the latter two (default ` + netoauth.DefaultURL + `).

Flags:
`

const usageTail = `
The cache holds an access token and a refresh token, but neither the API key nor the password.
Beside it, an empty FILE.lock keeps runs at the same time apart.
It is used only with the credentials it was written for; any other file at that place is ignored
with a warning and replaced by the next token issued. A symbolic link is replaced, not followed.
Remove the cache after changing a password or shared secret.

Exit status:
  0  the token was printed
  1  no token, or the cache could not be written
  2  wrong usage, or no usable credentials in the environment

Examples:
  netotoken -format header | curl -H @- ` + netoauth.DefaultURL + `/api/v1/...
  pass show netography | NETO_USERNAME=ann@example.com netotoken -password-stdin -cache ~/.netotoken
`

const whatToSet = "no credentials: set NETOSECRET, or NETO_USERNAME and NETO_PASSWORD, or NETO_REFRESH_TOKEN (-h says more, -demo needs none)"

func main() {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, stop) // so that a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
}

// usageError is an error that calls for another command line or environment.
type usageError struct{ error }

func usagef(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }

// command is one run of netotoken.
type command struct {
	getenv         func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer

	account, format, cache string
	passwordStdin          bool
}

func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := &command{getenv: getenv, stdin: stdin, stdout: stdout, stderr: stderr}
	err := c.main(ctx, args)
	if err == nil {
		return 0
	}
	c.say("%s", strings.TrimPrefix(err.Error(), "netoauth: "))
	if _, usage := errors.AsType[usageError](err); usage {
		return 2
	}
	return 1
}

// say writes one line to standard error.
func (c *command) say(format string, a ...any) {
	line := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, fmt.Sprintf(format, a...))
	fmt.Fprintf(c.stderr, "netotoken: %s\n", line)
}

func (c *command) main(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("netotoken", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&c.account, "account", "", "print a token for the sub-account `NAME` (with an API key only)")
	fs.StringVar(&c.format, "format", "token", "`FORMAT` to print: token, header (an HTTP header line) or json")
	fs.StringVar(&c.cache, "cache", "", "keep the token, and the refresh token, in `FILE` and use them in later runs")
	fs.BoolVar(&c.passwordStdin, "password-stdin", false, "read the password from the first line of standard input")
	timeout := fs.Duration("timeout", 30*time.Second, "give up after this `DURATION`, with -cache up to 3s later")
	demo := fs.Bool("demo", false, "run the three flows on a server of its own; needs neither network nor credentials")

	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fs.SetOutput(c.stdout)
		fmt.Fprint(c.stdout, usageHead)
		fs.PrintDefaults()
		_, err = fmt.Fprint(c.stdout, usageTail)
		return err
	}
	if err != nil {
		return usageError{err}
	}
	if fs.NArg() > 0 {
		// The argument itself is not repeated: it may be a secret that somebody pasted.
		return usagef("takes no arguments, only flags; secrets go into the environment")
	}
	fs.Visit(func(f *flag.Flag) {
		switch {
		case *demo && f.Name != "demo" && f.Name != "timeout":
			err = usagef("-%s does not go with -demo", f.Name)
		case f.Value.String() == "":
			// An unset variable in a script must not turn into another account or into no cache.
			err = usagef("-%s is empty", f.Name)
		}
	})
	switch {
	case err != nil:
		return err
	case c.format != "token" && c.format != "header" && c.format != "json":
		return usagef("-format is token, header or json")
	case *timeout <= 0:
		return usagef("-timeout must be positive")
	}

	do := func(ctx context.Context) error { return runDemo(ctx, c.stdout) }
	if !*demo {
		creds, err := c.credentials(ctx)
		if err != nil {
			return err
		}
		do = func(ctx context.Context) error { return c.printToken(ctx, creds) }
	}
	limited, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	err = do(limited)
	switch {
	case err != nil && ctx.Err() != nil:
		return errors.New("interrupted")
	case err != nil && limited.Err() != nil:
		return fmt.Errorf("no token within %v (-timeout): %w", *timeout, err)
	}
	return err
}

// credentials are what the environment holds for one of the three flows.
type credentials struct {
	flow interface {
		Token(context.Context) (*oauth2.Token, error)
		TokenSource(context.Context) oauth2.TokenSource
	}
	options *netoauth.Options // those of flow
	owner   owner
	refresh string // NETO_REFRESH_TOKEN, where that is the flow
}

func (c *command) credentials(ctx context.Context) (*credentials, error) {
	if secret := c.getenv("NETOSECRET"); secret != "" {
		key, err := netoauth.ParseAPIKey(secret)
		switch {
		case err != nil:
			return nil, usageError{err}
		case c.passwordStdin:
			return nil, usagef("-password-stdin does not go with an API key: unset NETOSECRET")
		case c.account != "":
			key = key.Account(c.account)
		}
		who := owner{Flow: "api key", URL: baseURL(key.URL), Account: key.Shortname, AppName: key.AppName}
		return &credentials{flow: key, options: &key.Options, owner: who}, nil
	}

	url, user, refresh := c.getenv("NETO_URL"), c.getenv("NETO_USERNAME"), c.getenv("NETO_REFRESH_TOKEN")
	switch {
	case user == "" && c.passwordStdin:
		return nil, usagef("-password-stdin needs the user name: set NETO_USERNAME")
	case user == "" && refresh == "":
		return nil, usagef(whatToSet)
	case checkURL(url) != nil:
		return nil, usagef("NETO_URL: %w", checkURL(url))
	case c.account != "":
		return nil, usagef("-account goes with an API key only: set NETOSECRET")
	case user != "":
		password, err := c.password(ctx)
		if err != nil {
			return nil, err
		}
		p := &netoauth.Password{URL: url, Username: user, Password: netoauth.Secret(password)}
		who := owner{Flow: "password", URL: baseURL(url), Username: user}
		return &credentials{flow: p, options: &p.Options, owner: who}, nil
	}
	r := &netoauth.Refresh{URL: url, RefreshToken: netoauth.Secret(refresh)}
	sum := sha256.Sum256([]byte(refresh))
	who := owner{Flow: "refresh", URL: baseURL(url), RefreshTokenSHA256: hex.EncodeToString(sum[:])}
	return &credentials{flow: r, options: &r.Options, owner: who, refresh: refresh}, nil
}

// checkURL asks ParseAPIKey, which has netoauth's rules for a URL and makes no request.
func checkURL(url string) error {
	key := netoauth.APIKey{URL: url, Shortname: "-", AppName: "-", AppKey: "-", SharedSecret: "-"}
	if _, err := netoauth.ParseAPIKey(key.Netosecret()); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "netoauth: NETOSECRET: "))
	}
	return nil
}

func (c *command) password(ctx context.Context) (string, error) {
	if !c.passwordStdin {
		password := c.getenv("NETO_PASSWORD")
		if password == "" {
			return "", usagef("NETO_USERNAME is set but no password: set NETO_PASSWORD or use -password-stdin")
		}
		return password, nil
	}
	type line struct {
		text string
		err  error
	}
	read := make(chan line, 1)
	go func() { // so that an interrupt ends the wait
		text, err := bufio.NewReader(io.LimitReader(c.stdin, 64<<10)).ReadString('\n')
		read <- line{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", errors.New("interrupted")
	case l := <-read:
		if l.err != nil && l.err != io.EOF {
			return "", fmt.Errorf("reading the password: %w", l.err)
		}
		password := strings.TrimRight(l.text, "\r\n")
		if password == "" {
			return "", usagef("-password-stdin: no password in the first line of standard input")
		}
		return password, nil
	}
}

// printToken gets a token, from the cache where there is one, and prints it.
func (c *command) printToken(ctx context.Context, creds *credentials) error {
	var t *oauth2.Token
	var err, unsaved error
	if c.cache != "" {
		t, unsaved, err = (&cache{path: c.cache, owner: creds.owner}).token(ctx, creds, c.say)
	} else {
		t, err = creds.flow.Token(ctx)
	}
	if err != nil {
		return err
	}

	switch c.format {
	case "header":
		_, err = fmt.Fprintf(c.stdout, "Authorization: %s %s\n", t.Type(), t.AccessToken)
	case "json":
		err = printJSON(c.stdout, t)
	default:
		_, err = fmt.Fprintln(c.stdout, t.AccessToken)
	}
	if err == nil && unsaved != nil {
		err = fmt.Errorf("the cache %q could not be written: %w", c.cache, unsaved)
	}
	if c.cache == "" && creds.refresh != "" && cmp.Or(t.RefreshToken, creds.refresh) != creds.refresh {
		c.say("warning: the server has replaced NETO_REFRESH_TOKEN, which may not work again; -cache keeps the new one")
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
