package client_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth/integration/client"
	"github.com/netoauth/netoauth/netoauthtest"
)

const (
	workers = 8
	rounds  = 20 // of each worker
)

// atOnce runs work in each worker and waits for all.
func atOnce(work func(worker int)) {
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() { work(w) })
	}
	all.Wait()
}

// create makes one label; nil if that failed.
func create(t *testing.T, c *client.ClientWithResponses, name string) *client.IPLabel {
	t.Helper()
	n := client.NewIPLabel{Name: name, Cidr: "192.0.2.0/24", Tags: &[]string{strings.Repeat("long ", 100)}}
	r, err := c.CreateIPLabelWithResponse(t.Context(), n)
	if err != nil || r.JSON201 == nil {
		t.Errorf("create %s: %+v, %v", name, r, err)
		return nil
	}
	same(t, "created "+name, r.JSON201, &client.IPLabel{ID: r.JSON201.ID, Name: n.Name, Cidr: n.Cidr, Tags: n.Tags})
	return r.JSON201
}

func TestRun_revocationCostsOneRenewalAndNoRequest(t *testing.T) {
	for _, refreshToo := range []bool{false, true} {
		for _, login := range logins {
			if refreshToo && login.path == "" {
				continue // nothing is left to renew with
			}
			t.Run(fmt.Sprintf("%s, refresh tokens too: %t", login.name, refreshToo), func(t *testing.T) {
				srv := newServer(t)
				checked := check(t, srv.Client().Transport)
				c := generated(t, srv, login.dial(t, withClient(t, checked), srv))
				list(t, c.ListIPLabelsWithResponse)
				logins, refreshes := srv.Requests(login.path), srv.Requests(netoauthtest.RefreshPath)

				var made atomic.Int32
				var names []string
				for w := range workers {
					for i := range rounds {
						names = append(names, fmt.Sprintf("%d/%d", w, i))
					}
				}
				atOnce(func(w int) {
					for _, name := range names[w*rounds:][:rounds] {
						create(t, c, name)
						if made.Add(1) == workers*rounds/2 {
							if refreshToo {
								srv.RevokeRefreshTokens()
							}
							srv.RevokeAccessTokens()
						}
					}
				})

				var got []string
				for _, label := range list(t, c.ListIPLabelsWithResponse).JSON200.Data {
					got = append(got, label.Name)
				}
				slices.Sort(got)
				slices.Sort(names)
				same(t, "labels made, each once", got, names)
				if refused := count(checked, "POST "+labelPath, "401"); refused < 1 || refused > workers {
					t.Errorf("%d POSTs were refused and sent again; want 1 for each worker at most, and some", refused)
				}
				same(t, "refreshes", srv.Requests(netoauthtest.RefreshPath)-refreshes, 1)
				if login.path != "" {
					want := 0
					if refreshToo {
						want = 1
					}
					same(t, "log-ins", srv.Requests(login.path)-logins, want)
				}
			})
		}
	}
}

func TestRun_revocationIsSurvivedByReadsAndDeletes(t *testing.T) {
	srv := newServer(t)
	checked := check(t, srv.Client().Transport)
	c := generated(t, srv, password(srv).Client(withClient(t, checked)))
	ids := make([]string, workers)
	atOnce(func(w int) {
		if label := create(t, c, fmt.Sprint(w)); label != nil {
			ids[w] = label.ID
		}
	})
	srv.RevokeAccessTokens()
	atOnce(func(w int) {
		if r, err := c.GetIPLabelWithResponse(t.Context(), ids[w]); err != nil || r.JSON200 == nil {
			t.Errorf("fetch: %+v, %v", r, err)
		}
		if r, err := c.DeleteIPLabelWithResponse(t.Context(), ids[w]); err != nil || r.StatusCode() != http.StatusNoContent {
			t.Errorf("delete: %+v, %v", r, err)
		}
	})
	same(t, "labels left", list(t, c.ListIPLabelsWithResponse).JSON200, &client.IPLabelList{Data: []client.IPLabel{}})
	same(t, "log-ins", srv.Requests(netoauthtest.PasswordPath), 1)
	same(t, "refreshes", srv.Requests(netoauthtest.RefreshPath), 1)
}

func TestRun_expiryIsNotSeen(t *testing.T) {
	const (
		lifetime = time.Minute
		run      = 10 * time.Minute
		pause    = 5 * time.Second
	)
	for _, login := range logins {
		t.Run(login.name, func(t *testing.T) {
			srv := newServer(t)
			srv.SetLifetimes(lifetime, time.Hour)
			synctest.Test(t, func(t *testing.T) {
				checked := check(t, srv.InProcess().Transport)
				c := generated(t, srv, login.dial(t, withClient(t, checked), srv))
				list(t, c.ListIPLabelsWithResponse)
				logged, refreshed := srv.Requests(""), srv.Requests(netoauthtest.RefreshPath)
				atOnce(func(w int) {
					for i := range int(run / pause) {
						time.Sleep(pause)
						create(t, c, fmt.Sprintf("%d/%d", w, i))
					}
				})
				same(t, "labels", len(list(t, c.ListIPLabelsWithResponse).JSON200.Data), workers*int(run/pause))
				synctest.Wait() // for a renewal in the background
				same(t, "requests refused", count(checked, "", " 401"), 0)
				renewals := srv.Requests("") - logged
				same(t, "renewals by refresh token", srv.Requests(netoauthtest.RefreshPath)-refreshed, renewals)
				// From 70 to 85 % of the lifetime, and then at the next request.
				least, most := int(run/(lifetime*85/100+pause)), int(run/(lifetime*70/100))
				if renewals < least || renewals > most {
					t.Errorf("%d renewals; want %d to %d", renewals, least, most)
				}
			})
		})
	}
}

func TestRun_tokenSpentWhileIdleCostsOneExchange(t *testing.T) {
	for _, test := range []struct {
		name              string
		idle              time.Duration
		logins, refreshes int
	}{
		{"refresh token good", 10 * time.Minute, 1, 1},
		{"refresh token expired", 2 * time.Hour, 2, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			srv.SetLifetimes(time.Minute, time.Hour)
			synctest.Test(t, func(t *testing.T) {
				checked := check(t, srv.InProcess().Transport)
				c := generated(t, srv, logins[0].dial(t, withClient(t, checked), srv))
				atOnce(func(w int) { create(t, c, fmt.Sprintf("before/%d", w)) })
				time.Sleep(test.idle)
				atOnce(func(w int) { create(t, c, fmt.Sprintf("after/%d", w)) })

				same(t, "labels", len(list(t, c.ListIPLabelsWithResponse).JSON200.Data), 2*workers)
				same(t, "requests refused", count(checked, "", " 401"), 0)
				same(t, "log-ins", srv.Requests(netoauthtest.APIKeyPath), test.logins)
				same(t, "refreshes", srv.Requests(netoauthtest.RefreshPath), test.refreshes)
			})
		})
	}
}
