package secrecy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"text/template"

	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

// Each verb that fmt could be asked for, most of them bad for most values, but for
//   - %T, which prints no value;
//   - %w and %p, the two that fmt refuses before it asks a value for its Formatter: it prints all fields
//     then, and go vet reports the call. See TestVerbsThatFmtNeverAsksAFormatterFor for what is safe there.
func formats() (list []string) {
	for _, r := range "abcdefghijklmnoqrstuvxyzABCDEFGHIJKLMNOPQRSUVWXYZ" { // all but the above
		list = append(list, "%"+string(r))
	}
	list = append(list, "%~", "%/", "%ü", "%\x00", "%!", "%", "no verb", "%[3]v %[0]d", "%*d", "%.*s")
	for _, v := range "vsqxdtcUg" {
		for _, flags := range []string{"+", "#", "-10", "010", " ", ".30", "# ", "[1]", "+-# 0"} {
			list = append(list, "%"+flags+string(v))
		}
	}
	return list
}

// texts returns all that a program could make of x in a log or an answer, by how.
func texts(x any) map[string]string {
	out := make(map[string]string)
	for _, format := range formats() {
		out["Sprintf "+format] = fmt.Sprintf(format, x)
	}
	out["Sprint"] = fmt.Sprint(x)
	out["Sprintln"] = fmt.Sprintln(x, x)
	out["Append"] = string(fmt.Append(nil, x))
	out["Errorf"] = fmt.Errorf("wrapped: %v, %+v, %#v", x, x, x).Error()
	if err, ok := x.(error); ok {
		out["Error"] = err.Error()
		out["Errorf %w"] = fmt.Sprintf("%+v %#v %d", fmt.Errorf("wrapped: %w", err), fmt.Errorf("wrapped: %w", err), fmt.Errorf("wrapped: %w", err))
		joined := errors.Join(errors.New("another"), err)
		out["Join"] = fmt.Sprintf("%v %+v %#v %d %q", joined, joined, joined, joined, joined)
	}
	out["panic"] = panicked(func() { panic(x) })
	out["log.Panic"] = panicked(func() { log.New(new(bytes.Buffer), "", 0).Panicln(x) })

	encode := func(how string, marshal func(any) ([]byte, error)) {
		text, err := marshal(x)
		out[how] = string(text)
		if err != nil {
			out[how+" error"] = fmt.Sprintf("%v %+v %#v", err, err, err)
		}
	}
	encode("json.Marshal", json.Marshal)
	encode("json.Marshal in a struct", func(x any) ([]byte, error) { return json.Marshal(struct{ X any }{x}) })
	encode("xml.Marshal", xml.Marshal)

	for _, source := range []string{"{{.}}", `{{printf "%v %+v %#v %s %q %x %d" . . . . . . .}}`, "{{print .}} {{println .}}", "{{html .}}", "{{js .}}", "{{urlquery .}}"} {
		var b bytes.Buffer
		err := template.Must(template.New("").Parse(source)).Execute(&b, x)
		out["template "+source] = b.String()
		if err != nil {
			out["template "+source+" error"] = err.Error()
		}
	}

	var b bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		l := slog.New(h)
		l.Info("any", "x", x)
		l.Info("group", slog.Group("g", "x", x, slog.Group("h", slog.Any("x", x))))
		l.With("x", x).WithGroup("g").Info("with", "list", []any{x}, "map", map[string]any{"x": x})
		l.Info("no key", x)
	}
	var logged bytes.Buffer
	l := slog.New(slog.NewTextHandler(&logged, nil))
	slog.NewLogLogger(l.Handler(), slog.LevelInfo).Printf("%v %+v", x, x)
	out["slog"] = b.String() + logged.String()
	return out
}

// panicked returns what a handler that recovers would print of f's panic.
func panicked(f func()) (text string) {
	defer func() {
		v := recover()
		text = fmt.Sprint(v) + fmt.Sprintf("%v %+v %#v %s", v, v, v, v)
	}()
	f()
	return ""
}

// value is something with secrets in it that must not show.
type value struct {
	name string
	x    any
}

// held returns what programs keep x in: by value, p by pointer.
func held[T any](name string, x T) []value {
	p := &x
	type exported struct {
		Before int
		X      T
		P      *T
		PP     **T
		I      any
		S      []T
		M      map[string]T
		After  string
	}
	whole := exported{1, x, p, &p, x, []T{x}, map[string]T{"k": x}, "z"}
	return []value{
		{name, x}, {"*" + name, p}, {"**" + name, &p},
		{"[]" + name, []T{x, x}}, {"[]*" + name, []*T{p, p}}, {"*[]" + name, &[]T{x}}, {"[2]" + name, [2]T{x, x}}, {"*[2]" + name, &[2]T{x, x}},
		{"[]any of " + name, []any{x, p, 1, "z", nil}}, {"map of " + name, map[string]T{"k": x}}, {"map of *" + name, map[int]*T{1: p}},
		{"map of any of " + name, map[string]any{"k": x, "p": p}}, {"[][]" + name, [][]T{{x}, {x}}}, {"map of []" + name, map[string][]T{"k": {x}}},
		{"struct of " + name, struct{ X T }{x}}, {"struct of *" + name, struct{ P *T }{p}}, {"struct of any of " + name, struct{ I any }{x}},
		{"struct of much of " + name, whole}, {"*struct of much of " + name, &whole}, {"[]struct of " + name, []exported{whole}},
		{"map of struct of " + name, map[string]exported{"k": whole}},
		{"struct of struct of " + name, struct{ E exported }{whole}}, {"error beside " + name, struct {
			E error
			X T
		}{errors.New("e"), x}},
		{"nil beside " + name, struct {
			P *int
			F func()
			C chan int
			X T
		}{nil, nil, nil, x}},
	}
}

// embedding is what users derive from the types.
type (
	myKey      struct{ netoauth.APIKey }
	myPassword struct {
		*netoauth.Password
		Note string
	}
	myRefresh struct {
		Note string
		netoauth.Refresh
	}
)

// credentialValues are the credential types of k, and what may hold them.
func credentialValues(k kit) []value {
	o := netoauth.Options{InitialToken: k.initial(), OnToken: func(*oauth2.Token) {}, Logger: slog.New(slog.DiscardHandler)}
	data := netoauth.Options{InitialToken: k.initial()} // which can be marshalled
	var list []value
	for suffix, o := range map[string]netoauth.Options{"": o, " of data": data} {
		list = append(list, held("APIKey"+suffix, *k.apiKey("", o))...)
		list = append(list, held("Password"+suffix, *k.passwordOf("", o))...)
		list = append(list, held("Refresh"+suffix, *k.refresh("", o))...)
		list = append(list, held("Options"+suffix, o)...)
	}
	list = append(list, held("Secret", netoauth.Secret(k.password))...)
	list = append(list,
		value{"Account", k.apiKey("", o).Account("sub")},
		value{"map with Secret for keys, in fmt", keyed{netoauth.Secret(k.password): 1}},
		value{"APIKey embedded", myKey{*k.apiKey("", o)}}, value{"*APIKey embedded", &myKey{*k.apiKey("", o)}},
		value{"*Password embedded", myPassword{k.passwordOf("", o), "z"}}, value{"Refresh embedded", &myRefresh{"z", *k.refresh("", o)}},
		value{"[]credential", []credential{k.apiKey("", o), k.passwordOf("", o), k.refresh("", o)}},
		value{"Token method", k.apiKey("", o).Token},
	)
	return list
}

// keyed hides from encoding/json, which documents that it takes a string key as it is.
type keyed map[netoauth.Secret]int

func (keyed) MarshalJSON() ([]byte, error) { return []byte("{}"), nil }

func TestNoFormattingOfACredentialShowsASecret(t *testing.T) {
	v := plainKit.vault()
	for _, val := range credentialValues(plainKit) {
		v.checkAll(t, val.name, texts(val.x))
	}
}

// vFormats are those that programs use for structs.
var vFormats = []string{"%v", "%+v", "%#v", "% v", "%10v", "%-10v", "%.30v", "%+-# 0v"}

// A struct that holds a credential by value, itself held by pointer inside something else, is where fmt stops
// asking: it refuses to print the inner pointer with any verb but v, and reports that with all fields bare. So
// the promise is for the v verbs there. Held by pointer, the credential is safe with all.
func TestACredentialInAStructBehindAnInnerPointerShowsNoSecret(t *testing.T) {
	k := plainKit
	v := k.vault()
	type config struct {
		Key      netoauth.APIKey
		User     netoauth.Password
		Renewal  netoauth.Refresh
		Password netoauth.Secret
	}
	type pointers struct {
		Key      *netoauth.APIKey
		User     *netoauth.Password
		Renewal  *netoauth.Refresh
		Password *netoauth.Secret
	}
	o := netoauth.Options{InitialToken: k.initial()}
	secret := netoauth.Secret(k.password)
	byValue := &config{*k.apiKey("", o), *k.passwordOf("", o), *k.refresh("", o), secret}
	byPointer := &pointers{k.apiKey("", o), k.passwordOf("", o), k.refresh("", o), &secret}
	for _, x := range []any{[]*config{byValue}, struct{ C *config }{byValue}, map[string]*config{"k": byValue}, &byValue} {
		for _, format := range vFormats {
			v.check(t, fmt.Sprintf("%s of %T", format, x), fmt.Sprintf(format, x))
		}
	}
	for _, x := range []any{[]*pointers{byPointer}, struct{ C *pointers }{byPointer}, map[string]*pointers{"k": byPointer}, &byPointer} {
		v.checkAll(t, fmt.Sprintf("%T", x), texts(x))
	}
}

// Of an unexported field fmt asks no Formatter; a pointer there prints as an address with the v verbs, and
// with no other.
func TestACredentialBehindAPointerInAnUnexportedFieldShowsNoSecret(t *testing.T) {
	k := plainKit
	v := k.vault()
	o := netoauth.Options{InitialToken: k.initial()}
	secret := netoauth.Secret(k.password)
	for name, x := range map[string]any{
		"*APIKey":                struct{ p *netoauth.APIKey }{k.apiKey("", o)},
		"*Password":              struct{ p *netoauth.Password }{k.passwordOf("", o)},
		"*Refresh":               struct{ p *netoauth.Refresh }{k.refresh("", o)},
		"*Options":               struct{ p *netoauth.Options }{&o},
		"*Secret":                struct{ p *netoauth.Secret }{&secret},
		"an interface":           struct{ c credential }{k.apiKey("", o)},
		"any":                    struct{ x any }{k.passwordOf("", o)},
		"[]*APIKey":              struct{ s []*netoauth.APIKey }{[]*netoauth.APIKey{k.apiKey("", o)}},
		"a map":                  struct{ m map[string]credential }{map[string]credential{"k": k.refresh("", o)}},
		"with numbers around":    struct{ a, b any }{1, k.apiKey("", o)},
		"a struct with a struct": struct{ s struct{ p *netoauth.APIKey } }{struct{ p *netoauth.APIKey }{k.apiKey("", o)}},
	} {
		for _, x := range []any{x, &x, []any{x}} {
			for _, format := range vFormats {
				v.check(t, format+" of "+name, fmt.Sprintf(format, x))
			}
			all := texts(x)
			for _, how := range []string{"Sprint", "Sprintln", "Append", "log.Panic", "slog", "template {{.}}", "json.Marshal", "xml.Marshal"} {
				v.check(t, name+", "+how, all[how])
			}
		}
	}
}

// sources are the token sources and what is built over them, for all three flows.
func sources(t testing.TB, k kit, ctx context.Context, o netoauth.Options) (values []value, use func()) {
	var all []oauth2.TokenSource
	for name, c := range k.flows("https://api.test", o) {
		src := c.TokenSource(ctx)
		client := c.Client(ctx)
		transport, ok := client.Transport.(*netoauth.Transport)
		if !ok {
			t.Fatalf("%s: the client's Transport is a %T", name, client.Transport)
		}
		all = append(all, src, transport.Source)
		over := &netoauth.Transport{Source: src, Base: transport}
		foreign := &netoauth.Transport{Source: oauth2.ReuseTokenSource(k.initial(), src)}
		values = append(values, value{name + ": source", src}, value{name + ": []source", []oauth2.TokenSource{src}},
			value{name + ": map of source", map[string]oauth2.TokenSource{"k": src}},
			value{name + ": struct of source", struct{ S oauth2.TokenSource }{src}},
			value{name + ": unexported source", struct{ s oauth2.TokenSource }{src}},
			value{name + ": unexported source in a pointer", &struct {
				n int
				s oauth2.TokenSource
			}{1, src}},
			value{name + ": unexported any of source", struct{ s any }{src}},
			value{name + ": unexported Transport by value", struct{ t netoauth.Transport }{*transport}},
			value{name + ": unexported Transport", struct{ t *netoauth.Transport }{transport}},
			value{name + ": unexported RoundTripper", struct{ t http.RoundTripper }{transport}},
			value{name + ": unexported Client", struct{ c *http.Client }{client}},
			value{name + ": unexported Client by value", struct{ c http.Client }{*client}},
			value{name + ": source under x/oauth2's cache", oauth2.ReuseTokenSource(nil, src)},
			value{name + ": oauth2.Transport", &oauth2.Transport{Source: src}},
			value{name + ": foreign source", foreign},
			value{name + ": oauth2.Transport by value", oauth2.Transport{Source: src}},
		)
		values = append(values, value{name + ": Transport over Transport", over}, value{name + ": Client", client})
		values = append(values, held(name+": Transport", *transport)...)
	}
	return values, func() {
		for _, src := range all {
			if _, err := src.Token(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestNoFormattingOfASourceATransportOrAClientShowsASecret(t *testing.T) {
	k := plainKit
	v := k.vault()
	network := roundTripper(func(r *http.Request) (*http.Response, error) { return respond(r, 200, k.answer()), nil })
	ctx := over(t.Context(), v.watch(network))
	lookAt := func(t *testing.T, values []value) {
		for _, val := range values {
			v.checkAll(t, val.name, texts(val.x))
		}
	}
	for name, o := range map[string]netoauth.Options{
		"new": {}, "with InitialToken": {InitialToken: k.initial(), OnToken: func(*oauth2.Token) {}},
	} {
		t.Run(name, func(t *testing.T) {
			values, use := sources(t, k, ctx, o)
			lookAt(t, values)
			use()
			lookAt(t, values)
		})
	}
	t.Run("of a credential that cannot be used", func(t *testing.T) {
		bad := k
		var values []value
		for name, c := range map[string]credential{
			"API key":  &netoauth.APIKey{AppKey: netoauth.Secret(bad.appKey), SharedSecret: netoauth.Secret(bad.sharedSecret)},
			"password": bad.passwordOf("https://ann:"+bad.password+"@api.test", netoauth.Options{}),
			"refresh":  bad.refresh("https://api.test?token="+bad.refreshToken, netoauth.Options{}),
		} {
			src := c.TokenSource(ctx)
			_, err := src.Token()
			values = append(values, value{name, src}, value{name + " error", err}, value{name + " client", c.Client(ctx)},
				value{name + " unexported", struct{ s oauth2.TokenSource }{src}})
		}
		lookAt(t, values)
	})
}

func TestTheVerbsOfTheContractPrintRedactedAndTellOneKeyFromAnother(t *testing.T) {
	k := plainKit
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, x := range []any{k.apiKey("", netoauth.Options{}), *k.apiKey("", netoauth.Options{}), k.passwordOf("", netoauth.Options{}),
			*k.refresh("", netoauth.Options{}), netoauth.Options{}, netoauth.Secret("x")} {
			if text := fmt.Sprintf(verb, x); !strings.Contains(text, "[redacted]") {
				t.Errorf("%s of %T is %q, want [redacted] in it", verb, x, text)
			}
		}
	}
	if text := fmt.Sprint(k.apiKey("", netoauth.Options{})); !strings.Contains(text, "acme") || !strings.Contains(text, "reports") {
		t.Errorf("an APIKey prints as %q, which does not tell it from another", text)
	}
	if text := fmt.Sprint(k.passwordOf("", netoauth.Options{})); !strings.Contains(text, "ann") {
		t.Errorf("a Password prints as %q, which does not tell it from another", text)
	}
}

func TestASecretPrintsLogsAndMarshalsAsRedacted(t *testing.T) {
	s := netoauth.Secret(plainKit.password)
	text, err := json.Marshal(map[string]any{"s": s, "p": &s, "struct": struct{ S netoauth.Secret }{s}})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"p":"[redacted]","s":"[redacted]","struct":{"S":"[redacted]"}}`; string(text) != want {
		t.Errorf("JSON is %s, want %s", text, want)
	}
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).Info("", "s", s)
	if !strings.Contains(b.String(), "s=[redacted]") {
		t.Errorf("slog writes %q", b.String())
	}
	if string(s) != plainKit.password {
		t.Error("string(s) is not its value")
	}
}

// fmt refuses %w in everything but Errorf's errors, and %p in what is not a pointer, before it looks for a
// Formatter, and prints all fields. A string type cannot keep anything back there. What can be safe is.
func TestVerbsThatFmtNeverAsksAFormatterFor(t *testing.T) {
	bad := []string{"%p", "%w", "%T", "%+w", "%#p"}
	k := plainKit
	v := k.vault()
	network := roundTripper(func(r *http.Request) (*http.Response, error) { return respond(r, 200, k.answer()), nil })
	values, use := sources(t, k, over(t.Context(), network), netoauth.Options{InitialToken: k.initial()})
	use()
	for _, c := range k.flows("", netoauth.Options{InitialToken: k.initial()}) {
		v.check(t, "%p of a pointer", fmt.Sprintf("%p", c))
		for _, format := range bad {
			v.check(t, format+" of a pointer in a struct", fmt.Sprintf(format, struct{ C credential }{c}))
		}
	}
	for _, val := range values {
		for _, format := range bad {
			v.check(t, format+" of "+val.name, fmt.Sprintf(format, val.x))
		}
	}
}
