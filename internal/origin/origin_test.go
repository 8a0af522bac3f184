package origin_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/netoauth/netoauth/internal/origin"
)

const fallback = "https://api.test"

func TestParse(t *testing.T) {
	tests := map[string]string{ // raw: the base URL
		"":                                fallback,
		"https://api.test":                "https://api.test",
		"https://api.test/":               "https://api.test",
		"https://api.test///":             "https://api.test",
		"https://api.test/api/v1":         "https://api.test",
		"https://api.test/api/v1/":        "https://api.test",
		"https://api.test/api//v1":        "https://api.test/api", // "/api/v1" it is not
		"https://api.test/v1//":           "https://api.test",
		"https://api.test//v1":            "https://api.test",
		"https://api.test/proxy/api/v1":   "https://api.test/proxy",
		"https://api.test/proxy/v1":       "https://api.test/proxy",
		"https://api.test/api":            "https://api.test/api",
		"https://api.test/v1/api":         "https://api.test/v1/api",
		"https://api.test/v10":            "https://api.test/v10",
		"https://api.test/rev1":           "https://api.test/rev1",
		"https://api.test/grapi/v1":       "https://api.test/grapi",
		"https://api.test/v1/v1":          "https://api.test/v1",
		"https://api.test/a%2Fb/%C3%BC/":  "https://api.test/a%2Fb/%C3%BC",
		"https://api.test/a%2Fv1":         "https://api.test/a%2Fv1",
		"https://api.test/a@b":            "https://api.test/a@b",
		"https://api.test:8443/api/v1":    "https://api.test:8443",
		"HTTPS://API.test":                "https://API.test",
		"https://[2001:db8::1]:443":       "https://[2001:db8::1]:443",
		"http://localhost:8080/v1":        "http://localhost:8080",
		"http://LocalHost":                "http://LocalHost",
		"http://127.0.0.1":                "http://127.0.0.1",
		"http://127.255.255.254:1":        "http://127.255.255.254:1",
		"http://[::1]:8080":               "http://[::1]:8080",
		"http://[0:0:0:0:0:0:0:1]":        "http://[0:0:0:0:0:0:0:1]",
		"http://[::ffff:127.0.0.1]":       "http://[::ffff:127.0.0.1]",
		"https://localhost.":              "https://localhost.",
		"https://[fe80::1%25eth0]/api/v1": "https://[fe80::1%25eth0]",
		"https://bücher.test":             "https://b%C3%BCcher.test",
	}
	for raw, want := range tests {
		t.Run(raw, func(t *testing.T) {
			u, err := origin.Parse(raw, fallback)
			if err != nil {
				t.Fatal(err)
			}
			if got := u.String(); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if again, err := url.Parse(want); err != nil || again.Path != u.Path {
				t.Errorf("Path is %q, want %q (%v)", u.Path, again.Path, err)
			}
		})
	}
}

// The marker stands for a credential that somebody pasted into the URL.
const marker = "hunter22"

func TestParse_saysWhatIsWrong(t *testing.T) {
	const (
		blank    = "URL has white space or an invisible character in it; remove it"
		absolute = "URL must be absolute, like " + fallback
		scheme   = "URL's scheme must be https"
		noHost   = "URL has no host"
		user     = "URL must not have user info"
		query    = "URL must not have a query"
		fragment = "URL must not have a fragment"
		invalid  = "URL has a host, port or %-escape that is not valid"
		insecure = "URL must be https, unless its host is localhost or a loopback address"
	)
	tests := map[string]string{ // raw: the error
		" https://api.test/" + marker:                    blank,
		"https://api.test/" + marker + " ":               blank,
		"https://api.test/" + marker + "\n":              blank,
		"https://api.test/\t" + marker:                   blank,
		"https://api.test/\x00" + marker:                 blank,
		"https://api.test/\x7f" + marker:                 blank,
		"https://api.test/\u00a0" + marker:               blank,
		"\ufeffhttps://api.test/" + marker:               blank,
		" ":                                              blank,
		"api.test":                                       absolute,
		"//api.test/" + marker:                           absolute,
		"/" + marker:                                     absolute,
		"localhost:8080":                                 absolute,
		"127.0.0.1:8080/" + marker:                       absolute,
		"https:api.test/" + marker:                       absolute,
		"mailto:" + marker + "@api.test":                 absolute,
		`https:\\api.test\` + marker:                     absolute,
		"ftp://foo":                                      scheme,
		"ftp://" + marker + ".test":                      scheme,
		"file:///" + marker:                              scheme,
		"wss://api.test":                                 scheme,
		marker + "://api.test":                           scheme,
		"https://":                                       noHost,
		"https:///" + marker:                             noHost,
		"https://:443":                                   noHost,
		"https://" + marker + "@api.test":                user,
		"https://user:" + marker + "@api.test":           user,
		"https://@api.test":                              user,
		"https://user:" + marker + "@":                   user,
		"http://" + marker + "@127.0.0.1":                user,
		"https://api.test:" + marker + "@evil.test":      user,
		"https://api.test?" + marker:                     query,
		"https://api.test/?":                             query,
		"https://api.test#" + marker:                     fragment,
		"https://api.test/#":                             fragment,
		"https://api.test?" + marker + "#":               fragment,
		"://" + marker:                                   invalid,
		"ht tp://" + marker:                              blank,
		"h_t://" + marker:                                invalid,
		"https://api.test:" + marker:                     invalid,
		"https://api.test/%" + marker:                    invalid,
		"https://[::1/" + marker:                         invalid,
		"https://api.test:80:80":                         invalid,
		"http://api.test/" + marker:                      insecure,
		"http://128.0.0.1":                               insecure,
		"http://[::2]":                                   insecure,
		"http://0.0.0.0":                                 insecure,
		"http://2130706433":                              insecure,
		"http://127.1":                                   insecure,
		"http://localhost.":                              insecure,
		"http://localho\u017ft":                          insecure, // a long s
		"http://localhost.evil.test":                     insecure,
		"http://api.localhost":                           insecure,
		"http://127.0.0.1.evil.test":                     insecure,
		"http://[::1%25lo]":                              insecure,
		"https://api.test/" + strings.Repeat("%", 1<<20): invalid,
	}
	for raw, want := range tests {
		u, err := origin.Parse(raw, fallback)
		if err == nil {
			t.Errorf("%.80q was taken for %s", raw, u)
		} else if got := err.Error(); got != want {
			t.Errorf("%.80q: got error %q, want %q", raw, got, want)
		}
	}
}

func mustParse(raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil {
		panic(err)
	}
	return u
}

func TestSame(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"https://api.test", "https://api.test/other/path?q#f", true},
		{"https://api.test", "https://API.Test", true},
		{"https://api.test", "https://api.test:443", true},
		{"https://api.test", "https://api.test:", true},
		{"http://localhost", "http://LOCALHOST:80", true},
		{"https://api.test:8443", "https://Api.test:8443", true},
		{"https://[::1]:443", "https://[::1]", true},
		{"https://api.test", "https://user@api.test", true},
		{"https://api.test", "http://api.test", false},
		{"https://api.test:443", "http://api.test:443", false},
		{"http://api.test", "https://api.test:80", false},
		{"http://api.test", "http://api.test:443", false},
		{"https://api.test", "https://api.test:8443", false},
		{"https://api.test", "https://api.test.evil.test", false},
		{"https://api.test", "https://api.test.", false},
		{"https://api.test", "https://evil.test/https://api.test", false},
		{"https://api.test", "https://api.test@evil.test", false},
		{"https://api.test", "/path", false},
		{"https://api.test", "https:api.test", false},
		{"https://[fe80::1%25a]", "https://[fe80::1%25b]", false},
		{"https://azAZ09.test", "https://AZaz09.TEST", true},
		{"https://stra\u00dfe.example", "https://stra\u1e9ee.example", false}, // ß and its capital
		{"https://kelvin.test", "https://\u212aelvin.test", false},            // the sign for kelvin
		{"https://sos.test", "https://\u017fo\u017f.test", false},             // a long s
		{"https://\u00fc.test", "https://\u00dc.test", false},
		{"other://api.test", "other://API.test", true},
		{"other://api.test", "other://api.test:443", false},
	}
	for _, test := range tests {
		a, b := mustParse(test.a), mustParse(test.b)
		if got := origin.Same(a, b); got != test.want {
			t.Errorf("Same(%s, %s) is %t", a, b, got)
		}
		if got := origin.Same(b, a); got != test.want {
			t.Errorf("Same(%s, %s) is %t", b, a, got)
		}
	}

	// url.Parse writes the scheme in small letters, a program may not.
	capitals := &url.URL{Scheme: "HTTPS", Host: "api.test"}
	if !origin.Same(capitals, mustParse("https://api.test:443")) {
		t.Error("a scheme in capitals is another origin")
	}

	// Beside the letters, no two bytes that are 32 apart are alike.
	for small, capital := range map[string]string{"{.test": "[.test", "`.test": "@.test"} {
		if origin.Same(&url.URL{Scheme: "https", Host: small}, &url.URL{Scheme: "https", Host: capital}) {
			t.Errorf("%s is %s", small, capital)
		}
	}
}

func TestSame_isFalseForNil(t *testing.T) {
	u := mustParse("https://api.test")
	if origin.Same(u, nil) || origin.Same(nil, u) || origin.Same(nil, nil) || origin.Same(nil, new(url.URL)) {
		t.Error("a nil URL is of an origin")
	}
}

func TestSame_doesNotAllocate(t *testing.T) {
	base, equal := mustParse("https://api.test"), mustParse("https://api.test/vpc")
	other := mustParse("https://API.test:443")
	if n := testing.AllocsPerRun(100, func() { origin.Same(base, equal); origin.Same(base, other) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// chain returns the request that follows redirects from the first of urls to the last, linked as
// http.Client does.
func chain(urls ...string) *http.Request {
	var req *http.Request
	for _, raw := range urls {
		next := &http.Request{URL: mustParse(raw)}
		if req != nil {
			next.Response = &http.Response{Request: req}
		}
		req = next
	}
	return req
}

func TestRedirectedAway(t *testing.T) {
	const home, away = "https://api.test/start", "https://evil.test"
	long := func(redirects int) *http.Request {
		return chain(slices.Repeat([]string{home}, 1+redirects)...)
	}
	loop := chain(home, home)
	loop.Response.Request = loop

	missing := chain(home, home, home)
	missing.Response.Request.Response.Request = nil

	noURL := chain(home, home)
	noURL.Response.Request.URL = nil

	without := func(first *http.Request) *http.Request { // a URL of its own
		return &http.Request{Response: &http.Response{Request: first}}
	}
	unknown := &http.Request{URL: mustParse(home), Response: &http.Response{}}

	tests := map[string]struct {
		req  *http.Request
		want bool
	}{
		"no redirect":                           {chain(home), false},
		"no redirect, no URL":                   {&http.Request{}, false},
		"within the origin":                     {chain(home, "https://API.test:443/next"), false},
		"to another host":                       {chain(home, away), true},
		"to another port":                       {chain(home, "https://api.test:444"), true},
		"to plain http":                         {chain(home, "http://api.test"), true},
		"away and on":                           {chain(home, away, away), true},
		"away and back":                         {chain(home, away, home), false},
		"within the origin and away":            {chain(home, home, away), true},
		"100 redirects":                         {long(100), false},
		"101 redirects":                         {long(101), true},
		"100,000 redirects":                     {long(100_000), true},
		"redirects without end":                 {loop, true},
		"the first request is not known":        {unknown, true},
		"the first of several is not known":     {missing, true},
		"the first request's URL is not known":  {noURL, true},
		"the request itself has no URL":         {without(chain(home)), true},
		"neither it nor the first have any URL": {without(new(http.Request)), true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := origin.RedirectedAway(test.req); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}
