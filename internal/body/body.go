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
func Keep(body io.ReadCloser, limit int, timeout time.Duration) io.ReadCloser {
	if body == nil {
		return nil
	}
	parts, enough := make(chan part), make(chan struct{})
	go read(body, parts, enough)
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	var kept []byte
	var end error
	for end == nil && len(kept) <= limit {
		select {
		case p := <-parts:
			kept, end = append(kept, p.bytes...), p.err
		case <-timer.C:
			end = io.ErrUnexpectedEOF
		}
	}
	close(enough)
	body.Close() // which also ends a Read under way
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

// read reads until the body's end, or until enough is closed. It has a goroutine of its own because
// not every body's Read returns when the body is closed, and then nobody waits for it.
func read(body io.Reader, parts chan<- part, enough <-chan struct{}) {
	for {
		buf := make([]byte, 4<<10)
		n, err := body.Read(buf)
		select {
		case parts <- part{buf[:n], err}:
		case <-enough:
			return
		}
		if err != nil {
			return
		}
	}
}

// ended is a reader at its end.
type ended struct{ err error }

func (e ended) Read([]byte) (int, error) { return 0, e.err }
