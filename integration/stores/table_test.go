package stores

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/netoauth/netoauth/internal/suite/scenario"
)

var update = flag.Bool("update", false, "play every scenario beside other ways, and write the table in README.md")

// row is a line of the table.
type row struct {
	name string
	play func(t *testing.T, s subject) fmt.Stringer
	has  func(s subject) bool // nil: all columns
	last bool                 // after all others, as it needs the machine for itself
}

func kept(s subject) bool     { return s.engine != nil }
func reached(s subject) bool  { return s.engine != nil && s.engine.start != nil }
func counted(s subject) bool  { return !s.naive && (s.engine == postgreSQL || s.engine == redisKind) }
func withSQL(s subject) bool  { return s.engine == postgreSQL || s.engine == mariaDB }
func anywhere(s subject) bool { return s.engine == nil || s.engine.start != nil }

// seconds are how long something took.
type seconds struct{ report }

func (s seconds) String() string {
	if s.Failed > 0 {
		return fmt.Sprintf("failed after %.1f s", s.First.Seconds())
	}
	return fmt.Sprintf("%.1f s", s.First.Seconds())
}

var rows = []row{
	{name: "12 programs, 3-s tokens, 15 s: API key",
		play: func(t *testing.T, s subject) fmt.Stringer { return fleet(t, s, "API key") }},
	{name: "the same with one refresh token",
		play: func(t *testing.T, s subject) fmt.Stringer { return fleet(t, s, "refresh token") }},
	{name: "200 start at once, a log-in takes 0.2 s: all served after",
		play: func(t *testing.T, s subject) fmt.Stringer { return coldStart(t, s, 200*time.Millisecond) }, last: true},
	{name: "200 start at once, a log-in takes 6 s: all served after",
		play: func(t *testing.T, s subject) fmt.Stringer { return coldStart(t, s, 6*time.Second) }, last: true},
	{name: "the engine is frozen for 5 s in the middle of an exchange: sessions",
		play: func(t *testing.T, s subject) fmt.Stringer { return engineStops(t, s, false) }, has: kept},
	{name: "the engine is restarted after 5 s in the middle of an exchange: sessions",
		play: func(t *testing.T, s subject) fmt.Stringer { return engineStops(t, s, true) }, has: reached},
	{name: "the holder is killed after the API has answered: the others go on after",
		play: func(t *testing.T, s subject) fmt.Stringer { return holderDies(t, s) }, has: kept},
	{name: "the holder sleeps before the API has its request",
		play: func(t *testing.T, s subject) fmt.Stringer { return holderSleeps(t, s, false) }, has: kept},
	{name: "the holder sleeps after the API has answered",
		play: func(t *testing.T, s subject) fmt.Stringer { return holderSleeps(t, s, true) }, has: kept},
	{name: "the engine is silent: first token",
		play: func(t *testing.T, s subject) fmt.Stringer { return seconds{firstToken(t, s, true)} }, has: anywhere},
	{name: "the engine refuses connections: first token",
		play: func(t *testing.T, s subject) fmt.Stringer { return seconds{firstToken(t, s, false)} }, has: anywhere},
	{name: "the engine falls silent, 3 programs, 60-s tokens, 75 s: longest request",
		play: func(t *testing.T, s subject) fmt.Stringer { return falls(t, s) }, has: anywhere},
	{name: "held of the engine while the API is asked",
		play: func(t *testing.T, s subject) fmt.Stringer { return whileF(t, s) }, has: withSQL},
	{name: "statements a program and minute, 5-min tokens",
		play: func(t *testing.T, s subject) fmt.Stringer { return load(t, s) }, has: counted, last: true},
}

// TestTable plays all rows in all columns, side by side but for what needs the machine for itself.
func TestTable(t *testing.T) {
	if !*update {
		t.Skip("with -update it writes README.md, in some minutes")
	}
	columns := append([]subject{withoutStore, withRowLock}, subjects(engines...)...)
	cells := play(t, columns)
	var b strings.Builder
	b.WriteString("|  |")
	for _, s := range columns {
		b.WriteString(" " + s.name + " |")
	}
	b.WriteString("\n| ---" + strings.Repeat(" | ---", len(columns)) + " |\n")
	for _, r := range rows {
		b.WriteString("| " + r.name + " |")
		for _, s := range columns {
			b.WriteString(" " + cmp.Or(cells[r.name+s.name], "–") + " |")
		}
		b.WriteString("\n")
	}
	b.WriteString("\n| 2000 clients start within a second, virtual time | no Store | one Store |\n| --- | --- | --- |\n")
	for _, o := range scenario.Overloads {
		fmt.Fprintf(&b, "| overload: %s | %s | %s |\n", o.Name, cells[o.Name+"false"], cells[o.Name+"true"])
	}
	fmt.Println(b.String())
	writeREADME(t, b.String())
}

// play returns what came of each row in each column, as text.
func play(t *testing.T, columns []subject) map[string]string {
	cells := make(map[string]string)
	var mu sync.Mutex
	note := func(key, text string) {
		mu.Lock()
		defer mu.Unlock()
		cells[key] = text
	}
	some := func(last bool, t *testing.T) {
		for _, r := range rows {
			for _, s := range columns {
				if r.last != last || r.has != nil && !r.has(s) {
					continue
				}
				note(r.name+s.name, "failed")
				t.Run(strings.NewReplacer(" ", "_", "/", "_").Replace(r.name+" "+s.name), func(t *testing.T) {
					if !last {
						t.Parallel()
					}
					note(r.name+s.name, r.play(t, s).String())
				})
			}
		}
	}
	t.Run("side by side", func(t *testing.T) { some(false, t) })
	t.Run("one by one", func(t *testing.T) { some(true, t) })
	t.Run("overload", func(t *testing.T) {
		for _, o := range scenario.Overloads {
			for _, shared := range []bool{false, true} {
				t.Run(fmt.Sprint(o.Name, shared), func(t *testing.T) {
					note(fmt.Sprint(o.Name, shared), overload(t, o, shared).String())
				})
			}
		}
	})
	return cells
}

// writeREADME puts the table in the place of the one in README.md.
func writeREADME(t *testing.T, table string) {
	t.Helper()
	old, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(old), "|  | no Store |")
	_, after, found := strings.Cut(rest, "\n\nOverload:")
	if !found {
		t.Fatal("README.md has no place for the table")
	}
	text := before + strings.TrimRight(table, "\n") + "\n\nOverload:" + after
	if err := os.WriteFile("README.md", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
