// Package origin tells where a request may carry a token: an origin is a URL's scheme, host and
// port (RFC 6454 section 4).
package origin

import (
	"cmp"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxRedirects is how many redirects [RedirectedAway] follows back; http.Client makes 10 by
// default.
const maxRedirects = 100

// Parse returns the base URL that raw stands for, and that of fallback where raw is "". A base URL
// is an API's origin and the path before its version: "/api/v1" or "/v1" at the end, and slashes
// after it, are dropped.
//
// The errors are complete but for a prefix and show no part of raw: whoever pastes credentials into
// a URL must not find them in a log.
func Parse(raw, fallback string) (*url.URL, error) {
	raw = cmp.Or(raw, fallback)
	if err := check(raw, fallback); err != nil {
		return nil, err
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("URL has a host, port or %-escape that is not valid")
	}
	if err := checkParts(u); err != nil {
		return nil, err
	}
	u.RawPath = strings.TrimRight(u.EscapedPath(), "/")
	if p, ok := strings.CutSuffix(u.RawPath, "/v1"); ok {
		u.RawPath = strings.TrimRight(strings.TrimSuffix(p, "/api"), "/")
	}
	u.Path, err = url.PathUnescape(u.RawPath)
	return u, err
}

// check finds what is wrong with the text of a URL. example is one that is right.
func check(raw, example string) error {
	invisible := func(r rune) bool { return r == ' ' || r == utf8.RuneError || !unicode.IsPrint(r) }
	switch {
	case strings.ContainsFunc(raw, invisible):
		return errors.New("URL has white space or an invisible character in it; remove it")
	case !strings.Contains(raw, "://"):
		return errors.New("URL must be absolute, like " + example)
	case strings.Contains(raw, "#"): // also before nothing, of which url.URL does not tell
		return errors.New("URL must not have a fragment")
	}
	return nil
}

// checkParts finds what is wrong with a URL that could be parsed.
func checkParts(u *url.URL) error {
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("URL's scheme must be https")
	case u.User != nil:
		return errors.New("URL must not have user info")
	case u.Hostname() == "":
		return errors.New("URL has no host")
	case u.RawQuery != "" || u.ForceQuery:
		return errors.New("URL must not have a query")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return errors.New("URL must be https, unless its host is localhost or a loopback address")
	}
	return nil
}

// loopback reports whether host is localhost or an address in 127.0.0.0/8 or ::1. A name that a
// resolver may ask others about, such as "localhost." or "api.localhost", and an address with a
// zone are none.
func loopback(host string) bool {
	return sameHost(host, "localhost") || net.ParseIP(host).IsLoopback()
}

// Same reports whether a and b are of the same origin (RFC 6454 section 5). A nil URL is of none.
func Same(a, b *url.URL) bool {
	if a == nil || b == nil {
		return false
	}
	if a.Scheme == b.Scheme && a.Host == b.Host {
		return true
	}
	return strings.EqualFold(a.Scheme, b.Scheme) &&
		sameHost(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

// sameHost reports whether a and b are one host name: DNS compares ASCII letters without their case
// (RFC 4343), and nothing else. Others that Unicode folds, such as ß and ẞ, may be two hosts.
func sameHost(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// port returns the port that u means, "" where u names none and its scheme has no default here.
func port(u *url.URL) string {
	switch p := u.Port(); {
	case p == "" && strings.EqualFold(u.Scheme, "https"):
		return "443"
	case p == "" && strings.EqualFold(u.Scheme, "http"):
		return "80"
	default:
		return p
	}
}

// RedirectedAway reports whether req follows redirects and is not sure to be at the first request's
// origin. http.Client links each request that follows a redirect to the one before by its Response;
// where a link is missing, or there are more than maxRedirects, the first request cannot be known.
func RedirectedAway(req *http.Request) bool {
	first := req
	for hops := 0; first.Response != nil; hops++ {
		first = first.Response.Request
		if first == nil || hops == maxRedirects {
			return true
		}
	}
	return first != req && !Same(first.URL, req.URL)
}
