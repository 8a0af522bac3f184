package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode"
)

func main() {
	// A write to a pipe whose reader has gone fails, as one to a full disk does, rather than end the
	// process: the next refresh token may still be on its way to the cache.
	signal.Ignore(syscall.SIGPIPE)
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

	// The flags, which Parse sets once.
	account, format, cache       string
	passwordStdin, renew, status bool
	demo, version                bool
	timeout                      duration
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

func (c *command) main(ctx context.Context, args []string) error {
	fs := c.flags()
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, err = io.WriteString(c.stdout, usage(fs))
		return err
	case err != nil:
		return usageError{err}
	}
	if err := c.check(fs); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, c.timeout.Duration)
	defer cancel()
	do, err := c.job(limited)
	if err == nil {
		err = do(limited)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return errInterrupted
	case limited.Err() != nil && errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no token within %v (-timeout): %w", c.timeout, err)
	}
	return err
}

// job returns what this run is to do.
func (c *command) job(ctx context.Context) (func(context.Context) error, error) {
	switch {
	case c.version:
		return func(context.Context) error { return printVersion(c.stdout) }, nil
	case c.demo:
		return func(ctx context.Context) error { return runDemo(ctx, c.stdout) }, nil
	}
	creds, err := c.credentials(ctx)
	if err != nil {
		return nil, err
	}
	do := c.printToken
	switch {
	case c.status:
		do = c.printStatus
	case c.cache != "":
		do = c.printCached
	case c.format == "jwt":
		do = c.printRequestToken
	}
	return func(ctx context.Context) error { return do(ctx, creds) }, nil
}

// terms puts what the packages say into the terms of the command line.
var terms = strings.NewReplacer(
	"netoauth: ", "",
	"tokenfile: ", "",
	"the Store cannot", "the cache cannot",
	"a token of this Owner", "a token for these credentials",
	"the session of another owner", "the session of other credentials",
	"set the owner that stored it", "use the credentials that stored it",
	"choose another file", "choose another -cache",
	"choose another place", "choose another -cache",
)

// say writes one line to standard error.
func (c *command) say(format string, a ...any) {
	line := strings.Map(printable, terms.Replace(fmt.Sprintf(format, a...)))
	fmt.Fprintf(c.stderr, "netotoken: %s\n", line)
}

// printable returns r, or a space in the place of what could act on a terminal.
func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return ' '
	}
	return r
}
