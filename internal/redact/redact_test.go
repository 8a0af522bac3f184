package redact_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/netoauth/netoauth/internal/redact"
)

// secrets are credentials of many kinds. All but the last three have at least 6 letters and digits.
var secrets = []string{
	"correct horse battery staple",
	`pä"ss'wo\rd/50%+tax&more<b>;`,
	"Zürich-Überlingen",
	"41abcdef/0123",
	"пароль секрет",
	"schlüssel🔑🗝und𠮷",
	`literal%41and\u0041and&#65;and&amp;`,
	"back\\slash\\new\tline\nnul\x00end",
	"eyJqdGkiOiJh_-0iLCJpYXQiOjF9",
	"Ã¼ber Ã©tat", // UTF-8 taken for Latin-1, in the credential itself
	`\\\\four\\\\backslashes`,
	"six123",
	"a+ b'c",
	"hü\"/5",
	"q",
}

// escapers are ways in which a server quotes a text.
var escapers = []struct {
	name   string
	escape func(string) string
}{
	{"as it is", func(s string) string { return s }},
	{"form, upper-case hexadecimal", url.QueryEscape},
	{"form, lower-case hexadecimal", func(s string) string { return lowerHex(url.QueryEscape(s)) }},
	{"path segment", url.PathEscape},
	{"encodeURI of JavaScript, which leaves ' and / alone", func(s string) string { return percent(s, "'/;,?:@&=+$#!*()-_.~") }},
	{"percent-encoded, every byte", func(s string) string { return percent(s, "") }},
	{"percent-encoded Latin-1", func(s string) string { return percent(latin1(s), "-_.~") }},
	{"JSON", func(s string) string { return toJSON(s, true) }},
	{"JSON without escapes for HTML", func(s string) string { return toJSON(s, false) }},
	{"JSON in ASCII with \\/, as of PHP", func(s string) string {
		return strings.ReplaceAll(utf16Escape(toJSON(s, false)), "/", `\/`)
	}},
	{"HTML", html.EscapeString},
	{"HTML that leaves ' alone", func(s string) string { return strings.ReplaceAll(html.EscapeString(s), "&#39;", "'") }},
	{"HTML with &#x27;", func(s string) string { return strings.ReplaceAll(html.EscapeString(s), "&#39;", "&#x27;") }},
	{"HTML, every character in hexadecimal", func(s string) string { return eachRune(s, "&#x%X;") }},
	{"HTML, every character in decimal, no semicolon", func(s string) string { return eachRune(s, "&#%d") }},
	{"HTML with names", func(s string) string {
		return strings.NewReplacer("ü", "&uuml;", "ä", "&auml;").Replace(html.EscapeString(s))
	}},
	{"repr of a Python str", func(s string) string { return pythonRepr(s) }},
	{"ascii of a Python str", func(s string) string { return pythonASCII(s) }},
	{"repr of Python bytes", func(s string) string { return byteEscape(s, `\x%02x`) }},
	{"repr of Python bytes in Latin-1", func(s string) string { return byteEscape(latin1(s), `\x%02x`) }},
	{"octal, as of C and git", func(s string) string { return byteEscape(s, `\%03o`) }},
	{"var_export of PHP", func(s string) string {
		return strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\x00", `' . "\0" . '`).Replace(s)
	}},
	{"Go's %q", strconv.Quote},
	{"Go's %+q", strconv.QuoteToASCII},
	{"UTF-8 taken for Latin-1", func(s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			b.WriteRune(rune(c))
		}
		return b.String()
	}},
}

// distorters change what the rule ignores where a credential has at least 6 letters and digits.
var distorters = []struct {
	name    string
	distort func(string) string
}{
	{"in capitals", strings.ToUpper},
	{"in small letters", strings.ToLower},
	{"without white space", func(s string) string { return strings.Join(strings.Fields(s), "") }},
	{"without punctuation", func(s string) string {
		return strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				return r
			}
			return -1
		}, s)
	}},
	{"broken into lines", func(s string) string { return strings.Join(strings.Split(s, ""), "\r\n\t") }},
	{"with zero-width spaces", func(s string) string { return strings.Join(strings.Split(s, ""), "\u200b") }},
}

func toJSON(s string, escapeHTML bool) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(escapeHTML)
	enc.Encode(s)
	return strings.TrimSpace(b.String())
}

func percent(s, safe string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		isAlnum := c < utf8.RuneSelf && (unicode.IsLetter(rune(c)) || unicode.IsDigit(rune(c)))
		if safe != "" && (isAlnum || strings.IndexByte(safe, c) >= 0) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func lowerHex(s string) string {
	for i := 0; i+2 < len(s); i++ {
		if s[i] == '%' {
			s = s[:i] + strings.ToLower(s[i:i+3]) + s[i+3:]
			i += 2
		}
	}
	return s
}

// latin1 returns s in Latin-1, or as it is where that has not all its characters.
func latin1(s string) string {
	var b []byte
	for _, r := range s {
		if r > 0xFF {
			return s
		}
		b = append(b, byte(r))
	}
	return string(b)
}

func eachRune(s, format string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, format, r)
	}
	return b.String()
}

func utf16Escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// pythonRepr escapes s as repr does in its quotes, which are " where s has a ' and no ".
func pythonRepr(s string) string {
	quote := "'"
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = `"`
	}
	var b strings.Builder
	for _, r := range strings.NewReplacer(`\`, `\\`, quote, `\`+quote, "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(s) {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(pythonEscape(r))
		}
	}
	return quote + b.String() + quote
}

func pythonASCII(s string) string {
	var b strings.Builder
	for _, r := range pythonRepr(s) {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
		} else {
			b.WriteString(pythonEscape(r))
		}
	}
	return b.String()
}

func pythonEscape(r rune) string {
	switch {
	case r < 0x100:
		return fmt.Sprintf(`\x%02x`, r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

func byteEscape(s, format string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c == '\\' || c == '\'':
			b.WriteString(`\` + string(rune(c)))
		case ' ' <= c && c <= '~':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, format, c)
		}
	}
	return b.String()
}

func TestSecrets_In_holdsForEachEscape(t *testing.T) {
	for _, secret := range secrets {
		s := redact.New("", "another one", secret)
		for _, e := range escapers {
			once := e.escape(secret)
			twice := e.escape(once)
			for times, escaped := range []string{once, twice, e.escape(twice)} {
				for _, text := range []string{escaped, "wrong password=" + escaped, "<" + escaped + "> is wrong"} {
					if !s.In(text) {
						t.Errorf("%s, %d times: not seen: secret %q in %q", e.name, times+1, secret, text)
					}
				}
			}
		}
	}
}

func TestSecrets_In_holdsForMixedEscapes(t *testing.T) {
	for _, secret := range secrets {
		s := redact.New(secret)
		for _, inner := range escapers {
			for _, outer := range escapers {
				if text := "no: " + outer.escape("100% "+inner.escape(secret)); !s.In(text) {
					t.Errorf("%s of %s: not seen: secret %q in %q", outer.name, inner.name, secret, text)
				}
			}
		}
		half := len(secret) / 2
		for half > 0 && !utf8.RuneStart(secret[half]) {
			half--
		}
		if text := url.QueryEscape(secret[:half]) + toJSON(secret[half:], true)[1:]; half > 0 && !s.In(text) {
			t.Errorf("half and half: not seen: secret %q in %q", secret, text)
		}
	}
}

func TestSecrets_In_ignoresAllButLettersAndDigits(t *testing.T) {
	for _, secret := range secrets[:len(secrets)-3] {
		s := redact.New(secret)
		for _, d := range distorters {
			if text := "no: " + d.distort(secret); !s.In(text) {
				t.Errorf("%s: not seen: secret %q in %q", d.name, secret, text)
			}
		}
	}
}
