package session

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

// toldToEnd is what a daemon writes to standard error once its context is over.
const toldToEnd = "told to end"

// daemon is the whole program in the shape of netoauth's ExampleWait: it sends requests until SIGTERM,
// which ends ctx, and then waits by a context that has not ended.
func (p *program) daemon() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	var got report
	c, err := p.credential(&got)
	if err != nil {
		return err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: named(p.Name)})
	src := c.TokenSource(ctx)
	client := netoauth.NewClient(ctx, src)
	for tick := time.NewTicker(requestEvery); ctx.Err() == nil; {
		got.request(client, p.URL)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	fmt.Fprintln(os.Stderr, toldToEnd)

	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := netoauth.Wait(end, src); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(got)
}
