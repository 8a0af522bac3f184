package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

const maxPassword = 64 << 10 // bytes, with the line's end

// password returns the password, from standard input where -password-stdin asks for that.
func (c *command) password(ctx context.Context) (string, error) {
	if c.passwordStdin {
		return c.readPassword(ctx)
	}
	password := c.getenv("NETO_PASSWORD")
	if password == "" {
		return "", usagef("NETO_USERNAME is set but no password: " +
			"set NETO_PASSWORD or use -password-stdin")
	}
	return password, oneLine("NETO_PASSWORD", password)
}

// readPassword reads one line, whose end is not part of the password.
func (c *command) readPassword(ctx context.Context) (string, error) {
	if isTerminal(c.stdin) {
		return "", usagef("-password-stdin: standard input is a terminal, which shows what is typed; " +
			`in a shell: read -rs P && printf '%%s\n' "$P" | netotoken -password-stdin`)
	}
	line, err := within(ctx, func() (string, error) {
		return bufio.NewReader(io.LimitReader(c.stdin, maxPassword)).ReadString('\n')
	})
	password, ended := strings.CutSuffix(line, "\n")
	password = strings.TrimSuffix(password, "\r")
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil && err != io.EOF:
		return "", fmt.Errorf("reading the password: %w", err)
	case password == "":
		return "", usagef("-password-stdin: no password in the first line of standard input")
	case !ended && len(line) == maxPassword:
		return "", usagef("-password-stdin: the first line of standard input is longer than any password")
	}
	return password, oneLine("the password on standard input", password)
}

// isTerminal reports whether r is a terminal, or another device on which somebody may type. The null
// device, which holds nothing, is none.
func isTerminal(r io.Reader) bool {
	file, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
