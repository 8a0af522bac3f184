package wire_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

// hint returns what an error says is to do next.
func hint(t *testing.T, err error) string {
	t.Helper()
	e, answered := errors.AsType[*netoauth.Error](err)
	if !answered {
		t.Fatalf("there is no *netoauth.Error in %v", err)
	}
	_, hint, _ := strings.Cut(e.Error(), "; ")
	return hint
}

// And nothing of what is not the cause.
func TestError_hintOfARefusedLogIn(t *testing.T) {
	ctx := suite.Over(t.Context(), suite.Answer(403, `{"name":"N"}`))
	key := &netoauth.APIKey{Shortname: "acme", AppName: "reports", AppKey: "appkey", SharedSecret: "shared"}
	user := &netoauth.Password{Username: "ann", Password: "password"}
	for _, tt := range []struct {
		name         string
		credential   suite.Credential
		says, avoids []string
	}{
		{"API key", key, []string{`account "acme"`, "NETOSECRET", "IP allow list"}, []string{"user name", "multi-factor"}},
		{"of a sub-account", key.Account("branch"), []string{`account "branch"`}, []string{"acme"}},
		{"password", user, []string{"user name", "password", "multi-factor", "IP allow list"}, []string{"NETOSECRET"}},
		{"refresh token", &netoauth.Refresh{RefreshToken: "r"}, []string{"log in again"}, []string{"NETOSECRET", "user name"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.credential.Token(ctx)
			got := hint(t, err)
			mentions(t, got, tt.says...)
			for _, word := range tt.avoids {
				if strings.Contains(err.Error(), word) {
					t.Errorf("%q mentions %q", err, word)
				}
			}
			oneLine(t, "the error", err.Error(), 500)
		})
	}
}

// The log-in that follows may well work, so nobody need check its credentials.
func TestError_hintOfARefusedRefreshTokenBeforeALogIn(t *testing.T) {
	ctx := suite.Over(t.Context(), suite.RoundTripper(func(req *http.Request) (*http.Response, error) {
		if req.URL.Path == suite.Refresh.Path {
			return suite.Answer(400, "").RoundTrip(req)
		}
		return suite.Answer(200, good).RoundTrip(req)
	}))
	for _, f := range []suite.Flow{suite.APIKey, suite.Password} {
		t.Run(f.Name, func(t *testing.T) {
			var log bytes.Buffer
			c := account("https://api.test").Credential(f, netoauth.Options{
				InitialToken: &oauth2.Token{RefreshToken: "stored"},
				Logger:       slog.New(slog.NewJSONHandler(&log, nil)),
			})
			suite.Diff(t, "token", "good", suite.MustToken(t, c.TokenSource(ctx)))
			said, _ := object(t, log.String())["err"].(string)
			_, got, _ := strings.Cut(said, "; ")
			suite.Diff(t, "hint", "logging in follows", got)
		})
	}
}

func TestURL_errorSaysWhatIsWrong(t *testing.T) {
	for raw, want := range map[string]string{
		"ftp://foo":                "URL's scheme must be https",
		"https://api.test ":        "URL has white space or an invisible character in it; remove it",
		"https://api.test/api/v1 ": "URL has white space or an invisible character in it; remove it",
		"https://api.test\u200b":   "URL has white space or an invisible character in it; remove it",
		"api.test":                 "URL must be absolute, like https://api.netography.com",
	} {
		suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
			_, err := at(f, raw).Token(t.Context())
			suite.Diff(t, "error", "netoauth: "+f.Name+": "+want, fmt.Sprint(err))
		})
	}
}

func TestSecret_doesNotComeBackFromJSON(t *testing.T) {
	text, err := json.Marshal(&netoauth.Password{URL: "https://api.test", Username: "ann", Password: "password"})
	if err != nil {
		t.Fatal(err)
	}
	user := new(netoauth.Password)
	if err := json.Unmarshal(text, user); err == nil || !strings.Contains(err.Error(), "[redacted]") {
		t.Errorf("error %v, want one about [redacted]", err)
	}
	suite.Diff(t, "Secret", netoauth.Secret(""), user.Password)

	if err := json.Unmarshal([]byte(`{"Username":"ann","Password":"from a file"}`), user); err != nil {
		t.Fatal(err)
	}
	suite.Diff(t, "Secret from a file", "from a file", string(user.Password))
}

// What encoding/json mends by U+FFFD would sign with another secret.
func TestParseAPIKey_refusesWhatCannotBeRead(t *testing.T) {
	const whole = `{"url":"https://api.test","shortname":"acme","appname":"reports","appkey":"key","sharedsecret":"secret"}`
	for _, field := range []string{"acme", "reports", "key", "secret"} {
		for name, bad := range map[string]string{
			"a high surrogate alone":      `\ud800`,
			"a low surrogate alone":       `\udfff`,
			"surrogates in a wrong order": `\udc00\ud800`,
			"invalid UTF-8":               "\xff",
			"a surrogate in UTF-8":        "\xed\xa0\x80",
		} {
			text := strings.Replace(whole, `:"`+field+`"`, `:"a`+bad+`z"`, 1)
			k, err := netoauth.ParseAPIKey(base64.StdEncoding.EncodeToString([]byte(text)))
			if err == nil || k != nil {
				t.Errorf("%s for %s: no error", name, field)
				continue
			}
			oneLine(t, "the error", err.Error(), 200)
		}
	}
	noted := strings.Replace(whole, "{", "{\"note\":\"\xff\",", 1)
	if _, err := netoauth.ParseAPIKey(base64.StdEncoding.EncodeToString([]byte(noted))); err == nil {
		t.Error("invalid UTF-8 in a field that is not read: no error")
	}
	pair := strings.Replace(whole, `:"secret"`, `:"\ud83d\ude00"`, 1)
	k, err := netoauth.ParseAPIKey(base64.StdEncoding.EncodeToString([]byte(pair)))
	if err != nil {
		t.Fatal(err)
	}
	suite.Diff(t, "shared secret of a surrogate pair", "\U0001F600", string(k.SharedSecret))
}
