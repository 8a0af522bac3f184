package storetest_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest/storetest"
	"golang.org/x/oauth2"
)

func TestRun_passesAStoreThatIsRight(t *testing.T) {
	p := newPlace()
	storetest.Run(t, func(_ *testing.T, owner string) netoauth.Store { return p.session(owner) }, p.cut)
}

// Each mistake is found by its check, whose message is about it, and whatever it is Run ends.
func TestRun_finds(t *testing.T) {
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace()
				defer close(p.closed)
				began := time.Now()
				found := storetest.Problems(func(owner string) netoauth.Store {
					if m.owner != nil {
						owner = m.owner(owner)
					}
					return broken{p.session(owner), &m}
				}, p.cut)
				for check, problems := range found {
					if once := slices.Compact(slices.Sorted(slices.Values(problems))); len(once) < len(problems) {
						t.Errorf("%q says things twice: %q", check, problems)
					}
				}
				if took := time.Since(began); took > 35*time.Second {
					t.Errorf("it took %v", took)
				}
				if !strings.Contains(strings.Join(found[m.check], "\n"), m.says) {
					t.Errorf("%q found %q, want %q; all: %q", m.check, found[m.check], m.says, found)
				}
			})
		})
	}
}

// A lock can be the connection's, so that a cut lets others in, as long as nothing newer is overwritten.
func TestRun_passesALockThatACutFrees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		m := &mistake{update: lockOfConnection(func(s *session, tok *oauth2.Token, writes int) error {
			if s.written() != writes {
				return errBroken
			}
			s.write(tok)
			return nil
		})}
		found := storetest.Problems(func(owner string) netoauth.Store { return broken{p.session(owner), m} }, p.cut)
		for _, check := range []string{"connections cut while f runs", "a lock lost while f runs"} {
			if len(found[check]) > 0 {
				t.Errorf("%q found %q", check, found[check])
			}
		}
	})
}

// failing are tests that fail as they should, each in a process of its own.
var failing = map[string]struct {
	open func(t *testing.T, owner string) netoauth.Store
	says []string
}{
	"no Store": {func(*testing.T, string) netoauth.Store { return nil },
		[]string{"--- FAIL: TestRun_fails/nothing_stored", "open returned nil"}},
	"no place": {func(t *testing.T, _ string) netoauth.Store { t.Fatal("no server here"); return nil },
		[]string{"--- FAIL: TestRun_fails/nothing_stored", "no server here", "--- FAIL: TestRun_fails/a_long_f"}},
}

// What Run finds becomes an error of the subtest that is named after the check, and what open does to
// its subtest ends that one.
func TestRun_fails(t *testing.T) {
	if name := os.Getenv("STORETEST_FAILING"); name != "" {
		storetest.Run(t, failing[name].open, nil)
		return
	}
	for name, tt := range failing {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRun_fails$")
			cmd.Env = append(os.Environ(), "STORETEST_FAILING="+name)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Error("it passed")
			}
			for _, says := range tt.says {
				if !strings.Contains(string(out), says) {
					t.Errorf("want %q in\n%s", says, out)
				}
			}
		})
	}
}
