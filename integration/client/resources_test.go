package client_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/integration/client"
	"github.com/netoauth/netoauth/netoauthtest"
)

func TestClient_eachFlowCreatesListsFetchesAndDeletes(t *testing.T) {
	for _, login := range logins {
		t.Run(login.name, func(t *testing.T) {
			srv := newServer(t)
			ctx := withClient(t, check(t, srv.Client().Transport))
			c := generated(t, srv, login.dial(t, ctx, srv))
			logged := srv.Requests("")

			t.Run("IP labels", func(t *testing.T) { labels(t, c) })
			t.Run("API keys", func(t *testing.T) { keys(t, c) })
			t.Run("traffic sources", func(t *testing.T) { sources(t, c) })
			same(t, "token requests for all of it", srv.Requests("")-logged, 1)
		})
	}
}

func labels(t *testing.T, c *client.ClientWithResponses) {
	n := client.NewIPLabel{Name: "office", Cidr: "192.0.2.0/24", Tags: &[]string{"site", "vpn"}}
	want := client.IPLabel{ID: "1", Name: n.Name, Cidr: n.Cidr, Tags: n.Tags}
	same(t, "created", call(t, c.CreateIPLabelWithResponse, n).JSON201, &want)
	same(t, "listed", list(t, c.ListIPLabelsWithResponse).JSON200, &client.IPLabelList{Data: []client.IPLabel{want}})
	same(t, "fetched", call(t, c.GetIPLabelWithResponse, want.ID).JSON200, &want)
	same(t, "deleted", call(t, c.DeleteIPLabelWithResponse, want.ID).StatusCode(), http.StatusNoContent)
	same(t, "listed, deleted", list(t, c.ListIPLabelsWithResponse).JSON200, &client.IPLabelList{Data: []client.IPLabel{}})
}

func keys(t *testing.T, c *client.ClientWithResponses) {
	n := client.NewAPIKey{Name: "nightly", Description: new("exports")}
	want := client.APIKey{ID: "1", Name: n.Name, Description: n.Description}
	same(t, "created", call(t, c.CreateAPIKeyWithResponse, n).JSON201, &want)
	same(t, "listed", list(t, c.ListAPIKeysWithResponse).JSON200, &client.APIKeyList{Data: []client.APIKey{want}})
	same(t, "fetched", call(t, c.GetAPIKeyWithResponse, want.ID).JSON200, &want)
	same(t, "deleted", call(t, c.DeleteAPIKeyWithResponse, want.ID).StatusCode(), http.StatusNoContent)
	same(t, "listed, deleted", list(t, c.ListAPIKeysWithResponse).JSON200, &client.APIKeyList{Data: []client.APIKey{}})
}

func sources(t *testing.T, c *client.ClientWithResponses) {
	n := client.NewTrafficSource{Name: "edge", Kind: client.TrafficSourceKindDevice, SampleRate: new(int32(512))}
	want := client.TrafficSource{ID: "1", Name: n.Name, Kind: n.Kind, SampleRate: n.SampleRate}
	same(t, "created", call(t, c.CreateTrafficSourceWithResponse, n).JSON201, &want)
	same(t, "listed", list(t, c.ListTrafficSourcesWithResponse).JSON200, &client.TrafficSourceList{Data: []client.TrafficSource{want}})
	same(t, "fetched", call(t, c.GetTrafficSourceWithResponse, want.ID).JSON200, &want)
	same(t, "deleted", call(t, c.DeleteTrafficSourceWithResponse, want.ID).StatusCode(), http.StatusNoContent)
	same(t, "listed, deleted", list(t, c.ListTrafficSourcesWithResponse).JSON200, &client.TrafficSourceList{Data: []client.TrafficSource{}})
}

func TestClient_plainOneGetsTheResponse(t *testing.T) {
	srv := newServer(t)
	ctx := withClient(t, check(t, srv.Client().Transport))
	c, err := client.NewClient(srv.URL, client.WithHTTPClient(password(srv).Client(ctx)))
	if err != nil {
		t.Fatal(err)
	}
	resp := call(t, c.CreateIPLabel, client.NewIPLabel{Name: "office", Cidr: "192.0.2.0/24"})
	made, err := client.ParseCreateIPLabelResponse(resp)
	if err != nil {
		t.Fatal(err)
	}
	office := client.IPLabel{ID: "1", Name: "office", Cidr: "192.0.2.0/24"}
	same(t, "created", made.JSON201, &office)

	srv.RevokeAccessTokens()
	listed, err := client.ParseListIPLabelsResponse(list(t, c.ListIPLabels))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "listed, after a revocation", listed.JSON200, &client.IPLabelList{Data: []client.IPLabel{office}})

	same(t, "deleted", call(t, c.DeleteIPLabel, "1").StatusCode, http.StatusNoContent)
	gone, err := client.ParseDeleteIPLabelResponse(call(t, c.DeleteIPLabel, "1"))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "deleted twice", gone.JSON404, failure(404, "no such id"))
}

func TestClient_errorsOfTheAPIAreTheGeneratedTypes(t *testing.T) {
	srv := newServer(t)
	c := generated(t, srv, password(srv).Client(withClient(t, check(t, srv.Client().Transport))))
	unchecked := generated(t, srv, password(srv).Client(withClient(t, srv.Client().Transport)))
	taken := client.NewAPIKey{Name: "taken"}
	call(t, c.CreateAPIKeyWithResponse, taken)

	same(t, "fetch, unknown id", call(t, c.GetAPIKeyWithResponse, "9").JSON404, failure(404, "no such id"))
	same(t, "delete, unknown id", call(t, c.DeleteAPIKeyWithResponse, "9").JSON404, failure(404, "no such id"))
	same(t, "create, taken", call(t, c.CreateAPIKeyWithResponse, taken).JSON409, failure(409, "the name is taken"))
	same(t, "create, unusable", call(t, unchecked.CreateAPIKeyWithResponse, client.NewAPIKey{}).JSON400, failure(400, "name is empty"))
	same(t, "create, any other trouble", call(t, c.CreateAPIKeyWithResponse, client.NewAPIKey{Name: "one too many"}).JSONDefault,
		failure(507, "the account is full"))
}

func TestClient_401ReachesTheCallerWhereNoRenewalHelps(t *testing.T) {
	srv := newServer(t)
	synctest.Test(t, func(t *testing.T) {
		ctx := withClient(t, check(t, srv.InProcess().Transport))
		c := generated(t, srv, password(srv).Client(ctx))
		status := func() int { return list(t, c.ListIPLabelsWithResponse).StatusCode() }

		same(t, "first", status(), 200)
		srv.RevokeAccessTokens()
		same(t, "revoked", status(), 200)
		srv.RevokeAccessTokens()
		again := list(t, c.ListIPLabelsWithResponse).JSON401
		if again == nil || again.Status != 401 {
			t.Errorf("revoked again at once: %+v; want the API's 401", again)
		}
		time.Sleep(30 * time.Second)
		same(t, "half a minute later", status(), 200)
		same(t, "log-ins", srv.Requests(netoauthtest.PasswordPath), 1)
		same(t, "refreshes", srv.Requests(netoauthtest.RefreshPath), 2)
	})
}

func TestClient_refusedLogInIsNotRepeated(t *testing.T) {
	srv := newServer(t)
	synctest.Test(t, func(t *testing.T) {
		login := password(srv)
		login.Password = "wrong"
		c := generated(t, srv, login.Client(withClient(t, check(t, srv.InProcess().Transport))))
		for range 3 {
			_, err := c.CreateIPLabelWithResponse(t.Context(), client.NewIPLabel{Name: "office", Cidr: "192.0.2.0/24"})
			if failed := new(netoauth.Error); !errors.Is(err, netoauth.ErrRejected) || !errors.As(err, &failed) || failed.StatusCode != 401 {
				t.Errorf("error %v; want ErrRejected, with the API's 401", err)
			}
		}
		same(t, "log-ins", srv.Requests(""), 1)
	})
}
