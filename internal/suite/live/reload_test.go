package live_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
)

// reloading is a flow with a Reload. Its credential is the World's, with another secret where that is not "".
type reloading struct {
	path string // of the log-in
	make func(w *suite.World, secret string, o netoauth.Options, reload reload) suite.Credential
}

// reload is what Reload of either type returns: a credential as the World's, with another secret where that is not "",
// and changed; or none.
type reload func(ctx context.Context) (*reloaded, error)

type reloaded struct {
	secret string
	key    func(*netoauth.APIKey)
	user   func(*netoauth.Password)
}

var reloadings = map[string]reloading{
	"API key": {netoauthtest.APIKeyPath, func(w *suite.World, secret string, o netoauth.Options, r reload) suite.Credential {
		k := keyWith(w, secret)
		k.Options = o
		if r == nil {
			return k
		}
		k.Reload = func(ctx context.Context) (*netoauth.APIKey, error) {
			next, err := r(ctx)
			if next == nil {
				return nil, err
			}
			k := keyWith(w, next.secret)
			if next.key != nil {
				next.key(k)
			}
			return k, err
		}
		return k
	}},
	"password": {netoauthtest.PasswordPath, func(w *suite.World, secret string, o netoauth.Options, r reload) suite.Credential {
		p := userWith(w, secret)
		p.Options = o
		if r == nil {
			return p
		}
		p.Reload = func(ctx context.Context) (*netoauth.Password, error) {
			next, err := r(ctx)
			if next == nil {
				return nil, err
			}
			p := userWith(w, next.secret)
			if next.user != nil {
				next.user(p)
			}
			return p, err
		}
		return p
	}},
}

func keyWith(w *suite.World, secret string) *netoauth.APIKey {
	k := *w.Key
	if secret != "" {
		k.SharedSecret = netoauth.Secret(secret)
	}
	return &k
}

func userWith(w *suite.World, secret string) *netoauth.Password {
	p := *w.User
	if secret != "" {
		p.Password = netoauth.Secret(secret)
	}
	return &p
}

const replaced = "the secret that was replaced"

// eachReloading runs test for each flow that has a Reload, in a bubble.
func eachReloading(t *testing.T, test func(t *testing.T, w *suite.World, r reloading)) {
	for name, r := range reloadings {
		t.Run(name, func(t *testing.T) {
			suite.InBubble(t, func(t *testing.T, w *suite.World) { test(t, w, r) })
		})
	}
}

// A secret is replaced while the program runs: it costs one refused log-in.
func TestReload_replacedSecretIsUsedFromThenOn(t *testing.T) {
	eachReloading(t, func(t *testing.T, w *suite.World, r reloading) {
		asked := 0
		j := new(suite.Journal)
		src := r.make(w, replaced, j.Options(), func(context.Context) (*reloaded, error) {
			asked++
			return new(reloaded), nil
		}).TokenSource(w.Ctx)
		suite.MustToken(t, src)
		suite.Diff(t, "log-ins, the refused one included", 2, w.Requests(r.path))
		suite.Diff(t, "callbacks", []string{"WARN", "OnToken", "OnExchange", "DEBUG"}, j.Take())
		for range 3 {
			time.Sleep(time.Hour) // the refresh token has ended
			suite.MustToken(t, src)
		}
		suite.Diff(t, "log-ins in all", 5, w.Requests(r.path))
		suite.Diff(t, "times that Reload was asked", 1, asked)
	})
}

func TestReload_isAskedByEachTokenAndSource(t *testing.T) {
	eachReloading(t, func(t *testing.T, w *suite.World, r reloading) {
		asked := 0
		c := r.make(w, replaced, netoauth.Options{}, func(context.Context) (*reloaded, error) {
			asked++
			return new(reloaded), nil
		})
		before := fields(c)
		for i := 1; i <= 2; i++ {
			if _, err := c.Token(w.Ctx); err != nil {
				t.Fatal(err)
			}
			suite.Diff(t, "times that Reload was asked", i, asked)
		}
		for i := 3; i <= 4; i++ { // sources do not share what it returned
			suite.MustToken(t, c.TokenSource(w.Ctx))
			suite.Diff(t, "times that Reload was asked", i, asked)
		}
		suite.Diff(t, "the credential itself", before, fields(c))
	})
}

// fields are a credential's, the secrets in the clear.
func fields(c suite.Credential) []string {
	switch c := c.(type) {
	case *netoauth.APIKey:
		return []string{c.URL, c.Shortname, c.AppName, string(c.AppKey), string(c.SharedSecret)}
	case *netoauth.Password:
		return []string{c.URL, c.Username, string(c.Password)}
	}
	return nil
}

func TestReload_refusalStands(t *testing.T) {
	const other = "a secret just as wrong"
	errFile := errors.New("no such file")
	for _, tt := range []struct {
		name   string
		reload reload // nil: there is none
		want   int    // log-ins
		text   string // what the error says of it
		cause  error
	}{
		{name: "without a Reload", want: 1},
		{"nothing new", func(context.Context) (*reloaded, error) { return nil, nil }, 1, "", nil},
		{"the same", func(context.Context) (*reloaded, error) { return &reloaded{secret: replaced}, nil }, 1, "", nil},
		{"another that is refused", func(context.Context) (*reloaded, error) { return &reloaded{secret: other}, nil }, 2, "", nil},
		{"an error", func(context.Context) (*reloaded, error) { return nil, errFile }, 1,
			"and Reload failed: no such file", errFile},
		{"an error and a credential", func(context.Context) (*reloaded, error) { return new(reloaded), errFile }, 1,
			"and Reload failed: no such file", errFile},
		{"an error of many lines", func(context.Context) (*reloaded, error) {
			return nil, fmt.Errorf("line\nline\r\n%w%s", errFile, strings.Repeat(" and more", 1000))
		}, 1, "and Reload failed: line line no such file and more", errFile},
		{"an error that quotes the secret in use", func(context.Context) (*reloaded, error) {
			return nil, fmt.Errorf("%w: %s", errFile, replaced)
		}, 1, "and Reload failed: the cause is not shown", errFile},
		{"an error that quotes the secret it comes with", func(context.Context) (*reloaded, error) {
			return &reloaded{secret: other}, fmt.Errorf("%w: %s", errFile, other)
		}, 1, "and Reload failed: the cause is not shown", errFile},
		{"an error without a text", func(context.Context) (*reloaded, error) { return nil, errors.New("") }, 1,
			"and Reload failed: the cause is not shown", nil},
		{"a context that is over", func(context.Context) (*reloaded, error) { return nil, context.Canceled }, 1,
			"and Reload failed: context canceled", context.Canceled},
		{"an incomplete one", func(context.Context) (*reloaded, error) {
			return &reloaded{
				key:  func(k *netoauth.APIKey) { k.AppName = "" },
				user: func(p *netoauth.Password) { p.Username = "" },
			}, nil
		}, 1, "and Reload failed: what it returned lacks ", nil},
		{"one without a secret", func(context.Context) (*reloaded, error) {
			return &reloaded{
				key:  func(k *netoauth.APIKey) { k.SharedSecret = "" },
				user: func(p *netoauth.Password) { p.Password = "" },
			}, nil
		}, 1, "and Reload failed: what it returned lacks ", nil},
		{"one whose user name has a line break", func(context.Context) (*reloaded, error) {
			return &reloaded{
				key:  func(k *netoauth.APIKey) { k.AppName = "" },
				user: func(p *netoauth.Password) { p.Username += "\n" },
			}, nil
		}, 1, "what it returned", nil},
		{"one whose password has a line break", func(context.Context) (*reloaded, error) {
			return &reloaded{
				key:  func(k *netoauth.APIKey) { k.AppKey = "" },
				user: func(p *netoauth.Password) { p.Password += "\n" },
			}, nil
		}, 1, "what it returned", nil},
		{"an empty one", func(context.Context) (*reloaded, error) {
			return &reloaded{
				key:  func(k *netoauth.APIKey) { *k = netoauth.APIKey{} },
				user: func(p *netoauth.Password) { *p = netoauth.Password{} },
			}, nil
		}, 1, "and Reload failed: what it returned lacks ", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachReloading(t, func(t *testing.T, w *suite.World, r reloading) {
				_, err := r.make(w, replaced, netoauth.Options{}, tt.reload).TokenSource(w.Ctx).Token()
				suite.Diff(t, "log-ins", tt.want, w.Requests(r.path))
				suite.WantError(t, err, netoauth.ErrRejected)
				if e, ok := errors.AsType[*netoauth.Error](err); !ok || e.StatusCode != 401 {
					t.Errorf("error %v, want an *Error of 401 in it", err)
				}
				if tt.cause != nil {
					suite.WantError(t, err, tt.cause)
				}
				text := err.Error()
				if !strings.Contains(text, tt.text) || strings.Contains(text, "Reload") != (tt.text != "") {
					t.Errorf("error %q, want %q in it", text, tt.text)
				}
				if strings.ContainsAny(text, "\r\n") || len(text) > 1500 {
					t.Errorf("error of %d bytes: %q, want a short line", len(text), text)
				}
				for _, secret := range []string{replaced, other, w.Password, string(w.Key.SharedSecret)} {
					for _, s := range []string{text, fmt.Sprintf("%+v %#v", err, err)} {
						if strings.Contains(s, secret) {
							t.Errorf("error %q shows a secret", s)
						}
					}
				}
			})
		})
	}
}

// A file that a person has not yet replaced is looked at once an exchange, at the pace of refusals.
func TestReload_isAskedOnceAnExchange(t *testing.T) {
	eachReloading(t, func(t *testing.T, w *suite.World, r reloading) {
		asked, exchanges := 0, 0
		o := netoauth.Options{OnExchange: func(netoauth.Exchange) { exchanges++ }}
		src := r.make(w, replaced, o, func(context.Context) (*reloaded, error) {
			asked++
			return &reloaded{secret: fmt.Sprint("wrong password number ", asked)}, nil
		}).TokenSource(w.Ctx)
		for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
			src.Token()
		}
		if exchanges < 6 || exchanges > 16 {
			t.Errorf("%d exchanges in 10 min", exchanges)
		}
		suite.Diff(t, "times that Reload was asked", exchanges, asked)
		suite.Diff(t, "log-ins", 2*exchanges, w.Requests(r.path))
	})
}

// Also where the tries of an exchange each meet a refusal.
func TestReload_isAskedOnceForAllTries(t *testing.T) {
	eachReloading(t, func(t *testing.T, w *suite.World, r reloading) {
		n := 0
		w.Fail(-1, http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
			n++
			netoauthtest.Status([]int{401, 503, 401, 503, 503}[n-1]).ServeHTTP(rw, req)
		}))
		asked := 0
		_, err := r.make(w, "", netoauth.Options{}, func(context.Context) (*reloaded, error) {
			asked++
			return &reloaded{secret: fmt.Sprint("another secret ", asked)}, nil
		}).TokenSource(w.Ctx).Token()
		suite.WantError(t, err, netoauth.ErrRejected)
		suite.Diff(t, "token requests", 3, n)
		suite.Diff(t, "times that Reload was asked", 1, asked)
	})
}

// What Reload returned is used from then on, even if the first log-in with it meets a fault.
func TestReload_isNotForgottenAtAFault(t *testing.T) {
	eachReloading(t, func(t *testing.T, w *suite.World, r reloading) {
		asked := 0
		src := r.make(w, replaced, netoauth.Options{}, func(context.Context) (*reloaded, error) {
			asked++
			w.Fail(-1, netoauthtest.Status(503))
			return new(reloaded), nil
		}).TokenSource(w.Ctx)
		if _, err := src.Token(); err == nil || errors.Is(err, netoauth.ErrRejected) {
			t.Errorf("error %v, want the fault that the second log-in met", err)
		}
		w.Fail(0, nil)
		time.Sleep(time.Second)
		suite.MustToken(t, src)
		suite.Diff(t, "times that Reload was asked", 1, asked)
	})
}

func TestReload_isNotAskedForWhatIsNoRefusedLogIn(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault http.Handler
		paths []string
		age   time.Duration
		fails bool
	}{
		{"503", netoauthtest.Status(503), nil, 0, true},
		{"429", netoauthtest.Status(429), nil, 0, true},
		{"408", netoauthtest.Status(408), nil, 0, true},
		{"redirect", netoauthtest.Status(307), nil, 0, true},
		{"no connection", netoauthtest.Drop(), nil, 0, true},
		{"silence", netoauthtest.Hang(), nil, 0, true},
		{"not a token", netoauthtest.Answer(200, "text/html", "<html>"), nil, 0, true},
		{"a refused refresh token", netoauthtest.Status(400), []string{netoauthtest.RefreshPath}, spent, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachReloading(t, func(t *testing.T, w *suite.World, r reloading) {
				o := netoauth.Options{}
				if tt.age > 0 {
					o.InitialToken = mustLogIn(t, w, tt.age)
				}
				w.Fail(-1, tt.fault, tt.paths...)
				src := r.make(w, "", o, func(context.Context) (*reloaded, error) {
					t.Error("Reload was asked")
					return nil, nil
				}).TokenSource(w.Ctx)
				if _, err := src.Token(); (err != nil) != tt.fails {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

// The refresh token goes first, then the old secret, then the new one: one exchange.
func TestReload_isAskedAfterARefusedRefreshToken(t *testing.T) {
	eachReloading(t, func(t *testing.T, w *suite.World, r reloading) {
		j := new(suite.Journal)
		o := j.Options()
		o.InitialToken = mustLogIn(t, w, spent)
		before := w.Requests(r.path)
		w.RevokeRefreshTokens()
		suite.MustToken(t, r.make(w, replaced, o, func(context.Context) (*reloaded, error) {
			return new(reloaded), nil
		}).TokenSource(w.Ctx))
		suite.Diff(t, "refreshes", 1, w.Requests(netoauthtest.RefreshPath))
		suite.Diff(t, "log-ins", 2, w.Requests(r.path)-before)
		suite.Diff(t, "callbacks", []string{"WARN", "WARN", "OnToken", "OnExchange", "DEBUG"}, j.Take())
	})
}

// Only the named fields of the result count: a sub-account's Reload may return the parent's key.
func TestReload_resultHasNoSayInAnythingElse(t *testing.T) {
	eachReloading(t, func(t *testing.T, w *suite.World, r reloading) {
		w.SetAccounts("sub")
		w.Key.Shortname = "sub"
		j := new(suite.Journal)
		called := func(what string) netoauth.Options {
			return netoauth.Options{
				OnExchange: func(netoauth.Exchange) { t.Errorf("%s's OnExchange was called", what) },
				Store:      newStore(nil),
			}
		}
		tok, err := r.make(w, replaced, j.Options(), func(context.Context) (*reloaded, error) {
			return &reloaded{
				key: func(k *netoauth.APIKey) {
					k.URL, k.Shortname, k.Options = "http://not a URL", "parent", called("the result")
					k.Reload = func(context.Context) (*netoauth.APIKey, error) { panic("the result's Reload") }
				},
				user: func(p *netoauth.Password) {
					p.URL, p.Options = "http://not a URL", called("the result")
					p.Reload = func(context.Context) (*netoauth.Password, error) { panic("the result's Reload") }
				},
			}, nil
		}).TokenSource(w.Ctx).Token()
		if err != nil {
			t.Fatal(err)
		}
		if r.path == netoauthtest.APIKeyPath {
			suite.Diff(t, "account of the token", "sub", claim(t, tok.AccessToken, "shortname"))
		}
		suite.Diff(t, "callbacks", []string{"WARN", "OnToken", "OnExchange", "DEBUG"}, j.Take())
	})
}

// Each of the fields may be the one that is new.
func TestReload_anyOfItsFieldsMayBeNew(t *testing.T) {
	for name, change := range map[string]func(*netoauth.APIKey){
		"AppName":      func(k *netoauth.APIKey) { k.AppName = "old name" },
		"AppKey":       func(k *netoauth.APIKey) { k.AppKey = "old key" },
		"SharedSecret": func(k *netoauth.APIKey) { k.SharedSecret = "old secret" },
	} {
		suite.RunInBubble(t, name, func(t *testing.T, w *suite.World) {
			k := *w.Key
			change(&k)
			k.Reload = func(context.Context) (*netoauth.APIKey, error) { return w.Key, nil }
			suite.MustToken(t, k.TokenSource(w.Ctx))
		})
	}
	suite.RunInBubble(t, "Username", func(t *testing.T, w *suite.World) {
		p := *w.User
		p.Username = "old@example.com"
		p.Reload = func(context.Context) (*netoauth.Password, error) { return w.User, nil }
		var seen []string
		p.OnExchange = func(e netoauth.Exchange) { seen = append(seen, e.Account) }
		src := p.TokenSource(w.Ctx)
		suite.Diff(t, "Status.Account before", p.Username, netoauth.StatusOf(src).Account)
		suite.MustToken(t, src)
		suite.Diff(t, "Status.Account", w.Username, netoauth.StatusOf(src).Account)
		w.Fail(-1, netoauthtest.Status(401))
		time.Sleep(spent)
		_, err := src.Token()
		suite.Diff(t, "Exchange.Account", []string{w.Username, w.Username}, seen)
		if !strings.Contains(fmt.Sprint(err), w.Username) {
			t.Errorf("error %v, want it to name %s", err, w.Username)
		}
	})
}

// A wrong clock is seen to first, without Reload; where the second signature is refused too, Reload is asked.
func TestReload_comesAfterTheSecondSignature(t *testing.T) {
	for _, tt := range []struct {
		name        string
		secret      string
		asked, want int
	}{
		{"the clock alone is wrong", "", 0, 2},
		{"the secret, too", replaced, 1, 4},
	} {
		suite.RunInBubble(t, tt.name, func(t *testing.T, w *suite.World) {
			w.SetClock(time.Hour)
			asked := 0
			src := reloadings["API key"].make(w, tt.secret, netoauth.Options{}, func(context.Context) (*reloaded, error) {
				asked++
				return new(reloaded), nil
			}).TokenSource(w.Ctx)
			suite.MustToken(t, src)
			suite.Diff(t, "times that Reload was asked", tt.asked, asked)
			suite.Diff(t, "log-ins", tt.want, w.Requests(""))
		})
	}
}

func TestReload_endsWithTheExchange(t *testing.T) {
	eachReloading(t, func(t *testing.T, w *suite.World, r reloading) {
		type key struct{}
		w.Delay(7 * time.Second)
		var value any
		reload := func(ctx context.Context) (*reloaded, error) {
			value = ctx.Value(key{})
			<-ctx.Done()
			return nil, ctx.Err()
		}
		start := time.Now()
		ctx := context.WithValue(w.Ctx, key{}, "of the source")
		_, err := r.make(w, replaced, netoauth.Options{}, reload).TokenSource(ctx).Token()
		suite.WantError(t, err, context.DeadlineExceeded)
		suite.WantError(t, err, netoauth.ErrRejected)
		suite.Diff(t, "time taken", "30s", time.Since(start).String())
		suite.Diff(t, "value in its context", any("of the source"), value)

		ctx, cancel := context.WithTimeout(w.Ctx, 10*time.Second)
		defer cancel()
		start = time.Now()
		_, err = r.make(w, replaced, netoauth.Options{}, reload).Token(ctx)
		suite.WantError(t, err, context.DeadlineExceeded)
		suite.Diff(t, "time taken by Token", "10s", time.Since(start).String())
	})
}

// A replaced secret is as secret as the first, in what the API echoes, in a record and in an error of the Store.
func TestReload_neitherSecretShows(t *testing.T) {
	eachReloading(t, func(t *testing.T, w *suite.World, r reloading) {
		const fresh = "the new secret 7f3a"
		for _, secret := range []string{fresh, replaced} {
			w.Fail(-1, http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
				rw.WriteHeader(401)
				json.NewEncoder(rw).Encode(map[string]string{"name": "refused", "message": "wrong: " + secret})
			}))
			_, err := r.make(w, replaced, netoauth.Options{}, func(context.Context) (*reloaded, error) {
				return &reloaded{secret: fresh}, nil
			}).TokenSource(w.Ctx).Token()
			suite.WantError(t, err, netoauth.ErrRejected)
			if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret) {
				t.Errorf("error %v shows %q", err, secret)
			}
		}
	})
}

// claim returns a claim of an access token of netoauthtest.
func claim(t *testing.T, token, name string) (value string) {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	var claims map[string]any
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		t.Fatalf("not a JWT of JSON: %v", err)
	}
	value, _ = claims[name].(string)
	return value
}
