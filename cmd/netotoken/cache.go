package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

const (
	// maxCache is well above any token answer that netoauth accepts.
	maxCache = 4 << 20

	// A stored token is printed only with this much life left, for whoever gets it still has to use it.
	minLeft = 30 * time.Second

	// grace is how long an interrupted run waits for the exchange under way.
	grace = 3 * time.Second
)

// owner says whose tokens a cache holds. It names no secret.
type owner struct {
	Flow               string `json:"flow"`
	URL                string `json:"url"`
	Account            string `json:"account,omitempty"`
	AppName            string `json:"app_name,omitempty"`
	Username           string `json:"username,omitempty"`
	RefreshTokenSHA256 string `json:"refresh_token_sha256,omitempty"` // of the one that the first token came from
}

// entry is the content of a cache file.
type entry struct {
	owner
	Issued time.Time     `json:"issued"`
	Token  *oauth2.Token `json:"token"`
}

// alive reports whether the stored token can be printed as it is. One without an expiry cannot:
// nothing would ever end its use. Nor can one that has more time left than it was given: the clock was set back.
func (e *entry) alive() bool {
	if e == nil || e.Token.AccessToken == "" || e.Token.Expiry.IsZero() {
		return false
	}
	life, left := e.Token.Expiry.Sub(e.Issued), time.Until(e.Token.Expiry)
	return left >= minLeft && left >= life/100*15 && left <= life
}

// cache is a file that keeps the tokens of one owner from run to run.
type cache struct {
	path  string
	owner owner
}

// token returns the stored token where it is alive, else one from an exchange, which it has stored;
// unsaved is why it has not.
func (c *cache) token(ctx context.Context, creds *credentials, warn func(string, ...any)) (_ *oauth2.Token, unsaved, err error) {
	if e, _ := c.load(); e.alive() {
		return e.Token, nil, nil
	}
	// Two runs that spend one refresh token could cost both their session, so the second waits for the first's token.
	unlock, err := lock(ctx, c.path+".lock")
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	e, ignored := c.load()
	if ignored != nil {
		warn("warning: ignoring the cache %q: %v", c.path, ignored)
	}
	if e.alive() {
		return e.Token, nil, nil
	}
	if creds.refresh != "" {
		// Nothing else can log in again, so the exchange must not use the refresh token up before the next has a place.
		if err := c.writable(); err != nil {
			return nil, nil, fmt.Errorf("the cache %q cannot be written, so the refresh token was left unused: %w", c.path, err)
		}
	}
	if e != nil && e.Token.RefreshToken != "" {
		// Without its access token: from one that is close to its end, the source would start to renew in the
		// background, and the process would end with the new refresh token still on its way.
		creds.options.InitialToken = &oauth2.Token{RefreshToken: e.Token.RefreshToken}
	}
	type answer struct {
		token        *oauth2.Token
		unsaved, err error
	}
	done := make(chan answer, 1)
	go func() {
		var a answer
		creds.options.OnToken = func(t *oauth2.Token) { a.unsaved = c.save(t) }
		a.token, a.err = creds.flow.TokenSource(ctx).Token()
		done <- a
	}()
	select {
	case a := <-done:
		return a.token, a.unsaved, a.err
	case <-ctx.Done():
		// The exchange goes on, and the server may have replaced the refresh token already: time to store the new one.
		select {
		case <-done:
		case <-time.After(grace):
		}
		return nil, nil, ctx.Err()
	}
}

// load returns what the file holds for c.owner, nil where there is no file, and why it is of no use.
// The reasons never show what is in the file.
func (c *cache) load() (*entry, error) {
	info, err := os.Stat(c.path) // before it is opened, which could block or act on a device
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, reason(err)
	case !info.Mode().IsRegular():
		return nil, errIrregular
	case info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows":
		return nil, errors.New("others may read or write it (chmod 600 to use it); the next token issued replaces it")
	}
	f, err := os.Open(c.path)
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCache+1))
	if err != nil {
		return nil, reason(err)
	}
	var e entry
	if len(data) > maxCache || json.Unmarshal(data, &e) != nil || e.Token == nil || !clean(e.Token) {
		return nil, errors.New("not a cache of netotoken; the next token issued replaces it")
	}
	if e.owner != c.owner {
		return nil, errors.New("written for other credentials or another account; the next token issued replaces it")
	}
	return &e, nil
}

// save replaces the file at once, so that it holds one whole token or the other whatever happens.
func (c *cache) save(t *oauth2.Token) (err error) {
	data, err := json.MarshalIndent(entry{c.owner, time.Now(), t}, "", "  ")
	if err != nil {
		return err
	}
	f, err := c.create()
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if err = cmp.Or(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), c.path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return reason(err)
}

// create makes the file that is to take the place of c.path.
func (c *cache) create() (*os.File, error) {
	if info, err := os.Lstat(c.path); err == nil && !info.Mode().IsRegular() && info.Mode().Type() != fs.ModeSymlink {
		return nil, errIrregular // renaming would put a file in the place of, say, /dev/null
	}
	f, err := os.CreateTemp(filepath.Dir(c.path), ".netotoken-*") // mode 0600
	return f, reason(err)
}

// writable says why save would fail, as far as that shows before there is something to save.
func (c *cache) writable() error {
	f, err := c.create()
	if err != nil {
		return err
	}
	return reason(cmp.Or(f.Close(), os.Remove(f.Name())))
}

var errIrregular = errors.New("not a regular file, and left as it is")

// reason is err without the path that package os puts before it; the messages here name the file themselves.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}

// clean reports whether what gets printed is safe to put into a header.
func clean(t *oauth2.Token) bool {
	return !strings.ContainsFunc(t.AccessToken+t.TokenType, func(r rune) bool { return r <= ' ' || r > '~' })
}

// baseURL brings spellings of one API's URL together.
func baseURL(s string) string {
	u, err := url.Parse(cmp.Or(s, netoauth.DefaultURL))
	if err != nil {
		return s
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	base := strings.TrimRight(u.String(), "/")
	for _, suffix := range []string{"/api/v1", "/v1"} {
		if trimmed, found := strings.CutSuffix(base, suffix); found {
			base = strings.TrimRight(trimmed, "/")
			break
		}
	}
	return base
}
