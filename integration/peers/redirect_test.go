package peers

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite/scenario"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// redirected has the API redirect a request to another host, and reports whether the token went there.
func redirected(t *testing.T, s scenario.Subject) bool {
	srv := netoauthtest.NewServer()
	defer srv.Close()
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		t.Fatal(err)
	}
	net := &redirect{tokens: srv.InProcess().Transport}
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: net})
	resp, err := s(ctx, key).Get(srv.URL + "/api/v1/moved")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if net.home == "" || !net.arrived {
		t.Fatalf("the API got %q, the foreign host a request: %v; want a token and a request", net.home, net.arrived)
	}
	return net.foreign != ""
}

// redirect is the network: the token endpoint, the API that redirects, and the host it redirects to.
type redirect struct {
	tokens        http.RoundTripper
	arrived       bool
	home, foreign string // Authorization headers
}

func (r *redirect) RoundTrip(req *http.Request) (*http.Response, error) {
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: req}
	switch {
	case req.URL.Host == "elsewhere.test":
		r.arrived, r.foreign = true, req.Header.Get("Authorization")
	case strings.HasSuffix(req.URL.Path, "/moved"):
		r.home = req.Header.Get("Authorization")
		resp.StatusCode = http.StatusFound
		resp.Header.Set("Location", "https://elsewhere.test/")
	default:
		return r.tokens.RoundTrip(req)
	}
	return resp, nil
}
