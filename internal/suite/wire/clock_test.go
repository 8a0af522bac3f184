package wire_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest"
)

// A log-in with a request token that is refused is signed once more with the server's time where the answer's
// Date is over 30 s away from the local clock.
func TestAWrongClockIsCorrectedOnce(t *testing.T) {
	tests := []struct {
		offset time.Duration // of the server's clock
		refuse int           // how many requests are refused for another reason
		posts  int
		ok     bool
	}{
		{-2 * time.Hour, 0, 2, true},
		{2 * time.Hour, 0, 2, true},
		{-61 * time.Second, 0, 2, true},
		{61 * time.Second, 0, 2, true},
		{24 * 365 * 30 * time.Hour, 0, 2, true},
		{-24 * 365 * 20 * time.Hour, 0, 2, true},

		{0, 0, 1, true},
		{20 * time.Second, 0, 1, true},
		{-45 * time.Second, 0, 1, true}, // wrong, but the API takes it

		{-31 * time.Second, 1, 2, true}, // a stricter API
		{31 * time.Second, 1, 2, true},
		{-2 * time.Hour, 1, 2, true},

		{0, -1, 1, false},
		{20 * time.Second, -1, 1, false},
		{-20 * time.Second, -1, 1, false},
		{29 * time.Second, -1, 1, false},
		{30 * time.Second, -1, 1, false},
		{-2 * time.Hour, -1, 2, false},
		{2 * time.Hour, -1, 2, false},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("server %v ahead, %d refused", tt.offset, tt.refuse), func(t *testing.T) {
			srv := newServer(t)
			synctest.Test(t, func(t *testing.T) {
				c := credentials(t, srv, netoauth.Options{})[apiKey.name]
				srv.SetClock(tt.offset)
				srv.Fail(tt.refuse, netoauthtest.Status(http.StatusUnauthorized))
				start := time.Now()
				tok, err := c.Token(within(t.Context(), srv))
				diff(t, "POSTs", tt.posts, srv.Requests(netoauthtest.APIKeyPath))
				if (err == nil) != tt.ok {
					t.Fatalf("error %v", err)
				}
				if err != nil {
					diff(t, "StatusCode", 401, answered(t, apiKey, srv.URL, err).StatusCode)
					return
				}
				diff(t, "Expiry, by the local clock", "5m0s", tok.Expiry.Sub(start).String())
			})
		})
	}
}

func TestACorrectedRequestTokenIsAFreshOneWithTheServersTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serverTime := time.Now().Add(-3 * time.Hour)
		var iats []any
		var jtis []any
		ctx := over(t.Context(), roundTripper(func(r *http.Request) (*http.Response, error) {
			_, claims := verify(t, sentJWT(t, r), "the shared secret")
			iats, jtis = append(iats, claims["iat"]), append(jtis, claims["jti"])
			resp := respond(r, 401, "")
			resp.Header.Set("Date", serverTime.UTC().Format(http.TimeFormat))
			if len(iats) == 2 {
				resp = respond(r, 200, good)
			}
			return resp, nil
		}))
		if _, err := apiKey.new("https://api.test", netoauth.Options{}).Token(ctx); err != nil {
			t.Fatal(err)
		}
		diff(t, "iats", []any{float64(time.Now().Unix()), float64(serverTime.Unix())}, iats)
		if len(jtis) != 2 || jtis[0] == jtis[1] {
			t.Errorf("jtis %v, want two", jtis)
		}
	})
}

func sentJWT(t *testing.T, r *http.Request) string {
	t.Helper()
	body, err := r.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	n, _ := body.Read(buf)
	jwt, _ := object(t, string(buf[:n]))["jwt"].(string)
	return jwt
}

func TestTheClockIsNotTheReasonForWhatIsNoRefusal(t *testing.T) {
	for _, code := range []int{200, 302, 408, 425, 429, 500, 503} {
		for _, date := range []string{"-2h", "", "garbage"} {
			synctest.Test(t, func(t *testing.T) {
				posts := 0
				ctx := over(t.Context(), roundTripper(func(r *http.Request) (*http.Response, error) {
					posts++
					resp := respond(r, code, "")
					resp.Header.Set("Date", date)
					if date == "-2h" {
						resp.Header.Set("Date", time.Now().Add(-2*time.Hour).UTC().Format(http.TimeFormat))
					}
					return resp, nil
				}))
				if _, err := apiKey.new("https://api.test", netoauth.Options{}).Token(ctx); err == nil {
					t.Error("no error")
				}
				if posts != 1 {
					t.Errorf("%d with Date %q: %d POSTs, want 1", code, date, posts)
				}
			})
		}
	}
}

func TestARefusalWithoutAReadableDateIsNotTriedAgain(t *testing.T) {
	for _, date := range []string{"", "garbage", "0", "Mon, 99 Foo 2006 15:04:05 GMT"} {
		posts := 0
		ctx := over(t.Context(), roundTripper(func(r *http.Request) (*http.Response, error) {
			posts++
			resp := respond(r, 401, "")
			resp.Header["Date"] = []string{date}
			return resp, nil
		}))
		_, err := apiKey.new("https://api.test", netoauth.Options{}).Token(ctx)
		if !errors.Is(err, netoauth.ErrRejected) || posts != 1 {
			t.Errorf("Date %q: %d POSTs, %v", date, posts, err)
		}
	}
}

func TestOnlyTheAPIKeyFlowSignsAgain(t *testing.T) {
	for _, f := range []flow{password, refresh} {
		srv := newServer(t)
		synctest.Test(t, func(t *testing.T) {
			c := credentials(t, srv, netoauth.Options{})[f.name]
			before := srv.Requests("")
			srv.SetClock(-2 * time.Hour)
			srv.Fail(-1, netoauthtest.Status(http.StatusUnauthorized))
			_, err := c.Token(within(t.Context(), srv))
			answered(t, f, srv.URL, err)
			diff(t, f.name+": POSTs", 1, srv.Requests("")-before)
		})
	}
}

func TestTheLiveSourceSurvivesAWrongClockForHours(t *testing.T) {
	srv := newServer(t)
	synctest.Test(t, func(t *testing.T) {
		srv.SetClock(-2 * time.Hour)
		srv.SetLifetimes(5*time.Minute, time.Minute) // so that each renewal is a log-in
		key, err := netoauth.ParseAPIKey(srv.Netosecret)
		if err != nil {
			t.Fatal(err)
		}
		src := key.TokenSource(within(t.Context(), srv))
		for range 180 {
			if _, err := src.Token(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if n, m := srv.Requests(netoauthtest.APIKeyPath), srv.Requests(""); n != m || n > 2*60 {
			t.Errorf("%d log-ins of %d token requests, want log-ins alone, two for each of at most 60 tokens", n, m)
		}
	})
}
