// Package redact keeps credentials out of texts that others wrote, such as a server's error
// message, and makes such texts fit for one line.
//
// A text quotes a credential where the credential's letters and digits follow one another in it,
// whatever stands between them, in capitals or not, and however often and in whatever way they are
// escaped. A text that quotes a credential is withheld whole: a hole cut into it would show which
// word was hidden.
package redact

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	minLetters = 6   // letters and digits of a credential from which on nothing else of it counts
	maxLayers  = 10  // of escapes that are undone
	maxRunes   = 300 // of a line
)

// Secrets are credentials that no text may show. The zero value is none.
type Secrets struct {
	// quotedIn looks at one layer of a text. nil: no credential. It is a func because fmt, which
	// does not ask an unexported field for its methods, prints no more of one than its address,
	// whatever the verb.
	quotedIn func(layer string) bool
}

// needles are what is looked for in a text.
type needles struct {
	bare    []string // to be found among the letters and digits of a text
	literal []string // too short for that: to be found as they are
}

// New returns the Secrets of credentials; "" among them is none. Base64 is not undone: of a
// credential that is sent in it, both are credentials, and so is each part of a JWT.
func New(credentials ...string) Secrets {
	n := new(needles)
	for _, text := range credentials {
		if text != "" {
			n.add(text)
		}
		if !utf8.ValidString(text) {
			n.add(strings.ToValidUTF8(text, "\uFFFD")) // as a server's JSON has it
		}
	}
	if len(n.bare)+len(n.literal) == 0 {
		return Secrets{}
	}
	return Secrets{n.quotedIn}
}

// add looks for text, both as it is and with its own escapes undone: it may have "%41" in it, and a
// text that quotes it has that undone, too.
func (n *needles) add(text string) {
	for i, layer := range layers(text) {
		b := bare(layer)
		switch {
		case utf8.RuneCountInString(b) >= minLetters:
			n.bare = append(n.bare, b)
		case i == 0 || b != "":
			n.literal = append(n.literal, utf8Of(layer))
		}
	}
}

// In reports whether text quotes one of s. It takes a text with more than maxLayers layers of
// escapes for one that does. It does not see an escaped credential of which an escape right before
// it takes the first letters, as "%" does in "%41b%2Fcdef" with those of "41b/cdef".
func (s Secrets) In(text string) bool {
	if s.quotedIn == nil {
		return false
	}
	all := layers(text)
	return len(all) > maxLayers+1 || slices.ContainsFunc(all, s.quotedIn)
}

func (n *needles) quotedIn(layer string) bool {
	letters, literal := bare(layer), utf8Of(layer)
	return slices.ContainsFunc(n.bare, func(b string) bool { return strings.Contains(letters, b) }) ||
		slices.ContainsFunc(n.literal, func(l string) bool { return strings.Contains(literal, l) })
}

// Line returns text fit to be a part of one log line: printable, each run of white space and of
// what cannot be printed one space, and cut to 300 runes, the last of them then "…". It is "" where
// text quotes one of s, also in the part that is cut off.
func (s Secrets) Line(text string) string {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) })
	line := strings.Join(words, " ")
	if s.In(text) || s.In(line) {
		return ""
	}
	runes := []rune(line)
	if len(runes) > maxRunes {
		runes = append(runes[:maxRunes-1], '…')
	}
	return string(runes)
}

// bare returns the letters and digits of a layer, case folded.
func bare(layer string) string {
	var b strings.Builder
	b.Grow(len(layer))
	for i := 0; i < len(layer); {
		r, size := decode(layer[i:])
		if i += size; unicode.IsLetter(r) || unicode.IsDigit(r) {
			b.WriteRune(unicode.ToLower(unicode.ToUpper(r)))
		}
	}
	return b.String()
}

// utf8Of returns a layer in UTF-8.
func utf8Of(layer string) string {
	if utf8.ValidString(layer) {
		return layer
	}
	var b strings.Builder
	for i := 0; i < len(layer); {
		r, size := decode(layer[i:])
		b.WriteRune(r)
		i += size
	}
	return b.String()
}
