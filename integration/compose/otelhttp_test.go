package compose_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/oauth2"
)

// Outside, otelhttp makes one span per API call, however many times it is sent: the log-in, the 401, the
// renewal and the repeat are within it, and show as its duration.
func Example_otelhttpOutside() {
	srv, key := newAPI()
	defer srv.Close()
	spans := tracetest.NewInMemoryExporter()

	client := key.Client(context.Background())
	client.Transport = traced(client.Transport, spans)

	list(client, srv)
	srv.RevokeAccessTokens()
	list(client, srv)
	show(spans)
	// Output:
	// GET /api/v1/ip/list 200
	// GET /api/v1/ip/list 200
}

// Inside, in the client in ctx, otelhttp makes a span per request on the wire, those for tokens too. An
// exchange serves many calls, so its span belongs to the trace in the ctx that Client got, not to a call's.
//
// To leave out the token requests, keep the client in ctx plain and wrap only the calls:
//
//	&netoauth.Transport{Source: key.TokenSource(ctx), Base: otelhttp.NewTransport(http.DefaultTransport)}
func Example_otelhttpInside() {
	srv, key := newAPI()
	defer srv.Close()
	spans := tracetest.NewInMemoryExporter()

	client := key.Client(with(&http.Client{Transport: traced(http.DefaultTransport, spans)}))

	list(client, srv)
	srv.RevokeAccessTokens()
	list(client, srv)
	show(spans)
	// Output:
	// POST /api/v1/auth/token 200
	// GET /api/v1/ip/list 200
	// GET /api/v1/ip/list 401
	// POST /api/auth/bearer/refresh 200
	// GET /api/v1/ip/list 200
}

func TestSpans_holdNoCredentials(t *testing.T) {
	srv, key := newAPI()
	defer srv.Close()
	spans := tracetest.NewInMemoryExporter()
	secrets := []string{string(key.AppKey), string(key.SharedSecret)}
	key.OnToken = func(tok *oauth2.Token) { secrets = append(secrets, tok.AccessToken, tok.RefreshToken) }

	inside := &http.Client{Transport: traced(http.DefaultTransport, spans)}
	client := key.Client(with(inside))
	client.Transport = traced(client.Transport, spans)
	list(client, srv)
	srv.RevokeAccessTokens()
	list(client, srv)
	srv.Fail(-1, netoauthtest.Drop()) // an exchange that fails puts its error into the span
	wrong := &netoauth.Password{URL: srv.URL, Username: srv.Username, Password: netoauth.Secret(srv.Password)}
	secrets = append(secrets, srv.Password)
	if _, err := wrong.Token(with(inside)); err == nil {
		t.Error("no error from an endpoint that is down")
	}

	text, err := json.Marshal(spans.GetSpans())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(spans.GetSpans()); n != 2+5+1 || len(secrets) != 2+4+1 {
		t.Fatalf("%d spans and %d secrets to look for", n, len(secrets))
	}
	for _, secret := range secrets {
		if strings.Contains(string(text), secret) {
			t.Errorf("a span holds %q", secret)
		}
	}
}

func TestSpans_exchangeBelongsToTheContextOfClient(t *testing.T) {
	srv, key := newAPI()
	defer srv.Close()
	spans := tracetest.NewInMemoryExporter()
	tracer := sdktrace.NewTracerProvider().Tracer("")

	ctx, program := tracer.Start(with(&http.Client{Transport: traced(http.DefaultTransport, spans)}), "program")
	client := key.Client(ctx)
	ctx, call := tracer.Start(t.Context(), "call")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+listPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()

	names := map[trace.SpanID]string{program.SpanContext().SpanID(): "program", call.SpanContext().SpanID(): "call"}
	got := make(map[string]string)
	for _, span := range spans.GetSpans() {
		got[span.Name] = names[span.Parent.SpanID()]
	}
	want := map[string]string{"HTTP POST": "program", "HTTP GET": "call"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parents (-want +got):\n%s", diff)
	}
}

func traced(base http.RoundTripper, to sdktrace.SpanExporter) http.RoundTripper {
	return otelhttp.NewTransport(base, otelhttp.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(to))))
}

// show prints the spans in the order in which they began: one ends only with its response's body.
func show(exporter *tracetest.InMemoryExporter) {
	spans := exporter.GetSpans()
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	for _, span := range spans {
		set := attribute.NewSet(span.Attributes...)
		value := func(key attribute.Key) string { v, _ := set.Value(key); return v.String() }
		_, path, _ := strings.Cut(value("url.full"), value("server.port"))
		fmt.Println(value("http.request.method"), path, value("http.response.status_code"))
	}
}
