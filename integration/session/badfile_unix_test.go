//go:build unix

package session

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A file that is not the session's, or whose place is not fit for one, stays as it is, and no
// refresh token is used: neither that in the file nor the program's own. A program that can log in
// does, and works; any other says why not.
func TestSession_leavesBadFilesAlone(t *testing.T) {
	t.Parallel()
	rewrite := func(content string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(content), 0o600) }
	}
	for name, tt := range map[string]struct {
		spoil func(path string) error // a good file whose token is over
		at    string                  // what the error names, after the path
		says  string
	}{
		"empty":             {rewrite(""), "", "something else than a token"},
		"garbage":           {rewrite("garbage\n"), "", "something else than a token"},
		"cut off":           {truncate, "", "something else than a token"},
		"huge":              {rewrite(strings.Repeat(" ", 1<<20+1)), "", "1 MiB"},
		"another Owner's":   {anotherOwner, "", "wner"},
		"others may read":   {func(path string) error { return os.Chmod(path, 0o644) }, "", "chmod 600"},
		"a pipe":            {pipe, "", "is not a regular file"},
		"a link":            {link, "", "is not a regular file"},
		"a directory":       {directory, "", "is a folder"},
		"a pipe for a lock": {pipeForLock, ".lock", "is not a regular file"},
		"a read-only folder": {func(path string) error {
			return os.Chmod(filepath.Dir(path), 0o500)
		}, ".lock", "permission denied"},
	} {
		for _, flow := range []string{"refresh token", "password"} {
			t.Run(name+"/"+flow, func(t *testing.T) {
				t.Parallel()
				a := newAPI(t, time.Minute, 0)
				p := a.program("program", flow)
				p.Requests, p.Nobody = 1, os.Geteuid() == 0
				p.RefreshToken = a.logIn(t).RefreshToken
				stored := a.badFile(t, &p, tt.spoil)
				before, content := a.requests(), snapshot(t, filepath.Dir(p.Path))

				got := start(t, p).wait(t)

				if diff := cmp.Diff(content, snapshot(t, filepath.Dir(p.Path))); diff != "" {
					t.Errorf("the folder (-before +after):\n%s", diff)
				}
				want := requests{Password: 1}
				if flow == "refresh token" {
					want = requests{}
					wantRefused(t, got, fmt.Sprintf("%q", p.Path+tt.at), tt.says)
				} else {
					wantNoTrouble(t, p.Name, got)
				}
				if diff := cmp.Diff(want, a.requests().since(before)); diff != "" {
					t.Errorf("token requests (-want +got):\n%s", diff)
				}
				a.wantAlive(t, p.RefreshToken)
				a.wantAlive(t, stored)
			})
		}
	}
}

// wantRefused expects one request that was not sent, with an error that says all of says.
func wantRefused(t *testing.T, got report, says ...string) {
	t.Helper()
	for _, s := range append(says, "the Store cannot be used, so the refresh token was left unused") {
		if !strings.Contains(got.Error, s) {
			t.Errorf("error %q, want %q in it", got.Error, s)
		}
	}
	got.Error = ""
	if diff := cmp.Diff(report{Requests: 1, Failed: 1, Exchanges: 1}, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

// badFile gives the program a token file that spoil has been at, in a folder that is the program's
// user's, and returns the refresh token that the file had before.
func (a *api) badFile(t *testing.T, p *program, spoil func(path string) error) (refreshToken string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "session") // open to nobody, as t.TempDir is not
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.Chmod(dir, 0o700)
		os.RemoveAll(dir)
	})
	p.Path = filepath.Join(dir, "token")
	a.file.Path = p.Path
	expired := a.logIn(t)
	expired.Expiry = time.Now().Add(-time.Hour)
	a.store(t, expired)
	err = os.Remove(p.Path + ".lock")
	if err == nil {
		err = spoil(p.Path)
	}
	if err == nil && p.Nobody {
		err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, _ error) error {
			return os.Lchown(path, nobody, nobody)
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return expired.RefreshToken
}

func anotherOwner(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strings.Replace(string(text), owner, "another", 1)), 0o600)
}

func pipe(path string) error {
	os.Remove(path)
	return syscall.Mkfifo(path, 0o600)
}

func pipeForLock(path string) error { return pipe(path + ".lock") }

func truncate(path string) error { return os.Truncate(path, 100) }

func link(path string) error {
	if err := os.Rename(path, path+".target"); err != nil {
		return err
	}
	return os.Symlink(path+".target", path)
}

func directory(path string) error {
	os.Remove(path)
	return os.Mkdir(path, 0o700)
}

// snapshot returns the modes and contents of all that is in a folder, by name.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		all[path] = info.Mode().String()
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			all[path] += " " + string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
