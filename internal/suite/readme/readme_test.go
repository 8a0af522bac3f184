// Package readme_test compiles README's Go code.
package readme_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// packages are what the pieces of README's code may import, by the name that they use.
var packages = map[string]string{
	"context": "context", "errors": "errors", "expvar": "expvar", "fmt": "fmt", "http": "net/http", "log": "log",
	"os": "os", "slog": "log/slog", "sql": "database/sql", "time": "time",
	"netoauth":     "github.com/netoauth/netoauth",
	"netoauthtest": "github.com/netoauth/netoauth/netoauthtest",
	"tokenfile":    "github.com/netoauth/netoauth/tokenfile",
	"tokensql":     "github.com/netoauth/netoauth/tokensql",
	"oauth2":       "golang.org/x/oauth2",
}

// given are the variables that the pieces take for granted, by what they are.
var given = map[string]string{
	"ctx": "context.Context", "key": "*netoauth.APIKey", "db": "*sql.DB", "runMyProgram": "func(*http.Client, string)",
}

var (
	block    = regexp.MustCompile("(?ms)^```(go|diff)\n(.*?)^```$")
	removed  = regexp.MustCompile(`(?m)^-.*\n`)
	mark     = regexp.MustCompile(`(?m)^[+ ]`)
	declared = regexp.MustCompile(`(?m)^(\w+)(?:, (\w+))? :=`) // at the top level of a piece
)

func TestREADME_isShort(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	lines, words := strings.Count(string(readme), "\n"), len(strings.Fields(string(readme)))
	if err != nil || lines > 130 || words > 1000 {
		t.Errorf("%d lines, %d words, %v; want what is read in two minutes", lines, words, err)
	}
}

// Whole programs are compiled as they are, and pieces as the body of a function. Of a diff, the new side counts.
func TestREADME_codeCompiles(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := block.FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 3 {
		t.Fatalf("%d blocks of code in README, want them found", len(blocks))
	}
	for i, b := range blocks {
		kind, code := b[1], b[2]
		if kind == "diff" {
			code = mark.ReplaceAllString(removed.ReplaceAllString(code, ""), "")
		}
		if !strings.HasPrefix(code, "package ") {
			code = piece(code)
		}
		t.Run(fmt.Sprint(kind, " ", i), func(t *testing.T) { compile(t, code) })
	}
}

// piece makes a file of the body of a function.
func piece(code string) string {
	var params, uses []string
	for name, what := range given {
		if !regexp.MustCompile(`(?m)^` + name + `\b.* :=`).MatchString(code) {
			params = append(params, name+" "+what)
		}
	}
	for _, d := range declared.FindAllStringSubmatch(code, -1) {
		for _, name := range d[1:] {
			if name != "" && name != "_" {
				uses = append(uses, "_ = "+name)
			}
		}
	}
	body := "func piece(" + strings.Join(params, ", ") + ") {\n" + code + strings.Join(uses, "\n") + "\n}\n"
	head := "package piece\n\n"
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		if regexp.MustCompile(`\b` + name + `\.`).MatchString(body) {
			head += fmt.Sprintf("import %q\n", packages[name])
		}
	}
	return head + body
}

// compile builds code as a file of this module that is not on the disk.
func compile(t *testing.T, code string) {
	dir := t.TempDir()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	file, overlay := filepath.Join(dir, "code.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(here, "code", "code.go"): file,
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{file: []byte(code), overlay: replace} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "build", "-o", os.DevNull, "-overlay", overlay, "./code").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, code)
	}
}
