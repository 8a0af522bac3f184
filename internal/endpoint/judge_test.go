package endpoint_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/netoauth/netoauth/internal/endpoint"
	"github.com/netoauth/netoauth/internal/redact"
)

// What is said where the API has not spoken.
const (
	notAPI   = "these are not the API's words, a gateway seems to answer in its place"
	later    = "the fault may pass, try again later"
	checkURL = "check the URL; redirects are not followed, they would carry the credentials along"
	proxy    = "does a proxy answer in the API's place?"
)

// verdict is what a Response says of the request.
type verdict struct {
	Rejected, Unused bool
	Hint             string
}

// judged returns the verdict on a request, which exchanges a refresh token or not.
func judged(t *testing.T, refresh bool, n network, secrets ...string) verdict {
	t.Helper()
	r := endpoint.Request{URL: tokenURL, Refresh: refresh, Secrets: redact.New(secrets...)}
	res, err := endpoint.Post(over(t.Context(), n), r)
	if err != nil {
		t.Fatal(err)
	}
	return verdict{res.Rejected, res.Unused, res.Hint}
}

func TestPost_judgesByStatusAndErrorObject(t *testing.T) {
	const (
		api     = `{"status":403,"name":"Forbidden","message":"no"}`
		oauth   = `{"error":"invalid_grant"}`
		gateway = `{"message":"Forbidden"}`
		page    = `<html>Not here</html>`
		typed   = `{"name":403,"error":{"code":1}}`
	)
	rejected, passing := verdict{Rejected: true}, verdict{Hint: later}
	unused, foreign := verdict{Unused: true, Hint: later}, verdict{Hint: notAPI + "; " + later}
	lost := verdict{Hint: notAPI + "; " + checkURL}
	for _, tt := range []struct {
		codes                                   []int
		api, oauth, gateway, page, typed, empty verdict
	}{
		{[]int{401}, rejected, rejected, rejected, rejected, rejected, rejected},
		{[]int{400}, rejected, rejected, foreign, foreign, foreign, foreign},
		{[]int{402, 403, 405, 409, 410, 422, 423, 426, 451, 499}, rejected, foreign, foreign, foreign, foreign, foreign},
		{[]int{404}, rejected, lost, lost, lost, lost, lost},
		{[]int{408, 421, 425, 429}, unused, unused, unused, unused, unused, unused},
		{[]int{503}, unused, passing, passing, passing, passing, passing},
		{[]int{500, 501, 502, 504, 599, 600, 999, 102}, passing, passing, passing, passing, passing, passing},
		{[]int{300, 301, 302, 303, 304, 307, 308}, lost, lost, lost, lost, lost, lost},
	} {
		for _, code := range tt.codes {
			for body, want := range map[string]verdict{
				api: tt.api, oauth: tt.oauth, gateway: tt.gateway, page: tt.page, typed: tt.typed, "": tt.empty,
			} {
				diff(t, http.StatusText(code)+" "+body, want, judged(t, false, answer(code, body)))
				if code == 400 {
					want = rejected
				}
				diff(t, http.StatusText(code)+" of a refresh "+body, want, judged(t, true, answer(code, body)))
			}
		}
	}
	for _, body := range []string{page, "", `{"name":"n"}`, `{"access_token":1}`} {
		diff(t, "200 "+body, verdict{Hint: proxy}, judged(t, true, answer(200, body)))
	}
}

// What came of an error object that did not come whole is nobody's word.
func TestPost_judgesByAWholeErrorObject(t *testing.T) {
	padded := `{"name":"Forbidden"}` + strings.Repeat(" ", 1<<20)
	broken := func(r *http.Request) (*http.Response, error) {
		resp := respond(r, 403, `{"name":"Forbidden"}`)
		resp.Body = http.MaxBytesReader(nil, resp.Body, 20)
		return resp, nil
	}
	diff(t, "whole", verdict{Rejected: true}, judged(t, false, broken))
	cut := func(r *http.Request) (*http.Response, error) {
		resp := respond(r, 403, `{"name":"Forbidden"} `)
		resp.Body = http.MaxBytesReader(nil, resp.Body, 20)
		return resp, nil
	}
	diff(t, "cut off", verdict{Hint: notAPI + "; " + later}, judged(t, false, cut))
	diff(t, "too long", verdict{Hint: notAPI + "; " + later}, judged(t, false, answer(403, padded)))
	diff(t, "401, too long", verdict{Rejected: true}, judged(t, false, answer(401, padded)))
}

// A server that quotes a credential, or a credential that is an ordinary word, changes what is shown
// and not who is blamed.
func TestPost_judgesWhatIsWithheldAsWhatIsShown(t *testing.T) {
	for _, body := range []string{`{"name":"` + secret + `"}`, `{"error":"` + secret + `"}`, `{"name":""}`} {
		diff(t, body, verdict{Rejected: true}, judged(t, false, answer(400, body), secret))
	}
	diff(t, "503", verdict{Unused: true, Hint: later}, judged(t, false, answer(503, `{"name":"`+secret+`"}`), secret))
	res := post(t, answer(503, `{}`, "Retry-After", "12", "Date", "Mon, 02 Mar 2026 12:00:00 GMT"), "2")
	if res.RetryAfter == 0 || res.Date.IsZero() || len(retrieveError(t, res).Response.Header) != 0 {
		t.Errorf("with a credential that is in each header: %+v", res)
	}
}

func TestPost_saysWhatAnsweredInTheAPIsPlace(t *testing.T) {
	long := strings.Repeat("x", 64<<10)
	for _, tt := range []struct {
		header []string
		want   string
	}{
		{nil, notAPI},
		{[]string{"Server", "nginx/1.24", "Via", "1.1 a", "Via", "1.1 b", "Content-Type", "text/html; charset=utf-8"},
			notAPI + ` ("nginx/1.24", "1.1 a"), with text/html`},
		{[]string{"Content-Type", "nonsense of /types;"}, notAPI},
		{[]string{"Content-Type", "text/" + long}, notAPI + ", with text/" + long[:55]},
		{[]string{"Content-Type", "text/" + secret, "Server", "for " + secret, "Via", secret}, notAPI},
		{[]string{"Content-Type", "text/correct-horse-battery-staple"}, notAPI},
		{[]string{"Server", long}, notAPI + ` ("` + long[:60] + `")`},
		{[]string{"Server", long + "x"}, notAPI},
		{[]string{"Server", "a\x00\x1b[31m\u202eb"}, notAPI + ` ("a [31m b")`},
	} {
		got := judged(t, false, answer(403, `{}`, tt.header...), secret)
		diff(t, "403", verdict{Hint: tt.want + "; " + later}, got)
	}
}

func TestPost_failsAtOnceWhereItsContextIsOver(t *testing.T) {
	ctx, cancel := context.WithCancel(over(t.Context(), func(*http.Request) (*http.Response, error) {
		t.Error("sent")
		return nil, errors.New("sent")
	}))
	cancel()
	_, err := endpoint.Post(ctx, endpoint.Request{URL: tokenURL})
	if !errors.Is(err, context.Canceled) || !endpoint.Unsent(err) {
		t.Errorf("%v, want canceled and unsent", err)
	}
}
