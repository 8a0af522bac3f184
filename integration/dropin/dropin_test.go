// Package dropin_test holds netoauth's Transport to the tests that x/oauth2 has for its own.
package dropin_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	_ "github.com/netoauth/netoauth" // what the overlaid file imports
	_ "golang.org/x/oauth2"
)

// The file is read from the module cache at the version in go.mod and laid over this folder, so that what
// runs is x/oauth2's own and none of it is kept here.
func TestDropIn_passesTheTestsOfXOAuth2(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/oauth2").Output()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "transport_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	src := string(theirs)
	for old, swapped := range map[string]string{
		"package oauth2\n":   "package dropin_test\n",
		"import (\n":         "import (\n\t\"github.com/netoauth/netoauth\"\n\t\"golang.org/x/oauth2\"\n",
		"&Transport{":        "&netoauth.Transport{",
		"&Token{":            "&oauth2.Token{",
		"StaticTokenSource(": "oauth2.StaticTokenSource(",
	} {
		if !strings.Contains(src, old) {
			t.Fatalf("their tests have no %q any more", old)
		}
		src = strings.ReplaceAll(src, old, swapped)
	}
	tmp := t.TempDir()
	file := filepath.Join(tmp, "swapped_test.go")
	if err := os.WriteFile(file, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(here, "swapped_test.go"): file}})
	if err != nil {
		t.Fatal(err)
	}
	overlayFile := filepath.Join(tmp, "overlay.json")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		t.Fatal(err)
	}

	out, err := exec.Command("go", "test", "-overlay", overlayFile, "-run", "^(TestTransport|TestToken|TestExpired)", "-v", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	passed := regexp.MustCompile(`(?m)^--- PASS: TestTransport\w+`).FindAllString(string(out), -1)
	t.Logf("%s", strings.Join(passed, "\n"))
	if len(passed) < 5 {
		t.Errorf("%d of their transport tests ran:\n%s", len(passed), out)
	}
}
