package live_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

func over(ctx context.Context, f roundTripper) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: f})
}

func answerWith(code int, body string, header ...string) roundTripper {
	return func(r *http.Request) (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{StatusCode: code, Request: r, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

// Joining a renewal under way is not forcing one.
func TestJoiningIsNotForcing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // guards what the API knows
		n, good := 0, ""
		slow := time.Duration(0)
		ctx := over(t.Context(), func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPost {
				time.Sleep(slow)
				mu.Lock()
				defer mu.Unlock()
				n++
				good = fmt.Sprintf("t%d", n)
				return answerWith(200, `{"access_token":"`+good+`","expires_in":20}`)(r)
			}
			mu.Lock()
			defer mu.Unlock()
			if r.Header.Get("Authorization") != "Bearer "+good {
				return answerWith(401, "")(r)
			}
			return answerWith(200, "")(r)
		})
		c := (&netoauth.Password{Username: "u", Password: "p"}).Client(ctx)
		get := func() int {
			resp, err := c.Get("https://api.netography.com")
			if err != nil {
				t.Fatal(err)
			}
			return resp.StatusCode
		}
		revoke := func() {
			mu.Lock()
			defer mu.Unlock()
			good = "revoked"
		}
		get()
		revoke()
		get() // forces, at 0 s
		time.Sleep(17200 * time.Millisecond)
		good, slow = "revoked", time.Second
		get() // joins, at 17.2 s
		slow = 0
		time.Sleep(12 * time.Second) // 30.2 s; the token of 18.2 s is fresh
		revoke()
		if got := get(); got != 200 {
			t.Errorf("status %d, want 200: nothing was forced for 30 s", got)
		}
	})
}

// A client may follow more redirects than http.Client's ten.
func TestAForeignTokenSurvivesManyRedirectsAtHome(t *testing.T) {
	n, bare := 0, 0
	tr := &netoauth.Transport{Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "t"}), Base: roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Authorization") == "" {
			bare++
		}
		if n++; n <= 30 {
			return answerWith(302, "", "Location", "/x")(r)
		}
		return answerWith(200, "")(r)
	})}
	c := &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
	if _, err := c.Get("https://api.test"); err != nil || bare != 0 {
		t.Errorf("%v, %d requests without the token", err, bare)
	}
}

// Scheme.
func TestSchemeIsPartOfTheOrigin(t *testing.T) {
	for _, src := range []bool{true, false} {
		got := ""
		base := roundTripper(func(r *http.Request) (*http.Response, error) {
			got = r.Header.Get("Authorization")
			if r.URL.Scheme == "https" && !src {
				return answerWith(307, "", "Location", "http://api.test:8443/")(r)
			}
			return answerWith(200, "")(r)
		})
		r := &netoauth.Refresh{URL: "https://api.test:8443", RefreshToken: "r"}
		r.InitialToken = &oauth2.Token{AccessToken: "t"}
		tr := &netoauth.Transport{Source: r.TokenSource(t.Context()), Base: base}
		u := "http://api.test:8443/"
		if !src {
			tr.Source, u = oauth2.StaticTokenSource(r.InitialToken), "https://api.test:8443/"
		}
		if _, err := (&http.Client{Transport: tr}).Get(u); err != nil || got != "" {
			t.Errorf("of the package %v: token over plain http: %q, %v", src, got, err)
		}
	}
}

// The client's Jar and Timeout count for token requests.
func TestJarAndTimeoutCountForTokenRequests(t *testing.T) {
	jar, _ := cookiejar.New(nil)
	u, _ := url.Parse("https://api.netography.com")
	jar.SetCookies(u, []*http.Cookie{{Name: "sticky", Value: "1"}})
	synctest.Test(t, func(t *testing.T) {
		cookie := ""
		c := &http.Client{Jar: jar, Timeout: 3 * time.Second, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			cookie = r.Header.Get("Cookie")
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}
		start := time.Now()
		_, err := (&netoauth.Password{Username: "u", Password: "pppp"}).Token(context.WithValue(t.Context(), oauth2.HTTPClient, c))
		if cookie != "sticky=1" || time.Since(start) != 3*time.Second {
			t.Errorf("cookie %q, %v after %v", cookie, err, time.Since(start))
		}
		// 10
		var timeout interface{ Timeout() bool }
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%v is no timeout", err)
		}
	})
}

// Url.Error.Timeout of an API request that waited too long for its token.
func TestAWaitThatTimesOutIsATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := over(t.Context(), func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		rctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, _ := http.NewRequestWithContext(rctx, "GET", "https://api.netography.com", nil)
		_, err := (&netoauth.Password{Username: "u", Password: "pppp"}).Client(ctx).Do(req)
		var ue *url.Error
		if !errors.As(err, &ue) || !ue.Timeout() {
			t.Errorf("%v: not a timeout to url.Error", err)
		}
		time.Sleep(time.Minute)
	})
}

// The network's errors can be asked for by type.
func TestTheNetworksErrorIsFoundByItsType(t *testing.T) {
	_, err := (&netoauth.Password{URL: "http://127.0.0.1:1", Username: "u", Password: "pppp"}).Token(t.Context())
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" {
		t.Errorf("no *net.OpError in %v", err)
	}
}

// An echo in a header.
func TestAnEchoInAHeaderIsBlottedOutOfTheRetrieveError(t *testing.T) {
	_, err := (&netoauth.Password{Username: "u", Password: "hunter22hunter22"}).Token(over(t.Context(), answerWith(401, "", "X-Echo", "password=hunter22hunter22", "Date", "x")))
	var re *oauth2.RetrieveError
	if !errors.As(err, &re) || strings.Contains(fmt.Sprint(re.Response.Header), "hunter22") || re.Response.Header.Get("X-Echo") == "" {
		t.Errorf("header %v", re.Response.Header)
	}
}

// One secret begins with another.
func TestASecretThatBeginsWithAnotherIsBlottedWhole(t *testing.T) {
	k := &netoauth.APIKey{Shortname: "s", AppName: "a", AppKey: "QQkeyQQ", SharedSecret: "QQkeyQQ-and-a-rest"}
	_, err := k.Token(over(t.Context(), answerWith(401, `{"message":"QQkeyQQ-and-a-rest"}`)))
	if strings.Contains(err.Error(), "rest") {
		t.Error(err)
	}
}

// Refresh whose refresh token has ended by its own word.
func TestRefreshTriesAnEndedRefreshTokenForItHasNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		src := (&netoauth.Refresh{RefreshToken: "r"}).TokenSource(over(t.Context(), func(r *http.Request) (*http.Response, error) {
			if n++; n == 2 {
				return answerWith(400, "")(r)
			}
			return answerWith(200, `{"access_token":"t","expires_in":300,"refresh_token":"r2","refresh_expires_in":60}`)(r)
		}))
		src.Token()
		time.Sleep(time.Hour)
		if _, err := src.Token(); !errors.Is(err, netoauth.ErrRejected) {
			t.Errorf("%v, want ErrRejected", err)
		}
	})
}

// Retry-After just under the bound.
func TestARetryAfterNearTheBoundStaysWithinIt(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			src := (&netoauth.Password{Username: "u", Password: "pppp"}).TokenSource(over(t.Context(), func(r *http.Request) (*http.Response, error) {
				n++
				return answerWith(503, "", "Retry-After", "599")(r)
			}))
			src.Token()
			time.Sleep(10 * time.Minute)
			src.Token()
			if n != 2 {
				t.Errorf("%d exchanges, want the second within 10 min", n)
			}
		})
	}
}

// 16
func TestANilClientInTheContextIsNone(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"access_token":"t"}`) }))
	defer srv.Close()
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, (*http.Client)(nil))
	if _, err := (&netoauth.Refresh{URL: srv.URL, RefreshToken: "r"}).Token(ctx); err != nil {
		t.Error(err)
	}
}

// 401 to a request that cannot be sent again drops the token all the same.
func TestA401ToARequestThatCannotBeSentAgainDropsTheToken(t *testing.T) {
	n := 0
	ctx := over(t.Context(), func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/api/auth/bearer/token" {
			n++
			return answerWith(200, fmt.Sprintf(`{"access_token":"t%d"}`, n))(r)
		}
		if r.Header.Get("Authorization") == "Bearer t1" {
			return answerWith(401, "")(r)
		}
		return answerWith(200, "")(r)
	})
	c := (&netoauth.Password{Username: "u", Password: "pppp"}).Client(ctx)
	for i, want := range []int{401, 200} {
		req, _ := http.NewRequest("POST", "https://api.netography.com", io.MultiReader(strings.NewReader("x")))
		if resp, err := c.Do(req); err != nil || resp.StatusCode != want {
			t.Errorf("request %d: %v, %v; want %d", i, resp, err, want)
		}
	}
}

// The wait for a forced renewal ends with the request's context.
func TestTheWaitForAForcedRenewalEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		ctx := over(t.Context(), func(r *http.Request) (*http.Response, error) {
			if r.Method == "POST" {
				if n++; n > 1 {
					time.Sleep(20 * time.Second)
				}
				return answerWith(200, `{"access_token":"t","expires_in":300}`)(r)
			}
			return answerWith(401, "")(r)
		})
		rctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		req, _ := http.NewRequestWithContext(rctx, "GET", "https://api.netography.com", nil)
		resp, err := (&netoauth.Password{Username: "u", Password: "pppp"}).Client(ctx).Transport.RoundTrip(req)
		if took := time.Since(start); took != time.Second || err != nil || resp.StatusCode != 401 {
			t.Errorf("%v, %v after %v; want the 401 after 1s", resp, err, took)
		}
		time.Sleep(time.Minute)
	})
}

// 19
func TestASourceKeepsTheValuesOfItsContext(t *testing.T) {
	type key struct{}
	var got any
	ctx := over(context.WithValue(t.Context(), key{}, "trace"), func(r *http.Request) (*http.Response, error) {
		got = r.Context().Value(key{})
		return answerWith(200, `{"access_token":"t"}`)(r)
	})
	(&netoauth.Password{Username: "u", Password: "pppp"}).TokenSource(ctx).Token()
	if got != "trace" {
		t.Errorf("value %v", got)
	}
}

// 20, 21
func TestTokenOfAFlowThatLogsInUsesNoInitialToken(t *testing.T) {
	path := ""
	p := &netoauth.Password{Username: "u", Password: "pppp"}
	p.InitialToken = &oauth2.Token{AccessToken: "t", TokenType: "mac", RefreshToken: "stored"}
	ctx := over(t.Context(), func(r *http.Request) (*http.Response, error) {
		path = r.URL.Path + " " + r.Header.Get("Authorization")
		return answerWith(200, `{"access_token":"t"}`)(r)
	})
	p.Token(ctx)
	if path != "/api/auth/bearer/token " {
		t.Errorf("Token asked %s", path)
	}
	p.Client(ctx).Get("https://api.netography.com/")
	if path != "/ MAC t" {
		t.Errorf("sent %s", path)
	}
}

// A flaky balancer in front of wrong credentials: the faults between must not make the refusals come faster.
func TestPassingFaultsInBetweenDoNotResetTheBackOffOfRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, refused := 0, 0
		ctx := over(t.Context(), func(r *http.Request) (*http.Response, error) {
			if n++; n%4 != 1 {
				return answerWith(503, "")(r)
			}
			refused++
			return answerWith(401, "")(r)
		})
		src := (&netoauth.Password{Username: "u", Password: "p"}).TokenSource(ctx)
		for start := time.Now(); time.Since(start) < 10*time.Minute; time.Sleep(10 * time.Millisecond) {
			src.Token()
		}
		if refused > 20 {
			t.Errorf("%d refused log-ins in 10 min, want at most 20", refused)
		}
		time.Sleep(time.Minute)
	})
}

func TestA401WhileRenewalsFailLeavesTheTokenInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := false
		ctx := over(t.Context(), func(r *http.Request) (*http.Response, error) {
			switch {
			case r.Method == http.MethodPost && down:
				return answerWith(503, "")(r)
			case r.Method == http.MethodPost:
				return answerWith(200, `{"access_token":"t","expires_in":300}`)(r)
			case r.URL.Path == "/forbidden":
				return answerWith(401, "")(r)
			}
			return answerWith(200, "")(r)
		})
		c := (&netoauth.Password{Username: "u", Password: "p"}).Client(ctx)
		get := func(path string) int {
			resp, err := c.Get("https://api.netography.com" + path)
			if err != nil {
				t.Fatal(err)
			}
			return resp.StatusCode
		}
		get("/")
		down = true
		time.Sleep(256 * time.Second)
		get("/") // stale: starts a renewal, which fails
		synctest.Wait()
		if got := get("/forbidden"); got != 401 {
			t.Errorf("status %d, want the API's 401", got)
		}
		if got := get("/"); got != 200 {
			t.Errorf("status %d, want 200 with the token in hand", got)
		}
		time.Sleep(time.Minute)
	})
}

func TestATransportMayAnswerWithoutItsRequest(t *testing.T) {
	ctx := over(t.Context(), func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 401, Body: io.NopCloser(strings.NewReader(""))}, nil
	})
	if _, err := (&netoauth.Password{Username: "u", Password: "p"}).Token(ctx); !errors.Is(err, netoauth.ErrRejected) {
		t.Errorf("error %v, want ErrRejected", err)
	}
}

func TestNoPartOfARequestTokenIsEchoed(t *testing.T) {
	ctx := over(t.Context(), func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		return answerWith(401, `{"message":"bad claims `+strings.Split(string(body), ".")[1]+`"}`)(r)
	})
	key := &netoauth.APIKey{Shortname: "s", AppName: "n", AppKey: "k", SharedSecret: "x"}
	if _, err := key.Token(ctx); !strings.Contains(err.Error(), "bad claims [redacted]") {
		t.Errorf("error %v shows the claims", err)
	}
}
