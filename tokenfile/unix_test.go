//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package tokenfile_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/netoauth/netoauth/tokenfile"
	"golang.org/x/oauth2"
)

const nobody = 65534

// special makes, at path, what is no regular file. Nothing of it waits, is followed or is changed.
var special = map[string]func(path string) error{
	"a pipe":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
	"a link":      func(path string) error { return os.Symlink("target", path) },
	"a dead link": func(path string) error { return os.Symlink("missing", path) },
}

func TestFile_refusesSpecialFiles(t *testing.T) {
	for name, create := range special {
		for _, suffix := range []string{"", ".lock", ".tmp"} {
			t.Run(name+" at token"+suffix, func(t *testing.T) {
				f := newFile(t)
				path := f.Path + suffix
				write(t, filepath.Join(filepath.Dir(path), "target"), good)
				if err := create(path); err != nil {
					t.Fatal(err)
				}
				before, err := os.Lstat(path)
				if err != nil {
					t.Fatal(err)
				}
				says := []string{fmt.Sprintf("%q is not a regular file: choose another file", path)}
				if suffix == "" {
					wantRefused(t, f, says...)
				} else {
					wantError(t, f.Update(t.Context(), mustNotRun(t)), says...)
				}
				if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
					t.Errorf("it is another one now: %v, %v", after, err)
				}
				wantContent(t, filepath.Join(filepath.Dir(path), "target"), good)
			})
		}
	}
}

func TestFile_refusesWhatOthersMayUse(t *testing.T) {
	for _, mode := range []fs.FileMode{0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o660, 0o666} {
		t.Run(mode.String(), func(t *testing.T) {
			f := newFile(t)
			write(t, f.Path, good)
			if err := os.Chmod(f.Path, mode); err != nil { // whatever the umask
				t.Fatal(err)
			}
			wantRefused(t, f, fmt.Sprintf("chmod 600 %q", f.Path))
			_, err := f.Load(t.Context())
			if byGroup := mode&0o060 != 0; byGroup != strings.Contains(err.Error(), "fsGroupChangePolicy: OnRootMismatch") {
				t.Errorf("the group may: %v, error %q", byGroup, err)
			}
			wantContent(t, f.Path, good)
			wantFiles(t, f, "token")
			if info, err := os.Stat(f.Path); err != nil || info.Mode() != mode {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
		})
	}
}

func TestFile_refusesAnotherUsersFile(t *testing.T) {
	f := newFile(t)
	if os.Geteuid() != 0 {
		f.Path = "/etc/passwd" // root's, on every system
		wantRefused(t, f, `"/etc/passwd" belongs to another user`)
		return
	}
	write(t, f.Path, good)
	if err := os.Chown(f.Path, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, f, fmt.Sprintf("%q belongs to another user", f.Path))
	wantContent(t, f.Path, good)
	wantFiles(t, f, "token")
}

// A folder that cannot be written to fails before the exchange, whether there is a lock file or
// not.
func TestUpdate_readOnlyFolder(t *testing.T) {
	for name, files := range map[string][]string{
		"nothing there":     nil,
		"after an Update":   {"token", "token.lock"},
		"token file copied": {"token"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "tokenfile") // open to the user below, as t.TempDir is not
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				os.Chmod(dir, 0o700)
				os.RemoveAll(dir)
			})
			f := &tokenfile.File{Path: filepath.Join(dir, "token"), Owner: owner}
			for _, file := range append(files, ".") {
				path := filepath.Join(dir, file)
				if file != "." {
					write(t, path, good)
				}
				if os.Geteuid() == 0 {
					if err := os.Chown(path, nobody, nobody); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := os.Chmod(dir, 0o500); err != nil {
				t.Fatal(err)
			}
			out, err := newChild(t, "denied", f.Path).CombinedOutput()
			if err != nil || !strings.HasPrefix(string(out), "denied: tokenfile: ") {
				t.Errorf("%v: %q", err, out)
			}
			wantFiles(t, f, files...)
		})
	}
}

// denied says that an Update failed for want of permission, before it called its function. Modes do
// not stop root.
func denied(f *tokenfile.File) error {
	if os.Geteuid() == 0 {
		if err := errors.Join(syscall.Setgid(nobody), syscall.Setuid(nobody)); err != nil {
			return err
		}
	}
	called := false
	err := f.Update(context.Background(), func(*oauth2.Token) (*oauth2.Token, error) {
		called = true
		return nil, nil
	})
	if called || !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("called: %v, error: %w", called, err)
	}
	fmt.Println("denied:", err)
	return nil
}

func init() { children["denied"] = denied }

// Space that was there before the exchange is there after it: nothing else can take it meanwhile.
func TestUpdate_keepsWhatItReserved(t *testing.T) {
	f := newFile(t)
	err := f.Update(t.Context(), func(*oauth2.Token) (*oauth2.Token, error) {
		info, err := os.Stat(f.Path + ".tmp")
		if err != nil {
			return nil, err
		}
		if info.Size() != 64<<10 || info.Mode() != 0o600 {
			t.Errorf("reserved %d bytes, mode %v", info.Size(), info.Mode())
		}
		return goodToken, nil
	})
	if err != nil {
		t.Error(err)
	}
	wantContent(t, f.Path, good)
}

func TestUpdate_lockHeldByAStoppedProgram(t *testing.T) {
	f := newFile(t)
	write(t, f.Path, good)
	holder := hold(t, f)
	if err := holder.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, f)
}

// Names are quoted in errors, and no character in them is special.
func TestFile_oddNames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), `a\b "c" 'd' %s`+"\n")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f := &tokenfile.File{Path: filepath.Join(dir, `to"k\en`), Owner: owner}
	if err := f.Update(t.Context(), returning(goodToken)); err != nil {
		t.Fatal(err)
	}
	wantToken(t, f, goodToken)
	wantContent(t, f.Path, good)
	wantFiles(t, f, `to"k\en`, `to"k\en.lock`)

	write(t, f.Path, "")
	wantRefused(t, f, fmt.Sprintf("%q", f.Path))
	f.Path = filepath.Join(dir, "file\n", "token")
	write(t, filepath.Dir(f.Path), "")
	wantRefused(t, f, fmt.Sprintf("%q", f.Path), "not a directory")
}
