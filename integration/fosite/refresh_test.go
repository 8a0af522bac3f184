package fosite_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"golang.org/x/oauth2"
)

// Eight callers at once, and a server on which the old access token ends with the rotation, while
// requests with it are on their way.
func TestRefresh_throughManyRotations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(5*time.Minute, time.Hour)
		told := 0
		r := &netoauth.Refresh{
			URL:          inProcessURL,
			RefreshToken: netoauth.Secret(s.logIn(t).RefreshToken),
			Options:      netoauth.Options{OnToken: func(*oauth2.Token) { told++ }},
		}
		client := r.Client(s.context(t))
		const refreshes = 40
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() {
				for s.answered().Refreshes < refreshes {
					if status := list(t, client, inProcessURL); status != http.StatusOK {
						t.Errorf("status %d after %d refreshes", status, s.answered().Refreshes)
						return
					}
					time.Sleep(5 * time.Second)
				}
			})
		}
		callers.Wait()
		synctest.Wait()
		s.checkAnswered(t, counts{LogIns: 1, Refreshes: refreshes})
		if told != refreshes {
			t.Errorf("OnToken was told %d tokens, want %d", told, refreshes)
		}
	})
}

// Without a Store, a second program with the same refresh token ends the session of both.
func TestRefresh_secondProgramEndsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(5*time.Minute, time.Hour)
		r := &netoauth.Refresh{URL: inProcessURL, RefreshToken: netoauth.Secret(s.logIn(t).RefreshToken)}
		first, second := r.Client(s.context(t)), r.Client(s.context(t))
		if status := list(t, first, inProcessURL); status != http.StatusOK {
			t.Fatalf("the first program, alone: status %d", status)
		}
		if err := refusal(t.Context(), second); !errors.Is(err, netoauth.ErrRejected) {
			t.Errorf("the second program: error %v, want %v", err, netoauth.ErrRejected)
		}
		if status := list(t, first, inProcessURL); status != http.StatusUnauthorized {
			t.Errorf("the first program, with the second: status %d, want 401", status)
		}
		time.Sleep(5 * time.Minute) // until its access token has ended
		if err := refusal(t.Context(), first); !errors.Is(err, netoauth.ErrRejected) {
			t.Errorf("the first program, later: error %v, want %v", err, netoauth.ErrRejected)
		}
		if got := s.answered(); got.LogIns != 1 || got.Refreshes != 1 {
			t.Errorf("%d log-ins and %d refreshes, want 1 and 1", got.LogIns, got.Refreshes)
		}
	})
}

// refusal returns the error of a call for which there is no access token.
func refusal(ctx context.Context, client *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, "GET", inProcessURL+listPath, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	return err
}
