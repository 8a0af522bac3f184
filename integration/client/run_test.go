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

// create makes one label; the zero label if that failed.
func create(t *testing.T, c labelAPI, name string) label {
	t.Helper()
	tags := []string{strings.Repeat("long ", 100)}
	made, err := c.create(t.Context(), name, tags)
	if err != nil {
		t.Errorf("create %s: %v", name, err)
		return label{}
	}
	same(t, "created "+name, made, label{made.ID, name, tags})
	return made
}

// names lists the labels there are, by name.
func names(t *testing.T, c labelAPI) []string {
	t.Helper()
	all, err := c.list(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, l := range all {
		names = append(names, l.Name)
	}
	slices.Sort(names)
	return names
}

func TestRun_revocationCostsOneRenewalAndNoRequest(t *testing.T) {
	eachGenerator(t, func(t *testing.T, dial func(string, *http.Client) labelAPI) {
		for _, refreshToo := range []bool{false, true} {
			for _, login := range logins {
				if refreshToo && login.path == "" {
					continue // nothing is left to renew with
				}
				t.Run(fmt.Sprintf("%s, refresh tokens too: %t", login.name, refreshToo), func(t *testing.T) {
					srv := newServer(t)
					checked := check(t, srv.Client().Transport)
					c := dial(srv.URL, login.dial(t, withClient(t, checked), srv))
					names(t, c)
					logins, refreshes := srv.Requests(login.path), srv.Requests(netoauthtest.RefreshPath)
					want := createAndRevoke(t, c, srv, refreshToo)
					same(t, "labels made, each once", names(t, c), want)

					if refused := count(checked, "POST "+labelPath, "401"); refused < 1 || refused > workers {
						t.Errorf("%d POSTs were refused and sent again; want 1 for each worker at most, and some", refused)
					}
					same(t, "refreshes", srv.Requests(netoauthtest.RefreshPath)-refreshes, 1)
					if login.path != "" {
						again := 0
						if refreshToo {
							again = 1
						}
						same(t, "log-ins", srv.Requests(login.path)-logins, again)
					}
				})
			}
		}
	})
}

// createAndRevoke has each worker make its labels, and all tokens revoked when half of them are there. It returns the
// labels' names, sorted.
func createAndRevoke(t *testing.T, c labelAPI, srv *netoauthtest.Server, refreshToo bool) (names []string) {
	for w := range workers {
		for i := range rounds {
			names = append(names, fmt.Sprintf("%d/%02d", w, i))
		}
	}
	var made atomic.Int32
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
	return names
}

func TestRun_revocationIsSurvivedByReadsAndDeletes(t *testing.T) {
	eachGenerator(t, func(t *testing.T, dial func(string, *http.Client) labelAPI) {
		srv := newServer(t)
		c := dial(srv.URL, password(srv).Client(withClient(t, check(t, srv.Client().Transport))))
		var made [workers]label
		atOnce(func(w int) { made[w] = create(t, c, fmt.Sprint(w)) })
		srv.RevokeAccessTokens()
		atOnce(func(w int) {
			got, err := c.fetch(t.Context(), made[w].ID)
			if err != nil {
				t.Errorf("fetch: %v", err)
			}
			same(t, "fetched", got, made[w])
			if err := c.remove(t.Context(), made[w].ID); err != nil {
				t.Errorf("delete: %v", err)
			}
		})
		same(t, "labels left", names(t, c), []string{})
		same(t, "log-ins", srv.Requests(netoauthtest.PasswordPath), 1)
		same(t, "refreshes", srv.Requests(netoauthtest.RefreshPath), 1)
	})
}

func TestRun_expiryIsNotSeen(t *testing.T) {
	eachGenerator(t, func(t *testing.T, dial func(string, *http.Client) labelAPI) {
		for _, login := range logins {
			t.Run(login.name, func(t *testing.T) { expire(t, login.dial, dial) })
		}
	})
}

// expire runs ten minutes with tokens of one.
func expire(t *testing.T, logIn logIn, dial func(string, *http.Client) labelAPI) {
	const (
		lifetime = time.Minute
		run      = 10 * time.Minute
		pause    = 5 * time.Second
	)
	srv := newServer(t)
	srv.SetLifetimes(lifetime, time.Hour)
	synctest.Test(t, func(t *testing.T) {
		checked := check(t, srv.InProcess().Transport)
		c := dial(srv.URL, logIn(t, withClient(t, checked), srv))
		names(t, c)
		logged, refreshed := srv.Requests(""), srv.Requests(netoauthtest.RefreshPath)
		atOnce(func(w int) {
			for i := range int(run / pause) {
				time.Sleep(pause)
				create(t, c, fmt.Sprintf("%d/%d", w, i))
			}
		})
		same(t, "labels", len(names(t, c)), workers*int(run/pause))
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
}

func TestRun_tokenSpentWhileIdleCostsOneExchange(t *testing.T) {
	eachGenerator(t, func(t *testing.T, dial func(string, *http.Client) labelAPI) {
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
					c := dial(srv.URL, logins[0].dial(t, withClient(t, checked), srv))
					atOnce(func(w int) { create(t, c, fmt.Sprintf("before/%d", w)) })
					time.Sleep(test.idle)
					atOnce(func(w int) { create(t, c, fmt.Sprintf("after/%d", w)) })

					same(t, "labels", len(names(t, c)), 2*workers)
					same(t, "requests refused", count(checked, "", " 401"), 0)
					same(t, "log-ins", srv.Requests(netoauthtest.APIKeyPath), test.logins)
					same(t, "refreshes", srv.Requests(netoauthtest.RefreshPath), test.refreshes)
				})
			})
		}
	})
}
