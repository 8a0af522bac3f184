package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

const (
	demoTime = 20 * time.Second // the whole of the demo, at most
	demoPath = "/api/v1/labels/ip"
	demoNext = `
Next: set NETOSECRET, or NETO_USERNAME and NETO_PASSWORD, or NETO_REFRESH_TOKEN,
and run netotoken to print a token of yours.
`
)

// scenario is a row of the demo's table: a client of a server of its own, API calls through it, and
// what happens to them.
type scenario struct {
	name string
	run  func(*demo) error // makes the calls, and sets note

	demo
	err error
}

// demo is what a scenario works with.
type demo struct {
	*netoauthtest.Server
	ctx           context.Context // with the server's HTTP client, and the end of the demo
	calls, failed int             // API calls
	set           [3]int          // token requests that were made to set the stage
	issued        atomic.Int32    // tokens, to the client of the scenario
	note          string          // what the row says at its end
}

func scenarios() []*scenario {
	return []*scenario{
		{name: "API key", run: demoAPIKey},
		{name: "password", run: demoPassword},
		{name: "refresh token", run: demoRefresh},
		{name: "revoked token", run: demoRevoked},
		{name: "expiry", run: demoExpiry},
		{name: "outage", run: demoOutage},
	}
}

// runDemo runs the scenarios, all at once, and prints a table of them.
func runDemo(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, demoTime)
	defer cancel()
	const head = "API calls on servers inside this process, and what they meet (%v at most):\n\n"
	if _, err := fmt.Fprintf(w, head, demoTime); err != nil {
		return err
	}
	all := scenarios()
	var running sync.WaitGroup
	for _, s := range all {
		running.Go(func() { s.start(ctx) })
	}
	running.Wait()
	return printTable(w, all)
}

// printTable prints a row for each scenario, and returns what went wrong in them.
func printTable(w io.Writer, all []*scenario) (err error) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CASE\tCALLS\tFAILED\tLOG-INS\tREFRESHES\tWHAT HAPPENED")
	for _, s := range all {
		n := s.counts()
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%s\n",
			s.name, s.calls, s.failed, n[0]+n[1], n[2], s.note)
		err = errors.Join(err, s.err)
	}
	table.Flush()
	_, printed := io.WriteString(w, demoNext)
	return errors.Join(err, printed)
}

// start runs the scenario on a server of its own.
func (s *scenario) start(ctx context.Context) {
	s.Server = netoauthtest.NewServer()
	defer s.Close()
	s.Handle("GET "+demoPath, netoauthtest.Answer(http.StatusOK, "application/json", "[]"))
	s.ctx = context.WithValue(ctx, oauth2.HTTPClient, s.Client())
	if err := s.run(&s.demo); err != nil {
		s.note, s.err = "failed", fmt.Errorf("demo, %s: %w", s.name, err)
	}
}

// counts returns the token requests of the scenario's client, by endpoint.
func (d *demo) counts() (n [3]int) {
	paths := []string{netoauthtest.APIKeyPath, netoauthtest.PasswordPath, netoauthtest.RefreshPath}
	for i, path := range paths {
		n[i] = d.Requests(path) - d.set[i]
	}
	return n
}

// call makes n API calls, with a pause after each.
func (d *demo) call(client *http.Client, n int, pause time.Duration) error {
	for range n {
		d.calls++
		if err := d.callOnce(client); err != nil {
			d.failed++
			return err
		}
		select {
		case <-time.After(pause):
		case <-d.ctx.Done():
			return d.ctx.Err()
		}
	}
	return nil
}

func (d *demo) callOnce(client *http.Client) error {
	req, err := http.NewRequestWithContext(d.ctx, http.MethodGet, d.URL+demoPath, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", demoPath, resp.Status)
	}
	return nil
}

// apiKey returns the server's API key, and has the tokens counted that are issued for it.
func (d *demo) apiKey() (*netoauth.APIKey, error) {
	key, err := netoauth.ParseAPIKey(d.Netosecret)
	if err == nil {
		key.OnToken = func(*oauth2.Token) { d.issued.Add(1) }
	}
	return key, err
}
