package redact

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// bare returns the letters and digits of a text, case folded.
func bare(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(unicode.ToUpper(r))
		}
		return -1
	}, utf8Of(text))
}

// utf8Of returns text in UTF-8: a byte that is not is a rune of Latin-1.
func utf8Of(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		if _, n := utf8.DecodeRuneInString(text[i:]); n == 1 {
			r = rune(text[i])
		}
		b.WriteRune(r)
	}
	return b.String()
}

// inOrder reports whether text has all runs, one after the other.
func inOrder(text string, runs []string) bool {
	for _, run := range runs {
		_, after, found := strings.Cut(text, run)
		if !found {
			return false
		}
		text = after
	}
	return true
}

// encodings returns the ways in which a program writes a credential as bytes: hexadecimal, as a list
// of bytes, and in base64, which depends on how much stands before it.
func encodings(credential string) []string {
	b := []byte(credential)
	all := []string{hex.EncodeToString(b), fmt.Sprintf("%# x", b), fmt.Sprint(b)}
	for offset := range 3 {
		padded := append(make([]byte, offset), b...)
		from, to := (offset*8+5)/6, len(padded)*8/6
		all = append(all, base64.RawStdEncoding.EncodeToString(padded)[from:to])
	}
	return all
}

// windows1252 has the runes of the bytes 0x80 to 0x9F in the encoding that many programs take for
// Latin-1 (https://encoding.spec.whatwg.org/#names-and-labels).
var windows1252 = []rune("€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ")

// charsets returns a credential, and what becomes of one that is not ASCII where one encoding is
// taken for another: UTF-8 for Latin-1, Latin-1 for UTF-8, either for Windows-1252, as HTML has it,
// and what is no UTF-8 in JSON.
func charsets(credential string) []string {
	var wide []rune
	for _, c := range []byte(credential) {
		wide = append(wide, rune(c))
	}
	all := []string{credential, string(wide), strings.ToValidUTF8(credential, "\uFFFD")}
	if narrow := []byte(nil); !strings.ContainsFunc(credential, func(r rune) bool { return r > 0xFF }) {
		for _, r := range credential {
			narrow = append(narrow, byte(r))
		}
		all = append(all, string(narrow))
	}
	for _, variant := range slices.Clone(all) {
		all = append(all, strings.Map(func(r rune) rune {
			if 0x80 <= r && r < 0xA0 {
				return windows1252[r-0x80]
			}
			return r
		}, utf8Of(variant)))
	}
	slices.Sort(all)
	return slices.Compact(all) // of ASCII, one
}
