// Package live_test specifies the live token source, in virtual time.
package live_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

// world is an API in a bubble, and credentials for it.
type world struct {
	*netoauthtest.Server
	ctx      context.Context
	key      *netoauth.APIKey
	password *netoauth.Password
}

// inBubble runs test in a synctest bubble, which fails it if a goroutine outlives it by a minute.
func inBubble(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	srv := netoauthtest.NewServer()
	defer srv.Close()
	key, err := netoauth.ParseAPIKey(srv.Netosecret)
	if err != nil {
		t.Fatal(err)
	}
	password := &netoauth.Password{URL: srv.URL, Username: srv.Username, Password: netoauth.Secret(srv.Password)}
	synctest.Test(t, func(t *testing.T) {
		ctx := context.WithValue(t.Context(), oauth2.HTTPClient, srv.InProcess())
		test(t, &world{srv, ctx, key, password})
		time.Sleep(time.Minute)
	})
}

// mustToken returns the access token that src gives.
func mustToken(t *testing.T, src oauth2.TokenSource) string {
	t.Helper()
	tok, err := src.Token()
	if err != nil {
		t.Fatal(err)
	}
	return tok.AccessToken
}

// exchangesOver asks src for a token every 10 ms and returns when each token request came, from now on.
func (w *world) exchangesOver(src oauth2.TokenSource, d time.Duration) (at []time.Duration) {
	start, seen := time.Now(), w.Requests("")
	for ; time.Since(start) < d; time.Sleep(10 * time.Millisecond) {
		src.Token()
		synctest.Wait()
		for n := w.Requests(""); seen < n; seen++ {
			at = append(at, time.Since(start))
		}
	}
	return at
}

func TestAThousandColdCallersCostOneExchange(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.Delay(2 * time.Second)
		src := w.key.TokenSource(w.ctx)
		tokens := make([]string, 1000)
		var all sync.WaitGroup
		for i := range tokens {
			all.Go(func() { tokens[i] = mustToken(t, src) })
		}
		all.Wait()
		for _, got := range tokens {
			if got != tokens[0] {
				t.Fatal("callers got different tokens")
			}
		}
		if got := w.Requests(""); got != 1 {
			t.Errorf("%d token requests, want 1", got)
		}
	})
}

func TestACallersContextEndsItsOwnWaitAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.Handle("/", http.NotFoundHandler())
		w.Delay(2 * time.Second)
		client := w.key.Client(w.ctx)
		start := time.Now()

		ctx, cancel := context.WithTimeout(w.ctx, 100*time.Millisecond)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, w.URL, nil)
		_, err := client.Do(req)
		if took := time.Since(start); took != 100*time.Millisecond || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller with 100 ms: %v after %v", err, took)
		}
		if e, ok := err.(*url.Error); !ok || !e.Timeout() {
			t.Errorf("http.Client's error does not know that it is a timeout: %#v", err)
		}

		resp, err := client.Get(w.URL)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if took, requests := time.Since(start), w.Requests(""); took != 2*time.Second || requests != 1 {
			t.Errorf("the next caller was served after %v with %d token requests, want 2s with 1", took, requests)
		}
	})
}

func TestAContextThatIsOverStartsNoExchange(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(w.ctx)
		cancel()
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, w.URL, nil)
		_, err := w.key.Client(w.ctx).Transport.RoundTrip(req)
		synctest.Wait()
		if !errors.Is(err, context.Canceled) || w.Requests("") != 0 {
			t.Errorf("error %v, %d token requests; want canceled and 0", err, w.Requests(""))
		}
	})
}

func TestASourceOutlivesTheContextItWasMadeWith(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(w.ctx)
		src := w.key.TokenSource(ctx)
		cancel()
		mustToken(t, src)
	})
}

func TestAnExchangeThatHangsIsCutOffAfter30s(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.Fail(-1, netoauthtest.Hang())
		src := w.key.TokenSource(w.ctx)
		start := time.Now()
		_, err := src.Token()
		if took := time.Since(start); took != 30*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v after %v, want deadline exceeded after 30s", err, took)
		}
		w.Fail(0, nil)
		time.Sleep(time.Second)
		mustToken(t, src)
	})
}

var lifetimes = []struct{ life, serves time.Duration }{
	{10 * time.Second, 9 * time.Second},
	{time.Minute, 54 * time.Second},
	{5 * time.Minute, 290 * time.Second},
	{10 * time.Hour, 10*time.Hour - 10*time.Second},
}

func TestTheTokenInHandServesUntilItsEndLessATenthOrTenSeconds(t *testing.T) {
	for _, tt := range lifetimes {
		t.Run(tt.life.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.SetLifetimes(tt.life, time.Hour)
				src := w.key.TokenSource(w.ctx)
				first := mustToken(t, src)
				w.Fail(-1, netoauthtest.Status(503))
				time.Sleep(tt.serves)
				tok, err := src.Token()
				if err != nil || tok.AccessToken != first || !tok.Valid() {
					t.Errorf("after %v: error %v; want the first token, and x/oauth2 to find it valid", tt.serves, err)
				}
				time.Sleep(time.Millisecond)
				if _, err := src.Token(); err == nil {
					t.Errorf("just after %v: a token, want an error", tt.serves)
				}
			})
		})
	}
}

func TestRenewalStartsInTheBackgroundFrom70To85PercentOfTheLifetime(t *testing.T) {
	for _, tt := range lifetimes {
		t.Run(tt.life.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.SetLifetimes(tt.life, 2*tt.life)
				sources := make([]oauth2.TokenSource, 40)
				for i := range sources {
					sources[i] = w.key.TokenSource(w.ctx)
					mustToken(t, sources[i])
				}
				early := map[time.Duration]bool{} // the points at which a renewal was seen
				start := time.Now()
				for time.Since(start) < tt.life*86/100 {
					time.Sleep(tt.life / 100)
					before := w.Requests("")
					for _, src := range sources {
						mustToken(t, src)
					}
					synctest.Wait()
					if since := time.Since(start); w.Requests("") > before {
						early[since*100/tt.life] = true
						if since < tt.life*70/100 {
							t.Errorf("a renewal at %v", since)
						}
					}
				}
				if got, want := w.Requests(""), 2*len(sources); got != want {
					t.Errorf("%d token requests by 86 %% of the lifetime, want %d", got, want)
				}
				if len(early) < 8 {
					t.Errorf("40 renewals at %d of the 16 percentages, want them spread", len(early))
				}
			})
		})
	}
}

func TestATokenThatNobodyAsksForIsNotRenewed(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		src := w.key.TokenSource(w.ctx)
		mustToken(t, src)
		time.Sleep(24 * time.Hour)
		if got := w.Requests(""); got != 1 {
			t.Errorf("%d token requests, want 1", got)
		}
	})
}

func TestRefreshWhileThatWorksElseLogIn(t *testing.T) {
	login, refresh := netoauthtest.PasswordPath, netoauthtest.RefreshPath
	tests := []struct {
		name    string
		refresh time.Duration // lifetime of the refresh token
		trouble func(w *world)
		want    map[string]int // token requests, the first log-in included
		fails   bool
	}{
		{name: "the refresh token lasts", refresh: time.Hour, want: map[string]int{login: 1, refresh: 1}},
		{name: "its end is unknown", refresh: 0, want: map[string]int{login: 1, refresh: 1}},
		{name: "it has ended", refresh: time.Minute, want: map[string]int{login: 2, refresh: 0}},
		{name: "it is refused", refresh: time.Hour, trouble: func(w *world) { w.RevokeRefreshTokens() },
			want: map[string]int{login: 2, refresh: 1}},
		{name: "a passing fault is no reason to log in", refresh: time.Hour,
			trouble: func(w *world) { w.Fail(-1, netoauthtest.Status(502)) },
			want:    map[string]int{login: 1, refresh: 3}, fails: true},
		{name: "nor is a rate limit", refresh: time.Hour,
			trouble: func(w *world) { w.Fail(-1, netoauthtest.Status(429, "Retry-After", "7")) },
			want:    map[string]int{login: 1, refresh: 1}, fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.SetLifetimes(5*time.Minute, tt.refresh)
				src := w.password.TokenSource(w.ctx)
				mustToken(t, src)
				time.Sleep(5 * time.Minute)
				if tt.trouble != nil {
					tt.trouble(w)
				}
				if _, err := src.Token(); (err != nil) != tt.fails {
					t.Errorf("error %v", err)
				}
				got := map[string]int{login: w.Requests(login), refresh: w.Requests(refresh)}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("token requests (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestARefusedRefreshTokenIsNotTriedTwiceByAFlowThatCanLogIn(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		src := w.key.TokenSource(w.ctx)
		mustToken(t, src)
		time.Sleep(5 * time.Minute)
		w.Fail(-1, netoauthtest.Status(400))
		src.Token()
		time.Sleep(5 * time.Second)
		src.Token()
		if got := w.Requests(netoauthtest.RefreshPath); got != 1 {
			t.Errorf("%d refresh requests, want 1", got)
		}
	})
}

func TestARefreshWithoutALogInToFallBackOnIsRejected(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		r := &netoauth.Refresh{URL: w.URL, RefreshToken: "not one of theirs"}
		if _, err := r.TokenSource(w.ctx).Token(); !errors.Is(err, netoauth.ErrRejected) {
			t.Errorf("error %v, want ErrRejected", err)
		}
	})
}

func TestNoRotatedRefreshTokenIsLost(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		first, err := w.password.Token(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var issued, used []string
		r := &netoauth.Refresh{URL: w.URL, RefreshToken: netoauth.Secret(first.RefreshToken)}
		r.OnToken = func(tok *oauth2.Token) {
			time.Sleep(time.Second) // a slow disk
			mu.Lock()
			defer mu.Unlock()
			issued = append(issued, tok.AccessToken+tok.RefreshToken)
			*tok = oauth2.Token{}
		}
		src := r.TokenSource(w.ctx)
		for range 20 {
			tok, err := src.Token()
			if err != nil {
				t.Fatal(err)
			}
			if got := tok.AccessToken + tok.RefreshToken; len(used) == 0 || used[len(used)-1] != got {
				used = append(used, got)
				mu.Lock()
				if len(issued) != len(used) {
					t.Errorf("token %d is in use, OnToken was called %d times", len(used), len(issued))
				}
				mu.Unlock()
			}
			time.Sleep(4*time.Minute + 20*time.Second)
		}
		synctest.Wait()
		if diff := cmp.Diff(issued[:len(used)], used); diff != "" || len(used) < 10 {
			t.Errorf("tokens used (-issued +used):\n%s", diff)
		}
	})
}

func TestInitialToken(t *testing.T) {
	tests := []struct {
		name         string
		tok          func(*oauth2.Token) // makes it of a token just issued
		wait         time.Duration
		login, fresh int // token requests beside those that issued it
	}{
		{name: "serves while it is valid", tok: func(*oauth2.Token) {}},
		{name: "is renewed at its end", tok: func(*oauth2.Token) {}, wait: 5 * time.Minute, fresh: 1},
		{name: "is refreshed when it has expired", tok: func(tok *oauth2.Token) { tok.Expiry = time.Now().Add(-time.Minute) }, fresh: 1},
		{name: "is no reason to refresh when its refresh token has ended", tok: func(tok *oauth2.Token) { tok.Expiry = time.Now().Add(-time.Hour) }, login: 1},
		{name: "may be a refresh token alone", tok: func(tok *oauth2.Token) { tok.AccessToken = "" }, fresh: 1},
		{name: "may lack a refresh token", tok: func(tok *oauth2.Token) { tok.Expiry, tok.RefreshToken = time.Now(), "" }, login: 1},
		{name: "may have a bad refresh token", tok: func(tok *oauth2.Token) { tok.Expiry, tok.RefreshToken = time.Now(), "bad" }, login: 1, fresh: 1},
		{name: "without an expiry serves for good", tok: func(tok *oauth2.Token) { tok.Expiry = time.Time{} }, wait: 1000 * time.Hour},
		{name: "may be empty", tok: func(tok *oauth2.Token) { *tok = oauth2.Token{} }, login: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				tok, err := w.key.Token(w.ctx)
				if err != nil {
					t.Fatal(err)
				}
				tt.tok(tok)
				w.key.InitialToken = tok
				src := w.key.TokenSource(w.ctx)
				stored := *tok
				*tok = oauth2.Token{AccessToken: "the caller's variable", Expiry: time.Now().Add(time.Hour)}
				time.Sleep(tt.wait)

				got, err := src.Token()
				if err != nil {
					t.Fatal(err)
				}
				want := []int{1 + tt.login, tt.fresh}
				if diff := cmp.Diff(want, []int{w.Requests(netoauthtest.APIKeyPath), w.Requests(netoauthtest.RefreshPath)}); diff != "" {
					t.Errorf("log-ins and refreshes (-want +got):\n%s", diff)
				}
				if same := got.AccessToken == stored.AccessToken; same != (tt.login+tt.fresh == 0) {
					t.Errorf("the token is the stored one: %v", same)
				}
			})
		})
	}
}

func TestAStoredTokensLifetimeIsKnownFromItsExpiresIn(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		tok, err := w.key.Token(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		w.key.InitialToken = tok
		time.Sleep(256 * time.Second) // past 85 % of 5 min
		if got := mustToken(t, w.key.TokenSource(w.ctx)); got != tok.AccessToken {
			t.Error("the stored token is not used, although it is valid")
		}
		synctest.Wait()
		if got := w.Requests(netoauthtest.RefreshPath); got != 1 {
			t.Errorf("%d refreshes in the background, want 1", got)
		}
	})
}

func TestATokenInHandMayBeWrittenTo(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		src := w.key.TokenSource(w.ctx)
		want := mustToken(t, src)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				tok, _ := src.Token()
				tok.AccessToken = "scribble"
				oauth2.ReuseTokenSource(nil, src).Token() // writes to the token it keeps
			})
		}
		all.Wait()
		if got := mustToken(t, src); got != want {
			t.Errorf("the token in hand has become %q", got)
		}
	})
}

// backsOff checks that each wait between exchanges is as long as wanted, less a tenth of jitter.
func backsOff(t *testing.T, at []time.Duration, want ...time.Duration) {
	t.Helper()
	var got []time.Duration
	for i := 1; i < len(at); i++ {
		got = append(got, at[i]-at[i-1])
	}
	jitter := cmp.Comparer(func(x, y time.Duration) bool {
		return min(x, y) >= max(x, y)*9/10-20*time.Millisecond
	})
	if diff := cmp.Diff(want, got, jitter, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
}

func TestAfterAFailedExchangeTheNextOneWaits(t *testing.T) {
	const s, min = time.Second, time.Minute
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	tests := []struct {
		name   string
		status int
		header func() []string
		over   time.Duration
		want   []time.Duration
	}{
		{name: "refusal", status: 401, over: 7 * min, want: []time.Duration{5 * s, 10 * s, 20 * s, 40 * s, 80 * s, 2 * min, 2 * min}},
		{name: "not found", status: 404, over: 28 * s, want: []time.Duration{5 * s, 10 * s}},
		{name: "redirect", status: 307, over: 28 * s, want: []time.Duration{5 * s, 10 * s}},
		{name: "refusal, Retry-After longer", status: 403, header: func() []string { return []string{"Retry-After", "60"} },
			over: 100 * s, want: []time.Duration{min}},
		{name: "refusal, Retry-After shorter", status: 403, header: func() []string { return []string{"Retry-After", "1"} },
			over: 28 * s, want: []time.Duration{5 * s, 10 * s}},
		{name: "passing, Retry-After in seconds", status: 429, header: func() []string { return []string{"Retry-After", "30"} },
			over: 80 * s, want: []time.Duration{30 * s, 30 * s}},
		{name: "passing, Retry-After as a date", status: 503, header: func() []string { return []string{"Retry-After", date(40 * s)} },
			over: 39 * s},
		{name: "Retry-After of a day is 10 min", status: 503, header: func() []string { return []string{"Retry-After", "86400"} },
			over: 15 * min, want: []time.Duration{10 * min}},
		{name: "Retry-After beyond any number", status: 503, header: func() []string { return []string{"Retry-After", "99999999999999999999"} },
			over: 15 * min, want: []time.Duration{10 * min}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				var header []string
				if tt.header != nil {
					header = tt.header()
				}
				w.Fail(-1, netoauthtest.Status(tt.status, header...))
				src := w.key.TokenSource(w.ctx)
				backsOff(t, w.exchangesOver(src, tt.over), tt.want...)
			})
		})
	}
}

func TestPassingFaultsAreTriedAgainSoonerThanRefusals(t *testing.T) {
	faults := map[string]http.Handler{
		"408": netoauthtest.Status(408), "425": netoauthtest.Status(425), "429": netoauthtest.Status(429),
		"500": netoauthtest.Status(500), "no connection": netoauthtest.Drop(), "cut off": netoauthtest.CutOff(),
		"not a token": netoauthtest.Answer(200, "text/html", "<html>"),
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				src := w.key.TokenSource(w.ctx)
				mustToken(t, src)
				time.Sleep(256 * time.Second) // stale: the exchanges are in the background, one try each
				w.Fail(-1, fault)
				at := w.exchangesOver(src, 33*time.Second)
				backsOff(t, at, time.Second, 2*time.Second, 4*time.Second, 8*time.Second, 15*time.Second)
			})
		})
	}
}

func TestAnExchangeThatSomebodyWaitsForMakesThreeTriesAtAPassingFault(t *testing.T) {
	for _, tt := range []struct {
		name    string
		faults  int
		fault   http.Handler
		succeed bool
		want    int
	}{
		{"one fault", 1, netoauthtest.Status(503), true, 2},
		{"two faults", 2, netoauthtest.Drop(), true, 3},
		{"three faults", 3, netoauthtest.CutOff(), false, 3},
		{"a refusal", 1, netoauthtest.Status(401), false, 1},
		{"a Retry-After", 1, netoauthtest.Status(503, "Retry-After", "1"), false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.Fail(tt.faults, tt.fault)
				start := time.Now()
				_, err := w.key.TokenSource(w.ctx).Token()
				if ok, got := err == nil, w.Requests(""); ok != tt.succeed || got != tt.want {
					t.Errorf("%d token requests, error %v; want %d, success %v", got, err, tt.want, tt.succeed)
				}
				if took := time.Since(start); took >= time.Duration(tt.want)*time.Second {
					t.Errorf("%d tries took %v, want them a fraction of a second apart", tt.want, took)
				}
			})
		})
	}
}

func TestTriesEndWhenNobodyWaitsAnyMore(t *testing.T) {
	for name, delay := range map[string]time.Duration{"during a try": 500 * time.Millisecond, "between two": 0} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.Fail(-1, netoauthtest.Status(503))
				w.Delay(delay)
				ctx, cancel := context.WithTimeout(w.ctx, 200*time.Millisecond)
				defer cancel()
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, w.URL, nil)
				w.key.Client(w.ctx).Do(req)
				time.Sleep(time.Minute)
				if got := w.Requests(""); got != 1 {
					t.Errorf("%d token requests, want 1", got)
				}
			})
		})
	}
}

func TestWaitsAreSpreadAtRandom(t *testing.T) {
	const min = time.Minute
	for _, tt := range []struct {
		name       string
		header     []string
		from, upTo time.Duration
	}{
		{"our own", nil, 4500 * time.Millisecond, 5 * time.Second},
		{"Retry-After", []string{"Retry-After", "60"}, min, 66 * time.Second},
		{"Retry-After beyond 10 min", []string{"Retry-After", "3600"}, 9 * min, 10 * min},
	} {
		t.Run(tt.name, func(t *testing.T) {
			waits := map[time.Duration]bool{}
			for range 5 {
				inBubble(t, func(t *testing.T, w *world) {
					w.Fail(1, netoauthtest.Status(401, tt.header...))
					at := w.exchangesOver(w.key.TokenSource(w.ctx), 11*min)
					waits[at[1]] = true
					if at[1] < tt.from || at[1] > tt.upTo+10*time.Millisecond {
						t.Errorf("a wait of %v, want it from %v to %v", at[1], tt.from, tt.upTo)
					}
				})
			}
			if len(waits) == 1 {
				t.Errorf("five sources waited alike: %v", waits)
			}
		})
	}
}

func TestEachKindOfFailureStartsItsOwnBackOff(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		src := w.key.TokenSource(w.ctx)
		mustToken(t, src)
		time.Sleep(256 * time.Second) // stale: one try each
		w.Fail(4, netoauthtest.Status(503))
		w.exchangesOver(src, 8*time.Second) // 0, 1, 3, 7 s; the next at 15 s
		time.Sleep(7 * time.Second)
		w.Fail(-1, netoauthtest.Status(401)) // the refresh and the log-in
		at := w.exchangesOver(src, 12*time.Second)
		backsOff(t, at[1:], 5*time.Second)
	})
}

func TestUntilTheNextExchangeCallersGetTheLastErrorAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.Fail(-1, netoauthtest.Status(401))
		src := w.key.TokenSource(w.ctx)
		_, first := src.Token()
		w.Delay(time.Second)
		start := time.Now()
		_, again := src.Token()
		if !errors.Is(again, netoauth.ErrRejected) || again.Error() != first.Error() || time.Since(start) != 0 || w.Requests("") != 1 {
			t.Errorf("second call: %v after %v, %d token requests", again, time.Since(start), w.Requests(""))
		}
	})
}

func TestTheFirstSuccessEndsTheBackOffOfPassingFaults(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		src := w.key.TokenSource(w.ctx)
		mustToken(t, src)
		time.Sleep(256 * time.Second) // stale: one try each
		w.Fail(3, netoauthtest.Status(503))
		w.exchangesOver(src, 10*time.Second) // at 0, 1, 3 and, with success, 7 s
		time.Sleep(256 * time.Second)
		w.Fail(-1, netoauthtest.Status(503))
		backsOff(t, w.exchangesOver(src, 6*time.Second), time.Second, 2*time.Second)
	})
}

func TestTheFirstSuccessEndsTheBackOff(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.Fail(4, netoauthtest.Status(401))
		src := w.key.TokenSource(w.ctx)
		w.exchangesOver(src, 2*time.Minute)
		mustToken(t, src)
		time.Sleep(5 * time.Minute)
		w.Fail(-1, netoauthtest.Status(401)) // the refresh, then the log-in, as one exchange
		backsOff(t, w.exchangesOver(src, 13*time.Second)[1:], 5*time.Second)
	})
}

func TestARenewalForcedByA401HappensAtMostOnceIn30s(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.SetLifetimes(time.Hour, 2*time.Hour)
		w.Handle("/", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(401) }))
		client := w.key.Client(w.ctx)
		start, seen := time.Now(), 0
		var at []time.Duration
		for time.Since(start) < 100*time.Second {
			resp, err := client.Get(w.URL)
			if err != nil || resp.StatusCode != 401 {
				t.Fatalf("%v, %v; want the caller to get the 401", resp, err)
			}
			resp.Body.Close()
			if n := w.Requests(""); n > seen {
				at, seen = append(at, time.Since(start)), n
			}
			time.Sleep(time.Second)
		}
		want := []time.Duration{0, 30 * time.Second, 60 * time.Second, 90 * time.Second}
		if diff := cmp.Diff(want, at); diff != "" || seen != 5 {
			t.Errorf("%d exchanges, forced renewals at (-want +got):\n%s", seen, diff)
		}
	})
}

func TestA401JoinsARenewalUnderWayHoweverSoonAfterAForcedOne(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.SetLifetimes(20*time.Second, time.Hour)
		w.Handle("/", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		client := w.key.Client(w.ctx)
		get := func() int {
			resp, err := client.Get(w.URL)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			return resp.StatusCode
		}
		get()
		w.RevokeAccessTokens()
		get()                                // forces a renewal
		time.Sleep(17200 * time.Millisecond) // stale
		w.RevokeAccessTokens()
		w.Delay(time.Second)
		if got := get(); got != 200 { // starts a renewal in the background, and is refused meanwhile
			t.Errorf("status %d, want 200 from the renewal under way", got)
		}
	})
}

func TestLifetimesOfDecadesAreLifetimesToo(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for _, expiresIn := range []string{"2147483647", "99999999999999999999", "1e300"} {
			w.Fail(1, netoauthtest.Answer(200, "application/json", `{"access_token":"t","expires_in":`+expiresIn+`}`))
			tok, err := w.key.TokenSource(w.ctx).Token()
			if years := time.Until(tok.Expiry) / (365 * 24 * time.Hour); err != nil || years != 68 {
				t.Errorf("expires_in %s: %d years, %v", expiresIn, years, err)
			}
		}
		for years := 1; years < 400; years++ {
			w.key.InitialToken = &oauth2.Token{AccessToken: "t", Expiry: time.Now().AddDate(years, 0, 0)}
			if got := mustToken(t, w.key.TokenSource(w.ctx)); got != "t" {
				t.Errorf("a token for %d years is not used", years)
			}
		}
	})
}

func TestARefreshTokenThatStaysMayGetALaterEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		answer := netoauthtest.Answer(200, "application/json", `{"access_token":"t","expires_in":300,"refresh_token":"same","refresh_expires_in":400}`)
		w.Fail(-1, answer)
		src := w.key.TokenSource(w.ctx)
		mustToken(t, src)
		for range 2 { // the second refresh is past the end that the log-in gave it
			time.Sleep(300 * time.Second)
			mustToken(t, src)
		}
		if got := w.Requests(netoauthtest.RefreshPath); got != 2 {
			t.Errorf("%d refreshes, want 2", got)
		}
	})
}

func TestAnErrorOfTheNetworkMayBeOneOfOurs(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		ctx := context.WithValue(w.ctx, oauth2.HTTPClient, &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			return nil, &netoauth.Error{StatusCode: 401}
		})})
		if _, err := w.key.TokenSource(ctx).Token(); err == nil {
			t.Error("no error")
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestA401ToATokenThatHasBeenReplacedDropsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var once sync.Once
		w.Handle("/", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			first := false
			once.Do(func() { first = true })
			if first {
				time.Sleep(5 * time.Minute) // until the token with which it came is long replaced
				rw.WriteHeader(401)
			}
		}))
		client := w.key.Client(w.ctx)
		var all sync.WaitGroup
		all.Go(func() {
			resp, err := client.Get(w.URL)
			if err != nil || resp.StatusCode != 200 {
				t.Errorf("%v, %v; want a replay with the current token", resp, err)
			}
		})
		for range 310 {
			time.Sleep(time.Second)
			resp, err := client.Get(w.URL)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		all.Wait()
		if got := w.Requests(""); got != 2 {
			t.Errorf("%d token requests, want 2: the first and the renewal", got)
		}
	})
}

func TestWhenTheForcedRenewalFailsTheCallerGetsThe401(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.Handle("/", http.NotFoundHandler())
		client := w.key.Client(w.ctx)
		client.Get(w.URL)
		w.RevokeAccessTokens()
		w.Fail(-1, netoauthtest.Status(401))
		resp, err := client.Get(w.URL)
		if err != nil || resp.StatusCode != 401 {
			t.Errorf("%v, %v; want the API's 401", resp, err)
		}
		if _, err = client.Get(w.URL); !errors.Is(err, netoauth.ErrRejected) {
			t.Errorf("the next request: %v, want ErrRejected", err)
		}
	})
}

func TestAnOnTokenThatDoesNotReturnLeavesNobodyWaiting(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.key.OnToken = func(*oauth2.Token) { runtime.Goexit() }
		if _, err := w.key.TokenSource(w.ctx).Token(); err == nil {
			t.Error("a token, want an error")
		}
	})
}

func TestTheSourcesOfACredentialThatCannotBeUsedSaySo(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.key.AppKey = ""
		src := w.key.TokenSource(w.ctx)
		_, err := src.Token()
		if want := "netoauth: API key: AppKey is empty; set it"; fmt.Sprint(err) != want {
			t.Errorf("error %v, want %q", err, want)
		}
		if _, err := w.key.Client(w.ctx).Get("https://elsewhere.test"); err == nil || w.Requests("") != 0 {
			t.Errorf("error %v, %d token requests; want an error and none", err, w.Requests(""))
		}
	})
}
