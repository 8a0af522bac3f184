package redact

import (
	"html"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// special are the bytes that escapes begin with.
const special = `+%&\`

// undo undoes one layer of the escapes of URLs and forms, of HTML, and of those that begin with a
// backslash, as in JSON, JavaScript, Go, Python, PHP, C, Perl and Rust.
func undo(text string) string {
	if !strings.ContainsAny(text, special) {
		return text
	}
	out := make([]byte, 0, len(text))
	for text != "" {
		n := strings.IndexAny(text, special)
		switch {
		case n < 0:
			return string(append(out, text...))
		case n > 0:
			out = append(out, text[:n]...)
		case text[0] == '+':
			out, n = append(out, ' '), 1
		case text[0] == '&':
			out, n = entity(out, text)
		default:
			out, n = escape(out, text)
		}
		text = text[n:]
	}
	return string(out)
}

// entity appends what the HTML entity means that text begins with, if it is one, and returns its
// length. It takes the word after it along.
func entity(out []byte, text string) ([]byte, int) {
	n := 1
	for n < len(text) && (text[n] == '#' || isAlnum(text[n])) {
		n++
	}
	word, end := text[:n], 0
	if strings.HasPrefix(text[n:], ";") {
		end = 1
	}
	if end == 1 || strings.HasPrefix(word, "&#") {
		word += ";" // without which html does not take "&#9" for an entity
	}
	return append(out, html.UnescapeString(word)...), n + end
}

// forms are the escapes that have a number in them, after start and before end.
var forms = []struct {
	start, end        string
	base, least, most int
	isByte            bool // of a text that is to be put together first, where it is below 256
}{
	{"%", "", 16, 2, 2, true},
	{"%u", "", 16, 4, 4, false},
	{`\x`, "", 16, 2, 2, true},
	{`\u`, "", 16, 4, 4, false},
	{`\U`, "", 16, 8, 8, false},
	{`\x{`, "}", 16, 1, 8, false},
	{`\u{`, "}", 16, 1, 8, false},
	{`\`, "", 8, 1, 3, true},
}

// escape appends what the escape means that text begins with, and returns its length. A percent sign
// that begins none means itself, and so does what follows such a backslash.
func escape(out []byte, text string) ([]byte, int) {
	for _, f := range forms {
		digits, ok := strings.CutPrefix(text, f.start)
		if !ok {
			continue
		}
		v, n := number(digits, f.base, f.most)
		if n < f.least || !strings.HasPrefix(digits[n:], f.end) {
			continue
		}
		n += len(f.start) + len(f.end)
		if f.isByte && v < 0x100 {
			return append(out, byte(v)), n
		}
		if next, ok := strings.CutPrefix(text[n:], f.start); ok { // a pair (RFC 8259 section 7)?
			low, m := number(next, 16, 4)
			if pair := utf16.DecodeRune(v, low); pair != utf8.RuneError {
				v, n = pair, n+len(f.start)+m
			}
		}
		return utf8.AppendRune(out, v), n
	}
	if text[0] == '%' || len(text) == 1 {
		return append(out, text[0]), 1
	}
	if i := strings.IndexByte("abtnvfre", text[1]); i >= 0 {
		return append(out, "\a\b\t\n\v\f\r\x1b"[i]), 2
	}
	return append(out, text[1]), 2
}

// number returns the number that text begins with, of no more than most digits, at most eight, and
// how many these are.
func number(text string, base, most int) (v rune, n int) {
	digits := "0123456789abcdefABCDEF"
	if base == 8 {
		digits = digits[:8]
	}
	text = text[:min(len(text), most)]
	n = len(text) - len(strings.TrimLeft(text, digits))
	u, _ := strconv.ParseUint(text[:n], base, 32) // which fails for no digits alone
	return rune(u), n
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}
