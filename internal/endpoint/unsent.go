package endpoint

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptrace"
	"sync/atomic"
)

// connection is what is known of the connections for one request. Package net/http tells of them,
// in whatever goroutine.
type connection struct {
	wanted, got atomic.Bool
}

// watch returns ctx for a request of which c is to know.
func (c *connection) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { c.wanted.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { c.got.Store(true) },
	})
}

// unsentError is the error of a request of which nothing was sent.
type unsentError struct{ error }

func (e unsentError) Unwrap() error { return e.error }

// Timeout is for [net/url.Error], which does not look at causes.
func (e unsentError) Timeout() bool {
	t, ok := errors.AsType[net.Error](e.error)
	return ok && t.Timeout()
}

// mark marks err where nothing was sent because there was no connection. Of a transport that tells
// nothing of its connections, the kind of error says so, or nobody knows.
func (c *connection) mark(err error) error {
	if c.got.Load() || !c.wanted.Load() && !connecting(err) {
		return err
	}
	return unsentError{err}
}

// connecting reports whether err is one of making a connection: of looking up a name, of dialing,
// of a proxy or of a TLS handshake.
func connecting(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op == "dial" || op.Op == "proxyconnect"
	}
	_, name := errors.AsType[*net.DNSError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, host := errors.AsType[x509.HostnameError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	return name || record || certificate || authority || host || invalid
}

// Unsent reports whether err, of Post, is that of a request of which certainly nothing was sent, so
// that the credentials in it are unused.
func Unsent(err error) bool {
	_, unsent := errors.AsType[unsentError](err)
	return unsent
}
