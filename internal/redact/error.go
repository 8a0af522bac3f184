package redact

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"
)

// NewError returns an error that says text. [errors.Is] and [errors.As] find cause in it, but nothing
// prints it, not even with a verb that package fmt does not know: net/http quotes in its errors
// what a server sent, and that may be a credential. Callers have made sure that text is free of
// them.
func NewError(text string, cause error) error {
	return &opaque{text, func() error { return cause }}
}

// Cause returns what err says, as a line of it. Where that quotes a credential, as it easily seems to
// with a short one, it returns what kind of error it is, in words of its own that tell nothing.
func (s Secrets) Cause(err error) string {
	if line := s.Line(err.Error()); line != "" {
		return line
	}
	const withheld = "the cause is not shown, it is empty or quotes a credential"
	for _, kind := range kinds {
		if kind.has(err) {
			return kind.name + " (" + withheld + ")"
		}
	}
	return withheld
}

// kinds are the errors of a network, those first that are the more certain to name the fault.
var kinds = []struct {
	name string
	has  func(error) bool
}{
	{"no such host", func(err error) bool {
		dns, ok := errors.AsType[*net.DNSError](err)
		return ok && dns.IsNotFound
	}},
	{"the host name could not be looked up", as[*net.DNSError]},
	{"connection refused", is(syscall.ECONNREFUSED)},
	{"connection reset", is(syscall.ECONNRESET)},
	{"connection broken", is(syscall.EPIPE)},
	{"network unreachable", is(syscall.ENETUNREACH)},
	{"host unreachable", is(syscall.EHOSTUNREACH)},
	{"certificate not trusted", as[x509.UnknownAuthorityError]},
	{"certificate of another host", as[x509.HostnameError]},
	{"certificate not valid", func(err error) bool {
		return as[x509.CertificateInvalidError](err) || as[*tls.CertificateVerificationError](err)
	}},
	{"the server speaks no TLS", as[tls.RecordHeaderError]},
	{"TLS refused by the server", as[tls.AlertError]},
	{"canceled", is(context.Canceled)},
	{"time-out", timedOut},
	{"connection closed", func(err error) bool {
		return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
	}},
	{"no connection", func(err error) bool {
		op, ok := errors.AsType[*net.OpError](err)
		return ok && op.Op == "dial"
	}},
	{"no connection to the proxy", func(err error) bool {
		op, ok := errors.AsType[*net.OpError](err)
		return ok && op.Op == "proxyconnect"
	}},
	{"network error", as[*net.OpError]},
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// opaque keeps its cause in a func, of which fmt prints an address.
type opaque struct {
	text  string
	cause func() error
}

func (e *opaque) Error() string        { return e.text }
func (e *opaque) Is(target error) bool { return errors.Is(e.cause(), target) }
func (e *opaque) As(target any) bool   { return errors.As(e.cause(), target) }

// Timeout is for [net/url.Error], in which http.Client wraps e, and which does not look at causes.
func (e *opaque) Timeout() bool { return timedOut(e.cause()) }
