package peers

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// ownRuns is how often netoauth goes through each situation: it spreads its renewals and tries at random, so its
// figures differ a little from run to run. The table has the worst of them. The peers do nothing at random and
// go once; where a renewal in the background races with requests, theirs differ too, by a percent.
const ownRuns = 3

func TestTable(t *testing.T) {
	runs := make([][]figures, len(subjects))
	t.Run("situations", func(t *testing.T) { // which ends when its parallel subtests have
		for i, s := range subjects {
			runs[i] = make([]figures, 1)
			if i == 0 && thorough {
				runs[i] = make([]figures, ownRuns)
			}
			for j := range runs[i] {
				for _, sit := range situations {
					t.Run(s.name+"/"+sit.name, func(t *testing.T) {
						t.Parallel()
						sit.play(t, s.client, &runs[i][j])
					})
				}
			}
		}
	})
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
	inREADME(t, text)
}

// inREADME checks that README's table has this one's head, versions included, and its rows; figures may differ by chance.
func inREADME(t *testing.T, table string) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	head := true
	for line := range strings.Lines(table) {
		if !head {
			name, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " |")
			line, _, _ = strings.Cut("| "+name, " (")
		}
		if !strings.Contains(string(readme), line) {
			t.Errorf("README has no %q", line)
		}
		head = false
	}
}

// hold fails the test where netoauth is behind.
func hold(t *testing.T, runs [][]figures) {
	for _, r := range rows {
		own := worst(runs[0], r.figure)
		if r.price != nil && own > r.bound {
			t.Errorf("%s: netoauth %d, want at most %d", r.name, own, r.bound)
		}
		for i := 1; i < len(subjects); i++ {
			paid := r.price != nil && worst(runs[i], r.price) > worst(runs[0], r.price)
			if its := worst(runs[i], r.figure); own > its && !paid {
				t.Errorf("%s: netoauth %d, %s %d, want no more", r.name, own, subjects[i].name, its)
			}
		}
	}
}

func worst(runs []figures, figure func(figures) int) int {
	n := figure(runs[0])
	for _, f := range runs[1:] {
		n = max(n, figure(f))
	}
	return n
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
		line(r.name, func(i int) string { return r.cell(worst(runs[i], r.figure)) })
	}
	cost := costs(t)
	line(fmt.Sprintf("ns a request, and as a multiple of the least a RoundTripper can do (%d)", cost[0]), func(i int) string {
		return fmt.Sprintf("%d (%.1f)", cost[i+1], float64(cost[i+1])/float64(cost[0]))
	})
	return b.String()
}

// versions returns the versions that go.mod requires. A test's own build info lacks them.
func versions(t *testing.T) map[string]string {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	v := map[string]string{}
	for line := range strings.Lines(string(mod)) {
		if f := strings.Fields(line); len(f) >= 2 {
			v[f[0]] = f[1]
		}
	}
	return v
}
