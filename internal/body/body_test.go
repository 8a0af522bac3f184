package body_test

import (
	"errors"
	"io"
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
// set.
type source struct {
	r        io.Reader
	unblocks chan struct{}
	closed   atomic.Int32
}

func (s *source) Read(p []byte) (int, error) { return s.r.Read(p) }

func (s *source) Close() error {
	if s.closed.Add(1) == 1 && s.unblocks != nil {
		close(s.unblocks)
	}
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
				if got := src.closed.Load(); got != 1 {
					t.Errorf("closed %d times, want once", got)
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
			})
		})
	}
}

// A body whose Read outlasts its Close holds up its own goroutine alone.
func TestKeep_doesNotWaitForAReadThatOutlastsClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := make(silence)
		start := time.Now()
		_, err := io.ReadAll(body.Keep(&source{r: over}, limit, time.Second))
		if took := time.Since(start); took != time.Second || err != io.ErrUnexpectedEOF {
			t.Errorf("%v after %v, want %v after 1s", err, took, io.ErrUnexpectedEOF)
		}
		close(over)
	})
}

func TestKeep_leavesNoBodyAlone(t *testing.T) {
	if got := body.Keep(nil, limit, time.Second); got != nil {
		t.Errorf("got %v, want nil", got)
	}
}
