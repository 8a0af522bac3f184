package origin

import (
	"context"
	"net/http"
)

// Bearing is the context of a request that bears a token. It names the request's Authorization
// header, so that whoever adds tokens further in knows that the header is not the program's own. A
// mark alone would not do: a handler in the same process makes requests with the context of the one
// that it answers.
type Bearing struct {
	context.Context
	Header string // "": whoever is further in decides
}

type bearingKey struct{}

// Value returns b for its own key, and else what the context below has.
func (b *Bearing) Value(key any) any {
	if key == (bearingKey{}) {
		return b
	}
	return b.Context.Value(key)
}

// Borne reports whether req bears the token that its context names.
func Borne(req *http.Request) bool {
	h := req.Header["Authorization"]
	if len(h) != 1 || h[0] == "" {
		return false
	}
	b, ok := req.Context().Value(bearingKey{}).(*Bearing)
	return ok && b.Header == h[0]
}
