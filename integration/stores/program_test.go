package stores

import (
	"bufio"
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
	"golang.org/x/oauth2"
)

const (
	// programEnv has the program to be, as JSON. Without it the binary is the test.
	programEnv = "NETOAUTH_STORES_PROGRAM"

	// programHeader has a program's name, in all that it sends.
	programHeader = "Program"

	requestTimeout = 70 * time.Second // above all that the token source may take
)

// program is what a program is told: who it is, how it signs in, where its session is, and what to do.
type program struct {
	Name string

	URL, Flow    string // the flow as in netoauth.Exchange
	Netosecret   string
	RefreshToken string
	Place        place

	Every    time.Duration // between requests
	Requests int           // how many; 0: until standard input ends
	Wait     bool          // for a line on standard input first
	Exchange bool          // one exchange by Token in place of requests
}

// report is what a program says of itself at its end, as JSON on standard output.
type report struct {
	Requests     int           // sent, whatever came of them
	Unauthorized int           // answered with 401
	Failed       int           // not answered
	Exchanges    int           // by OnExchange
	First        time.Duration // that the first request took
	Longest      time.Duration // that any other took
	Error        string        // the first
}

func (r *report) add(other report) {
	r.Requests += other.Requests
	r.Unauthorized += other.Unauthorized
	r.Failed += other.Failed
	r.Exchanges += other.Exchanges
	r.First = max(r.First, other.First)
	r.Longest = max(r.Longest, other.Longest)
	if r.Error == "" {
		r.Error = other.Error
	}
}

// start starts p. What it reports is known once stop or wait has returned.
func start(t *testing.T, p program) *running {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{name: p.Name, cmd: exec.Command(os.Args[0])}
	r.cmd.Env = append(os.Environ(), programEnv+"="+string(text), "GOMAXPROCS=1")
	r.cmd.Stdout, r.cmd.Stderr = &r.stdout, &r.stderr
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
	stdin          io.WriteCloser
	stdout, stderr bytes.Buffer
}

// stop ends programs that send requests without end, all at once, and adds up what they report.
func stop(t *testing.T, all ...*running) (sum report) {
	t.Helper()
	for _, r := range all {
		r.stdin.Close()
	}
	for _, r := range all {
		sum.add(r.wait(t))
	}
	return sum
}

// wait waits for the end of a program, which must be in order.
func (r *running) wait(t *testing.T) (got report) {
	t.Helper()
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("%s: %v, with %q", r.name, err, r.stderr.String())
	}
	if err := json.Unmarshal(r.stdout.Bytes(), &got); err != nil {
		t.Errorf("%s: no report: %v: %q", r.name, err, r.stdout.String())
	}
	return got
}

func TestMain(m *testing.M) {
	text, child := os.LookupEnv(programEnv)
	if !child {
		flag.Parse()
		flag.Set("test.parallel", "100") // on any number of cores, because the tests and programs mostly sleep
		code := m.Run()
		endShared()
		os.Exit(code)
	}
	var p program
	err := json.Unmarshal([]byte(text), &p)
	if err == nil {
		err = p.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run is the whole program. An error ends it with another status than 0; a request that fails is for
// the report.
func (p *program) run() error {
	var got report
	var mu sync.Mutex
	o := netoauth.Options{OnExchange: func(netoauth.Exchange) {
		mu.Lock()
		defer mu.Unlock()
		got.Exchanges++
	}}
	if p.Place.Engine != "" {
		s, end, err := p.Place.open()
		if err != nil {
			return err
		}
		defer end()
		o.Store = s
	}
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Transport: named(p.Name)})
	if p.Flow == "refresh token" && p.Exchange {
		r := &netoauth.Refresh{URL: p.URL, RefreshToken: netoauth.Secret(p.RefreshToken), Options: o}
		_, err := r.Token(ctx)
		return errors.Join(err, json.NewEncoder(os.Stdout).Encode(got))
	}
	client, err := p.client(ctx, o)
	if err != nil {
		return err
	}
	if err := p.requests(client, &got); err != nil {
		return err
	}
	if err := netoauth.Wait(ctx, client.Transport.(*netoauth.Transport).Source); err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	return json.NewEncoder(os.Stdout).Encode(got)
}

func (p *program) client(ctx context.Context, o netoauth.Options) (*http.Client, error) {
	var client *http.Client
	if p.Flow == "refresh token" {
		client = (&netoauth.Refresh{URL: p.URL, RefreshToken: netoauth.Secret(p.RefreshToken), Options: o}).Client(ctx)
	} else {
		key, err := netoauth.ParseAPIKey(p.Netosecret)
		if err != nil {
			return nil, err
		}
		key.URL, key.Options = p.URL, o
		client = key.Client(ctx)
	}
	client.Timeout = requestTimeout
	return client, nil
}

// requests sends requests until they are enough, or standard input ends.
func (p *program) requests(client *http.Client, got *report) error {
	input := bufio.NewReader(os.Stdin)
	if p.Wait {
		if resp, err := http.Get(p.URL + readyPath); err != nil {
			return err
		} else {
			resp.Body.Close()
		}
		if _, err := input.ReadString('\n'); err != nil {
			return err
		}
	}
	ended := make(chan struct{})
	go func() { io.Copy(io.Discard, input); close(ended) }()
	for {
		got.request(client, p.URL)
		if got.Requests == p.Requests {
			return nil
		}
		select {
		case <-ended:
			return nil
		case <-time.After(p.Every):
		}
	}
}

// request sends one request.
func (r *report) request(client *http.Client, url string) {
	began := time.Now()
	resp, err := client.Get(url + thingsPath)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if r.Requests++; r.Requests == 1 {
		r.First = time.Since(began)
	} else {
		r.Longest = max(r.Longest, time.Since(began))
	}
	switch {
	case err != nil:
		r.Failed++
		if r.Error == "" {
			r.Error = err.Error()
		}
	case resp.StatusCode == http.StatusUnauthorized:
		r.Unauthorized++
	}
}

// named sends requests with a program's name.
type named string

func (name named) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set(programHeader, string(name))
	return http.DefaultTransport.RoundTrip(req)
}
