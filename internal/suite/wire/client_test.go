package wire_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"github.com/netoauth/netoauth/netoauthtest"
	"golang.org/x/oauth2"
)

func TestToken_usesTheContextsClientAndLeavesItAsItIs(t *testing.T) {
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		used := 0
		client := &http.Client{Transport: suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
			used++
			return suite.Answer(200, good).RoundTrip(r)
		})}
		ctx := context.WithValue(t.Context(), oauth2.HTTPClient, client)
		if _, err := at(f, "https://api.test").Token(ctx); err != nil {
			t.Fatal(err)
		}
		suite.Diff(t, "requests over the client", 1, used)
		if client.CheckRedirect != nil || client.Timeout != 0 || client.Jar != nil {
			t.Errorf("the caller's client was changed: %+v", client)
		}
	})
}

// settling is for the connection of a request that got no answer, which is closed once it is idle.
const settling = 10 * time.Millisecond

// The client's Jar and Timeout count for token requests, and what the Timeout ends is a timeout.
func TestClient_jarAndTimeoutCountForTokenRequests(t *testing.T) {
	jar, _ := cookiejar.New(nil)
	u, _ := url.Parse("https://api.netography.com")
	jar.SetCookies(u, []*http.Cookie{{Name: "sticky", Value: "1"}})
	synctest.Test(t, func(t *testing.T) {
		cookie := ""
		network := suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
			cookie = r.Header.Get("Cookie")
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		client := &http.Client{Jar: jar, Timeout: 3 * time.Second, Transport: network}
		start := time.Now()
		_, err := at(suite.Password, "").Token(context.WithValue(t.Context(), oauth2.HTTPClient, client))
		suite.Diff(t, "time taken", 3*time.Second+settling, time.Since(start))
		suite.Diff(t, "cookie", "sticky=1", cookie)
		var timeout interface{ Timeout() bool }
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%v is no timeout", err)
		}
	})
}

func TestToken_nilClientInTheContextIsNone(t *testing.T) {
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, (*http.Client)(nil))
	if _, err := at(suite.Refresh, suite.Serve(t, suite.Answer(200, good).ServeHTTP)).Token(ctx); err != nil {
		t.Error(err)
	}
}

func TestToken_transportMayAnswerWithoutTheRequest(t *testing.T) {
	ctx := suite.Over(t.Context(), suite.RoundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 401, Body: http.NoBody}, nil
	}))
	_, err := at(suite.Password, "").Token(ctx)
	suite.WantError(t, err, netoauth.ErrRejected)
}

func TestToken_endsWithItsContext(t *testing.T) {
	type begin func(context.Context) (context.Context, context.CancelFunc)
	tests := []struct {
		name  string
		begin begin
		took  time.Duration
		want  error
	}{
		{"canceled before", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		}, 0, context.Canceled},
		{"canceled meanwhile", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(2*time.Second, cancel)
			return ctx, cancel
		}, 2 * time.Second, context.Canceled},
		{"deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 2*time.Second)
		}, 2 * time.Second, context.DeadlineExceeded},
		{"no end but that of an exchange", context.WithCancel, 30*time.Second + settling, context.DeadlineExceeded},
	}
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		for _, tt := range tests {
			suite.RunInBubble(t, tt.name, func(t *testing.T, w *suite.World) {
				w.Fail(-1, netoauthtest.Hang())
				ctx, cancel := tt.begin(w.Ctx)
				defer cancel()
				start := time.Now()
				_, err := at(f, w.URL).Token(ctx)
				suite.Diff(t, "time taken", tt.took.String(), time.Since(start).String())
				suite.WantError(t, err, tt.want)
				if errors.Is(err, netoauth.ErrRejected) {
					t.Errorf("ErrRejected is in %v", err)
				}
				mentions(t, err.Error(), f.Name, w.URL+f.Path)
			})
		}
	})
}

// drip is a body that gives one byte a second for ever, until its request's context ends: what
// net/http makes of a server that is slow in this way.
type drip struct{ ctx context.Context }

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		p[0] = ' '
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func TestToken_bodyThatDripsIsCutOffAfter30s(t *testing.T) {
	suite.EachFlow(t, func(t *testing.T, f suite.Flow) {
		for _, code := range []int{200, 401, 500} {
			synctest.Test(t, func(t *testing.T) {
				ctx := suite.Over(t.Context(), suite.RoundTripper(func(r *http.Request) (*http.Response, error) {
					resp, err := suite.Answer(code, "").RoundTrip(r)
					resp.Body, resp.ContentLength = io.NopCloser(drip{r.Context()}), -1
					return resp, err
				}))
				start := time.Now()
				_, err := at(f, "https://api.test").Token(ctx)
				suite.Diff(t, "StatusCode", code, answered(t, f, "https://api.test", err).StatusCode)
				suite.WantError(t, err, context.DeadlineExceeded)
				suite.Diff(t, "time taken", 30*time.Second+settling, time.Since(start))
			})
		}
	})
}
