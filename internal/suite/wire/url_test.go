package wire_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/netoauth/netoauth/internal/suite"
)

func TestURL_prefixes(t *testing.T) {
	tests := []struct{ url, want string }{
		{"", "https://api.netography.com"},
		{"https://api.netography.com", "https://api.netography.com"},
		{"https://api.netography.com/", "https://api.netography.com"},
		{"https://api.netography.com/api/v1", "https://api.netography.com"},
		{"https://api.netography.com/api/v1/", "https://api.netography.com"},
		{"https://api.netography.com/api/v1///", "https://api.netography.com"},
		{"https://api.netography.com/v1", "https://api.netography.com"},
		{"https://api.netography.com/v1//", "https://api.netography.com"},
		{"https://host.test/proxy", "https://host.test/proxy"},
		{"https://host.test/proxy/", "https://host.test/proxy"},
		{"https://host.test/proxy/api/v1", "https://host.test/proxy"},
		{"https://host.test/proxy/v1/", "https://host.test/proxy"},
		{"https://host.test/a/b/api/v1", "https://host.test/a/b"},
		{"https://host.test/v1/proxy", "https://host.test/v1/proxy"},
		{"https://host.test/api", "https://host.test/api"},
		{"https://host.test/api/v12", "https://host.test/api/v12"},
		{"https://host.test/rev1", "https://host.test/rev1"},
		{"https://host.test/with%20space/v1", "https://host.test/with%20space"},
		{"https://host.test/enc%2Foded", "https://host.test/enc%2Foded"},
		{"https://host.test:8443", "https://host.test:8443"},
		{"https://host.test:8443/api/v1", "https://host.test:8443"},
		{"https://192.0.2.7/v1", "https://192.0.2.7"},
		{"https://[2001:db8::7]:8443/v1", "https://[2001:db8::7]:8443"},
		{"http://localhost", "http://localhost"},
		{"http://localhost:8080/api/v1", "http://localhost:8080"},
		{"http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080"},
		{"http://127.8.9.10", "http://127.8.9.10"},
		{"http://[::1]:8080/proxy", "http://[::1]:8080/proxy"},
		{"http://[::1]", "http://[::1]"},
		{"HTTPS://host.test/v1", "https://host.test"},
		{"https://HOST.test/v1", "https://HOST.test"},
		{"HTTP://127.0.0.1:8080", "http://127.0.0.1:8080"},
		{"http://LocalHost:8080", "http://LocalHost:8080"},
	}
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		for _, tt := range tests {
			var got []string
			ctx := suite.Over(t.Context(), suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
				got = append(got, r.URL.String())
				return suite.Answer(200, good).RoundTrip(r)
			}))
			if _, err := at(f, tt.url).Token(ctx); err != nil {
				t.Errorf("%q: %v", tt.url, err)
				continue
			}
			suite.Diff(t, "request URLs for "+tt.url, []string{tt.want + f.Path}, got)
		}
	})
}

// badURLs are all forms that the contract refuses. marker stands for what must not show in an error.
const marker = "s3cr3t-marker"

var badURLs = map[string]string{
	"not absolute: a path":           "/api/v1/" + marker,
	"not absolute: a host alone":     "api.netography.com",
	"not absolute: a host and port":  "api.netography.com:443",
	"not absolute: no scheme":        "//api.netography.com/" + marker,
	"not absolute: no host":          "https:///" + marker,
	"not absolute: a port alone":     "https://:443",
	"not absolute: opaque":           "https:api.netography.com",
	"not absolute: white space":      " ",
	"not http(s): ftp":               "ftp://host.test",
	"not http(s): file":              "file:///etc/" + marker,
	"not http(s): ws":                "wss://host.test",
	"user info: user":                "https://" + marker + "@host.test",
	"user info: user and password":   "https://user:" + marker + "@host.test",
	"user info: password alone":      "https://:" + marker + "@host.test",
	"user info: empty":               "https://@host.test",
	"user info: that is hard to see": "https://api.netography.com:" + marker + "@host.test/",
	"user info: on loopback":         "http://user:" + marker + "@127.0.0.1",
	"query":                          "https://host.test?token=" + marker,
	"query: after a path":            "https://host.test/api/v1?token=" + marker,
	"query: empty":                   "https://host.test/?",
	"query: on loopback":             "http://127.0.0.1:8080?q=" + marker,
	"fragment":                       "https://host.test#" + marker,
	"fragment: empty":                "https://host.test/#",
	"fragment: empty, on loopback":   "http://127.0.0.1:8080/api/v1#",
	"plain http":                     "http://api.netography.com",
	"plain http: upper case":         "HTTP://API.NETOGRAPHY.COM",
	"plain http: private address":    "http://192.168.1.1:8080",
	"plain http: any address":        "http://0.0.0.0",
	"plain http: IPv6":               "http://[2001:db8::1]",
	"plain http: like localhost":     "http://localhost.evil.test",
	"plain http: like loopback":      "http://127.0.0.1.evil.test",
	"plain http: loopback in a user": "http://127.0.0.1@host.test",
	"malformed: escape":              "https://host.test/%zz" + marker,
	"malformed: port":                "https://host.test:" + marker,
	"malformed: brackets":            "https://[::1" + marker,
	"malformed: control character":   "https://host.test/\n" + marker,
	"malformed: NUL":                 "https://host.test/\x00" + marker,
	"malformed: leading white space": " https://user:" + marker + "@host.test",
}

func TestURL_badOneIsRefusedAndNotShown(t *testing.T) {
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		for name, bad := range badURLs {
			t.Run(name, func(t *testing.T) {
				ctx := suite.Over(t.Context(), suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
					t.Errorf("a request was made: %s %s", r.Method, r.URL)
					return suite.Answer(200, good).RoundTrip(r)
				}))
				c := at(f, bad)
				calls := map[string]func() error{
					"Token":       func() error { _, err := c.Token(ctx); return err },
					"TokenSource": func() error { _, err := c.TokenSource(ctx).Token(); return err },
					"Client": func() error {
						resp, err := c.Client(ctx).Get("https://host.test/api/v1/things")
						if err == nil {
							resp.Body.Close()
						}
						return err
					},
				}
				for call, do := range calls {
					err := do()
					if err == nil {
						t.Errorf("%s: no error", call)
						continue
					}
					text := err.Error()
					mentions(t, text, "netoauth", f.Name, "URL")
					oneLine(t, call+"'s error", text, 500)
					if strings.Contains(text, marker) {
						t.Errorf("%s's error shows a part of the URL: %q", call, text)
					}
				}
			})
		}
	})
}
