// Package client holds the clients that oapi-codegen writes for ../openapi.yaml: [Client], whose methods return the
// plain *http.Response, and [ClientWithResponses], which decodes it. Its tests run both over netoauth, and beside them the
// client of another generator, ogen, which is in a folder of its own.
package client

//go:generate go tool oapi-codegen -config cfg.yaml ../openapi.yaml
