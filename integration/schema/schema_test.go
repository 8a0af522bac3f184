package schema_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/netoauth/netoauth/integration/schema"
)

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
)

func document(t *testing.T) *schema.Document {
	t.Helper()
	doc, err := schema.Load("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func request(method, path, contentType, body string, header ...string) *http.Request {
	r := httptest.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func answer(status int, contentType, body string) *http.Response {
	w := httptest.NewRecorder()
	if contentType != "" {
		w.Header().Set("Content-Type", contentType)
	}
	w.WriteHeader(status)
	io.WriteString(w, body)
	return w.Result()
}

// verdict tells whether err is what was wanted: nothing, or something that says problem.
func verdict(t *testing.T, err error, problem string) {
	t.Helper()
	switch {
	case problem == "" && err != nil:
		t.Errorf("refused: %v", err)
	case problem != "" && err == nil:
		t.Errorf("passed; want an error with %q", problem)
	case problem != "" && !strings.Contains(err.Error(), problem):
		t.Errorf("error %v; want one with %q", err, problem)
	}
}

func TestTransport_catchesRequestsThatDoNotFit(t *testing.T) {
	doc := document(t)
	for _, test := range []struct {
		name    string
		r       *http.Request
		problem string
	}{
		{"JSON form as described", request("POST", "/api/v1/auth/token", jsonType, `{"jwt":"x"}`), ""},
		{"JSON, extra field", request("POST", "/api/v1/auth/token", jsonType, `{"jwt":"x","more":1}`), `property "more" is unsupported`},
		{"JSON, missing field", request("POST", "/api/v1/auth/token", jsonType, `{}`), `"jwt" is missing`},
		{"JSON, wrong type", request("POST", "/api/v1/auth/token", jsonType, `{"jwt":1}`), "must be a string"},
		{"JSON, twice", request("POST", "/api/v1/auth/token", jsonType, `{"jwt":"x"}{}`), "more than one"},
		{"JSON, none", request("POST", "/api/v1/auth/token", jsonType, ""), "value is required"},
		{"JSON, sent as a form", request("POST", "/api/v1/auth/token", formType, "jwt=x"), "Content-Type"},
		{"form as described", request("POST", "/api/auth/bearer/token", formType, "username=u&password=p"), ""},
		{"form, extra field", request("POST", "/api/auth/bearer/token", formType, "username=u&password=p&more=1"), `property "more" is unsupported`},
		{"form, missing field", request("POST", "/api/auth/bearer/token", formType, "username=u"), `"password" is missing`},
		{"form, field twice", request("POST", "/api/auth/bearer/token", formType, "username=u&password=p&password=q"), "2 times"},
		{"form, sent as JSON", request("POST", "/api/auth/bearer/token", jsonType, `{"username":"u","password":"p"}`), "Content-Type"},
		{"refresh as described", request("POST", "/api/auth/bearer/refresh", formType, "refresh_token=r"), ""},
		{"refresh, extra field", request("POST", "/api/auth/bearer/refresh", formType, "refresh_token=r&grant_type=refresh_token"), `property "grant_type" is unsupported`},
		{"token request with credentials", request("POST", "/api/auth/bearer/refresh", formType, "refresh_token=r", "Authorization", "Bearer t"), "none are asked for"},
		{"extra query parameter", request("POST", "/api/v1/auth/token?more=1", jsonType, `{"jwt":"x"}`), `"more"`},
		{"wrong method", request("GET", "/api/v1/auth/token", "", ""), "method not allowed"},
		{"unknown path", request("POST", "/api/v1/auth/tokens", jsonType, `{"jwt":"x"}`), "no matching operation"},
		{"resource with a bearer token", request("GET", "/api/v1/labels/ip", "", "", "Authorization", "Bearer t"), ""},
		{"resource without", request("GET", "/api/v1/labels/ip", "", ""), "no bearer token"},
		{"resource with another scheme", request("GET", "/api/v1/labels/ip", "", "", "Authorization", "Basic t"), "no bearer token"},
		{"resource, extra field", request("POST", "/api/v1/labels/ip", jsonType, `{"name":"n","cidr":"10.0.0.0/8","id":"1"}`, "Authorization", "Bearer t"), `property "id" is unsupported`},
		{"resource, undescribed body", request("DELETE", "/api/v1/labels/ip/1", jsonType, `{}`, "Authorization", "Bearer t"), "body not allowed"},
	} {
		t.Run(test.name, func(t *testing.T) { verdict(t, doc.Request(test.r), test.problem) })
	}
}

func TestTransport_catchesAnswersThatDoNotFit(t *testing.T) {
	const failure = `{"status":401,"name":"Unauthorized","message":"no"}`
	token := func() *http.Request { return request("POST", "/api/v1/auth/token", jsonType, `{"jwt":"x"}`) }
	label := func() *http.Request { return request("DELETE", "/api/v1/labels/ip/1", "", "") }
	doc := document(t)
	for _, test := range []struct {
		name    string
		r       *http.Request
		a       *http.Response
		problem string
	}{
		{"token", token(), answer(200, jsonType, `{"access_token":"a","expires_in":300,"not-before-policy":0,"session-state":"s"}`), ""},
		{"token, extra field", token(), answer(200, jsonType, `{"access_token":"a","issued":1}`), `property "issued" is unsupported`},
		{"token, lifetime as a string", token(), answer(200, jsonType, `{"access_token":"a","expires_in":"300"}`), "must be an integer"},
		{"token, not JSON", token(), answer(200, "text/html", "<p>"), "Content-Type"},
		{"token, undescribed success", token(), answer(202, jsonType, `{"access_token":"a"}`), `property "access_token" is unsupported`},
		{"failure", token(), answer(401, jsonType, failure), ""},
		{"failure, of a kind that has no name", token(), answer(418, jsonType, strings.Replace(failure, "401", "418", 1)), ""},
		{"failure, extra field", token(), answer(401, jsonType, `{"status":401,"name":"n","message":"m","detail":"d"}`), `property "detail" is unsupported`},
		{"failure, missing field", token(), answer(401, jsonType, `{"status":401,"name":"n"}`), `"message" is missing`},
		{"failure, another status", token(), answer(500, jsonType, failure), "says 401"},
		{"failure, not JSON", token(), answer(401, "text/plain; charset=utf-8", "no"), "content type"},
		{"failure, cut off", token(), answer(401, jsonType, failure[:20]), "unexpected end"},
		{"redirect", token(), answer(307, "", ""), "no redirect"},
		{"deleted", label(), answer(204, "", ""), ""},
		{"deleted, with a body", label(), answer(204, jsonType, `{}`), "2 bytes"},
		{"outside, failure", request("GET", "/nowhere", "", ""), answer(404, jsonType, strings.Replace(failure, "401", "404", 1)), ""},
		{"outside, failure as text", request("GET", "/nowhere", "", ""), answer(404, "text/plain", "no"), "content type"},
		{"outside, success", request("GET", "/nowhere", "", ""), answer(200, jsonType, `{}`), "answered with 200"},
	} {
		t.Run(test.name, func(t *testing.T) { verdict(t, doc.Answer(test.r, test.a), test.problem) })
	}
}

func TestTransport_reportsWhatDoesNotFitAndPassesItOn(t *testing.T) {
	var seen []error
	transport := &schema.Transport{
		Document: document(t),
		Base: roundTripper(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			return answer(200, jsonType, string(body)), err
		}),
		Report: func(err error) { seen = append(seen, err) },
	}
	const wrong = `{"jwt":"x"}{`
	a, err := transport.RoundTrip(request("POST", "/api/v1/auth/token", jsonType, wrong))
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(a.Body); string(body) != wrong || err != nil {
		t.Errorf("answer %q, %v; want the bytes that were sent", body, err)
	}
	if len(seen) != 2 {
		t.Errorf("reported %v; want the request and the answer", errors.Join(seen...))
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
