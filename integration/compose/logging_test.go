package compose_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth/netoauthtest"
)

// Outside, a logging transport sees one line per API call and no token, neither in the request nor in the
// response's Request: renewals and the repeat after a 401 happen below it. It may log whole requests.
func Example_loggingOutside() {
	srv, key := newAPI()
	defer srv.Close()

	client := key.Client(context.Background())
	client.Transport = logging("outside", client.Transport)

	list(client, srv)
	srv.RevokeAccessTokens()
	list(client, srv)
	// Output:
	// outside sees GET /api/v1/ip/list 200
	// outside sees GET /api/v1/ip/list 200
}

// Inside, a logging transport sees what is on the wire: log-ins and renewals, a refused request and its
// repeat, and the token. It must log neither the Authorization header nor the bodies of token requests.
func Example_loggingInside() {
	srv, key := newAPI()
	defer srv.Close()

	client := key.Client(with(&http.Client{Transport: logging("inside", http.DefaultTransport)}))

	list(client, srv)
	srv.RevokeAccessTokens()
	list(client, srv)
	// Output:
	// inside sees POST /api/v1/auth/token 200
	// inside sees GET /api/v1/ip/list 200, with the token
	// inside sees GET /api/v1/ip/list 401, with the token
	// inside sees POST /api/auth/bearer/refresh 200
	// inside sees GET /api/v1/ip/list 200, with the token
}

func TestClient_takesTheSettingsOfTheContextsClient(t *testing.T) {
	srv, key := newAPI()
	defer srv.Close()
	srv.Handle("GET /hang", netoauthtest.Hang())
	srv.Handle("GET /moved", http.RedirectHandler(listPath, http.StatusFound))
	srv.Handle("GET /cookie", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("session"); err != nil {
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
			w.WriteHeader(http.StatusAccepted)
		}
	}))
	status := func(client *http.Client, path string) int {
		resp, err := client.Get(srv.URL + path)
		var timeout interface{ Timeout() bool }
		if errors.As(err, &timeout) && timeout.Timeout() {
			return http.StatusGatewayTimeout // stands for the client's own
		}
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	original := &http.Client{
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	client := key.Client(with(original))
	got := map[string][]int{
		"Jar":           {status(client, "/cookie"), status(client, "/cookie")},
		"CheckRedirect": {status(client, "/moved")},
	}
	// A client of its own, because the log-in is under the same Timeout as the call.
	slow := *original
	slow.Timeout = 200 * time.Millisecond
	key.InitialToken, err = key.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got["Timeout"] = []int{status(key.Client(with(&slow)), "/hang")}

	want := map[string][]int{"Jar": {202, 200}, "CheckRedirect": {302}, "Timeout": {504}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	if original.Transport != nil {
		t.Error("the context's client was changed")
	}
}
