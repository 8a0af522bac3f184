package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/netoauth/netoauth"
)

// What -h prints is at most 80 columns wide, as a terminal is. The package comment repeats it.
const (
	usageHead = `Usage: netotoken [flags]

Prints an access token for the Netography API. The credentials come from the
environment, the first found in this order (one that is empty is not set):

  NETOSECRET           an API key
  NETO_USERNAME        a user name, with
    NETO_PASSWORD        its password (or -password-stdin)
  NETO_REFRESH_TOKEN   a refresh token; a server may replace it at each use, and
                       -cache is what keeps the new one

NETO_URL is the API's base URL for the latter two, which have no other place for
it (default ` + netoauth.DefaultURL + `).

Flags:
`

	usageTail = `
The cache holds an access token and a refresh token, but neither the API key nor
the password. Runs with the same FILE, one after the other or at once, share one
session. Without -cache each run gets a new token. With it a stored token is
printed while it has at least 15 % of its lifetime left (up to 30 %: each run
draws anew), and else renewed first. Where that fails or takes more than 5s,
sooner near its end, the stored token is printed all the same if it has a tenth
of its lifetime left, or 10s if that is less; where the API cannot be reached it
may have as little as 1s. A warning says so where renewing failed. A token
without an end is printed until -renew. Delete FILE after changing a password or
a shared secret.

FILE belongs to the credentials that it was written for, and to you alone (mode
0600). Any other file at that place is refused and left as it is: one for other
credentials or another account, one that is no cache, a link, one that others
may read or write. Wherever the cache cannot be used, an API key or a password
gets a token all the same, which is printed, with the exit status 1; a refresh
token is left unused, because the next would be lost. FILE.lock, which is empty
and stays, keeps runs at the same time apart; FILE.tmp is there only while a
token is on its way.

Exit status:
  0    the token was printed; with -status, FILE has a session
  1    no token, or a token but the cache could not be used; with -status, FILE
       has neither an access token that is good nor a refresh token that may be
  2    wrong usage, or no usable credentials in the environment
  130  interrupted

Examples:
  set -o pipefail
  netotoken -format header |
    curl -H @- ` + netoauth.DefaultURL + `/api/v1/...
  pass show netography |
    NETO_USERNAME=ann@example.com netotoken -password-stdin -cache ~/.netotoken
`
)

// usage returns what -h prints.
func usage(fs *flag.FlagSet) string {
	var text strings.Builder
	text.WriteString(usageHead)
	fs.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		fmt.Fprintf(&text, "  %s\n", strings.TrimSpace("-"+f.Name+" "+value))
		fmt.Fprintf(&text, "        %s\n", strings.ReplaceAll(usage, "\n", "\n        "))
	})
	text.WriteString(usageTail)
	return text.String()
}

func (c *command) flags() *flag.FlagSet {
	fs := flag.NewFlagSet("netotoken", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&c.account, "account", "", accountUsage)
	fs.StringVar(&c.cache, "cache", "", cacheUsage)
	fs.BoolVar(&c.demo, "demo", false, demoUsage)
	fs.StringVar(&c.format, "format", "token", formatUsage)
	fs.BoolVar(&c.passwordStdin, "password-stdin", false, passwordUsage)
	fs.BoolVar(&c.renew, "renew", false, renewUsage)
	fs.BoolVar(&c.status, "status", false, statusUsage)
	c.timeout.Duration = 90 * time.Second // a queue behind an exchange of another run, and one of its own
	fs.Var(&c.timeout, "timeout", fmt.Sprintf(timeoutUsage, c.timeout, grace))
	fs.BoolVar(&c.version, "version", false, "print which version of netotoken this is")
	return fs
}

const (
	accountUsage = "print a token for the sub-account `NAME` (with an API key only)"
	cacheUsage   = "keep the token, and the refresh token, in `FILE` for later runs"
	demoUsage    = `run the three flows, and get through a revoked token, an expiry and an
outage, on servers of its own, without a network, in 20s at most`
	formatUsage = "`FORMAT`" + ` to print: token (the default), header (an HTTP header line),
json, or jwt (the signed request token of an API key, for the try-out
page of the API's reference: made without a network, for one log-in)`
	passwordUsage = "read the password from standard input, one line, not from a terminal"
	renewUsage    = "do not print the token in FILE: renew the session first"
	statusUsage   = `say whether FILE has the session of these credentials, and until when;
prints no secret, makes no request, and needs no password`
	timeoutUsage = "give up after this `DURATION`" + `, such as 5s or 1m (default %v); with
-cache, a token on its way has %v more, unless interrupted again`
)

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
func (c *command) check(fs *flag.FlagSet) error {
	if fs.NArg() > 0 {
		// The argument itself is not repeated: it may be a secret that somebody pasted.
		return usagef("takes no arguments, only flags; secrets go into the environment")
	}
	var given []string
	var empty error
	fs.Visit(func(f *flag.Flag) {
		given = append(given, f.Name)
		if f.Value.String() == "" {
			// An unset variable in a script must not turn into another account or into no cache.
			empty = usagef("-%s is empty", f.Name)
		}
	})
	if err := c.alone(given); err != nil {
		return err
	}
	switch {
	case empty != nil:
		return empty
	case !slices.Contains([]string{"token", "header", "json", "jwt"}, c.format):
		return usagef("-format is token, header, json or jwt")
	case c.format == "jwt" && c.cache != "":
		return usagef("-cache does not go with -format jwt: a request token is not kept")
	case c.status && c.cache == "":
		return usagef("-status needs -cache FILE, whose session it tells of")
	case c.renew && c.cache == "":
		return usagef("-renew needs -cache FILE, whose session it renews")
	case c.timeout.Duration <= 0:
		return usagef("-timeout must be positive")
	}
	return nil
}

// alone finds flags that do not go with one that makes the run another than that for a token.
func (c *command) alone(given []string) error {
	for _, mode := range []struct {
		on   bool
		name string
		with []string
	}{
		{c.version, "version", nil},
		{c.demo, "demo", []string{"timeout"}},
		{c.status, "status", []string{"account", "cache", "password-stdin", "timeout"}},
	} {
		for _, name := range given {
			if mode.on && name != mode.name && !slices.Contains(mode.with, name) {
				return usagef("-%s does not go with -%s", name, mode.name)
			}
		}
	}
	return nil
}
