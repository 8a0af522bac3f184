package redact

import "errors"

// NewError returns an error that says text. [errors.Is] and [errors.As] find cause in it, but nothing
// prints it, not even with a verb that package fmt does not know: net/http quotes in its errors
// what a server sent, and that may be a credential. Callers have made sure that text is free of
// them.
func NewError(text string, cause error) error {
	return &opaque{text, func() error { return cause }}
}

// Cause returns what err says, as a line of it, or that this is withheld.
func (s Secrets) Cause(err error) string {
	if line := s.Line(err.Error()); line != "" {
		return line
	}
	return "the cause is not shown, it is empty or quotes a credential"
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
func (e *opaque) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.cause(), &t) && t.Timeout()
}
