package secrecy_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"slices"
	"text/template"

	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

// Each verb that fmt could be asked for, most of them bad for most values, but for
//   - %T, which prints no value;
//   - %w and %p, the two that fmt refuses before it asks a value for its Formatter: it prints all
//     fields then, and go vet reports the call. What is safe there is in
//     TestSecret_verbsThatFmtNeverAsksAFormatterFor.
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

// vFormats are those that programs use for structs.
var vFormats = []string{"%v", "%+v", "%#v", "% v", "%10v", "%-10v", "%.30v", "%+-# 0v"}

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
		wrapped := fmt.Errorf("wrapped: %w", err)
		out["Errorf %w"] = fmt.Sprintf("%+v %#v %d", wrapped, wrapped, wrapped)
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

	for _, source := range []string{
		"{{.}}", `{{printf "%v %+v %#v %s %q %x %d" . . . . . . .}}`,
		"{{print .}} {{println .}}", "{{html .}}", "{{js .}}", "{{urlquery .}}",
	} {
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

// brief are the texts of an error that a program would log, and those of all errors in it, as a
// reporter of errors collects them: of each in the chain, not of the outermost alone.
func brief(err error) map[string]string {
	out := make(map[string]string)
	for _, format := range []string{"%U", "%c", "%z", "%!"} { // which are bad for an error
		out[format] = fmt.Sprintf(format, err)
	}
	note := func(what string, err error) {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			out[what+format] = fmt.Sprintf(format, err)
		}
		text, _ := json.Marshal(err)
		out[what+"json"] = string(text)
	}
	for err := range chain(err) {
		out[fmt.Sprintf("the text of the %T in it", err)] += err.Error() + "\n"
	}
	note("", err)
	note("wrapped, ", fmt.Errorf("wrapped: %w", err))
	note("joined, ", errors.Join(errors.New("another"), err))
	var e *netoauth.Error
	if errors.As(err, &e) {
		note("netoauth.Error, ", e)
		out["netoauth.Error as a value"] = fmt.Sprintf("%+v %#v", *e, *e)
		out["Name and Message"] = e.Name + "\n" + e.Message
	}
	var re *oauth2.RetrieveError
	if errors.As(err, &re) {
		note("oauth2.RetrieveError, ", re)
		out["RetrieveError's fields"] = fmt.Sprintln(string(re.Body), re.ErrorCode, re.ErrorDescription, re.ErrorURI)
		out["RetrieveError's Header"] = fmt.Sprint(re.Response.Header)
	}
	return out
}

// chain is err and all errors in it.
func chain(err error) func(yield func(error) bool) {
	return func(yield func(error) bool) { walk(err, yield) }
}

func walk(err error, yield func(error) bool) bool {
	if err == nil {
		return true
	}
	if !yield(err) {
		return false
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		return walk(u.Unwrap(), yield)
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(u.Unwrap(), func(err error) bool { return !walk(err, yield) })
	}
	return true
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
		{"[]" + name, []T{x, x}}, {"[]*" + name, []*T{p, p}}, {"*[]" + name, &[]T{x}},
		{"[2]" + name, [2]T{x, x}}, {"*[2]" + name, &[2]T{x, x}},
		{"[]any of " + name, []any{x, p, 1, "z", nil}}, {"map of " + name, map[string]T{"k": x}},
		{"map of *" + name, map[int]*T{1: p}},
		{"map of any of " + name, map[string]any{"k": x, "p": p}}, {"[][]" + name, [][]T{{x}, {x}}},
		{"map of []" + name, map[string][]T{"k": {x}}},
		{"struct of " + name, struct{ X T }{x}}, {"struct of *" + name, struct{ P *T }{p}},
		{"struct of any of " + name, struct{ I any }{x}},
		{"struct of much of " + name, whole}, {"*struct of much of " + name, &whole},
		{"[]struct of " + name, []exported{whole}},
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
