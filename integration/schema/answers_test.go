package schema_test

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/integration/schema"
	"github.com/netoauth/netoauth/netoauthtest"
)

// prepared is a request before it is known where the server is. The zero values of the first three stand for a
// POST with JSON to the API key's endpoint.
type prepared struct {
	method, path, contentType string
	body                      string
	header                    http.Header
}

func (p prepared) on(t *testing.T, srv *netoauthtest.Server) *http.Request {
	t.Helper()
	method, path := cmp.Or(p.method, "POST"), cmp.Or(p.path, netoauthtest.APIKeyPath)
	r, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, strings.NewReader(p.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", jsonType)
	if method == "POST" {
		r.Header.Set("Content-Type", cmp.Or(p.contentType, jsonType))
	}
	for name, values := range p.header {
		r.Header[name] = values
	}
	return r
}

func TestServer_answersFitTheDocument(t *testing.T) {
	const (
		byName    = netoauthtest.PasswordPath
		byRefresh = netoauthtest.RefreshPath
	)
	srv := newServer(t)
	doc := document(t)
	key := apiKey(t, srv)
	foreign, forged := *key, *key
	foreign.AppKey = "another"
	forged.SharedSecret = "another"

	fresh := func() string { return `{"jwt":"` + requestToken(t, key) + `"}` }
	used := fresh()
	login := url.Values{"username": {srv.Username}, "password": {srv.Password}}.Encode()
	renewal := func() string {
		return url.Values{"refresh_token": {string(refresh(t, t.Context(), srv).RefreshToken)}}.Encode()
	}
	usedRenewal := renewal()
	bearer := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
	revoked := bearer(token(t, t.Context(), key).AccessToken)
	srv.RevokeAccessTokens()
	good := bearer(token(t, t.Context(), key).AccessToken)

	for _, test := range []struct {
		name string
		prepared
		want int
	}{
		{"API key", prepared{body: used}, 200},
		{"API key, request token replayed", prepared{body: used}, 401},
		{"API key, another application", prepared{body: `{"jwt":"` + requestToken(t, &foreign) + `"}`}, 401},
		{"API key, signed with another secret", prepared{body: `{"jwt":"` + requestToken(t, &forged) + `"}`}, 401},
		{"API key, not a request token", prepared{body: `{"jwt":"x"}`}, 401},
		{"API key, extra field", prepared{body: strings.Replace(fresh(), "{", `{"more":1,`, 1)}, 400},
		{"API key, missing field", prepared{body: `{}`}, 400},
		{"API key, field of a wrong type", prepared{body: `{"jwt":1}`}, 400},
		{"API key, empty field", prepared{body: `{"jwt":""}`}, 400},
		{"API key, something after the object", prepared{body: fresh() + `{}`}, 400},
		{"API key, not JSON", prepared{body: `jwt`}, 400},
		{"API key, no body", prepared{}, 400},
		{"API key, over a mebibyte", prepared{body: strings.Repeat(" ", 1<<20) + fresh()}, 413},
		{"API key, as a form", prepared{contentType: formType, body: "jwt=x"}, 400},
		{"API key, query", prepared{path: netoauthtest.APIKeyPath + "?more=1", body: fresh()}, 400},
		{"API key, Accept for another type", prepared{body: fresh(), header: http.Header{"Accept": {"text/html"}}}, 400},
		{"API key, GET", prepared{method: "GET"}, 405},
		{"API key, PUT", prepared{method: "PUT", body: fresh()}, 405},

		{"password", prepared{path: byName, contentType: formType, body: login}, 200},
		{"password, wrong", prepared{path: byName, contentType: formType, body: "username=u&password=p"}, 401},
		{"password, extra field", prepared{path: byName, contentType: formType, body: login + "&more=1"}, 400},
		{"password, missing field", prepared{path: byName, contentType: formType, body: "username=u"}, 400},
		{"password, field twice", prepared{path: byName, contentType: formType, body: login + "&username=u"}, 400},
		{"password, not a form", prepared{path: byName, contentType: formType, body: "%"}, 400},
		{"password, as JSON", prepared{path: byName, body: `{"username":"u","password":"p"}`}, 400},
		{"password, GET", prepared{method: "GET", path: byName}, 405},

		{"refresh token", prepared{path: byRefresh, contentType: formType, body: usedRenewal}, 200},
		{"refresh token, used", prepared{path: byRefresh, contentType: formType, body: usedRenewal}, 400},
		{"refresh token, unknown", prepared{path: byRefresh, contentType: formType, body: "refresh_token=r"}, 400},
		{"refresh token, extra field", prepared{path: byRefresh, contentType: formType, body: renewal() + "&grant_type=refresh_token"}, 400},
		{"refresh token, missing field", prepared{path: byRefresh, contentType: formType}, 400},
		{"refresh token, as JSON", prepared{path: byRefresh, body: `{"refresh_token":"r"}`}, 400},
		{"refresh token, GET", prepared{method: "GET", path: byRefresh}, 405},

		{"resource", prepared{method: "GET", path: labelPath, header: good}, 200},
		{"resource, no access token", prepared{method: "GET", path: labelPath}, 401},
		{"resource, revoked access token", prepared{method: "GET", path: labelPath, header: revoked}, 401},
		{"resource, unknown access token", prepared{method: "GET", path: labelPath, header: bearer("x")}, 401},
		{"resource, other scheme", prepared{method: "GET", path: labelPath, header: http.Header{"Authorization": {"Basic x"}}}, 401},
		{"resource, method without a handler", prepared{method: "DELETE", path: labelPath, header: good}, 405},
		{"path without a handler", prepared{method: "GET", path: "/api/v1/apikeys", header: good}, 404},
		{"path outside of the document", prepared{method: "GET", path: "/", header: good}, 404},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := test.on(t, srv)
			if err := doc.Request(test.on(t, srv)); err != nil && test.want < 300 {
				t.Errorf("the document refuses what the server takes: %v", err)
			}
			a, err := srv.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if a.StatusCode != test.want {
				t.Errorf("%s; want %d", a.Status, test.want)
			}
			verdict(t, doc.Answer(r, a), "")
		})
	}
}

func TestServer_statusFaultsFitTheDocument(t *testing.T) {
	srv := newServer(t)
	checked := &schema.Transport{
		Document: document(t),
		Base:     srv.Client().Transport,
		Report:   func(err error) { t.Error(err) },
	}
	ctx := withClient(t, checked)
	for name, c := range map[string]credential{
		"API key":       apiKey(t, srv),
		"password":      password(srv),
		"refresh token": refresh(t, ctx, srv),
	} {
		for status := 400; status < 600; status++ {
			srv.Fail(1, netoauthtest.Status(status, "Retry-After", "1"))
			_, err := c.Token(ctx)
			var failed *netoauth.Error
			if !errors.As(err, &failed) {
				t.Fatalf("%s, %d: %v; want a *netoauth.Error", name, status, err)
			}
			got := [2]any{failed.StatusCode, failed.Name}
			if diff := gocmp.Diff([2]any{status, http.StatusText(status)}, got); diff != "" {
				t.Errorf("%s, status and name (-want +got):\n%s", name, diff)
			}
		}
	}
}
