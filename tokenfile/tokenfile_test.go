package tokenfile_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest/storetest"
	"github.com/netoauth/netoauth/tokenfile"
	"golang.org/x/oauth2"
)

const owner = "https://api.netography.com R&D"

// good is a token file of owner.
const good = `{"version":1,"owner":"https://api.netography.com R&D","token":{"access_token":"planted-access",` +
	`"token_type":"bearer","refresh_token":"planted-refresh","expiry":"2030-01-02T03:04:05Z","expires_in":3600}}`

var goodToken = &oauth2.Token{
	AccessToken:  "planted-access",
	TokenType:    "bearer",
	RefreshToken: "planted-refresh",
	Expiry:       time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
	ExpiresIn:    3600,
}

func newFile(t *testing.T) *tokenfile.File {
	return &tokenfile.File{Path: filepath.Join(t.TempDir(), "token"), Owner: owner}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ls returns the names in the file's folder.
func ls(t *testing.T, f *tokenfile.File) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(f.Path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func wantFiles(t *testing.T, f *tokenfile.File, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, ls(t, f)); diff != "" {
		t.Errorf("files in the folder (-want +got):\n%s", diff)
	}
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// wantError expects one line with all of says, and nothing of a token file's content.
func wantError(t *testing.T, err error, says ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", says)
	}
	for _, s := range append(says, "tokenfile: ") {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q, want %q in it", err, s)
		}
	}
	if strings.Contains(err.Error(), "planted") || strings.Contains(err.Error(), "\n") {
		t.Errorf("the error shows content or has several lines: %q", err)
	}
}

func wantToken(t *testing.T, f *tokenfile.File, want *oauth2.Token) {
	t.Helper()
	got, err := f.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(oauth2.Token{})); diff != "" {
		t.Errorf("stored token (-want +got):\n%s", diff)
	}
}

// wantRefused expects Load and Update to fail, the latter before it calls its function.
func wantRefused(t *testing.T, f *tokenfile.File, says ...string) {
	t.Helper()
	got, err := f.Load(t.Context())
	if wantError(t, err, says...); got != nil {
		t.Error("Load returned a token with its error")
	}
	wantError(t, f.Update(t.Context(), mustNotRun(t)), says...)
}

func mustNotRun(t *testing.T) func(*oauth2.Token) (*oauth2.Token, error) {
	return func(*oauth2.Token) (*oauth2.Token, error) {
		t.Error("Update called its function")
		return nil, nil
	}
}

func returning(t *oauth2.Token) func(*oauth2.Token) (*oauth2.Token, error) {
	return func(*oauth2.Token) (*oauth2.Token, error) { return t, nil }
}

func TestFile_keepsAToken(t *testing.T) {
	f := newFile(t)
	wantToken(t, f, nil)
	wantFiles(t, f)

	called := 0
	err := f.Update(t.Context(), func(stored *oauth2.Token) (*oauth2.Token, error) {
		if called++; stored != nil {
			t.Error("a token before there was one")
		}
		wantToken(t, f, nil) // Load does not wait for an Update
		return goodToken.WithExtra(map[string]any{"scope": "planted"}), nil
	})
	if err != nil || called != 1 {
		t.Fatalf("called %d times: %v", called, err)
	}
	wantToken(t, f, goodToken)
	wantContent(t, f.Path, good)
	wantFiles(t, f, "token", "token.lock")
	if info, err := os.Stat(f.Path); err != nil || info.Mode() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("%v, %v", info, err)
	}
}

func TestUpdate_replacesTheFile(t *testing.T) {
	f := newFile(t)
	write(t, f.Path, good)
	before := stat(t, f.Path)
	next := &oauth2.Token{AccessToken: "next", Expiry: time.Date(2031, 1, 1, 0, 0, 0, 5, time.UTC)}
	err := f.Update(t.Context(), func(stored *oauth2.Token) (*oauth2.Token, error) {
		if diff := cmp.Diff(goodToken, stored, cmpopts.IgnoreUnexported(oauth2.Token{})); diff != "" {
			t.Errorf("Update's token (-want +got):\n%s", diff)
		}
		wantToken(t, f, goodToken)
		return next, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantToken(t, f, next)
	wantFiles(t, f, "token", "token.lock")
	if os.SameFile(before, stat(t, f.Path)) {
		t.Error("the file was written over, not replaced")
	}
}

// stat is of the file, and not of what has its name when the result is looked at, as os.Stat's is on
// Windows.
func stat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestFile_takesLargeTokens(t *testing.T) {
	f := newFile(t)
	large := &oauth2.Token{AccessToken: strings.Repeat("a", 500_000), RefreshToken: strings.Repeat("r", 500_000)}
	if err := f.Update(t.Context(), returning(large)); err != nil {
		t.Fatal(err)
	}
	wantToken(t, f, large)
}

// A session may start with a refresh token that a person put there.
func TestFile_takesARefreshTokenAlone(t *testing.T) {
	f := newFile(t)
	write(t, f.Path, `{"token":{"refresh_token":"r"},"owner":"`+owner+`"}`)
	wantToken(t, f, &oauth2.Token{RefreshToken: "r"})
}

// badContent is what a file may hold that is no token file of owner. What else is none is known to
// tokenstore's own tests.
var badContent = map[string]struct{ content, says string }{
	"empty":           {"", "something else than a token: delete it"},
	"garbage":         {"planted\nplanted", "something else than a token: delete it"},
	"a private key":   {"-----BEGIN OPENSSH PRIVATE KEY-----\nplanted\n", "something else than a token: delete it"},
	"cut off":         {good[:len(good)/2], "something else than a token: delete it"},
	"another owner":   {edited("R&D", "planted"), "deleting it would lose that session"},
	"a newer version": {edited(`"version":1`, `"version":2`), "update this program"},
	"no token":        {`{"owner":"` + owner + `"}`, "neither an access nor a refresh token"},
	"a second header": {edited("planted-access", `planted\r\nX-Header: planted`), "a line break"},
	"invalid UTF-8":   {edited("planted-refresh", "planted\xff"), "not UTF-8"},
	"huge":            {good + strings.Repeat(" ", 1<<21), "more than the 1 MiB"},
	"a byte too many": {good + strings.Repeat(" ", 1<<20+1-len(good)), "more than the 1 MiB"},
}

// edited is a good file with one thing changed.
func edited(from, to string) string {
	if !strings.Contains(good, from) {
		panic("no " + from + " in a good file")
	}
	return strings.Replace(good, from, to, 1)
}

func TestFile_refusesContent(t *testing.T) {
	for name, tt := range badContent {
		t.Run(name, func(t *testing.T) {
			f := newFile(t)
			write(t, f.Path, tt.content)
			wantRefused(t, f, fmt.Sprintf("%q holds ", f.Path), tt.says)
			wantError(t, f.Remove(t.Context()), tt.says)
			wantContent(t, f.Path, tt.content)
			wantFiles(t, f, "token")
		})
	}
}

func TestFile_takesAMebibyte(t *testing.T) {
	f := newFile(t)
	write(t, f.Path, good+strings.Repeat(" ", 1<<20-len(good)))
	wantToken(t, f, goodToken)
}

func TestFile_needsPathAndOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	for name, tt := range map[string]struct {
		file tokenfile.File
		says string
	}{
		"no path":         {tokenfile.File{Owner: owner}, "Path is empty"},
		"no owner":        {tokenfile.File{Path: path}, "Owner must be"},
		"a huge owner":    {tokenfile.File{Path: path, Owner: strings.Repeat("o", 4097)}, "Owner must be"},
		"owner not UTF-8": {tokenfile.File{Path: path, Owner: "o\xff"}, "Owner must be"},
	} {
		t.Run(name, func(t *testing.T) {
			wantRefused(t, &tt.file, tt.says)
		})
	}
	wantFiles(t, &tokenfile.File{Path: path})
}

func TestUpdate_needsAFolder(t *testing.T) {
	dir := t.TempDir()
	f := &tokenfile.File{Path: filepath.Join(dir, "missing", "token"), Owner: owner}
	wantToken(t, f, nil)
	err := f.Update(t.Context(), mustNotRun(t))
	if wantError(t, err, fmt.Sprintf("%q", f.Path+".lock")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not fs.ErrNotExist: %v", err)
	}

	write(t, filepath.Join(dir, "file"), "content")
	f.Path = filepath.Join(dir, "file", "token")
	wantError(t, f.Update(t.Context(), mustNotRun(t)), "cannot open")
	wantContent(t, filepath.Join(dir, "file"), "content")
}

// outcome is what an Update in a goroutine of its own returns, or what it panics with.
func outcome(t *testing.T, f *tokenfile.File, fn func(*oauth2.Token) (*oauth2.Token, error)) any {
	result := make(chan any, 1)
	go func() {
		var got any
		defer func() {
			if p := recover(); p != nil {
				got = p
			}
			result <- got
		}()
		if err := f.Update(t.Context(), fn); err != nil {
			got = err
		}
	}()
	return <-result
}

// However its function ends without a token, the file stays and the lock is free.
func TestUpdate_withoutANewToken(t *testing.T) {
	failure := errors.New("the function's own")
	returns := func(t *oauth2.Token, err error) func(*oauth2.Token) (*oauth2.Token, error) {
		return func(*oauth2.Token) (*oauth2.Token, error) { return t, err }
	}
	for name, tt := range map[string]struct {
		fn   func(*oauth2.Token) (*oauth2.Token, error)
		want any // what Update returns or what it panics with
	}{
		"it fails":              {returns(nil, failure), failure},
		"it fails with a token": {returns(&oauth2.Token{AccessToken: "a"}, failure), failure},
		"it returns nil":        {returns(nil, nil), nil},
		"it panics":             {func(*oauth2.Token) (*oauth2.Token, error) { panic("planted") }, "planted"},
		"it ends the goroutine": {func(*oauth2.Token) (_ *oauth2.Token, _ error) { runtime.Goexit(); return }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFile(t)
			write(t, f.Path, good)
			if got := outcome(t, f, tt.fn); got != tt.want {
				t.Errorf("got %v, want %v itself", got, tt.want)
			}
			wantContent(t, f.Path, good)
			wantFiles(t, f, "token", "token.lock")
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := f.Update(ctx, returning(&oauth2.Token{AccessToken: "next"})); err != nil {
				t.Errorf("the next Update: %v", err)
			}
		})
	}
}

// What Load would refuse is not stored.
func TestUpdate_refusesTokens(t *testing.T) {
	for name, tt := range map[string]struct {
		token oauth2.Token
		says  string
	}{
		"empty":           {oauth2.Token{}, "neither an access nor"},
		"a second header": {oauth2.Token{AccessToken: "planted\r\nX: planted"}, "a line break"},
		"huge":            {oauth2.Token{AccessToken: strings.Repeat("planted", 1<<18)}, "more than 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFile(t)
			write(t, f.Path, good)
			wantError(t, f.Update(t.Context(), returning(&tt.token)), fmt.Sprintf("not in %q", f.Path), tt.says)
			wantContent(t, f.Path, good)
			wantFiles(t, f, "token", "token.lock")
		})
	}
}

// A file that cannot be replaced leaves nothing beside it.
func TestUpdate_cannotReplace(t *testing.T) {
	f := newFile(t)
	err := f.Update(t.Context(), func(*oauth2.Token) (*oauth2.Token, error) {
		return goodToken, os.MkdirAll(filepath.Join(f.Path, "full"), 0o700)
	})
	wantError(t, err, fmt.Sprintf("not in %q", f.Path))
	wantFiles(t, f, "token", "token.lock")
}

// A folder in the place of a file is nothing to delete.
func TestFile_refusesFolders(t *testing.T) {
	for _, suffix := range []string{"", ".lock", ".tmp"} {
		t.Run("at token"+suffix, func(t *testing.T) {
			f := newFile(t)
			if err := os.Mkdir(f.Path+suffix, 0o700); err != nil {
				t.Fatal(err)
			}
			err := f.Update(t.Context(), mustNotRun(t))
			wantError(t, err, fmt.Sprintf("%q is a folder: choose another file", f.Path+suffix))
			if _, err = f.Load(t.Context()); suffix == "" {
				wantError(t, err, "is a folder")
			}
			if info, err := os.Stat(f.Path + suffix); err != nil || !info.IsDir() {
				t.Errorf("it is none now: %v", err)
			}
		})
	}
}

// leftover is what a program leaves at Path.tmp when it is killed in an Update.
func leftover(t *testing.T) (content string) {
	t.Helper()
	f := newFile(t)
	err := f.Update(t.Context(), func(*oauth2.Token) (*oauth2.Token, error) {
		data, err := os.ReadFile(f.Path + ".tmp")
		content = string(data)
		return nil, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// markOf is the end of what a killed program leaves.
func markOf(t *testing.T) string {
	random := leftover(t)
	return random[len(strings.TrimRight(random, " \t\n")):]
}

func TestUpdate_clearsUpAfterAKilledProgram(t *testing.T) {
	for name, content := range map[string]string{
		"in its function":   leftover(t),
		"before the rename": good + strings.Repeat(" ", 100) + markOf(t),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFile(t)
			write(t, f.Path+".tmp", content)
			if err := f.Update(t.Context(), returning(goodToken)); err != nil {
				t.Fatal(err)
			}
			wantContent(t, f.Path, good)
			wantFiles(t, f, "token", "token.lock")
		})
	}
}

// A program that is killed right after the rename leaves the mark at the end of the token file.
func TestFile_takesAMarkedTokenFile(t *testing.T) {
	for name, content := range map[string]string{
		"padded":     good + strings.Repeat(" ", 65_000-len(good)) + markOf(t),
		"a mebibyte": good + strings.Repeat("\n", 1<<20-len(good)) + markOf(t),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFile(t)
			write(t, f.Path, content)
			wantToken(t, f, goodToken)
			if err := f.Update(t.Context(), returning(goodToken)); err != nil {
				t.Fatal(err)
			}
			wantContent(t, f.Path, good)
		})
	}
}

// What stands at Path.tmp and has no mark is somebody's, even where it is a token file.
func TestUpdate_leavesAForeignFileAlone(t *testing.T) {
	for name, content := range map[string]string{
		"empty":                      "",
		"half a token":               good[:20],
		"a token file":               good,
		"a backup of 64 KiB":         strings.Repeat("b", 64<<10),
		"a mark that is not its end": markOf(t) + "x",
		"half a mark":                markOf(t)[1:],
	} {
		t.Run(name, func(t *testing.T) {
			f := newFile(t)
			write(t, f.Path, good)
			write(t, f.Path+".tmp", content)
			err := f.Update(t.Context(), mustNotRun(t))
			wantError(t, err, fmt.Sprintf("%q, where new tokens are written first, is none of this package's", f.Path+".tmp"),
				"move it away or choose another file")
			wantToken(t, f, goodToken)
			wantContent(t, f.Path+".tmp", content)

			if err := f.Remove(t.Context()); err != nil {
				t.Error(err)
			}
			wantContent(t, f.Path+".tmp", content)
			wantFiles(t, f, "token.lock", "token.tmp")
		})
	}
}

func TestRemove(t *testing.T) {
	f := newFile(t)
	write(t, f.Path, good)
	write(t, f.Path+".tmp", leftover(t))
	for range 2 {
		if err := f.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantFiles(t, f, "token.lock")
	}
	wantToken(t, f, nil)
	if err := f.Update(t.Context(), returning(goodToken)); err != nil {
		t.Fatal(err)
	}
	wantContent(t, f.Path, good)
}

func TestRemove_withoutAFolder(t *testing.T) {
	f := &tokenfile.File{Path: filepath.Join(t.TempDir(), "missing", "token"), Owner: owner}
	if err := f.Remove(t.Context()); err != nil {
		t.Error(err)
	}
}

// An Update that is under way ends first, so that its token is not left behind.
func TestRemove_waitsForAnUpdate(t *testing.T) {
	f := newFile(t)
	removed := make(chan error, 1)
	err := f.Update(t.Context(), func(*oauth2.Token) (*oauth2.Token, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := f.Remove(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Remove beside an Update: %v", err)
		}
		later := &waiting{Context: t.Context(), told: make(chan struct{})}
		go func() { removed <- f.Remove(later) }()
		<-later.told
		return goodToken, nil
	})
	if err := errors.Join(err, <-removed); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, f, "token.lock")
}

// Whoever else implements a Store runs the same test.
func TestFile_isAStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	storetest.Run(t, func(_ *testing.T, owner string) netoauth.Store {
		return &tokenfile.File{Path: filepath.Join(dir, fmt.Sprintf("%x", sha256.Sum256([]byte(owner)))), Owner: owner}
	}, nil)
}

func TestFile_contextIsOver(t *testing.T) {
	f := newFile(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range map[string]error{
		"Load":   func() error { _, err := f.Load(ctx); return err }(),
		"Update": f.Update(ctx, mustNotRun(t)),
		"Remove": f.Remove(ctx),
	} {
		if wantError(t, err, fmt.Sprintf("%q", f.Path)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: not context.Canceled: %v", name, err)
		}
	}
	wantFiles(t, f)
}

// ended is a context that is over when asked for the second time.
type ended struct {
	context.Context
	asked int
}

func (c *ended) Err() error {
	if c.asked++; c.asked > 1 {
		return context.DeadlineExceeded
	}
	return nil
}

// A disk may take longer than the context lasts. An exchange that begins then has no time of its
// own.
func TestUpdate_contextEndsBeforeItsFunction(t *testing.T) {
	f := newFile(t)
	write(t, f.Path, good)
	if err := f.Update(&ended{Context: t.Context()}, mustNotRun(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	wantContent(t, f.Path, good)
	wantFiles(t, f, "token", "token.lock")
}

// Once the function runs, the context has no say.
func TestUpdate_contextEndsInItsFunction(t *testing.T) {
	f := newFile(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := f.Update(ctx, func(*oauth2.Token) (*oauth2.Token, error) {
		cancel()
		return goodToken, nil
	})
	if err != nil {
		t.Error(err)
	}
	wantContent(t, f.Path, good)
}

// waiting is a context that tells when somebody waits for its end, as an Update that finds the lock
// held.
type waiting struct {
	context.Context
	once sync.Once
	told chan struct{}
}

func (c *waiting) Done() <-chan struct{} {
	c.once.Do(func() { close(c.told) })
	return c.Context.Done()
}

// What counts is the file that is there once the lock is free.
func TestUpdate_looksUnderTheLock(t *testing.T) {
	f := newFile(t)
	write(t, f.Path, good)
	second := make(chan error, 1)
	err := f.Update(t.Context(), func(*oauth2.Token) (*oauth2.Token, error) {
		ctx := &waiting{Context: t.Context(), told: make(chan struct{})}
		go func() { second <- f.Update(ctx, mustNotRun(t)) }()
		select {
		case <-ctx.told:
		case err := <-second:
			t.Errorf("a second Update beside the first: %v", err)
			second <- err
		case <-time.After(10 * time.Second):
			t.Error("the second Update does not heed its context")
		}
		write(t, f.Path, "garbage")
		return nil, nil
	})
	if err != nil {
		t.Error(err)
	}
	wantError(t, <-second, "something else")
	wantContent(t, f.Path, "garbage")

	write(t, f.Path, good)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := f.Update(ctx, returning(goodToken)); err != nil {
		t.Errorf("the lock is kept: %v", err)
	}
}

// increment counts in the refresh token.
func increment(ctx context.Context, f *tokenfile.File, times int) error {
	for range times {
		err := f.Update(ctx, func(stored *oauth2.Token) (*oauth2.Token, error) {
			count := 0
			if stored != nil {
				count, _ = strconv.Atoi(stored.RefreshToken)
			}
			return &oauth2.Token{AccessToken: "a", RefreshToken: strconv.Itoa(count + 1)}, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Goroutines, each with a File of its own, and programs lose none of each other's updates.
// Meanwhile Load finds whole tokens, each at least as new as the one before.
func TestUpdate_keepsOthersOut(t *testing.T) {
	f := newFile(t)
	const times = 5
	var all sync.WaitGroup
	for range 4 {
		cmd := newChild(t, "increment", f.Path)
		all.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	for range 8 {
		all.Go(func() {
			if err := increment(t.Context(), &tokenfile.File{Path: f.Path, Owner: owner}, times); err != nil {
				t.Error(err)
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	watch(t, f, done)
	wantToken(t, f, &oauth2.Token{AccessToken: "a", RefreshToken: strconv.Itoa(12 * times)})
	wantFiles(t, f, "token", "token.lock")
}

// watch loads until done.
func watch(t *testing.T, f *tokenfile.File, done <-chan struct{}) {
	for last := 0; ; {
		tok, err := f.Load(t.Context())
		if err != nil {
			t.Error(err)
		}
		if tok != nil {
			count, err := strconv.Atoi(tok.RefreshToken)
			if err != nil || count < last {
				t.Errorf("%q after %d", tok.RefreshToken, last)
			}
			last = count
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

// wantHeld expects an Update to end with its context, because another one holds the lock, and Load
// not to wait.
func wantHeld(t *testing.T, f *tokenfile.File) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := f.Update(ctx, mustNotRun(t))
	wantError(t, err, fmt.Sprintf("another program holds %q", f.Path+".lock"))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("not context.DeadlineExceeded: %v", err)
	}
	wantToken(t, f, goodToken)
}

// A lock is held to the end of its program, and no longer.
func TestUpdate_afterAKilledProgram(t *testing.T) {
	f := newFile(t)
	write(t, f.Path, good)
	holder := hold(t, f)
	wantHeld(t, f)
	holder.Process.Kill()
	holder.Wait()
	wantFiles(t, f, "token", "token.lock", "token.tmp")
	if err := f.Update(t.Context(), returning(&oauth2.Token{AccessToken: "next"})); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, f, "token", "token.lock")
}

// hold starts a program that stays in an Update of f until it is killed.
func hold(t *testing.T, f *tokenfile.File) *exec.Cmd {
	t.Helper()
	cmd := newChild(t, "hold", f.Path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	return cmd
}

// newChild is this test's binary as a program that does one thing with the file.
func newChild(t *testing.T, what, path string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "TOKENFILE_CHILD="+what, "TOKENFILE_PATH="+path)
	return cmd
}

var children = map[string]func(f *tokenfile.File) error{
	"increment": func(f *tokenfile.File) error { return increment(context.Background(), f, 5) },
	"hold": func(f *tokenfile.File) error {
		return f.Update(context.Background(), func(*oauth2.Token) (*oauth2.Token, error) {
			fmt.Println("held")
			io.Copy(io.Discard, os.Stdin)
			return nil, nil
		})
	},
}

func TestMain(m *testing.M) {
	child := children[os.Getenv("TOKENFILE_CHILD")]
	if child == nil {
		os.Exit(m.Run())
	}
	if err := child(&tokenfile.File{Path: os.Getenv("TOKENFILE_PATH"), Owner: owner}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
