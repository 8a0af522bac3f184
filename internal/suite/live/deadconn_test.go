package live_test

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

// One request waits in vain on a dead connection of HTTP/2, and the next try gets another: also a
// moment after that request, when the transport does not count the connection as idle yet.
func TestTokenSource_outlivesADeadConnection(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		var dead atomic.Bool
		client, closeAll := clientOfHTTP2(w, &dead)
		defer closeAll()
		src := w.Key.TokenSource(context.WithValue(t.Context(), oauth2.HTTPClient, client))
		suite.MustToken(t, src)
		dead.Store(true)
		time.Sleep(spent)
		suite.MustToken(t, src)
	})
}

// Nor does the Token that comes next meet it.
func TestAPIKey_tokenLeavesADeadConnection(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		var dead atomic.Bool
		client, closeAll := clientOfHTTP2(w, &dead)
		defer closeAll()
		ctx := context.WithValue(t.Context(), oauth2.HTTPClient, client)
		var issued []bool
		for range 3 {
			_, err := w.Key.Token(ctx)
			issued = append(issued, err == nil)
			dead.Store(true)
		}
		suite.Diff(t, "whether each Token got one", []bool{true, false, true}, issued)
	})
}

// clientOfHTTP2 returns a client of h, with a Timeout of 5 s, over one connection of HTTP/2 in
// process. What it has made before dead is set carries nothing from then on.
func clientOfHTTP2(h http.Handler, dead *atomic.Bool) (client *http.Client, closeAll func()) {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{Handler: h, Protocols: protocols}
	conns := make(pipes)
	go srv.Serve(conns)
	transport := &http.Transport{Protocols: protocols}
	transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		conns <- theirs
		if dead.Load() {
			return ours, nil
		}
		return mortal{ours, dead}, nil
	}
	return &http.Client{Transport: transport, Timeout: 5 * time.Second}, func() {
		transport.CloseIdleConnections()
		srv.Close()
	}
}

// mortal is a connection that sends into nothing once it is dead.
type mortal struct {
	net.Conn
	dead *atomic.Bool
}

func (c mortal) Write(p []byte) (int, error) {
	if c.dead.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// pipes is a net.Listener for the connections in it.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return new(net.UnixAddr) }
