package tokenfile_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/netoauth/netoauth/tokenfile"
	"golang.org/x/oauth2"
)

// A process's memory is a regular file of its user's, mode 0600, and nothing can be read at its
// start.
func TestLoad_cannotRead(t *testing.T) {
	f := &tokenfile.File{Path: "/proc/self/mem", Owner: owner}
	_, err := f.Load(t.Context())
	if wantError(t, err, `cannot read "/proc/self/mem"`); !errors.Is(err, syscall.EIO) {
		t.Errorf("not EIO: %v", err)
	}
}

// Root makes a device of its own, so that nothing can happen to the system's.
func TestFile_refusesDevices(t *testing.T) {
	f := newFile(t)
	if os.Geteuid() != 0 {
		f.Path = "/dev/null"
	} else if err := syscall.Mknod(f.Path, syscall.S_IFCHR|0o600, 1<<8|3); err != nil { // another /dev/null
		t.Fatal(err)
	}
	wantRefused(t, f, fmt.Sprintf("%q is not a regular file: choose another file", f.Path))
	if info, err := os.Lstat(f.Path); err != nil || info.Mode()&os.ModeDevice == 0 {
		t.Errorf("it is no device now: %v, %v", info, err)
	}
}

// A file that is itself a mount cannot be replaced, and its folder need not be another device.
func TestUpdate_fileIsAMount(t *testing.T) {
	const name = "token " // escaped in the system's table, as that of the folder is
	dir := filepath.Join(t.TempDir(), `a b\040`)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f := &tokenfile.File{Path: filepath.Join(dir, name), Owner: owner}
	write(t, f.Path, good)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	cmd := newChild(t, "mount", f.Path)
	cmd.Env = append(cmd.Env, "TOKENFILE_LINK="+filepath.Join(link, name))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}},
	}
	if os.Geteuid() == 0 { // who needs no namespace of users, where there may be none
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || strings.Contains(string(out), "cannot mount") {
		t.Skipf("no mounts in this sandbox: %v: %s", err, out)
	}
	if want := fmt.Sprintf("tokenfile: %q is itself a mount", f.Path); err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v: %s, want %s", err, out, want)
	}
	wantContent(t, f.Path, good)
}

// mounted mounts the file over itself, and says how Updates fail then, before they call their
// function. Load does not mind.
func mounted(f *tokenfile.File) error {
	if err := cmp.Or(syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount(f.Path, f.Path, "", syscall.MS_BIND, "")); err != nil {
		return fmt.Errorf("cannot mount: %w", err)
	}
	for _, path := range []string{f.Path, os.Getenv("TOKENFILE_LINK")} {
		f.Path = path
		called := false
		err := f.Update(context.Background(), func(*oauth2.Token) (*oauth2.Token, error) {
			called = true
			return goodToken, nil
		})
		if _, loadErr := f.Load(context.Background()); loadErr != nil || called || err == nil {
			return fmt.Errorf("%q: called: %v, error: %w, Load's: %w", path, called, err, loadErr)
		}
		fmt.Println(err)
	}
	return nil
}

func init() { children["mount"] = mounted }
