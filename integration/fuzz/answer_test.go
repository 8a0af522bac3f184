package fuzz_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

// The credentials have characters that forms and JSON write in other ways.
const (
	appKey       = `app/key+0123"<&>=\`
	sharedSecret = `shared/secret+4567"<&>=\ü`
	password     = `pass/word+89ab"<&>=\ü`
	refreshToken = `refresh/token+cdef"<&>=\`
)

// A body of the fuzzer has these marks for what it cannot know: the credential that was sent, in the forms in
// which a server may repeat it.
const (
	markRaw  = "$RAW"  // as it is
	markForm = "$FORM" // as in a form or a query
	markJSON = "$JSON" // as in a JSON string
	markPHP  = "$PHP"  // as in a JSON string in ASCII, slashes escaped
	markSent = "$SENT" // the whole request body
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// sentCredential returns the credential in the body of a token request.
func sentCredential(body []byte) string {
	var object struct{ JWT string }
	if json.Unmarshal(body, &object) == nil {
		return object.JWT
	}
	form, _ := url.ParseQuery(string(body))
	return form.Get("password") + form.Get("refresh_token")
}

// plainJSON returns s as a JSON string without its quotes, and without the escapes for HTML that Go would add.
func plainJSON(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(s)
	return strings.Trim(strings.TrimSuffix(b.String(), "\n"), `"`)
}

// htmlJSON is what encoding/json writes by itself.
func htmlJSON(s string) string {
	b, _ := json.Marshal(s)
	return strings.Trim(string(b), `"`)
}

// phpJSON is what json_encode writes; Python's json.dumps differs in the slash.
func phpJSON(s string) string {
	var b strings.Builder
	for _, r := range strings.ReplaceAll(plainJSON(s), "/", `\/`) {
		if r < 0x80 {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func FuzzTokenAnswer(f *testing.F) {
	for _, seed := range []struct {
		status      int
		contentType string
		body        string
	}{
		{200, "application/json", `{"access_token":"tok","expires_in":300,"refresh_expires_in":1800,"refresh_token":"r","token_type":"bearer","not-before-policy":0,"scope":"profile"}`},
		{200, "text/html; charset=utf-8", "<html>\n<title>Log in to the guest network</title></html>"},
		{401, "application/json", `{"status":401,"name":"Unauthorized","message":"invalid credentials"}`},
		{400, "application/x-www-form-urlencoded", "error=invalid_grant&error_description=$FORM"},
		{503, "", ""},
		{307, "", ""},
		{204, "", ""},
		{100, "", ""},
		{0, "\x00", "\x00"},
		{-401, "", "{}"},
	} {
		f.Add(seed.status, seed.contentType, []byte(seed.body))
	}

	f.Fuzz(checkAnswer)
}

// Large input would be a burden to the fuzzer, which mutates and minimizes it.
func TestTokenAnswer_mayBeLarge(t *testing.T) {
	for name, body := range map[string]string{
		"nested too deep for encoding/json": `{"access_token":"tok","x":` + strings.Repeat("[", 10001) + strings.Repeat("]", 10001) + "}",
		"long message":                      `{"name":"` + strings.Repeat("n", 1<<16) + `","message":"` + strings.Repeat("\\u00fc", 1<<16) + `"}`,
		"more than 1 MiB":                   `{"access_token":"tok","x":"` + strings.Repeat("x", 1<<20) + `"}`,
	} {
		for _, status := range []int{200, 401, 502} {
			t.Run(fmt.Sprint(name, "/", status), func(t *testing.T) { checkAnswer(t, status, "application/json", []byte(body)) })
		}
	}
}

// checkAnswer gives one answer to each flow, and checks that what comes of it is a token for use or an error for people.
func checkAnswer(t *testing.T, status int, contentType string, body []byte) {
	var sent, answer string
	hc := &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
		posted, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		sent = sentCredential(posted)
		answer = strings.NewReplacer(markRaw, sent, markForm, url.QueryEscape(sent), markJSON, plainJSON(sent), markPHP, phpJSON(sent), markSent, string(posted)).Replace(string(body))
		return &http.Response{
			Status:     fmt.Sprint(status),
			StatusCode: status,
			Header:     http.Header{"Content-Type": {contentType}},
			Body:       io.NopCloser(strings.NewReader(answer)),
			Request:    req,
		}, nil
	})}
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, hc)
	var log bytes.Buffer
	opts := netoauth.Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, flow := range []struct {
		name  string
		token func(context.Context) (*oauth2.Token, error)
	}{
		{"API key", (&netoauth.APIKey{URL: "https://api.test", Shortname: "acme-corp", AppName: "collector", AppKey: appKey, SharedSecret: sharedSecret, Options: opts}).Token},
		{"password", (&netoauth.Password{URL: "https://api.test", Username: "user", Password: password, Options: opts}).Token},
		{"refresh token", (&netoauth.Refresh{URL: "https://api.test", RefreshToken: refreshToken, Options: opts}).Token},
	} {
		log.Reset()
		start := time.Now()
		token, err := flow.token(ctx)
		checkSecrets(t, flow.name+": log", log.String(), forms(sent))
		if err == nil {
			checkToken(t, flow.name, token, start)
			continue
		}
		if token != nil {
			t.Errorf("%s: a token and an error", flow.name)
		}
		checkError(t, flow.name, err, status, answer, forms(sent))
	}
}

func checkToken(t *testing.T, flow string, token *oauth2.Token, start time.Time) {
	t.Helper()
	if token.AccessToken == "" || strings.ContainsFunc(token.AccessToken, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		t.Errorf("%s: access token %q goes into no header", flow, token.AccessToken)
	}
	if token.Type() != "Bearer" {
		t.Errorf("%s: token type %q", flow, token.Type())
	}
	if !token.Expiry.IsZero() && (!token.Expiry.After(start) || token.Expiry.After(start.AddDate(69, 0, 0))) {
		t.Errorf("%s: expiry %v", flow, token.Expiry)
	}
}

// rejects reports whether the answer is the API's word that the credentials are refused.
func rejects(flow string, status int, body string) bool {
	var fields map[string]any
	if err := json.Unmarshal([]byte(body), &fields); err != nil && !errors.As(err, new(*json.UnmarshalTypeError)) {
		fields = nil
	}
	_, api := fields["name"].(string)
	_, oauth := fields["error"].(string)
	switch {
	case status == 401:
		return true
	case status/100 != 4 || status == 408 || status == 421 || status == 425 || status == 429:
		return false
	default:
		return api || status == 400 && (oauth || flow == "refresh token")
	}
}

func checkError(t *testing.T, flow string, err error, status int, body string, sent []string) {
	t.Helper()
	text := err.Error()
	if len(text) > 4096 || strings.ContainsFunc(text, unprintable) {
		t.Errorf("%s: error of %d bytes, want one bounded line: %q", flow, len(text), text)
	}
	checkSecrets(t, flow+": error", text, sent)
	var e *netoauth.Error
	if !errors.As(err, &e) {
		t.Fatalf("%s: error %q has no netoauth.Error", flow, text)
	}
	if e.StatusCode != status {
		t.Errorf("%s: Error has status %d, want %d", flow, e.StatusCode, status)
	}
	checkSecrets(t, flow+": Error", e.Name+" "+e.Message, sent)
	var r *oauth2.RetrieveError
	if !errors.As(err, &r) || r.Response == nil {
		t.Fatalf("%s: error %q has no RetrieveError with a response", flow, text)
	}
	checkSecrets(t, flow+": RetrieveError", r.Error()+" "+r.ErrorCode+" "+r.ErrorDescription, sent)
	checkSecrets(t, flow+": RetrieveError.Body", string(r.Body), sent)
	if rejected := errors.Is(err, netoauth.ErrRejected); rejected != rejects(flow, status, body) {
		t.Errorf("%s: ErrRejected at status %d is %t", flow, status, rejected)
	}
}

// checkSecrets looks for the credentials in text, in the forms in which a server may repeat them.
func checkSecrets(t *testing.T, what, text string, sent []string) {
	t.Helper()
	for _, form := range slices.Concat(fixedForms, sent) {
		if strings.Contains(text, form) {
			t.Errorf("%s shows %q: %q", what, form, text)
			return
		}
	}
}

var fixedForms = slices.Concat(forms(appKey), forms(sharedSecret), forms(password), forms(refreshToken))

func forms(secret string) []string {
	return []string{secret, url.QueryEscape(secret), plainJSON(secret), htmlJSON(secret), phpJSON(secret)}
}
