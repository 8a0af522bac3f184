// Netotoken prints an access token for the Netography API, for use at a shell:
//
//	netotoken -format header | curl -H @- https://api.netography.com/api/v1/...
//
// It takes credentials from the environment; "netotoken -h" names the variables and flags,
// "netotoken -demo" shows the package at work without any credentials.
//
// The file of -cache is a token file, of package tokenfile. A Go program shares the session in it
// with one of these as Owner, where key is what netoauth.ParseAPIKey returns, and base is a URL in
// the form of key.URL, without /api/v1:
//
//	fmt.Sprintf("API key %+q", []string{key.URL, key.Shortname, key.AppName})
//	fmt.Sprintf("password %+q", []string{base, username})
//	fmt.Sprintf("refresh token %+q", []string{base, fmt.Sprintf("%x", sha256.Sum256(refreshToken))})
package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
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
Runs with the same FILE, one after the other or at once, share one session. Without -cache each
run gets a new token. With it a stored token is printed while it has at least 15 % of its
lifetime left (up to 30 %: each run draws anew), and else renewed first. Where that fails or takes
more than 5s, sooner near its end, the stored token is printed all the same if it has a tenth of
its lifetime left, or 10s if that is less; where the API cannot be reached it may have as little
as 1s. A warning says so where renewing failed. A token without an end is printed until FILE is deleted. Delete FILE
after changing a password or shared secret, too.

FILE belongs to the credentials that it was written for, and to you alone (mode 0600). Any other
file at that place is refused and left as it is: one for other credentials or another account,
one that is no cache, a link, one that others may read or write. Wherever the cache cannot be
used, an API key or a password gets a token all the same, which is printed, with the exit status
1; a refresh token is left unused, because the next would be lost. FILE.lock, which is empty and
stays, keeps runs at the same time apart; FILE.tmp is there only while a token is on its way.

Exit status:
  0    the token was printed
  1    no token, or a token but the cache could not be used
  2    wrong usage, or no usable credentials in the environment
  130  interrupted

Examples:
  netotoken -format header | curl -H @- ` + netoauth.DefaultURL + `/api/v1/...
  pass show netography | NETO_USERNAME=ann@example.com netotoken -password-stdin -cache ~/.netotoken
`

const whatToSet = "no credentials: set NETOSECRET, or NETO_USERNAME and NETO_PASSWORD, or " +
	"NETO_REFRESH_TOKEN (-h says more, -demo needs none)"

func main() {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, stop) // so that a second signal ends the process at once
	c := &command{getenv: os.Getenv, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	os.Exit(c.run(ctx, os.Args[1:]))
}

// usageError is an error that calls for another command line or environment.
type usageError struct{ error }

func usagef(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }

var errInterrupted = errors.New("interrupted")

// command is one run of netotoken.
type command struct {
	getenv         func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer

	account, format, cache string
	passwordStdin, demo    bool
	timeout                duration
}

// run returns the exit status.
func (c *command) run(ctx context.Context, args []string) int {
	err := c.main(ctx, args)
	if err == nil {
		return 0
	}
	c.say("%v", err)
	if _, usage := errors.AsType[usageError](err); usage {
		return 2
	}
	if errors.Is(err, errInterrupted) {
		return 130
	}
	return 1
}

// terms puts what the packages say into the terms of the command line.
var terms = strings.NewReplacer(
	"netoauth: ", "",
	"tokenfile: ", "",
	"the Store cannot", "the cache cannot",
	"a token of this Owner", "a token for these credentials",
	"choose another file", "choose another -cache",
)

// say writes one line to standard error.
func (c *command) say(format string, a ...any) {
	line := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, terms.Replace(fmt.Sprintf(format, a...)))
	fmt.Fprintf(c.stderr, "netotoken: %s\n", line)
}

func (c *command) main(ctx context.Context, args []string) error {
	fs := c.flags()
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
	if err := c.check(fs); err != nil {
		return err
	}
	do := func(ctx context.Context) error { return runDemo(ctx, c.stdout) }
	if !c.demo {
		creds, err := c.credentials(ctx)
		if err != nil {
			return err
		}
		do = func(ctx context.Context) error { return c.printToken(ctx, creds) }
	}
	limited, cancel := context.WithTimeout(ctx, c.timeout.Duration)
	defer cancel()
	err = do(limited)
	switch {
	case err != nil && ctx.Err() != nil:
		return errInterrupted
	case limited.Err() != nil && errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no token within %v (-timeout): %w", c.timeout, err)
	}
	return err
}

func (c *command) flags() *flag.FlagSet {
	fs := flag.NewFlagSet("netotoken", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&c.account, "account", "", "print a token for the sub-account `NAME` (with an API key only)")
	fs.StringVar(&c.format, "format", "token", "`FORMAT` to print: token, header (an HTTP header line), json, or\n"+
		"jwt (the signed request token of an API key, for the try-out page of\n"+
		"the API's reference: made without a network, good for one log-in)")
	fs.StringVar(&c.cache, "cache", "", "keep the token, and the refresh token, in `FILE` for later runs")
	fs.BoolVar(&c.passwordStdin, "password-stdin", false, "read the password from standard input, one line")
	c.timeout.Duration = 30 * time.Second
	fs.Var(&c.timeout, "timeout", "give up after this `DURATION`, such as 5s or 1m; with -cache, a token\n"+
		"that is on its way has "+grace.String()+" more, unless interrupted again")
	fs.BoolVar(&c.demo, "demo", false, "run the three flows on a server of its own, without a network")
	return fs
}

// duration is a flag that says how to write a number of seconds.
type duration struct{ time.Duration }

// Set parses s.
func (d *duration) Set(s string) (err error) {
	if d.Duration, err = time.ParseDuration(s); err == nil {
		return nil
	}
	if _, err := time.ParseDuration(s + "s"); err == nil {
		return fmt.Errorf("write %ss", s)
	}
	return errors.New("write a duration such as 5s or 1m")
}

// check finds flags that make no sense, alone or together.
func (c *command) check(fs *flag.FlagSet) (err error) {
	if fs.NArg() > 0 {
		// The argument itself is not repeated: it may be a secret that somebody pasted.
		return usagef("takes no arguments, only flags; secrets go into the environment")
	}
	fs.Visit(func(f *flag.Flag) {
		switch {
		case c.demo && f.Name != "demo" && f.Name != "timeout":
			err = usagef("-%s does not go with -demo", f.Name)
		case f.Value.String() == "":
			// An unset variable in a script must not turn into another account or into no cache.
			err = usagef("-%s is empty", f.Name)
		}
	})
	switch {
	case err != nil:
		return err
	case !slices.Contains([]string{"token", "header", "json", "jwt"}, c.format):
		return usagef("-format is token, header, json or jwt")
	case c.format == "jwt" && c.cache != "":
		return usagef("-cache does not go with -format jwt: a request token is not kept")
	case c.timeout.Duration <= 0:
		return usagef("-timeout must be positive")
	}
	return nil
}

// credentials are what the environment holds for one of the three flows.
type credentials struct {
	flow interface {
		Token(context.Context) (*oauth2.Token, error)
		TokenSource(context.Context) oauth2.TokenSource
	}
	options *netoauth.Options // those of flow
	owner   string            // of a cache; names no secret
	refresh string            // NETO_REFRESH_TOKEN, where that is the flow
}

// owner names whose session a cache holds, in ASCII, so that no two sessions have one name.
func owner(flow string, parts ...string) string { return fmt.Sprintf("%s %+q", flow, parts) }

func (c *command) credentials(ctx context.Context) (*credentials, error) {
	if secret := c.getenv("NETOSECRET"); secret != "" {
		return c.apiKey(secret)
	}
	user, refresh := c.getenv("NETO_USERNAME"), c.getenv("NETO_REFRESH_TOKEN")
	url, err := baseURL(c.getenv("NETO_URL"))
	switch {
	case c.format == "jwt":
		return nil, usagef("-format jwt goes with an API key only: set NETOSECRET")
	case user == "" && c.passwordStdin:
		return nil, usagef("-password-stdin needs the user name: set NETO_USERNAME")
	case user == "" && refresh == "" && c.getenv("NETO_PASSWORD") != "":
		return nil, usagef("NETO_PASSWORD is set but no user name: set NETO_USERNAME")
	case user == "" && refresh == "":
		return nil, usagef(whatToSet)
	case err != nil:
		return nil, usagef("NETO_URL: %w", err)
	case c.account != "":
		return nil, usagef("-account goes with an API key only: set NETOSECRET")
	case user == "":
		r := &netoauth.Refresh{URL: url, RefreshToken: netoauth.Secret(refresh)}
		who := owner("refresh token", url, fmt.Sprintf("%x", sha256.Sum256([]byte(refresh))))
		return &credentials{flow: r, options: &r.Options, owner: who, refresh: refresh}, nil
	}
	password, err := c.password(ctx)
	if err != nil {
		return nil, err
	}
	p := &netoauth.Password{URL: url, Username: user, Password: netoauth.Secret(password)}
	return &credentials{flow: p, options: &p.Options, owner: owner("password", url, user)}, nil
}

func (c *command) apiKey(netosecret string) (*credentials, error) {
	key, err := netoauth.ParseAPIKey(netosecret)
	switch {
	case err != nil:
		return nil, usageError{err}
	case c.passwordStdin:
		return nil, usagef("-password-stdin does not go with an API key: unset NETOSECRET")
	case c.account != "":
		key = key.Account(c.account)
	}
	who := owner("API key", key.URL, key.Shortname, key.AppName)
	return &credentials{flow: key, options: &key.Options, owner: who}, nil
}

// baseURL returns the base URL that url stands for. It asks ParseAPIKey, which has netoauth's rules for that.
func baseURL(url string) (string, error) {
	key := &netoauth.APIKey{URL: url, Shortname: "-", AppName: "-", AppKey: "-", SharedSecret: "-"}
	key, err := netoauth.ParseAPIKey(key.Netosecret())
	if err != nil {
		text := strings.NewReplacer("NETOSECRET: ", "", "in NETOSECRET, url", "it")
		return "", errors.New(text.Replace(err.Error()))
	}
	return key.URL, nil
}

func (c *command) password(ctx context.Context) (string, error) {
	if !c.passwordStdin {
		password := c.getenv("NETO_PASSWORD")
		if password == "" {
			return "", usagef("NETO_USERNAME is set but no password: set NETO_PASSWORD " +
				"or use -password-stdin")
		}
		return password, nil
	}
	line, err := within(ctx, func() (string, error) {
		return bufio.NewReader(io.LimitReader(c.stdin, 64<<10)).ReadString('\n')
	})
	switch password := strings.TrimRight(line, "\r\n"); {
	case ctx.Err() != nil:
		return "", errInterrupted
	case err != nil && err != io.EOF:
		return "", fmt.Errorf("reading the password: %w", err)
	case password == "":
		return "", usagef("-password-stdin: no password in the first line of standard input")
	default:
		return password, nil
	}
}

// printToken gets a token, from the cache where there is one, and prints it.
func (c *command) printToken(ctx context.Context, creds *credentials) error {
	switch {
	case c.cache != "":
		return c.printCached(ctx, creds)
	case c.format == "jwt":
		return c.printRequestToken(ctx, creds)
	}
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
