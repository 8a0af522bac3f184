package redact_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/netoauth/netoauth/internal/redact"
)

// long are credentials with at least 6 letters and digits, short those with fewer.
var long = []string{
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
}

var short = []string{
	"a+ b'c",
	"hü\"/5",
	"%41é",
	"k🔑",
	"q",
	"!",
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
	{"encodeURI of JavaScript, which leaves ' and / alone", func(s string) string {
		return percent(s, "'/;,?:@&=+$#!*()-_.~")
	}},
	{"percent-encoded, every byte", func(s string) string { return percent(s, "") }},
	{"percent-encoded Latin-1", func(s string) string { return percent(latin1(s), "-_.~") }},
	{"JSON", func(s string) string { return toJSON(s, true) }},
	{"JSON without escapes for HTML", func(s string) string { return toJSON(s, false) }},
	{"JSON in ASCII with \\/, as of PHP", func(s string) string {
		return strings.ReplaceAll(utf16Escape(toJSON(s, false)), "/", `\/`)
	}},
	{"HTML", html.EscapeString},
	{"HTML that leaves ' alone", func(s string) string {
		return strings.ReplaceAll(html.EscapeString(s), "&#39;", "'")
	}},
	{"HTML with &#x27;", func(s string) string {
		return strings.ReplaceAll(html.EscapeString(s), "&#39;", "&#x27;")
	}},
	{"HTML, every character in hexadecimal", func(s string) string { return eachRune(s, "&#x%X;") }},
	{"HTML, every character in decimal, no semicolon", func(s string) string { return eachRune(s, "&#%d") }},
	{"HTML with names", func(s string) string {
		return strings.NewReplacer("ü", "&uuml;", "ä", "&auml;").Replace(html.EscapeString(s))
	}},
	{"repr of a Python str", pythonRepr},
	{"ascii of a Python str", pythonASCII},
	{"repr of Python bytes", func(s string) string { return byteEscape(s, `\x%02x`) }},
	{"repr of Python bytes in Latin-1", func(s string) string { return byteEscape(latin1(s), `\x%02x`) }},
	{"octal, as of C and git", func(s string) string { return byteEscape(s, `\%03o`) }},
	{"var_export of PHP", func(s string) string {
		return strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\x00", `' . "\0" . '`).Replace(s)
	}},
	{"Perl", func(s string) string { return eachRuneBeyondASCII(strings.ReplaceAll(s, `\`, `\\`), `\x{%x}`) }},
	{"Rust's escape_default", func(s string) string {
		return eachRuneBeyondASCII(strings.NewReplacer(`\`, `\\`, `"`, `\"`, "'", `\'`).Replace(s), `\u{%x}`)
	}},
	{"Rust's escape_unicode", func(s string) string { return eachRune(s, `\u{%x}`) }},
	{"escape of JavaScript", func(s string) string { return eachRuneBeyondASCII(strings.ReplaceAll(s, "%", "%25"), "%%u%04X") }},
	{"Go's %q", strconv.Quote},
	{"Go's %+q", strconv.QuoteToASCII},
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
	{"in UTF-8 taken for Latin-1", func(s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			b.WriteRune(rune(c))
		}
		return b.String()
	}},
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

func eachRuneBeyondASCII(s, format string) string {
	var b strings.Builder
	for _, r := range s {
		switch high, low := utf16.EncodeRune(r); {
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case format == "%%u%04X" && high != utf8.RuneError:
			fmt.Fprintf(&b, format+format, high, low)
		default:
			fmt.Fprintf(&b, format, r)
		}
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
	escapes := strings.NewReplacer(`\`, `\\`, quote, `\`+quote, "\n", `\n`, "\t", `\t`, "\r", `\r`)
	for _, r := range escapes.Replace(s) {
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
	for _, secret := range slices.Concat(long, short) {
		s := redact.New("", "another one", secret)
		for _, e := range escapers {
			once := e.escape(secret)
			twice := e.escape(once)
			for times, escaped := range []string{once, twice, e.escape(twice)} {
				for _, format := range []string{"%s", "wrong password=%s", "<%s> is wrong"} {
					if text := fmt.Sprintf(format, escaped); !s.In(text) {
						t.Errorf("%s, %d times: not seen: secret %q in %q", e.name, times+1, secret, text)
					}
				}
			}
		}
	}
}

func TestSecrets_In_holdsForMixedEscapes(t *testing.T) {
	for _, secret := range long {
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
	for _, secret := range long {
		s := redact.New(secret)
		for _, d := range distorters {
			if text := "no: " + d.distort(secret); !s.In(text) {
				t.Errorf("%s: not seen: secret %q in %q", d.name, secret, text)
			}
		}
	}
}

// What most escapes leave alone are ASCII letters and digits: the runs of these in a credential show
// it in escapes that nobody has thought of.
func TestSecrets_In_holdsForEscapesItDoesNotKnow(t *testing.T) {
	s := redact.New("Z\u00fcrich-\u00dcberlingen")
	for _, text := range []string{
		`Z\N{LATIN SMALL LETTER U WITH DIAERESIS}rich-\N{LATIN CAPITAL LETTER U WITH DIAERESIS}berlingen`,
		"no: Z=FCrich-=DCberlingen",     // quoted-printable
		"Zu\u0308rich-U\u0308berlingen", // decomposed
		`Zu\u{308}rich-U\u{308}berlingen`,
		"Z+APw-rich--+ANw-berlingen", // UTF-7
		"Z?rich-?berlingen",
		"Zuerich-Ueberlingen",
		"ZRICH, BERLINGEN",
		`Z\\\\\\\\\\\\\\\\u00fcrich-\\\\\\\\\\\\\\\\u00dcberlingen`,
	} {
		if !s.In(text) {
			t.Errorf("not seen in %q", text)
		}
	}
}

func TestSecrets_In_holdsForTheBytes(t *testing.T) {
	for _, secret := range append(long, "hunter", "p4ss!") {
		s, b := redact.New(secret), []byte(secret)
		texts := []string{
			hex.EncodeToString(b), fmt.Sprintf("%X", b), fmt.Sprintf("% x", b), fmt.Sprintf("%# x", b),
			fmt.Sprint(b), strings.ReplaceAll(fmt.Sprint(b), " ", ", "),
		}
		for _, before := range []string{"", "1", "12", "123", "user:"} {
			for _, after := range []string{"", "4", "56"} {
				all := []byte(before + secret + after)
				std, safe := base64.StdEncoding.EncodeToString(all), base64.RawURLEncoding.EncodeToString(all)
				texts = append(texts, std, safe, strings.Join(strings.Split(std, ""), "\r\n"))
			}
		}
		for _, text := range texts {
			if !s.In("no: " + text) {
				t.Errorf("secret %q not seen in %q", secret, text)
			}
		}
	}
}

// Texts that a credential is not in: what the API says and what net/http says, beside credentials
// that only look like it.
func TestSecrets_In_isFalseForOtherTexts(t *testing.T) {
	tests := map[string]struct{ secret, text string }{
		"the API's message":               {"correct horse", "wrong user name or password"},
		"the start of a credential":       {"passw0rd", "wrong passw"},
		"other letters between":           {"passw0rd", "pass the w0rd"},
		"short: without its punctuation":  {"a-b-c", "abc"},
		"short: in capitals":              {"token", "TOKEN"},
		"short, but long in bytes":        {"пар", "п а р"},
		"one of the runs":                 {"correct horse battery", "is the battery correct?"},
		"the runs in another order":       {"correct horse battery", "battery of the horse: correct"},
		"runs that are found in any text": {"abc-def-ghi", "abc, or def, or ghi"},
		"a short credential's run":        {"abcd!", "abcd"},
		"short: other white space":        {"a b", "a  b"},
		"punctuation, and other such":     {"?!", "Really? Yes! ...!?"},
		"an escape that stands for a \"":  {"&quot;&quot;", `{"name": ""}`},
		"no credential":                   {"", ""},
		"no credential, and some text":    {"", "no"},
		"percent signs":                   {"fifty5percent", "50% of 100%, %zz, %4"},
		"backslashes":                     {"correct horse", `C:\Users\x\u12\U0011 \`},
		"ampersands":                      {"correct horse", "AT&T & Co; R&D &#; &#x; &"},
		"characters that do not exist":    {"correct", `\UFFFFFFFF \ud83d \udd11 &#xFFFFFFFFFFFF; %FF`},
		"digits with another fifth bit":   {"AAAAAA", strings.Repeat("%\x14\x11", 6)},
		"four layers of percent signs":    {"correct horse", "%" + strings.Repeat("25", 3) + "20"},
		"a MiB":                           {"correct horse", strings.Repeat("x", 1<<20)},
		"net/http's error for a bad host": {"correct horse", `dial tcp: lookup api.test: no such host`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if redact.New(test.secret).In(test.text) {
				t.Errorf("In(%q) is true with the secret %q", test.text, test.secret)
			}
		})
	}
	var none redact.Secrets
	if none.In("anything") {
		t.Error("the zero Secrets see a credential")
	}
}

func TestSecrets_In_holdsForHostileTexts(t *testing.T) {
	const mib = 1 << 20
	endless := "%" + strings.Repeat("25", 99)
	escapes := strings.Repeat("%zz&#\\u", mib/8)
	spaces := strings.Repeat(" ", mib)
	tests := map[string]struct{ secret, text string }{
		"a % before hexadecimal digits":       {"41abcdef", "%41abcdef"},
		"a backslash before an n":             {"needles", `\needles`},
		"a & before a name":                   {"lt;abcdef", "&lt;abcdef"},
		"more than a MiB":                     {"correct horse", strings.Repeat("x", mib+1)},
		"more than two MiB in four layers":    {"correct horse", strings.Repeat("x", mib/2) + "%252520"},
		"five layers":                         {"correct horse", "%" + strings.Repeat("25", 4) + "20"},
		"a MiB of percent signs":              {"correct horse", "%" + strings.Repeat("25", mib/2)},
		"a MiB of backslashes":                {"correct horse", strings.Repeat(`\`, mib)},
		"a MiB of white space in it":          {"correct horse", "correct" + spaces + "horse"},
		"after a MiB of its beginnings":       {"aaaaaaab", strings.Repeat("a", mib) + "b"},
		"after a MiB of escapes":              {"correct horse", escapes + "correct+horse"},
		"after a MiB of ampersands":           {"correct horse", strings.Repeat("&", mib) + "correct+horse"},
		"a credential in capitals that fold":  {"straſſe kelvin", "STRASSE \u212AELVIN"},
		"UTF-8 taken for Windows-1252":        {"пароль", "Ð¿Ð°Ñ€Ð¾Ð»ÑŒ"},
		"an entity of Windows-1252":           {"Škoda12", "&#138;koda12"},
		"a credential in Latin-1":             {"Z\xfcrich1", `Z\u00fcrich1`},
		"a credential in Latin-1, in JSON":    {"Z\xfcrich1", `Z\ufffdrich1`},
		"a short one in Latin-1":              {"\xfc", "ü"},
		"a credential that has no end itself": {endless, endless},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if !redact.New(test.secret).In(test.text) {
				t.Errorf("In(%.80q) is false with the secret %.80q", test.text, test.secret)
			}
		})
	}
}

// What a server can make a program look at is bounded, see the hostile texts above. These are the
// slowest of the texts that are looked at whole.
func BenchmarkSecrets_Line(b *testing.B) {
	const mib = 1 << 20
	token := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat(`{"iat":1,"jti":"0123456789"}`, 10)))
	s := redact.New("4c8f9e0b-app-key", "shared secret 4711", token+"."+token+"."+token, token)
	for name, text := range map[string]string{
		"plain":        strings.Repeat("no user ", mib/8),
		"not ASCII":    strings.Repeat("ü", mib/2),
		"beginnings":   strings.Repeat("4c8f9e0b-app-ke", mib/15),
		"percent":      strings.Repeat("%2525252525", mib/22),
		"backslashes":  strings.Repeat(`\`, mib/2),
		"ampersands":   strings.Repeat("&amp;", mib/10),
		"unprintable":  strings.Repeat("\x00a", mib/2),
		"not UTF-8":    strings.Repeat("\xff", mib),
		"an entity":    "&" + strings.Repeat("a", mib-1),
		"open escapes": strings.Repeat(`\u{&#%4`, mib/16),
		"10 MiB":       strings.Repeat("x", 10*mib),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s.Line(text)
			}
		})
	}
}

func TestSecrets_Line(t *testing.T) {
	x := func(n int) string { return strings.Repeat("ü", n) }
	tests := map[string]struct{ secret, text, want string }{
		"empty":                              {"", "", ""},
		"plain":                              {"correct horse", "wrong user name", "wrong user name"},
		"white space":                        {"", "\r\n a  b\t\u00a0\u2028c ", "a b c"},
		"control and invisible characters":   {"", "a\x00b\x1b[31m\u200b\u202ec", "a b [31m c"},
		"white space alone":                  {"", " \n ", ""},
		"not UTF-8":                          {"", "a\xffb", "a\uFFFDb"},
		"escapes stay":                       {"correct horse", `a%20b\n&lt;`, `a%20b\n&lt;`},
		"300 characters":                     {"", x(300), x(300)},
		"301 characters":                     {"", x(301), x(299) + "…"},
		"a MiB":                              {"correct horse", x(1 << 19), x(299) + "…"},
		"a credential":                       {"correct horse", "no: correct+horse", ""},
		"a credential beyond the cut":        {"correct horse", x(300) + "correct+horse", ""},
		"a credential across the cut":        {"correct horse", x(295) + "correct+horse", ""},
		"a credential that the line makes":   {"a b", "no: a\x00b", ""},
		"a credential that the line changes": {"a\x00b", "no: a\x00b", ""},
		"half a credential":                  {"correct horse", "no: correct", "no: correct"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := redact.New(test.secret).Line(test.text); got != test.want {
				t.Errorf("Line(%.80q) = %q, want %q", test.text, got, test.want)
			}
		})
	}
}

// Secrets may stand in a struct that somebody prints.
func TestSecrets_printNoCredential(t *testing.T) {
	s := redact.New("hunter22", "pw", hex.EncodeToString([]byte("hunter22")))
	inside := struct{ secrets redact.Secrets }{s}
	for _, v := range []any{s, &s, inside, &inside} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if text := fmt.Sprintf(verb, v); s.In(text) {
				t.Errorf("%s of a %T shows a credential: %s", verb, v, text)
			}
		}
		if text, err := json.Marshal(v); err != nil || s.In(string(text)) {
			t.Errorf("JSON of a %T: %s, %v", v, text, err)
		}
	}
}

// mayBeEscape is what a secret may lose when its own escapes are undone, UTF-8 taken for Latin-1
// among them.
var mayBeEscape = regexp.MustCompile(`[%\\&][#\pL\pN]*|[\x{80}-\x{17F}]`)

// mojibake is UTF-8 taken for Latin-1, whose escapes by character are those of the right text's bytes.
var mojibake = regexp.MustCompile(`[\x{C2}-\x{F4}][\x{80}-\x{BF}]`)

// FuzzSecrets_In holds that no text, secret and sequence of up to three escapers hides the secret.
// Before the secret stands a space, since an escape that begins in the text before may swallow its
// first letters.
func FuzzSecrets_In(f *testing.F) {
	for i := range escapers {
		f.Add(long[i%len(long)], "100% wrong: \\", "\\n", uint(i+i*len(escapers)))
	}
	f.Fuzz(func(t *testing.T, secret, before, after string, choice uint) {
		letters := 0
		for _, r := range mayBeEscape.ReplaceAllString(secret, "") {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				letters++
			}
		}
		if letters < 6 || !utf8.ValidString(secret) || mojibake.MatchString(secret) {
			t.Skip("the promise is about texts of 6 letters or more")
		}
		escaped, names := secret, ""
		for range 3 {
			e := escapers[choice%uint(len(escapers))]
			escaped, names = e.escape(escaped), names+"; "+e.name
			choice /= uint(len(escapers))
		}
		if text := before + " " + escaped + " " + after; !redact.New(secret).In(text) {
			t.Errorf("secret %q is not seen in %q%s", secret, text, names)
		}
	})
}
