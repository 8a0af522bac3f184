package redact_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/netoauth/netoauth/internal/redact"
)

// timeout is an error that may be a timeout.
type timeout bool

func (t timeout) Error() string { return "timeout?" }
func (t timeout) Timeout() bool { return bool(t) }

func TestNewError_hasItsCauseFound(t *testing.T) {
	path := &fs.PathError{Op: "open", Path: "key", Err: fs.ErrNotExist}
	err := redact.NewError("no key", fmt.Errorf("reading: %w", path))
	wrapped := fmt.Errorf("signing: %w", err)
	for _, e := range []error{err, wrapped} {
		if !errors.Is(e, fs.ErrNotExist) || !errors.Is(e, path) || !errors.Is(e, err) {
			t.Errorf("%v: errors.Is does not find the cause", e)
		}
		if errors.Is(e, fs.ErrExist) {
			t.Errorf("%v: errors.Is finds what is not there", e)
		}
		if got, ok := errors.AsType[*fs.PathError](e); !ok || got != path {
			t.Errorf("%v: errors.As finds %v", e, got)
		}
		if got, ok := errors.AsType[*url.Error](e); ok {
			t.Errorf("%v: errors.As finds %v", e, got)
		}
	}
}

func TestNewError_isATimeoutWhereItsCauseIs(t *testing.T) {
	for _, tt := range []struct {
		cause error
		want  bool
	}{
		{timeout(true), true},
		{timeout(false), false},
		{fmt.Errorf("reading: %w", timeout(true)), true},
		{redact.NewError("again", timeout(true)), true},
		{context.DeadlineExceeded, true},
		{context.Canceled, false},
		{errors.New("timeout"), false},
		{nil, false},
	} {
		wrapper := &url.Error{Op: "Post", URL: "https://api.test", Err: redact.NewError("text", tt.cause)}
		if got := wrapper.Timeout(); got != tt.want {
			t.Errorf("cause %v: Timeout() = %v", tt.cause, got)
		}
	}
}

// leak is an error that tells its secret in whatever way it is asked.
type leak struct{ secret string }

func (l *leak) Error() string                 { return l.secret }
func (l *leak) GoString() string              { return l.secret }
func (l *leak) Format(s fmt.State, verb rune) { fmt.Fprint(s, l.secret) }

func TestNewError_printsNothingOfItsCause(t *testing.T) {
	const secret = "hunter2-hunter2"
	err := redact.NewError("it failed", &leak{secret})
	wrapped := fmt.Errorf("exchange: %w", err)
	holder := struct{ Err error }{err}
	forms := []string{"hunter2",
		fmt.Sprintf("%x", "hunter2"), fmt.Sprintf("% #x", "hunter2"), fmt.Sprint([]byte("hunter2"))}
	values := []any{err, wrapped, holder, &holder, []error{err}, map[string]error{"err": err}, errors.Join(err, err)}
	for _, verb := range strings.Fields("v +v #v s q +q x X #x d t b o O c U e g p T z") {
		for _, v := range values {
			got := strings.ToLower(fmt.Sprintf("%"+verb, v))
			if slices.ContainsFunc(forms, func(form string) bool { return strings.Contains(got, form) }) {
				t.Errorf("%%%s of %T: %s", verb, v, got)
			}
		}
	}
	shown := map[string]string{"v": "it failed", "+v": "it failed", "s": "it failed", "q": `"it failed"`,
		"x": "6974206661696c6564"}
	for verb, want := range shown {
		if got := fmt.Sprintf("%"+verb, err); got != want {
			t.Errorf("%%%s: %s, want %s", verb, got, want)
		}
	}
	if got := errors.Unwrap(err); got != nil {
		t.Errorf("Unwrap gives %v", got)
	}
}

func TestCause_isALineOfWhatTheErrorSays(t *testing.T) {
	const withheld = "the cause is not shown, it is empty or quotes a credential"
	for text, want := range map[string]string{
		"connection refused":           "connection refused",
		"one\r\ntwo\x00\tthree":        "one two three",
		strings.Repeat("é", 301):       strings.Repeat("é", 299) + "…",
		"":                             withheld,
		"\r\n":                         withheld,
		"bad header \"hunter2-again\"": withheld,
		"bad header Hunter2%2DAgain":   withheld,
	} {
		if got := redact.New("hunter2-again").Cause(errors.New(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := (redact.Secrets{}).Cause(errors.New("hunter2-again")); got != "hunter2-again" {
		t.Errorf("without secrets: %q", got)
	}
}

// A short credential is found in nearly any text. What kind of error it was is told all the same.
func TestCause_namesTheKindOfWhatItWithholds(t *testing.T) {
	const withheld = "the cause is not shown, it is empty or quotes a credential"
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	read := func(err error) error { return &net.OpError{Op: "read", Net: "tcp", Err: err} }
	for _, tt := range []struct {
		err  error
		want string
	}{
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "connection refused"},
		{read(os.NewSyscallError("read", syscall.ECONNRESET)), "connection reset"},
		{&net.OpError{Op: "write", Err: syscall.EPIPE}, "connection broken"},
		{dial(syscall.ENETUNREACH), "network unreachable"},
		{dial(syscall.EHOSTUNREACH), "host unreachable"},
		{dial(&net.DNSError{Err: "no such host", IsNotFound: true}), "no such host"},
		{dial(&net.DNSError{Err: "server misbehaving"}), "the host name could not be looked up"},
		{dial(errors.New("else")), "no connection"},
		{&net.OpError{Op: "proxyconnect", Err: errors.New("else")}, "no connection to the proxy"},
		{&net.OpError{Op: "proxyconnect", Err: dial(syscall.ECONNREFUSED)}, "connection refused"},
		{read(errors.New("else")), "network error"},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "certificate not trusted"},
		{&tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: new(x509.Certificate)}}, "certificate of another host"},
		{&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}, "certificate not valid"},
		{x509.CertificateInvalidError{Reason: x509.Expired}, "certificate not valid"},
		{&tls.CertificateVerificationError{Err: errors.New("else")}, "certificate not valid"},
		{tls.RecordHeaderError{Msg: "else"}, "the server speaks no TLS"},
		{tls.AlertError(40), "TLS refused by the server"},
		{context.Canceled, "canceled"},
		{context.DeadlineExceeded, "time-out"},
		{dial(timeout(true)), "time-out"},
		{read(os.ErrDeadlineExceeded), "time-out"},
		{io.EOF, "connection closed"},
		{io.ErrUnexpectedEOF, "connection closed"},
		{net.ErrClosed, "connection closed"},
		{redact.NewError("else", io.EOF), "connection closed"},
	} {
		err := fmt.Errorf("e: %w", tt.err)
		if got := redact.New("e").Cause(err); got != tt.want+" ("+withheld+")" {
			t.Errorf("%v: %q, want %q", err, got, tt.want)
		}
		if got := redact.New("hunter2-again").Cause(err); got != strings.TrimSpace(err.Error()) {
			t.Errorf("%v: %q, want it as it is", err, got)
		}
	}
	if got := redact.New("e").Cause(errors.New("else")); got != withheld {
		t.Errorf("an error of no kind: %q", got)
	}
}
