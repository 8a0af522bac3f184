package stores

import (
	"net"
	"sync"
	"testing"
)

// proxy stands between programs and an engine, and makes the trouble that networks make.
type proxy struct {
	listener net.Listener
	target   string

	mu     sync.Mutex
	open   map[net.Conn]bool
	gate   chan struct{} // closed while it forwards
	closed bool
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", hostOnly+":0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: target, open: make(map[net.Conn]bool), gate: make(chan struct{})}
	close(p.gate)
	go p.serve()
	t.Cleanup(func() {
		listener.Close()
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.forward()
		p.cut()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			<-p.way()
			server, err := net.Dial("tcp", p.target)
			if err != nil || !p.add(client, server) {
				client.Close()
				return
			}
			go p.copy(server, client)
			p.copy(client, server)
		}()
	}
}

func (p *proxy) way() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gate
}

func (p *proxy) add(pair ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range pair {
		p.open[c] = true
	}
	return !p.closed
}

// copy closes both ends when one has ended.
func (p *proxy) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		<-p.way()
		if _, lost := to.Write(buffer[:n]); err != nil || lost != nil {
			return
		}
	}
}

// hold stops forwarding: connections are made and stay, and nothing comes through.
func (p *proxy) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate = make(chan struct{})
}

// forward ends hold.
func (p *proxy) forward() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
	default:
		close(p.gate)
	}
}

// cut breaks all connections. New ones can be made at once.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.Close()
	}
	clear(p.open)
}
