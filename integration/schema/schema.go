// Package schema holds HTTP exchanges against an OpenAPI document, for tests.
package schema

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// The filter's own decoders are too forgiving for closed schemas: the one for forms passes over every field that the
// schema does not list, the one for JSON over whatever follows the first value.
func init() {
	openapi3filter.RegisterBodyDecoder("application/x-www-form-urlencoded", decodeForm)
	openapi3filter.RegisterBodyDecoder("application/json", decodeJSON)
}

func decodeJSON(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
	decoder := json.NewDecoder(body)
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, &openapi3filter.ParseError{Kind: openapi3filter.KindInvalidFormat, Cause: err}
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, &openapi3filter.ParseError{Kind: openapi3filter.KindInvalidFormat, Reason: "more than one JSON value"}
	}
	return value, nil
}

func decodeForm(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
	raw, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	values, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, err
	}
	form := make(map[string]any, len(values))
	for name, value := range values {
		if len(value) != 1 {
			return nil, fmt.Errorf("field %q is there %d times", name, len(value))
		}
		form[name] = value[0]
	}
	return form, nil
}

// A Document checks requests and answers. It is safe for concurrent use.
type Document struct {
	router  routers.Router
	problem *openapi3.Schema
}

// Load reads and validates the document in file. Its schema "Error" is the one that answers to requests outside of the
// document have to fit.
func Load(file string) (*Document, error) {
	doc, err := openapi3.NewLoader().LoadFromFile(file)
	if err != nil {
		return nil, err
	}
	// Test servers listen anywhere.
	doc.Servers = nil
	router, err := legacy.NewRouter(doc)
	if err != nil {
		return nil, err
	}
	problem := doc.Components.Schemas["Error"]
	if problem == nil {
		return nil, errors.New("the document has no schema Error")
	}
	return &Document{router: router, problem: problem.Value}, nil
}

// Request says what in r the document does not allow. Path, method, parameters, content type and body count, and
// credentials: asked for, they must be a bearer token; not asked for, they must not be sent.
func (d *Document) Request(r *http.Request) error {
	input, err := d.input(r)
	if err != nil {
		return err
	}
	if err := openapi3filter.ValidateRequest(r.Context(), input); err != nil {
		return err
	}
	// The filter leaves query parameters that nobody described alone.
	for name := range r.URL.Query() {
		if input.Route.Operation.Parameters.GetByInAndName(openapi3.ParameterInQuery, name) == nil {
			return fmt.Errorf("query parameter %q is not described", name)
		}
	}
	if security := input.Route.Operation.Security; security != nil && len(*security) == 0 && r.Header.Get("Authorization") != "" {
		return errors.New("credentials sent where none are asked for")
	}
	return nil
}

// Answer says what in a, the answer to r, the document does not allow. What answers a request that has no place in
// the document must be a failure, and fit the schema Error.
func (d *Document) Answer(r *http.Request, a *http.Response) error {
	body, err := buffer(&a.Body)
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if a.StatusCode >= 400 {
		if err := d.failure(a, body); err != nil {
			return err
		}
	}
	input, err := d.input(r)
	if err != nil {
		if a.StatusCode < 400 {
			return fmt.Errorf("answered with %s: %w", a.Status, err)
		}
		return nil
	}
	described := input.Route.Operation.Responses
	response := cmp.Or(described.Status(a.StatusCode), described.Default())
	// The filter lets redirects pass, and any body where none is described.
	switch {
	case a.StatusCode >= 300 && a.StatusCode < 400:
		return fmt.Errorf("%s: no redirect is described", a.Status)
	case response != nil && len(response.Value.Content) == 0 && len(body) > 0:
		return fmt.Errorf("%s: a body of %d bytes where none is described", a.Status, len(body))
	}
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input,
		Status:                 a.StatusCode,
		Header:                 a.Header,
		Body:                   io.NopCloser(bytes.NewReader(body)),
		Options:                input.Options,
	})
}

func (d *Document) input(r *http.Request) (*openapi3filter.RequestValidationInput, error) {
	route, params, err := d.router.FindRoute(r)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, err)
	}
	return &openapi3filter.RequestValidationInput{
		Request:    r,
		PathParams: params,
		Route:      route,
		Options: &openapi3filter.Options{
			IncludeResponseStatus:             true,
			RejectWhenRequestBodyNotSpecified: true,
			AuthenticationFunc:                bearer,
		},
	}, nil
}

func bearer(_ context.Context, input *openapi3filter.AuthenticationInput) error {
	token, ok := strings.CutPrefix(input.RequestValidationInput.Request.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return input.NewError(errors.New("no bearer token"))
	}
	return nil
}

// failure checks what OpenAPI cannot say: that the status in an error object is the answer's.
func (d *Document) failure(a *http.Response, body []byte) error {
	if media, _, err := mime.ParseMediaType(a.Header.Get("Content-Type")); media != "application/json" {
		return fmt.Errorf("%s: content type %q, %v", a.Status, a.Header.Get("Content-Type"), err)
	}
	var problem any
	if err := json.Unmarshal(body, &problem); err != nil {
		return fmt.Errorf("%s: %w", a.Status, err)
	}
	if err := d.problem.VisitJSON(problem, openapi3.VisitAsResponse()); err != nil {
		return fmt.Errorf("%s: %w", a.Status, err)
	}
	if status := problem.(map[string]any)["status"]; status != float64(a.StatusCode) {
		return fmt.Errorf("%s: the error object says %v", a.Status, status)
	}
	return nil
}

// buffer reads *body to its end, closes it and puts what was read in its place, together with the error that ended it.
func buffer(body *io.ReadCloser) ([]byte, error) {
	if *body == nil || *body == http.NoBody {
		return nil, nil
	}
	read, err := io.ReadAll(*body)
	(*body).Close()
	*body = io.NopCloser(bytes.NewReader(read))
	if err != nil {
		*body = io.NopCloser(io.MultiReader(bytes.NewReader(read), broken{err}))
	}
	return read, err
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }
