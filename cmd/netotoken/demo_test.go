package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A demo that is cut short says which cases it was about.
func TestNetotoken_demoEndsInTime(t *testing.T) {
	t.Parallel()
	r := netotoken(t, nil, "-demo", "-timeout=1s")
	if r.status != 1 || !strings.Contains(r.stdout, "\noutage") || !strings.Contains(r.stdout, "failed") {
		t.Errorf("status %d, stdout %q", r.status, r.stdout)
	}
	wantOneLine(t, r, "demo, expiry: ", "demo, outage: ", "(-timeout)")
}

// Each row of the demo's table is a case without a failed API call. Where it goes by the clock, the
// numbers of calls and of log-ins depend on that.
func TestNetotoken_demo(t *testing.T) {
	t.Parallel()
	// Credentials in the environment, here broken ones, play no part.
	r := succeed(t, []string{"NETOSECRET=broken", "NETO_USERNAME=ann", "NETO_URL=http://example.com"}, "-demo")
	type row struct{ name, calls, failed, logIns, refreshes string }
	got := make(map[string]row)
	_, table, _ := strings.Cut(r.stdout, "WHAT HAPPENED\n")
	table, next, _ := strings.Cut(table, "\n\n")
	for line := range strings.Lines(table) {
		var cells []string
		for cell := range strings.SplitSeq(line, "  ") {
			if cell = strings.TrimSpace(cell); cell != "" {
				cells = append(cells, cell)
			}
		}
		if len(cells) != 6 || len(line) > 80+len("\n") {
			t.Fatalf("not six columns, or over 80 characters: %q", line)
		}
		got[cells[0]] = row{cells[0], cells[1], cells[2], cells[3], cells[4]}
	}
	want := map[string]row{
		"API key":       {"API key", "3", "0", "1", "0"},
		"password":      {"password", "3", "0", "1", "0"},
		"refresh token": {"refresh token", "3", "0", "0", "1"},
		"revoked token": {"revoked token", "6", "0", "1", "1"},
		"expiry":        {"expiry", got["expiry"].calls, "0", "1", "2"},
		"outage":        {"outage", got["outage"].calls, "0", got["outage"].logIns, "1"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(row{})); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	if !strings.Contains(table, "503 for 1") { // of seconds: a tenth and more of what a token lives there
		t.Errorf("no renewal has met the outage:\n%s", table)
	}
	for _, name := range []string{"expiry", "outage"} {
		if len(got[name].calls) < 2 {
			t.Errorf("%s: %s calls are too few to show anything", name, got[name].calls)
		}
	}
	if strings.Contains(r.stdout, "eyJ") {
		t.Error("the demo prints a token")
	}
	if !strings.Contains(next, "NETOSECRET") {
		t.Error("the demo does not say what to set")
	}
}
