package client_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGenerator_writesTheCheckedInClient(t *testing.T) {
	dir := t.TempDir()
	fresh, config := filepath.Join(dir, "client.gen.go"), filepath.Join(dir, "cfg.yaml")
	// The generator heeds -o only where its configuration names no output, and would write over the file to compare with.
	text, found := strings.CutSuffix(read(t, "cfg.yaml"), "output: client.gen.go\n")
	if !found {
		t.Fatal("cfg.yaml does not end with its output, client.gen.go")
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// go test keeps a result for as long as what the test itself has read is the same; this has the generator's version.
	read(t, "../go.mod")
	generate := exec.CommandContext(t.Context(), "go", "tool", "oapi-codegen", "-config", config, "-o", fresh, "../openapi.yaml")
	if out, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if diff := cmp.Diff(read(t, fresh), read(t, "client.gen.go")); diff != "" {
		t.Errorf("client.gen.go is stale, run go generate (-generator +checked in):\n%s", diff)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
