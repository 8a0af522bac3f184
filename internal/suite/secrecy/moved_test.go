package secrecy_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

// An echo in a header.
func TestError_headerShowsNoEcho(t *testing.T) {
	_, err := (&netoauth.Password{Username: "u", Password: "hunter22hunter22"}).Token(suite.Over(t.Context(), suite.Answer(401, "", "X-Echo", "password=hunter22hunter22", "Date", "x")))
	var re *oauth2.RetrieveError
	if !errors.As(err, &re) || strings.Contains(fmt.Sprint(re.Response.Header), "hunter22") || re.Response.Header.Get("X-Echo") == "" {
		t.Errorf("header %v", re.Response.Header)
	}
}

// One secret begins with another.
func TestError_secretThatBeginsWithAnother(t *testing.T) {
	k := &netoauth.APIKey{Shortname: "s", AppName: "a", AppKey: "QQkeyQQ", SharedSecret: "QQkeyQQ-and-a-rest"}
	_, err := k.Token(suite.Over(t.Context(), suite.Answer(401, `{"message":"QQkeyQQ-and-a-rest"}`)))
	if strings.Contains(err.Error(), "rest") {
		t.Error(err)
	}
}

func TestError_showsNoPartOfARequestToken(t *testing.T) {
	ctx := suite.Over(t.Context(), func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		return suite.Answer(401, `{"message":"bad claims `+strings.Split(string(body), ".")[1]+`"}`).RoundTrip(r)
	})
	key := &netoauth.APIKey{Shortname: "s", AppName: "n", AppKey: "k", SharedSecret: "x"}
	if _, err := key.Token(ctx); !strings.Contains(err.Error(), "bad claims [redacted]") {
		t.Errorf("error %v shows the claims", err)
	}
}
