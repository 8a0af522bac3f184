package tokenfile_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/netoauth/netoauth/tokenfile"
	"golang.org/x/oauth2"
)

// keepOpen opens a file so that nobody else can use it, as scanners do, until shut is called.
func keepOpen(t *testing.T, path string) (shut func()) {
	t.Helper()
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		t.Fatal(err)
	}
	const shareNothing = 0
	file, err := syscall.CreateFile(name, syscall.GENERIC_READ, shareNothing, nil, syscall.OPEN_EXISTING, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return func() { syscall.CloseHandle(file) }
}

// A file that another program has open for a moment is no broken Store.
func TestFile_isOpenElsewhereForAMoment(t *testing.T) {
	f := newFile(t)
	for _, name := range []string{"token", "token.lock", "token.tmp"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(filepath.Dir(f.Path), name)
			write(t, f.Path, good)
			write(t, path, map[string]string{"token": good, "token.tmp": leftover(t)}[name])
			time.AfterFunc(300*time.Millisecond, keepOpen(t, path))
			wantToken(t, f, goodToken)
			if err := f.Update(t.Context(), returning(goodToken)); err != nil {
				t.Error(err)
			}
			wantFiles(t, f, "token", "token.lock")
		})
	}
}

// The token that was issued finds its place also where the file is opened while the function runs, and
// stays so for longer than the context lasts.
func TestUpdate_fileIsOpenElsewhereAfterwards(t *testing.T) {
	f := newFile(t)
	write(t, f.Path, good)
	ctx, cancel := context.WithCancel(t.Context())
	next := &oauth2.Token{AccessToken: "next"}
	err := f.Update(ctx, func(*oauth2.Token) (*oauth2.Token, error) {
		time.AfterFunc(3*time.Second, keepOpen(t, f.Path))
		cancel()
		return next, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantToken(t, f, next)
}

func TestFile_isOpenElsewhereForLong(t *testing.T) {
	f := newFile(t)
	write(t, f.Path, good)
	shut := keepOpen(t, f.Path)
	defer shut()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for name, err := range map[string]error{
		"Load":   func() error { _, err := f.Load(ctx); return err }(),
		"Update": f.Update(ctx, mustNotRun(t)),
	} {
		if wantError(t, err, fmt.Sprintf("%q", f.Path)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: not context.DeadlineExceeded: %v", name, err)
		}
	}
}

func TestFile_refusesWhatIsNoName(t *testing.T) {
	dir := t.TempDir()
	for _, base := range []string{"to:ken", "token.", "token ", "token. .", "to?ken", "to*ken", "NUL", "COM1", "to\tken"} {
		f := &tokenfile.File{Path: dir + `\` + base, Owner: owner} // which filepath.Join would clean
		wantRefused(t, f, "is no name of a file on Windows")
	}
	wantFiles(t, &tokenfile.File{Path: filepath.Join(dir, "token")})
}
