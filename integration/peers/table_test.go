package peers

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the table into README.md and ../../README.md, and the figures beside it")

// ownRuns is how often netoauth goes through each situation: it spreads its renewals and tries at
// random, so its figures differ a little from run to run. The table has the worst of them. The peers
// do nothing at random and go once; where a renewal in the background races with requests, theirs
// differ too, by a percent.
const ownRuns = 3

func TestTable(t *testing.T) {
	runs := make([][]figures, len(subjects))
	usual := debug.SetGCPercent(400)         // fleets have many stacks to scan
	t.Run("situations", func(t *testing.T) { // which ends when its parallel subtests have
		for i, s := range subjects {
			runs[i] = make([]figures, 1)
			if i == 0 && thorough {
				runs[i] = make([]figures, ownRuns)
			}
			for j := range runs[i] {
				for _, sit := range situations {
					if sit.once && j > 0 {
						continue
					}
					t.Run(s.name+"/"+sit.name, func(t *testing.T) {
						t.Parallel()
						sit.play(t, s.client, &runs[i][j])
					})
				}
			}
		}
	})
	debug.SetGCPercent(usual)
	if t.Failed() {
		return
	}
	allocs := allocations(t)
	for i := range subjects {
		for j := range runs[i] {
			runs[i][j].allocations = allocs[i+1]
		}
	}
	hold(t, runs)
	text := table(t, runs)
	os.Stdout.WriteString("\n" + text + "\n")
	if *update {
		if !thorough {
			t.Fatal("with the race detector the table is not whole")
		}
		draw(t, runs)
		write(t, "README.md", text)
		write(t, "../../README.md", text)
	}
	inREADMEs(t, text)
}

// write puts the lines of table in the place of those in file that have the same name.
func write(t *testing.T, file, table string) {
	fresh := map[string]string{}
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| ---") { // as every table has one
			fresh[name(line)] = line
		}
	}
	var b strings.Builder
	for line := range strings.Lines(read(t, file)) {
		if now, ok := fresh[name(line)]; ok && strings.HasPrefix(line, "| ") {
			line = now
		}
		b.WriteString(line)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// name returns the first cell of a line of the table, without what it gives in brackets.
func name(line string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " |")
	first, _, _ = strings.Cut(first, " (")
	return first
}

// inREADMEs checks that the README of this folder has the table's head, versions included, and its
// rows, and that the project's, where it has a table of figures, has lines of this one. Figures may differ from the
// table's by chance.
func inREADMEs(t *testing.T, table string) {
	want, whole := heads(table), read(t, "README.md")
	all := heads(whole)
	if !thorough {
		overload := func(row string) bool { return strings.HasPrefix(row, "overload: ") }
		all = slices.DeleteFunc(all, overload)
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("rows of README.md (-want +got):\n%s", diff)
	}
	_, excerpt, found := strings.Cut(read(t, "../../README.md"), "|  | netoauth |")
	if !found {
		return
	}
	excerpt, _, _ = strings.Cut("|  | netoauth |"+excerpt, "\n\n")
	for line := range strings.Lines(excerpt) {
		if line = strings.TrimSpace(line); !strings.Contains(whole, line+"\n") {
			t.Errorf("../../README.md has %q, README.md has not", line)
		}
	}
}

// heads returns the head of the table of figures in text, and the name of each row, without what it
// gives in brackets.
func heads(text string) (all []string) {
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "|  | netoauth |"):
			all = append(all, line)
		case len(all) > 0 && strings.HasPrefix(line, "| "):
			all = append(all, name(line))
		case len(all) > 0:
			return all
		}
	}
	return all
}

func read(t *testing.T, file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// hold fails the test where netoauth is behind.
func hold(t *testing.T, runs [][]figures) {
	for _, r := range rows {
		own := worst(runs[0], r)
		if r.price != nil && r.figure(own) > r.bound {
			t.Errorf("%s: netoauth %d, want at most %d", r.name, r.figure(own), r.bound)
		}
		for i := 1; i < len(subjects); i++ {
			its := worst(runs[i], r)
			paid := r.price != nil && r.price(its) > r.price(own)
			if r.figure(own) > r.figure(its) && !paid {
				t.Errorf("%s: netoauth %s, %s %s, want no more", r.name, r.text(own), subjects[i].name, r.text(its))
			}
		}
	}
}

// worst returns the figures of the run that did worst in r.
func worst(runs []figures, r row) figures {
	return slices.MaxFunc(runs, func(a, b figures) int { return r.figure(a) - r.figure(b) })
}

// table returns the table in Markdown.
func table(t *testing.T, runs [][]figures) string {
	var b strings.Builder
	line := func(first string, cell func(i int) string) {
		b.WriteString("| " + first)
		for i := range subjects {
			b.WriteString(" | " + cell(i))
		}
		b.WriteString(" |\n")
	}
	version := versions(t)
	line("", func(i int) string { return strings.TrimSpace(subjects[i].name + " " + version[subjects[i].module]) })
	line("---", func(int) string { return "---:" })
	for _, r := range rows {
		line(r.name, func(i int) string { return r.text(worst(runs[i], r)) })
	}
	cost := costs(t)
	line(fmt.Sprintf("ns a request, and as a multiple of the least a RoundTripper can do (%d)", cost[0]), func(i int) string {
		return fmt.Sprintf("%d (%.1f)", cost[i+1], float64(cost[i+1])/float64(cost[0]))
	})
	return b.String()
}

// versions returns the versions that go.mod requires. A test's own build info lacks them.
func versions(t *testing.T) map[string]string {
	v := map[string]string{}
	for line := range strings.Lines(read(t, "../go.mod")) {
		if f := strings.Fields(line); len(f) >= 2 {
			v[f[0]] = f[1]
		}
	}
	return v
}
