package secrecy_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
)

// sent is what a server can find in a request: the body as it came, and each credential in it.
func sent(r *http.Request) (raw string, credentials []string) {
	body, _ := io.ReadAll(r.Body)
	raw = string(body)
	if r.Header.Get("Content-Type") == "application/json" {
		var m struct{ JWT string }
		json.Unmarshal(body, &m)
		credentials = append(credentials, m.JWT)
		if parts := strings.Split(m.JWT, "."); len(parts) == 3 {
			claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
			var c struct{ AppKey string }
			json.Unmarshal(claims, &c)
			credentials = append(credentials, c.AppKey)
		}
		return raw, credentials
	}
	form, _ := url.ParseQuery(raw)
	for _, name := range []string{"password", "refresh_token"} {
		if v := form.Get(name); v != "" {
			credentials = append(credentials, v)
		}
	}
	return raw, credentials
}

// echo is what a server says of what it was sent.
type echo struct {
	name string
	text func(raw string, credentials []string) string
}

var echoes = []echo{
	{"the raw body", func(raw string, _ []string) string { return "bad request: " + raw }},
	{"the decoded body", func(raw string, _ []string) string {
		text, _ := url.QueryUnescape(raw)
		return "bad request: " + text
	}},
	{"the credentials", func(_ string, c []string) string { return "unknown: " + strings.Join(c, ", ") }},
	{"the first credential alone", func(_ string, c []string) string { return c[0] }},
	{"the last credential, escaped for a URL", func(_ string, c []string) string {
		return "unknown: " + url.QueryEscape(c[len(c)-1])
	}},
	{"the last credential in hex", func(_ string, c []string) string { return fmt.Sprintf("unknown: % x", c[len(c)-1]) }},
	{"the body in base64", func(raw string, _ []string) string { return base64.StdEncoding.EncodeToString([]byte(raw)) }},
	{"the last credential in base64", func(_ string, c []string) string {
		return "unknown: " + base64.URLEncoding.EncodeToString([]byte("x"+c[len(c)-1]))
	}},
	{"the credentials, quoted", func(_ string, c []string) string { return fmt.Sprintf("unknown: %q", c) }},
	{"the credentials among line breaks", func(_ string, c []string) string {
		return "unknown:\r\n\t" + strings.Join(c, "\n")
	}},
	{"the credentials far behind", func(_ string, c []string) string {
		return strings.Repeat("x", 290) + strings.Join(c, " ")
	}},
}

// answers are the ways to say it in an HTTP answer.
var answers = []struct {
	name  string
	write func(w http.ResponseWriter, code int, text string)
}{
	{"the API's message", func(w http.ResponseWriter, code int, text string) {
		inJSON(w, code, map[string]any{"status": code, "name": "Unauthorized", "message": text}, true)
	}},
	{"the API's message, from a server that does not escape for HTML", func(w http.ResponseWriter, code int, text string) {
		inJSON(w, code, map[string]any{"status": code, "name": "Unauthorized", "message": text}, false)
	}},
	{"the API's message, from a server that writes ASCII", func(w http.ResponseWriter, code int, text string) {
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"status":%d,"name":"Unauthorized","message":%s}`, code, jsonASCII(text))
	}},
	{"the API's name", func(w http.ResponseWriter, code int, text string) {
		inJSON(w, code, map[string]any{"status": code, "name": text, "message": "wrong"}, true)
	}},
	{"an OAuth error", func(w http.ResponseWriter, code int, text string) {
		inJSON(w, code, map[string]any{"error": text, "error_description": text}, true)
	}},
	{"another field", func(w http.ResponseWriter, code int, text string) {
		inJSON(w, code, map[string]any{"message": "wrong", "request": map[string]any{"body": text}}, true)
	}},
	{"HTML", func(w http.ResponseWriter, code int, text string) {
		w.WriteHeader(code)
		fmt.Fprintf(w, "<html><body><pre>%s</pre></body></html>", html.EscapeString(text))
	}},
	{"HTML that is not escaped", func(w http.ResponseWriter, code int, text string) {
		w.WriteHeader(code)
		fmt.Fprintf(w, "<html><body><pre>%s</pre></body></html>", text)
	}},
	{"a text that is cut off", func(w http.ResponseWriter, code int, text string) {
		w.Header().Set("Content-Length", strconv.Itoa(len(text)+10))
		w.WriteHeader(code)
		io.WriteString(w, text)
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}},
}

func inJSON(w http.ResponseWriter, code int, m map[string]any, escapeHTML bool) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(escapeHTML)
	enc.Encode(m) // an error here is the client's leaving
}

func jsonASCII(text string) string {
	out, _ := json.Marshal(text) // a string has no error
	var b strings.Builder
	for _, r := range string(out) {
		if r < 0x80 {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func TestError_showsNoSecretThatAServerEchoes(t *testing.T) {
	for _, k := range kits {
		var write func(w http.ResponseWriter, text string)
		var said echo
		u := suite.Serve(t, func(w http.ResponseWriter, r *http.Request) {
			raw, credentials := sent(r)
			write(w, said.text(raw, credentials))
		})
		for _, a := range answers {
			t.Run(k.name+"/"+a.name, func(t *testing.T) {
				for _, code := range []int{401, 200} {
					if code == 200 && k.kit == plainKit {
						continue // the awkward kit has it
					}
					for _, said = range echoes {
						write = func(w http.ResponseWriter, text string) { a.write(w, code, text) }
						for flow, c := range k.account(u).All(netoauth.Options{}) {
							v := k.vault()
							_, err := c.Token(suite.Over(t.Context(), v.watch(http.DefaultTransport)))
							if err == nil {
								t.Fatal("no error")
							}
							v.checkAll(t, fmt.Sprintf("%s, %d with %s", flow, code, said.name), brief(err))
						}
						if t.Failed() {
							return // one is enough to read
						}
					}
				}
			})
		}
	}
}

// brokenAnswers are ones that net/http refuses by an error that quotes them. They are bytes on the
// wire.
var brokenAnswers = []struct {
	name string
	text func(secret string) string
}{
	{"no HTTP at all", func(s string) string { return s + "\r\n\r\n" }},
	{"the protocol", func(s string) string { return "HTTP/" + s + " 401 Unauthorized\r\n\r\n" }},
	{"the status code", func(s string) string { return "HTTP/1.1 " + s + "\r\n\r\n" }},
	{"the reason phrase", func(s string) string { return "HTTP/1.1 401 " + s + "\r\nContent-Length: 0\r\n\r\n" }},
	{"the reason phrase of a redirect", func(s string) string {
		return "HTTP/1.1 302 " + s + "\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"
	}},
	{"the reason phrase of a 200", func(s string) string { return "HTTP/1.1 200 " + s + "\r\nContent-Length: 0\r\n\r\n" }},
	{"a header line without a colon", func(s string) string { return "HTTP/1.1 401 Unauthorized\r\n" + s + "\r\n\r\n" }},
	{"a header name", func(s string) string { return "HTTP/1.1 401 Unauthorized\r\n" + s + ": x\r\n\r\n" }},
	{"Content-Length", func(s string) string { return "HTTP/1.1 401 Unauthorized\r\nContent-Length: " + s + "\r\n\r\n" }},
	{"Content-Length, twice", func(s string) string {
		return "HTTP/1.1 401 Unauthorized\r\nContent-Length: 1\r\nContent-Length: " + s + "\r\n\r\n"
	}},
	{"Transfer-Encoding", func(s string) string {
		return "HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: " + s + "\r\n\r\n"
	}},
	{"Trailer", func(s string) string {
		return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: " + s + "\r\n\r\n0\r\n" + s + "\r\n\r\n"
	}},
	{"a chunk's length", func(s string) string {
		return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + s + "\r\n" + s
	}},
	{"Location", func(s string) string {
		return "HTTP/1.1 302 Found\r\nLocation: http://[" + s + "\r\nContent-Length: 0\r\n\r\n"
	}},
	{"Location, escaped", func(s string) string {
		return "HTTP/1.1 302 Found\r\nLocation: http://host.test/%zz?" + url.QueryEscape(s) + "\r\nContent-Length: 0\r\n\r\n"
	}},
	{"a header of an answer in order", func(s string) string {
		return "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n" +
			"X-Echo: " + s + "\r\nRetry-After: " + s + "\r\nDate: " + s + "\r\n\r\n"
	}},
	{"Content-Encoding", func(s string) string {
		return "HTTP/1.1 401 Unauthorized\r\nContent-Encoding: gzip\r\n" +
			"Content-Length: " + strconv.Itoa(len(s)) + "\r\n\r\n" + s
	}},
}

// breaking starts a server that answers with the bytes that text makes of what it was sent.
func breaking(t *testing.T, text func(raw string, credentials []string) string) string {
	return suite.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		answer := text(sent(r))
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		rw.WriteString(answer)
		rw.Flush()
	})
}

func TestError_showsNoSecretThatABrokenAnswerEchoes(t *testing.T) {
	for _, k := range kits {
		for _, b := range brokenAnswers {
			t.Run(k.name+"/"+b.name, func(t *testing.T) {
				for _, said := range []echo{echoes[0], echoes[2], echoes[3]} { // which are one line
					u := breaking(t, func(raw string, credentials []string) string { return b.text(said.text(raw, credentials)) })
					for flow, c := range k.account(u).All(netoauth.Options{}) {
						v := k.vault()
						_, err := c.Token(suite.Over(t.Context(), v.watch(&http.Transport{DisableKeepAlives: true})))
						if err == nil {
							t.Fatal("no error")
						}
						v.checkAll(t, flow+", "+said.name, brief(err))
					}
					if t.Failed() {
						return
					}
				}
			})
		}
	}
}
