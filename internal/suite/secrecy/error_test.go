package secrecy_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

// A good answer that is refused, cut off or damaged has tokens in it.
func TestError_showsNoTokenOfAnAnswerNotTaken(t *testing.T) {
	k := plainKit
	replace := func(old, with string) string { return strings.Replace(k.answer(), old, with, 1) }
	tests := []struct {
		name string
		code int
		body string
		cut  bool
	}{
		{"cut off", 200, k.answer(), true},
		{"cut off before the end", 200, k.answer()[:len(k.answer())-20], false},
		{"of another type", 200, replace(`"bearer"`, `"mac"`), false},
		{"with a control character", 200, replace(k.newAccess+`","expires_in`, k.newAccess+`\n","expires_in`), false},
		{"in an array", 200, "[" + k.answer() + "]", false},
		{"as a form", 200, url.Values{"access_token": {k.newAccess}, "refresh_token": {k.newRefresh}}.Encode(), false},
		{"with garbage behind", 200, k.answer() + "garbage", false},
		{"huge", 200, k.answer() + strings.Repeat(" ", 1<<20), false},
		{"with the token in an array", 200,
			fmt.Sprintf(`{"access_token":[%q],"refresh_token":{"a":%q}}`, k.newAccess, k.newRefresh), false},
	}
	for _, tt := range tests {
		u := suite.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if tt.cut {
				w.Header().Set("Content-Length", strconv.Itoa(len(tt.body)+10))
			}
			w.WriteHeader(tt.code)
			io.WriteString(w, tt.body)
		})
		v := k.vault()
		for flow, c := range k.account(u).All(netoauth.Options{}) {
			tok, err := c.Token(t.Context())
			if err == nil && tt.name != "with a control character" {
				t.Errorf("%s: a token %v, no error", tt.name, tok.Type())
				continue
			}
			v.checkAll(t, flow+", "+tt.name, brief(err))
		}
	}
}

func TestError_ofSourceAndClientShowsNoSecret(t *testing.T) {
	k := plainKit
	v := k.vault()
	u := suite.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		raw, credentials := sent(r)
		inJSON(w, 401, map[string]any{"status": 401, "name": raw, "message": strings.Join(credentials, " ")}, true)
	})
	ctx := suite.Over(t.Context(), v.watch(http.DefaultTransport))
	expired := k.initial()
	expired.AccessToken = "" // so that it is renewed at once
	options := map[string]netoauth.Options{"new": {}, "with a refresh token to begin with": {InitialToken: expired}}
	for name, o := range options {
		for flow, c := range k.account(u).All(o) {
			src := c.TokenSource(ctx)
			for range 2 { // the second is the first again
				_, err := src.Token()
				if !errors.Is(err, netoauth.ErrRejected) {
					t.Fatalf("%s: %v, want ErrRejected", name, err)
				}
				for how, text := range texts(err) {
					v.check(t, flow+" source, "+how, text)
				}
			}
			_, err := c.Client(ctx).Post(u+"/api/v1/things", "text/plain", strings.NewReader("x"))
			if !errors.Is(err, netoauth.ErrRejected) {
				t.Fatalf("%s: %v, want ErrRejected", name, err)
			}
			for how, text := range texts(err) {
				v.check(t, flow+" client, "+how, text)
			}
			v.checkAll(t, flow+" source that failed", texts(src))
		}
	}
}

func TestError_ofABrokenNetworkShowsNoSecret(t *testing.T) {
	k := plainKit
	v := k.vault()
	dropped := suite.Serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for name, u := range map[string]string{
		"refused": "http://127.0.0.1:1", "dropped": dropped, "no TLS": strings.Replace(dropped, "http:", "https:", 1),
	} {
		for flow, c := range k.account(u).All(netoauth.Options{}) {
			_, err := c.Token(suite.Over(t.Context(), v.watch(http.DefaultTransport)))
			if err == nil {
				t.Fatal("no error")
			}
			v.checkAll(t, flow+", "+name, brief(err))
			v.checkAll(t, flow+", "+name, texts(err))
		}
	}
	// A transport of the user's own that says what it could not send.
	for flow, c := range k.account("https://api.test").All(netoauth.Options{}) {
		_, err := c.Token(suite.Over(t.Context(), v.watch(suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			r.Body.Close()
			return nil, fmt.Errorf("cannot send %s", body)
		}))))
		if err == nil {
			t.Fatal("no error")
		}
		v.check(t, flow+", a transport that quotes the request", fmt.Sprintf("%v %+v %s %q", err, err, err, err))
	}
}

func TestError_responseIsNoWayToTheRequestsBody(t *testing.T) {
	k := plainKit
	v := k.vault()
	u := suite.Serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) })
	for flow, c := range k.account(u).All(netoauth.Options{}) {
		_, err := c.Token(suite.Over(t.Context(), v.watch(http.DefaultTransport)))
		var re *oauth2.RetrieveError
		if !errors.As(err, &re) {
			t.Fatal(err)
		}
		v.check(t, flow+": the Response", fmt.Sprintf("%v %+v %#v", re.Response, re.Response, *re.Response))
		if req := re.Response.Request; req != nil {
			v.check(t, flow+": the Response's Request", fmt.Sprintf("%v %+v %#v", req, *req, req.Header))
			var b strings.Builder
			req.Write(&b) // as httputil.DumpRequestOut would
			v.check(t, flow+": the Response's Request, dumped", b.String())
		}
	}
}

func TestError_headerShowsNoEcho(t *testing.T) {
	k := plainKit
	ctx := suite.Over(t.Context(), suite.Answer(401, "", "Server", "password="+k.password, "Via", "shown"))
	_, err := k.account("").Credential(suite.Password, netoauth.Options{}).Token(ctx)
	var re *oauth2.RetrieveError
	if !errors.As(err, &re) {
		t.Fatal(err)
	}
	k.vault().check(t, "the header", fmt.Sprint(re.Response.Header))
	suite.Diff(t, "a header without an echo", "shown", re.Response.Header.Get("Via"))
	suite.Diff(t, "a header with an echo", "", re.Response.Header.Get("Server"))
}

func TestError_showsNoRestOfASecretThatBeginsWithAnother(t *testing.T) {
	k := &netoauth.APIKey{Shortname: "s", AppName: "a", AppKey: "QQkeyQQ", SharedSecret: "QQkeyQQ-and-a-rest"}
	_, err := k.Token(suite.Over(t.Context(), suite.Answer(401, `{"message":"QQkeyQQ-and-a-rest"}`)))
	if err == nil || strings.Contains(err.Error(), "rest") {
		t.Error(err)
	}
}

func TestError_showsNoPartOfARequestToken(t *testing.T) {
	ctx := suite.Over(t.Context(), suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		return suite.Answer(401, `{"message":"bad claims `+strings.Split(string(body), ".")[1]+`"}`).RoundTrip(r)
	}))
	key := &netoauth.APIKey{Shortname: "s", AppName: "n", AppKey: "k", SharedSecret: "x"}
	_, err := key.Token(ctx)
	e, answered := errors.AsType[*netoauth.Error](err)
	if !answered || e.Message != "" || strings.Contains(err.Error(), "bad claims") {
		t.Errorf("error %v, want no message", err)
	}
}
