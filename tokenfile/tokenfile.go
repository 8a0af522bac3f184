// Package tokenfile keeps the token of a session in a file, for later runs of a program and for
// other programs on the machine. A [File] is a netoauth.Store: programs whose Options.Store names
// the same file share one session, in which each refresh token is used once, by one of them, and
// the others take over what it got.
//
//	key.Store = &tokenfile.File{Path: path, Owner: key.URL + " " + key.Shortname}
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
//     next Update deletes it.
//
// Locks are those of flock(2) on Linux, macOS and the BSDs, and of LockFileEx on Windows; elsewhere
// every Update fails. The tests have run on Linux; for macOS, FreeBSD and Windows the package is
// compiled and vetted only. Locks keep programs of one machine apart. On a network file system it
// depends on the server and on how it is mounted whether a lock holds between machines, and a
// server that does not answer can delay Load and Update without end: prefer a local disk, one file
// for each machine.
package tokenfile

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/oauth2"
)

const (
	maxOwner = 4 << 10  // bytes
	maxSize  = 1 << 20  // bytes of a token file, as many as netoauth reads of an answer
	reserved = 64 << 10 // bytes on the disk before fn is called, well above what a token takes

	pollEvery = 20 * time.Millisecond // while another program holds the lock
	renameFor = 2 * time.Second       // while another program has the file open, on Windows
)

// File is a session's token in a file. It has no state: any number of Files, in any number of
// goroutines and programs, may name one file. Its methods may be called at the same time.
type File struct {
	// Path names the file. Its folder must exist. "" is an error.
	Path string

	// Owner says whose session it is, such as the API's URL and the account, in at most 4096 bytes
	// of UTF-8. It is stored in the file, and a file of another Owner is refused and left as it is,
	// so that no account gets the token of another. It must not hold a secret. "" is an error.
	Owner string
}

// Load returns the stored token, nil if there is no file. It takes no lock: while an Update is
// under way it returns the token from before. The token has all of its fields but what
// [oauth2.Token.Extra] returns.
//
// A file that is no token file, that is another Owner's or another user's, that others may read or
// write, or that is not a regular file (a symbolic link is none) is an error, and left as it is.
// The error says what to do. Where it comes from the system, [errors.Is] finds it, as in
// errors.Is(err, fs.ErrPermission).
func (f *File) Load(ctx context.Context) (*oauth2.Token, error) {
	if err := f.check(ctx); err != nil {
		return nil, err
	}
	return f.load()
}

// Update calls fn with the stored token, nil if there is no file, and replaces the file with the
// token that fn returns. Where fn fails or returns nil the file stays as it is, and Update returns
// fn's error itself. While fn runs every other Update of the same file waits, in this program and
// in others; fn must not start one.
//
// ctx bounds what comes before fn, which is the wait for the lock: its error is then wrapped.
// Update fails before it calls fn, too, where Load would fail, where the lock cannot be had, and
// where a new token has no place, because the folder cannot be written to or the disk is full: a
// refresh token must not be used up when the next would be lost.
//
// After fn, Update fails where Load would refuse what fn returned, or where the file cannot be
// replaced. The file holds one whole token or the other at any time, also when the program is
// killed or the power fails.
func (f *File) Update(ctx context.Context, fn func(stored *oauth2.Token) (*oauth2.Token, error)) error {
	if err := f.check(ctx); err != nil {
		return err
	}
	if _, err := f.load(); err != nil {
		return err // without a lock file beside a file that is none of ours
	}
	locked, err := lock(ctx, f.Path+".lock")
	if err != nil {
		return err
	}
	defer locked.Close()
	stored, err := f.load()
	if err != nil {
		return err
	}
	place, err := reserve(f.Path + ".tmp")
	if err != nil {
		return err
	}
	defer os.Remove(place.Name()) // gone already, if it is the token file by then
	defer place.Close()
	if err := f.check(ctx); err != nil {
		return err
	}
	t, err := fn(stored)
	if err != nil || t == nil {
		return err
	}
	data, err := f.encode(t)
	if err == nil {
		err = replace(f.Path, place, data)
	}
	if err != nil {
		return fmt.Errorf("tokenfile: the new token is not in %q: %w", f.Path, reason(err))
	}
	return nil
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
	return nil
}

func (f *File) load() (*oauth2.Token, error) {
	file, err := open(f.Path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("tokenfile: cannot read %q: %w", f.Path, reason(err))
	}
	t, err := f.decode(data)
	if err != nil {
		return nil, fmt.Errorf("tokenfile: %q holds %w: delete it or choose another file", f.Path, err)
	}
	return t, nil
}

// content is what a token file holds, as a JSON object.
type content struct {
	Owner string        `json:"owner"`
	Token *oauth2.Token `json:"token"`
}

// encode refuses what decode would: a file that holds it could never be used again.
func (f *File) encode(t *oauth2.Token) ([]byte, error) {
	var data bytes.Buffer
	e := json.NewEncoder(&data)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(content{f.Owner, t}); err != nil {
		return nil, err
	}
	_, err := f.decode(data.Bytes())
	return data.Bytes(), err
}

// decode names in its errors what data is. They show nothing of it, as those of encoding/json do.
func (f *File) decode(data []byte) (*oauth2.Token, error) {
	var c content
	switch {
	case len(data) > maxSize:
		return nil, errors.New("more than 1 MiB")
	case json.Unmarshal(data, &c) != nil:
		return nil, errors.New("something else than a token")
	case c.Owner != f.Owner:
		return nil, errors.New("something else than a token of this Owner")
	}
	return c.Token, usable(c.Token)
}

// usable says what keeps t from being used: it is empty, its header is none (RFC 6750 section 2.1),
// or it has bytes that encoding/json replaces.
func usable(t *oauth2.Token) error {
	switch {
	case t == nil || t.AccessToken == "" && t.RefreshToken == "":
		return errors.New("no token")
	case strings.ContainsFunc(t.AccessToken+t.TokenType, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("a token with characters that no header takes")
	case strings.ContainsRune(t.RefreshToken, utf8.RuneError):
		return errors.New("a refresh token that is not UTF-8")
	}
	return nil
}

// open opens a regular file that is this user's alone, and neither waits for nor acts on anything
// else.
func open(path string, flag int) (*os.File, error) {
	info, err := os.Lstat(path) // opening a device can act on it
	if err == nil && !info.Mode().IsRegular() {
		return nil, irregular(path)
	}
	file, err := os.OpenFile(path, flag|openFlags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("tokenfile: cannot open %q: %w", path, reason(err))
	}
	switch info, err = file.Stat(); {
	case err != nil:
		err = fmt.Errorf("tokenfile: cannot open %q: %w", path, reason(err))
	case !info.Mode().IsRegular():
		err = irregular(path)
	default:
		err = private(path, info)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func irregular(path string) error {
	return fmt.Errorf("tokenfile: %q is not a regular file: delete it or choose another file", path)
}

// lock waits until the file named path is locked, or for the end of ctx. Closing the file unlocks
// it. It tries again and again, because a call that waits could not be ended.
func lock(ctx context.Context, path string) (*os.File, error) {
	file, err := open(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	for {
		locked, err := tryLock(file)
		if locked {
			return file, nil
		}
		if err != nil {
			file.Close()
			return nil, fmt.Errorf("tokenfile: cannot lock %q: %w: choose a file on another disk", path, err)
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("tokenfile: another program holds %q: end it or try later: %w", path, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}

// reserve makes the file that is to take the place of the token file, and sees to it that the disk
// has the space for it. Random bytes take that much space also where the file system compresses
// them.
func reserve(path string) (*os.File, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
		os.Remove(path)
	}
	file, err := open(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	space := make([]byte, reserved)
	rand.Read(space)
	_, err = file.Write(space)
	if err = cmp.Or(err, file.Sync()); err != nil {
		file.Close()
		os.Remove(path)
		err = reason(err)
		return nil, fmt.Errorf("tokenfile: cannot write %q: %w: make room or choose another file", path, err)
	}
	return file, nil
}

// replace writes data into place, over what was reserved, and gives it the name path.
func replace(path string, place *os.File, data []byte) error {
	_, err := place.WriteAt(data, 0)
	err = cmp.Or(err, place.Truncate(int64(len(data))))
	err = cmp.Or(err, place.Sync())
	if err = cmp.Or(err, place.Close()); err != nil {
		return err
	}
	if err = rename(place.Name(), path); err != nil {
		return err
	}
	// The file is in place. Not every system can make its name last as well, and none needs to for
	// it to be found.
	if folder, err := os.Open(filepath.Dir(path)); err == nil {
		folder.Sync()
		folder.Close()
	}
	return nil
}

func rename(from, to string) error {
	for start := time.Now(); ; time.Sleep(pollEvery) {
		if err := os.Rename(from, to); err == nil || !inUse(err) || time.Since(start) > renameFor {
			return err
		}
	}
}

// reason is err without the path that package os puts before it, unquoted.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}
