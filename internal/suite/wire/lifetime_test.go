package wire_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
)

// jwt returns a token that looks like a JWT with these claims.
func jwt(claims string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"RS256"}`)) + "." + enc([]byte(claims)) + "." + enc([]byte("signature"))
}

func TestToken_lifetimeIsTheShorterOfExpiresInAndTheJWTs(t *testing.T) {
	const forever, over = 0, -1
	tests := []struct {
		name, access, expiresIn string // the latter as JSON; "": absent
		want                    time.Duration
	}{
		{"a number", "good", "300", 300 * time.Second},
		{"a numeric string", "good", `"300"`, 300 * time.Second},
		{"with an exponent", "good", "3e2", 300 * time.Second},
		{"a fraction", "good", "300.9", 300 * time.Second},
		{"a fraction in a string", "good", `"300.9"`, 300 * time.Second},
		{"one", "good", "1", time.Second},
		{"absent", "good", "", forever},
		{"null", "good", "null", forever},
		{"zero", "good", "0", forever},
		{"zero in a string", "good", `"0"`, forever},
		{"negative", "good", "-300", over},
		{"negative in a string", "good", `"-300"`, over},
		{"negative and huge", "good", "-1e400", forever},
		{"a fraction of a second", "good", "0.4", time.Second},
		{"a negative fraction of a second", "good", "-0.4", over},
		{"garbage", "good", `"soon"`, forever},
		{"an empty string", "good", `""`, forever},
		{"not a number", "good", `"NaN"`, forever},
		{"infinite, which is no number in JSON", "good", `"Infinity"`, forever},
		{"hexadecimal, which is no number in JSON", "good", `"0x10"`, forever},
		{"an object", "good", `{"seconds":300}`, forever},
		{"an array", "good", `[300]`, forever},
		{"a bool", "good", `true`, forever},
		{"a number beside a JWT", jwt(`{"iat":1000,"exp":1900}`), "300", 300 * time.Second},
		{"a number beside a JWT that ends sooner", jwt(`{"iat":1000,"exp":1060}`), "300", 60 * time.Second},
		{"a number beside a JWT that ends before it begins", jwt(`{"iat":1900,"exp":1000}`), "300", 300 * time.Second},
		{"negative beside a JWT that ends before it begins", jwt(`{"iat":1900,"exp":1000}`), "-300", over},
		{"zero beside a JWT that ends before it begins", jwt(`{"iat":1900,"exp":1000}`), "0", over},
		{"absent beside a JWT", jwt(`{"iat":1000,"exp":1900}`), "", 900 * time.Second},
		{"null beside a JWT", jwt(`{"iat":1000,"exp":1900}`), "null", 900 * time.Second},
		{"zero beside a JWT", jwt(`{"iat":1000,"exp":1900}`), "0", 900 * time.Second},
		{"negative beside a JWT", jwt(`{"iat":1000,"exp":1900}`), "-1", 900 * time.Second},
		{"garbage beside a JWT", jwt(`{"iat":1000,"exp":1900}`), `"soon"`, 900 * time.Second},
		{"beside a JWT of today", jwt(`{"iat":1.7e9,"exp":1700000300}`), "", 300 * time.Second},
		{"beside a JWT without iat", jwt(`{"exp":1900}`), "", forever},
		{"beside a JWT without exp", jwt(`{"iat":1000}`), "", forever},
		{"beside a JWT without either", jwt(`{}`), "", forever},
		{"beside a JWT that ends before it begins", jwt(`{"iat":1900,"exp":1000}`), "", over},
		{"beside a JWT that ends as it begins", jwt(`{"iat":1000,"exp":1000}`), "", over},
		{"beside a JWT with strings for numbers", jwt(`{"iat":"1000","exp":"1900"}`), "", forever},
		{"beside a JWT with an array for claims", jwt(`[1000,1900]`), "", forever},
		{"beside a JWT with claims that are not JSON", jwt(`iat=1000`), "", forever},
		{"beside what has the dots of a JWT", "a.b.c", "", forever},
		{"beside what has more dots", "a.b.c.d.e", "", forever},
	}
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		synctest.Test(t, func(t *testing.T) { // for a clock that stands still
			for _, tt := range tests {
				body := `{"access_token":"` + tt.access + `"}`
				if tt.expiresIn != "" {
					body = `{"access_token":"` + tt.access + `","expires_in":` + tt.expiresIn + `}`
				}
				ctx := suite.Over(t.Context(), suite.Answer(200, body))
				tok, err := at(f, "https://api.test").Token(ctx)
				if tt.want == over {
					e := answered(t, f, "https://api.test", err)
					mentions(t, err.Error(), "over as it comes")
					suite.Diff(t, tt.name+": status", 200, e.StatusCode)
					suite.Diff(t, tt.name+": ErrRejected", false, errors.Is(err, netoauth.ErrRejected))
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", tt.name, err)
					continue
				}
				if tt.want == forever {
					if !tok.Expiry.IsZero() || !tok.Valid() {
						t.Errorf("%s: Expiry is %v from now, want none", tt.name, time.Until(tok.Expiry))
					}
					continue
				}
				suite.Diff(t, tt.name+": Expiry from now", tt.want.String(), time.Until(tok.Expiry).String())
				suite.Diff(t, tt.name+": ExpiresIn", int64(tt.want/time.Second), tok.ExpiresIn)
			}
		})
	})
}

func TestToken_hugeLifetimeIsALongOne(t *testing.T) {
	for _, huge := range []string{
		"2147483647", "4294967296", "1e18", "9223372036854775807", "99999999999999999999",
		`"99999999999999999999"`, "1e300", "1e400", `"1e400"`,
	} {
		synctest.Test(t, func(t *testing.T) { // for a clock that stands still
			ctx := suite.Over(t.Context(), suite.Answer(200, `{"access_token":"good","expires_in":`+huge+`}`))
			tok, err := at(suite.APIKey, "").Token(ctx)
			if err != nil {
				t.Fatalf("%s: %v", huge, err)
			}
			years := time.Until(tok.Expiry) / (365 * 24 * time.Hour)
			if !tok.Expiry.IsZero() && years != 68 || tok.ExpiresIn < 0 || !tok.Valid() {
				t.Errorf("expires_in %s: %d years, ExpiresIn %d; want 68 years or no end", huge, years, tok.ExpiresIn)
			}
		})
	}
}

func TestToken_expiryCountsFromBeforeTheRequest(t *testing.T) {
	suite.InBubble(t, func(t *testing.T, w *suite.World) {
		w.SetLifetimes(time.Minute, time.Hour)
		all := credentials(t, w)
		w.Delay(12 * time.Second)
		for name, c := range all.All(netoauth.Options{}) {
			start := time.Now()
			tok, err := c.Token(w.Ctx)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			suite.Diff(t, name+": time taken", "12s", time.Since(start).String())
			suite.Diff(t, name+": Expiry, from before the request", "1m0s", tok.Expiry.Sub(start).String())
			suite.Diff(t, name+": ExpiresIn", int64(60), tok.ExpiresIn)
		}
	})
}

// So that a token ages while the machine sleeps.
func TestToken_expiryIsWallClockTime(t *testing.T) {
	w := suite.NewWorld(t)
	for name, c := range credentials(t, w).All(netoauth.Options{}) {
		tok, err := c.Token(w.Ctx)
		if err != nil {
			t.Fatal(err)
		}
		if s := tok.Expiry.String(); strings.Contains(s, " m=") {
			t.Errorf("%s: Expiry %s has a monotonic reading", name, s)
		}
	}
}
