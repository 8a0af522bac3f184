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

// errUnsent is among the causes of an error of Post where no connection was made.
var errUnsent = errors.New("no connection was made")

// Unsent reports whether err, of [Post], came before there was a connection: when the name was
// looked up, the server or a proxy was dialed, or TLS agreed upon. Then nothing of the request was
// sent, and the credentials in it are certainly unused. Where that is not sure, it is false.
func Unsent(err error) bool { return errors.Is(err, errUnsent) }

// dialing is what the RoundTripper of one request tells of its connections.
type dialing struct {
	wanted atomic.Bool // a connection was asked for
	got    atomic.Bool // and there was one, perhaps before another try without one
}

// trace returns ctx for a request whose connections d is told of. Any number of tries may run at
// once, and some may outlast the request.
func (d *dialing) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { d.wanted.Store(true) },
		GotConn:      func(httptrace.GotConnInfo) { d.got.Store(true) },
		WroteHeaders: func() { d.got.Store(true) },
	})
}

// unsent reports whether the request that ended with err has certainly not been sent.
func (d *dialing) unsent(err error) bool {
	switch {
	case d.got.Load():
		return false
	case d.wanted.Load():
		return true
	}
	return beforeConnection(err) // of a RoundTripper that tells nothing
}

// beforeConnection reports whether err is one that only making a connection has. An alert of TLS is
// none: a server may refuse a client certificate after it has read the request (RFC 8446 section
// 4.6.2 and appendix E.1.2).
func beforeConnection(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "dial" || op.Op == "proxyconnect") {
		return true
	}
	return is[*net.DNSError](err) || is[*tls.CertificateVerificationError](err) ||
		is[x509.UnknownAuthorityError](err) || is[x509.HostnameError](err) ||
		is[x509.CertificateInvalidError](err)
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
