package schema

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// A Transport sends requests through Base and checks them, and their answers, against Document. It goes below
// whatever adds the credentials.
type Transport struct {
	Document *Document
	Base     http.RoundTripper
	// Report gets what does not fit, and may be called from several goroutines.
	Report func(error)

	mu        sync.Mutex
	exchanges []string
}

// Exchanges lists the exchanges that came to an answer, in that order, as in "POST /api/v1/auth/token 200".
func (t *Transport) Exchanges() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.exchanges...)
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := r.Clone(r.Context())
	body, err := buffer(&sent.Body)
	if err != nil {
		return nil, err
	}
	checked := sent.Clone(sent.Context())
	if sent.Body != nil {
		checked.Body = io.NopCloser(bytes.NewReader(body))
	}
	if err := t.Document.Request(checked); err != nil {
		t.Report(fmt.Errorf("%s %s: request: %w", r.Method, r.URL.Path, err))
	}
	answer, err := t.Base.RoundTrip(sent)
	if err != nil {
		return nil, err
	}
	if err := t.Document.Answer(r, answer); err != nil {
		t.Report(fmt.Errorf("%s %s: answer: %w", r.Method, r.URL.Path, err))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.exchanges = append(t.exchanges, fmt.Sprintf("%s %s %d", r.Method, r.URL.Path, answer.StatusCode))
	return answer, nil
}
