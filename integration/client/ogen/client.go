// Package ogen holds the client that ogen writes for ../../openapi.yaml. The tests of the folder above run it over
// netoauth beside the one of oapi-codegen.
package ogen

import "context"

//go:generate go tool ogen -config cfg.yaml -package ogen -target . -clean -loglevel warn ../../openapi.yaml

// ByTransport is the [SecuritySource] that ogen insists on where the description has a security scheme, for a client
// whose HTTP client has a netoauth.Transport. It names no token: the Transport puts its own over the empty one, and
// another one after a 401. With a source that names a token, and no Transport, that 401 reaches the caller.
type ByTransport struct{}

// Bearer implements [SecuritySource].
func (ByTransport) Bearer(context.Context, OperationName) (Bearer, error) { return Bearer{}, nil }
