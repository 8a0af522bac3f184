// Package redact keeps credentials out of texts that others wrote, such as a server's error
// message, and makes such texts fit for one line.
//
// A text quotes a credential where it has
//   - its runs of ASCII letters and digits, one after the other, whatever is between them: most
//     escapes of most languages leave these alone;
//   - its letters and digits one after the other without any other between them, in any case,
//     escaped once or several times in a way that undo knows;
//   - the hexadecimal digits, the decimal bytes or the base64 of all of it.
//
// A text that quotes a credential is withheld whole: a hole cut into it would show which word was
// hidden.
package redact

import (
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	minLetters = 6       // of a credential from which on nothing but its letters and digits counts
	minRun     = 4       // of the longest run of a credential whose runs are looked for
	maxLayers  = 4       // of escapes that are undone
	maxText    = 1 << 20 // bytes of a text that is looked at
	maxWork    = 2 << 20 // bytes of such a text in all its layers
	maxRunes   = 300     // of a line
)

// Secrets are credentials that no text may show. The zero value is none.
type Secrets struct {
	// quotedIn looks at a text. nil: no credential. It is a func because fmt, which does not ask an
	// unexported field for its methods, prints no more of one than its address, whatever the verb.
	quotedIn func(text string) bool
}

// New returns the Secrets of credentials; "" among them is none. Base64 is not undone: of a
// credential that is sent in it, both are credentials, and so is each part of a JWT.
func New(credentials ...string) Secrets {
	n := new(needles)
	for _, text := range credentials {
		if text != "" {
			n.add(text)
		}
	}
	if n.empty() {
		return Secrets{}
	}
	return Secrets{n.quotedIn}
}

// In reports whether text quotes one of s. It takes one that is too long, or escaped too often, to
// be looked at for one that does. It does not see an escaped credential without a longer run of which
// an escape right before it takes the first letters, as "%" does in "%41b%2Fcd" with those of "41b/cd".
func (s Secrets) In(text string) bool { return s.quotedIn != nil && s.quotedIn(text) }

// Line returns text fit to be a part of one log line: printable, each run of white space and of
// what cannot be printed one space, and cut to 300 runes, the last of them then "…". It is "" where
// text quotes one of s, also in the part that is cut off.
func (s Secrets) Line(text string) string {
	if s.In(text) {
		return ""
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) })
	line := strings.ToValidUTF8(strings.Join(words, " "), "\uFFFD")
	if line != text && s.In(line) {
		return ""
	}
	cut := 0
	for i := range line {
		switch cut++; cut {
		case maxRunes:
			text = line[:i] + "…"
		case maxRunes + 1:
			return text
		}
	}
	return line
}

// needles are what is looked for in a text.
type needles struct {
	runs    [][]string // of ASCII letters and digits in small letters, to be found in this order
	bare    []string   // to be found among the letters and digits of a text in any layer
	encoded []string   // to be found among those of a text as it is
	literal []string   // too short for that: to be found as they are, in any layer
}

func (n *needles) empty() bool { return len(n.bare)+len(n.literal) == 0 }

// add looks for a credential as it is, and with its own escapes undone: it may have "%41" in it, and
// a text that quotes it has that undone, too.
func (n *needles) add(credential string) {
	n.addRuns(credential)
	for _, c := range encodings(credential) {
		if b := bare(c); len(b) >= minLetters {
			n.encoded = append(n.encoded, b)
		}
	}
	for _, variant := range charsets(credential) {
		for i, layer := range layers(variant) {
			switch b := bare(layer); {
			case utf8.RuneCountInString(b) >= minLetters:
				n.bare = append(n.bare, b)
			case i == 0 || b != "":
				n.literal = append(n.literal, utf8Of(layer))
			}
		}
	}
}

// addRuns looks for the runs of a credential that has a long one.
func (n *needles) addRuns(credential string) {
	runs := strings.FieldsFunc(strings.ToLower(credential), func(r rune) bool {
		return r >= utf8.RuneSelf || !isAlnum(byte(r))
	})
	longest, all := 0, 0
	for _, run := range runs {
		longest, all = max(longest, len(run)), all+len(run)
	}
	if longest >= minRun && all >= minLetters {
		n.runs = append(n.runs, runs)
	}
}

// quotedIn looks at each layer of a text. What it looks at is bounded, so that no answer of a server
// costs more than some tenths of a second.
func (n *needles) quotedIn(text string) bool {
	if len(text) > maxText || contains(bare(text), n.encoded) {
		return true
	}
	work := 0
	for i, layer := range layers(text) {
		small := strings.ToLower(layer)
		if work += len(layer); i > maxLayers || work > maxWork ||
			slices.ContainsFunc(n.runs, func(runs []string) bool { return inOrder(small, runs) }) ||
			contains(bare(layer), n.bare) || contains(utf8Of(layer), n.literal) {
			return true
		}
	}
	return false
}

func contains(text string, needles []string) bool {
	return slices.ContainsFunc(needles, func(n string) bool { return strings.Contains(text, n) })
}

// layers yields text and what it becomes as one layer of its escapes after the other is undone, until
// none is left or one more than maxLayers is undone.
func layers(text string) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		for i := 0; i <= maxLayers+1 && yield(i, text); i++ {
			next := undo(text)
			if next == text {
				return
			}
			text = next
		}
	}
}
