package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/tokenfile"
	"golang.org/x/oauth2"
)

const (
	owner = "the session of these tests"

	// programEnv has the program to be, as JSON. Without it the binary is the test.
	programEnv = "NETOAUTH_SESSION_PROGRAM"

	// programHeader has a program's name, in all that it sends.
	programHeader = "Program"

	requestEvery   = 20 * time.Millisecond
	requestTimeout = 40 * time.Second // above all that the token source may take
)

// program is what a program is told: who it is, how it signs in, and what to do.
type program struct {
	Name string

	URL, Flow    string // the flow as in netoauth.Exchange
	Netosecret   string
	Username     string
	Password     string // netoauth.Secret does not marshal
	RefreshToken string

	Path, Owner string // of the token file; "": no Store
	Handover    string // the path of a file that holds InitialToken, and into which OnToken writes; "": none

	Requests int  // how many to send; 0: one every 20 ms, until standard input ends
	Exchange bool // one exchange by Token in place of requests
	Daemon   bool // to send requests until SIGTERM
	Nobody   bool // give up root first
}

// report is what a program says of itself at its end, as JSON on standard output.
type report struct {
	Requests     int // sent, whatever came of them
	Unauthorized int // answered with 401
	Failed       int // not answered
	Rejected     int // of those, with ErrRejected
	Exchanges    int // by OnExchange
	Error        string
}

// start starts p. What it reports is known once stop or wait has returned.
func start(t *testing.T, p program) *running {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{name: p.Name, cmd: exec.CommandContext(t.Context(), os.Args[0])}
	r.cmd.Env = append(os.Environ(), programEnv+"="+string(text))
	r.cmd.Stdout = &r.stdout
	r.cmd.Stderr = &r.stderr
	if r.stdin, err = r.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.cmd.Process.Kill(); r.cmd.Wait() })
	return r
}

// running is a program that was started.
type running struct {
	name           string
	cmd            *exec.Cmd
	stdin          io.Closer
	stdout, stderr output
}

// stop ends a program that sends requests without end.
func (r *running) stop(t *testing.T) report {
	t.Helper()
	r.stdin.Close()
	return r.wait(t)
}

// wait waits for the end of a program, which must be in order.
func (r *running) wait(t *testing.T) (got report) {
	t.Helper()
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("%s: %v, with %q", r.name, err, r.stderr.String())
	}
	if err := json.Unmarshal([]byte(r.stdout.String()), &got); err != nil {
		t.Errorf("%s: no report: %v: %q", r.name, err, r.stdout.String())
	}
	return got
}

// output is what a running program has written so far.
type output struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.String()
}

func TestMain(m *testing.M) {
	text, child := os.LookupEnv(programEnv)
	if !child {
		flag.Parse()
		flag.Set("test.parallel", "20") // on any number of cores, because the tests and programs mostly sleep
		os.Exit(m.Run())
	}
	var p program
	err := json.Unmarshal([]byte(text), &p)
	if err == nil && p.Nobody {
		err = becomeNobody()
	}
	switch {
	case err != nil:
	case p.Daemon:
		err = p.daemon()
	default:
		err = p.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run is the whole program. An error ends it with another status than 0; a request that fails is
// for the report.
func (p *program) run() error {
	var got report
	c, err := p.credential(&got)
	if err != nil {
		return err
	}
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Transport: named(p.Name)})
	if p.Exchange {
		_, err := c.Token(ctx)
		return errors.Join(err, json.NewEncoder(os.Stdout).Encode(got))
	}
	client := c.Client(ctx)
	client.Timeout = requestTimeout
	ended := make(chan struct{})
	go func() { io.Copy(io.Discard, os.Stdin); close(ended) }()
	tick := time.NewTicker(requestEvery)
	for more := true; more; {
		got.request(client, p.URL)
		select {
		case <-ended:
			more = false
		case <-tick.C:
			more = p.Requests == 0 || got.Requests < p.Requests
		}
	}
	if err := netoauth.Wait(ctx, client.Transport.(*netoauth.Transport).Source); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(got)
}

// request sends one request. The first error is told at once, on standard error, and kept.
func (r *report) request(client *http.Client, url string) {
	r.Requests++
	resp, err := client.Get(url + "/api/v1/vpc")
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	switch {
	case err != nil:
		r.Failed++
		if errors.Is(err, netoauth.ErrRejected) {
			r.Rejected++
		}
		if r.Error == "" {
			r.Error = err.Error()
			fmt.Fprintln(os.Stderr, r.Error)
		}
	case resp.StatusCode == http.StatusUnauthorized:
		r.Unauthorized++
	}
}

// credential is what the three flows have in common.
type credential interface {
	Token(context.Context) (*oauth2.Token, error)
	TokenSource(context.Context) oauth2.TokenSource
	Client(context.Context) *http.Client
}

func (p *program) credential(got *report) (credential, error) {
	o := netoauth.Options{OnExchange: func(netoauth.Exchange) { got.Exchanges++ }}
	if p.Path != "" {
		o.Store = &tokenfile.File{Path: p.Path, Owner: p.Owner}
	}
	if p.Handover != "" {
		text, err := os.ReadFile(p.Handover)
		if err == nil {
			err = json.Unmarshal(text, &o.InitialToken)
		}
		if err != nil {
			return nil, err
		}
		o.OnToken = func(t *oauth2.Token) { writeToken(p.Handover, t) }
	}
	switch p.Flow {
	case "API key":
		key, err := netoauth.ParseAPIKey(p.Netosecret)
		if err != nil {
			return nil, err
		}
		key.URL, key.Options = p.URL, o
		return key, nil
	case "password":
		return &netoauth.Password{
			URL: p.URL, Username: p.Username, Password: netoauth.Secret(p.Password), Options: o,
		}, nil
	default:
		return &netoauth.Refresh{URL: p.URL, RefreshToken: netoauth.Secret(p.RefreshToken), Options: o}, nil
	}
}

// writeToken keeps a token as programs without a Store do.
func writeToken(path string, t *oauth2.Token) {
	text, err := json.Marshal(t)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		panic(err)
	}
}

// named sends requests with a program's name.
type named string

func (name named) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set(programHeader, string(name))
	return http.DefaultTransport.RoundTrip(req)
}
