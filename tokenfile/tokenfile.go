// Package tokenfile keeps the token of a session in a file, for later runs of a program and for
// other programs on the machine. A [File] is a netoauth.Store: programs whose Options.Store names
// the same file share one session, in which each refresh token is used once, by one of them, and
// the others take over what it got.
//
//	key.Store = &tokenfile.File{Path: path, Owner: key.URL + " " + key.Shortname + " " + key.AppName}
//
// The file is as secret as a password: whoever reads it has the session until that ends. It has
// mode 0600 and is refused where others may read or write it; on Windows the access rules of its
// folder decide who may.
//
// Beside the file named Path lie, in a folder that the program must be able to write to,
//
//   - Path.lock, an empty file whose lock keeps other programs out. It stays: were it deleted while
//     a program holds the lock, the next would lock another file and not be kept out.
//   - Path.tmp, as long as a new token is on its way. A program that is killed leaves it, and the
//     next Update deletes it, which it knows by a mark of this package at its end. Whatever else
//     stands there is somebody's, and is left as it is.
//
// The file holds what tokenstore.Encode makes. It is replaced, never written over, so it cannot be a
// mount of its own, as docker's -v FILE:FILE and a volume's subPath make it: mount its folder.
//
// Locks are those of flock(2) on Linux, macOS and the BSDs, and of LockFileEx on Windows; elsewhere
// every Update fails. The tests have run on Linux, and as Windows programs under Wine; for macOS and
// FreeBSD the package is compiled and vetted only. On Windows a file that another program has open for
// a moment, such as a scanner, is tried again for up to 10 s, and a name that is none there, as
// "to:ken" or "token.", is refused. Locks keep programs of one machine apart. On a network file system it
// depends on the server and on how it is mounted whether a lock holds between machines, and a
// server that does not answer can delay Load and Update without end: prefer a local disk, one file
// for each machine.
package tokenfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/netoauth/netoauth/tokenstore"
	"golang.org/x/oauth2"
)

const (
	maxOwner = 4 << 10 // bytes
	maxSize  = 1 << 20 // bytes of a stored token, as tokenstore has it

	pollEvery = 20 * time.Millisecond // while another program has the lock, or on Windows a file open
)

// File is a session's token in a file. It has no state: any number of Files, in any number of
// goroutines and programs, may name one file. Its methods may be called at the same time.
type File struct {
	// Path names the file. Its folder must exist. "" is an error.
	Path string

	// Owner says whose session it is, in at most 4096 bytes of UTF-8: by convention the API's URL,
	// the account and, of an API key, its AppName, with spaces between; with a refresh token a name
	// of your choice. It is stored in the file, and a file of another Owner is refused and left as it
	// is, so that no account gets the token of another. It must not hold a secret. "" is an error.
	Owner string
}

// Load returns the stored token, nil if there is no file. It takes no lock: while an Update is
// under way it returns the token from before. Of what [oauth2.Token.Extra] returns the token has
// refresh_expires_in alone.
//
// A file that is no token file, that is another Owner's or another user's, that others may read or
// write, or that is not a regular file (a symbolic link is none) is an error, and left as it is.
// The error says what to do. Where it comes from the system, [errors.Is] finds it, as in
// errors.Is(err, fs.ErrPermission).
func (f *File) Load(ctx context.Context) (*oauth2.Token, error) {
	if err := f.check(ctx); err != nil {
		return nil, err
	}
	return f.load(ctx)
}

// Update calls fn with the stored token, nil if there is no file, and replaces the file with the
// token that fn returns. Where fn fails or returns nil the file stays as it is, and Update returns
// fn's error itself. While fn runs every other Update of the same file waits, in this program and
// in others; fn must not start one.
//
// ctx bounds what comes before fn, which is the wait for the lock: its error is then wrapped.
// Update fails before it calls fn, too, where Load would fail, where the lock cannot be had, and
// where a new token has no place, because the folder cannot be written to, the disk is full, the
// file is itself a mount, or something else stands at Path.tmp: a refresh token must not be used up
// when the next would be lost.
//
// After fn, Update fails where Load would refuse what fn returned, or where the file cannot be
// replaced. The file holds one whole token or the other at any time, also when the program is
// killed or the power fails.
func (f *File) Update(ctx context.Context, fn func(stored *oauth2.Token) (*oauth2.Token, error)) error {
	locked, stored, err := f.hold(ctx)
	if err != nil {
		return err
	}
	defer locked.Close()
	if mounted(f.Path) {
		return fmt.Errorf("tokenfile: %q is itself a mount, which cannot be replaced: mount its folder", f.Path)
	}
	next, err := reserve(ctx, f.Path+".tmp")
	if err != nil {
		return err
	}
	defer discard(next)
	if err := f.check(ctx); err != nil {
		return err
	}
	t, err := fn(stored)
	if err != nil || t == nil {
		return err
	}
	data, err := tokenstore.Encode(f.Owner, t)
	if err == nil {
		err = replace(f.Path, next, data)
	}
	if err != nil {
		return fmt.Errorf("tokenfile: the new token is not in %q: %w", f.Path, reason(err))
	}
	return nil
}

// Remove deletes the file when no Update is under way, and with it what a killed program has left at
// Path.tmp. Where there is no file it does nothing. It fails where Load would, and where the lock
// cannot be had until ctx ends. Programs that go on store the next token that they get.
func (f *File) Remove(ctx context.Context) error {
	locked, stored, err := f.hold(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // there is no folder
	}
	if err != nil {
		return err
	}
	defer locked.Close()
	clear(ctx, f.Path+".tmp") // or leave it: the next Update says why
	if stored == nil {
		return nil
	}
	if err := patiently(ctx, func() error { return remove(f.Path) }); err != nil {
		return fmt.Errorf("tokenfile: cannot delete %q: %w", f.Path, reason(err))
	}
	syncFolder(f.Path)
	return nil
}

// hold returns the locked lock file, and the token that is stored now.
func (f *File) hold(ctx context.Context) (locked io.Closer, stored *oauth2.Token, err error) {
	if err := f.check(ctx); err != nil {
		return nil, nil, err
	}
	if _, err := f.load(ctx); err != nil {
		return nil, nil, err // without a lock file beside a file that is none of ours
	}
	locked, err = lock(ctx, f.Path+".lock")
	if err != nil {
		return nil, nil, err
	}
	if stored, err = f.load(ctx); err != nil {
		locked.Close()
		return nil, nil, err
	}
	return locked, stored, nil
}

func (f *File) check(ctx context.Context) error {
	switch {
	case f.Path == "":
		return errors.New("tokenfile: Path is empty: name a file")
	case f.Owner == "" || len(f.Owner) > maxOwner || strings.ContainsRune(f.Owner, utf8.RuneError):
		return errors.New("tokenfile: Owner must be 1 to 4096 bytes of UTF-8: name the session's URL and account")
	case ctx.Err() != nil:
		return fmt.Errorf("tokenfile: %q was left alone: %w", f.Path, ctx.Err())
	}
	return checkName(f.Path)
}

func (f *File) load(ctx context.Context) (*oauth2.Token, error) {
	file, err := open(ctx, f.Path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, int64(maxSize+len(mark)+1)))
	if err != nil {
		return nil, fmt.Errorf("tokenfile: cannot read %q: %w", f.Path, reason(err))
	}
	t, err := tokenstore.Decode(f.Owner, bytes.TrimSuffix(data, mark))
	if err != nil {
		return nil, fmt.Errorf("tokenfile: %q holds %w", f.Path, err)
	}
	return t, nil
}
