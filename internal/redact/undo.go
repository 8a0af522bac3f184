package redact

import (
	"html"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// layers returns text and what it becomes as one layer of its escapes after the other is undone,
// until none is left. Of a text with more than maxLayers layers it returns maxLayers+2 texts.
func layers(text string) []string {
	all := []string{text}
	for len(all) <= maxLayers+1 {
		next := undo(text)
		if next == text {
			break
		}
		all = append(all, next)
		text = next
	}
	return all
}

// undo undoes one layer of all kinds of escapes. What it returns is a mixture of UTF-8 and Latin-1,
// for decode.
func undo(text string) string {
	out := make([]byte, 0, len(text))
	var high rune // the first half of a surrogate pair (RFC 8259 section 7) that has just been read
	for i := 0; i < len(text); {
		if text[i] == '&' {
			plain, n := entity(text[i:])
			for _, r := range plain {
				out = appendRune(out, r)
			}
			i += n
			continue
		}
		r, n := unescape(text[i:])
		i += n
		if pair := utf16.DecodeRune(high, r); pair != utf8.RuneError {
			r = pair
		}
		if high = r; !utf16.IsSurrogate(r) {
			out = appendRune(out, r)
		}
	}
	return string(out)
}

// windows1252 has the runes of the bytes 0x80 to 0x9F. HTML takes that encoding for Latin-1, and so
// do many programs that take UTF-8 for Latin-1
// (https://encoding.spec.whatwg.org/#names-and-labels).
var windows1252 = []rune("€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ")

// decode returns the first rune of text and its length. A byte that is not UTF-8 is a rune of
// Latin-1.
func decode(text string) (rune, int) {
	r, n := utf8.DecodeRuneInString(text)
	if r != utf8.RuneError || n != 1 {
		return r, n
	}
	if c := text[0]; c < 0xA0 {
		return windows1252[c-0x80], 1
	}
	return rune(text[0]), 1
}

// appendRune appends r as a byte where it is one of Latin-1, so that bytes which were escaped one
// by one come together to the rune that they are in UTF-8, and decode gives r again where they do
// not.
func appendRune(out []byte, r rune) []byte {
	if r < 0x100 {
		return append(out, byte(r))
	}
	if i := slices.Index(windows1252, r); i >= 0 {
		return append(out, byte(0x80+i))
	}
	return utf8.AppendRune(out, r)
}

// entity undoes the HTML entity that text begins with, if it is one. It takes the word after it
// along.
func entity(text string) (string, int) {
	n := 1
	for n < len(text) && (text[n] == '#' || isAlnum(text[n])) {
		n++
	}
	if n < len(text) && text[n] == ';' {
		n++
	} else if strings.HasPrefix(text, "&#") {
		return html.UnescapeString(text[:n] + ";"), n // which does not take "&#9" for an entity
	}
	return html.UnescapeString(text[:n]), n
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// unescape returns the first rune of text and its length, with one escape undone: of a URL or form,
// or after a backslash as in JSON, JavaScript, Go, Python, PHP and C.
func unescape(text string) (rune, int) {
	switch {
	case text[0] == '+':
		return ' ', 1
	case text[0] == '%':
		if r, ok := number(text[1:], 2, 16); ok {
			return r, 3
		}
	case text[0] == '\\' && len(text) > 1:
		r, n := afterBackslash(text[1:])
		return r, n + 1
	}
	return decode(text)
}

// afterBackslash returns what text means after a backslash, and how much of text that is.
func afterBackslash(text string) (rune, int) {
	for _, form := range []struct {
		letter byte
		digits int
	}{{'x', 2}, {'u', 4}, {'U', 8}} {
		if text[0] == form.letter {
			if r, ok := number(text[1:], form.digits, 16); ok {
				return r, 1 + form.digits
			}
		}
	}
	for digits := 3; digits > 0; digits-- {
		if r, ok := number(text, digits, 8); ok {
			return r, digits
		}
	}
	if i := strings.IndexByte("abtnvfre", text[0]); i >= 0 {
		return rune("\a\b\t\n\v\f\r\x1b"[i]), 1
	}
	return decode(text)
}

// number reads a rune of so many digits. Which rune more than 31 bits give does not matter.
func number(text string, digits int, base rune) (r rune, ok bool) {
	if len(text) < digits {
		return 0, false
	}
	for i := range digits {
		d := rune(strings.IndexByte("0123456789abcdefABCDEF", text[i]))
		if d >= 16 {
			d -= 6
		}
		if d < 0 || d >= base {
			return 0, false
		}
		r = r*base + d
	}
	return r, true
}
