// Package body reads response bodies that must not hold anybody up.
package body

import (
	"bytes"
	"io"
	"time"
)

// Keep reads body for as long as timeout, up to limit bytes, closes it, and returns what it has
// read. This frees the connection that body came over. Of a body that is longer or slower, the rest
// is left unread: who reads what was kept meets io.ErrUnexpectedEOF after it. A nil body is
// returned as it is.
//
// Body is closed once, after its last Read, since not every body allows both at once. Only a Read
// that lasts longer than timeout is met by the Close, which is what ends it where anything does.
// Keep itself takes no longer than timeout: a Close that does, such as one that reads the rest, or
// that of an HTTP/2 stream whose request is still being sent, goes on in a goroutine, for as long
// as body lets it.
func Keep(body io.ReadCloser, limit int, timeout time.Duration) io.ReadCloser {
	if body == nil {
		return nil
	}
	parts, over := make(chan part), make(chan struct{})
	last := time.AfterFunc(2*timeout, func() { body.Close() }) // no Read begins after timeout
	go func() {
		defer close(parts)
		read(body, limit, parts, over)
		if last.Stop() {
			body.Close()
		}
	}()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	var kept []byte
	end := io.ErrUnexpectedEOF
	for more := true; more; {
		select {
		case p, ok := <-parts:
			if more = ok; p.err != nil {
				end = p.err
			}
			kept = append(kept, p.bytes...)
		case <-timer.C:
			more = false
		}
	}
	close(over)
	if len(kept) > limit {
		kept, end = kept[:limit], io.ErrUnexpectedEOF
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(kept), ended{end}))
}

// part is what one Read of a body returned.
type part struct {
	bytes []byte
	err   error
}

// read reads until body's end, until it has more than limit bytes, or until over is closed.
func read(body io.Reader, limit int, parts chan<- part, over <-chan struct{}) {
	for total := 0; total <= limit; {
		buf := make([]byte, 4<<10)
		n, err := body.Read(buf)
		select {
		case parts <- part{buf[:n], err}:
		case <-over:
			return
		}
		if err != nil {
			return
		}
		total += n
	}
}

// ended is a reader at its end.
type ended struct{ err error }

func (e ended) Read([]byte) (int, error) { return 0, e.err }
