package body_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/netoauth/netoauth/internal/body"
)

const limit = 64 << 10

// source is a body that is read from r. Closing it ends a Read under way only where unblocks is
// set, and takes as long as closing.
type source struct {
	r        io.Reader
	unblocks chan struct{}
	closing  time.Duration
	used     int // not guarded: the race detector finds a Close beside a Read
	closed   atomic.Int32
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.used++
	return n, err
}

func (s *source) Close() error {
	if s.unblocks == nil {
		s.used++
	} else if s.closed.Load() == 0 {
		close(s.unblocks)
	}
	s.closed.Add(1)
	time.Sleep(s.closing)
	return nil
}

// drip gives one byte every d.
type drip time.Duration

func (d drip) Read(p []byte) (int, error) {
	if d > 0 {
		time.Sleep(time.Duration(d))
	}
	return copy(p, "x"), nil
}

// silence gives nothing until it is over.
type silence chan struct{}

func (s silence) Read([]byte) (int, error) {
	<-s
	return 0, errors.New("read on a closed body")
}

func TestKeep_returnsWhatItCouldRead(t *testing.T) {
	broken := errors.New("connection reset")
	long := strings.Repeat("0123456789abcdef", limit/16)
	of := func(r io.Reader) func() *source { return func() *source { return &source{r: r} } }
	tests := []struct {
		name string
		body func() *source // made in the bubble
		want string
		err  error
		took time.Duration
	}{
		{"empty", of(strings.NewReader("")), "", nil, 0},
		{"short", of(strings.NewReader("refused")), "refused", nil, 0},
		{"byte by byte", of(iotest.OneByteReader(strings.NewReader("refused"))), "refused", nil, 0},
		{"end with the last bytes", of(iotest.DataErrReader(strings.NewReader("refused"))), "refused", nil, 0},
		{"of exactly the limit", of(strings.NewReader(long)), long, nil, 0},
		{"one byte longer", of(strings.NewReader(long + "x")), long, io.ErrUnexpectedEOF, 0},
		{"without an end", of(drip(0)), strings.Repeat("x", limit), io.ErrUnexpectedEOF, 0},
		{"broken", of(io.MultiReader(strings.NewReader("ref"), iotest.ErrReader(broken))), "ref", broken, 0},
		{"dripping", of(drip(300 * time.Millisecond)), "xxx", io.ErrUnexpectedEOF, time.Second},
		{"falling silent", func() *source {
			over := make(silence)
			return &source{r: io.MultiReader(strings.NewReader("12 bytes sen"), over), unblocks: over}
		}, "12 bytes sen", io.ErrUnexpectedEOF, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // which fails where a goroutine is left
				src, start := tt.body(), time.Now()
				kept := body.Keep(src, limit, time.Second)
				if took := time.Since(start); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				got, err := io.ReadAll(kept)
				if diff := cmp.Diff(tt.want, string(got)); diff != "" {
					t.Errorf("kept (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tt.err, err, cmpopts.EquateErrors()); diff != "" {
					t.Errorf("error after it (-want +got):\n%s", diff)
				}
				if err := kept.Close(); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second) // until the Read under way has returned
				synctest.Wait()
				if got := src.closed.Load(); got != 1 {
					t.Errorf("closed %d times, want once", got)
				}
			})
		})
	}
}

// A body need not allow a Close beside a Read. So it is closed when the Read under way at the
// timeout has returned, or when that has lasted longer than the timeout.
func TestKeep_closesNoBodyWhileItIsRead(t *testing.T) {
	for _, tt := range []struct {
		name     string
		read     time.Duration // how long each Read takes
		unblocks bool
		closed   time.Duration // since Keep began
	}{
		{"a Read that ends after the timeout", 700 * time.Millisecond, false, 1400 * time.Millisecond},
		{"a Read of nearly the timeout", 999 * time.Millisecond, false, 1998 * time.Millisecond},
		{"a Read that outlasts the Close", 3 * time.Second, true, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &source{r: drip(tt.read)}
				if tt.unblocks {
					src.unblocks = make(chan struct{})
				}
				start := time.Now()
				body.Keep(src, limit, time.Second)
				if took := time.Since(start); took != time.Second {
					t.Errorf("took %v, want 1s", took)
				}
				time.Sleep(tt.closed - time.Since(start) - 1)
				synctest.Wait()
				if src.closed.Load() != 0 {
					t.Errorf("closed before %v", tt.closed)
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				if src.closed.Load() == 0 {
					t.Errorf("not closed after %v", tt.closed)
				}
				time.Sleep(3 * time.Second) // until the Read has returned
				if got := src.closed.Load(); got != 1 {
					t.Errorf("closed %d times, want once", got)
				}
			})
		})
	}
}

// A Close that drains, or waits for something else, holds up its own goroutine alone.
func TestKeep_doesNotWaitForASlowClose(t *testing.T) {
	for closing, want := range map[time.Duration]time.Duration{
		0: 0, 400 * time.Millisecond: 400 * time.Millisecond, time.Minute: time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			kept, err := io.ReadAll(body.Keep(&source{r: strings.NewReader("refused"), closing: closing}, limit, time.Second))
			if took := time.Since(start); took != want {
				t.Errorf("Close takes %v: took %v, want %v", closing, took, want)
			}
			if string(kept) != "refused" || err != nil {
				t.Errorf("Close takes %v: kept %q, %v", closing, kept, err)
			}
			time.Sleep(time.Minute)
		})
	}
}

// Over HTTP/2 an answer may come while the request is still being sent. The Close of its body waits
// until the request's body gives something or ends.
func TestKeep_doesNotWaitForARequestThatIsStillSent(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, "refused")
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	upload, writer := io.Pipe()
	defer writer.Close()
	resp, err := srv.Client().Post(srv.URL, "text/plain", upload)
	if err != nil {
		t.Fatal(err)
	}
	if resp.ProtoMajor != 2 {
		t.Fatalf("HTTP/%d", resp.ProtoMajor)
	}
	kept, err := io.ReadAll(body.Keep(resp.Body, limit, 10*time.Millisecond)) // or hangs
	if string(kept) != "refused" && len(kept) != 0 {
		t.Errorf("kept %q, %v", kept, err)
	}
}

func TestKeep_leavesNoBodyAlone(t *testing.T) {
	if got := body.Keep(nil, limit, time.Second); got != nil {
		t.Errorf("got %v, want nil", got)
	}
}
