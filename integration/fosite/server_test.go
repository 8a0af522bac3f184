package fosite_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth"
	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/storage"
	"golang.org/x/oauth2"
)

const (
	inProcessURL = "https://api.example.com"
	listPath     = "/api/v1/ip/list" // behind the check of the access token

	clientID  = "api" // the API itself, towards fosite
	username  = "mia"
	shortname = "acme"
	appName   = "reports"
)

// server is the API's wire with fosite behind it.
type server struct {
	provider fosite.OAuth2Provider
	store    *store
	mux      *http.ServeMux

	password, appKey, sharedSecret string

	mu     sync.Mutex // one token request at a time: the memory store has no transactions
	counts counts
}

// store is fosite's memory store, with a choice about rotation.
type store struct {
	*storage.MemoryStore
	keepAccess bool // a rotation leaves the previous access token good to its end
}

func (s *store) RotateRefreshToken(ctx context.Context, family, signature string) error {
	if s.keepAccess {
		return s.RevokeRefreshToken(ctx, family)
	}
	return s.MemoryStore.RotateRefreshToken(ctx, family, signature)
}

// counts are the token requests that a server has answered.
type counts struct{ LogIns, Refreshes, Refused int }

// newServer returns a server whose tokens live that long. fosite rounds the end of a token to a whole
// second, and its lifetime down to whole seconds.
func newServer(access, refresh time.Duration) *server {
	s := &server{
		store:        &store{MemoryStore: storage.NewMemoryStore()},
		mux:          http.NewServeMux(),
		password:     rand.Text(),
		appKey:       rand.Text(),
		sharedSecret: rand.Text() + rand.Text(),
	}
	s.store.Clients[clientID] = &fosite.DefaultClient{
		ID: clientID, Public: true, GrantTypes: fosite.Arguments{"password", "refresh_token"},
	}
	s.store.Users[username] = storage.MemoryUserRelation{Username: username, Password: s.password}
	s.store.Users[shortname] = storage.MemoryUserRelation{Username: shortname, Password: s.appKey}
	config := &fosite.Config{
		AccessTokenLifespan:           access,
		RefreshTokenLifespan:          refresh,
		RefreshTokenScopes:            []string{}, // a refresh token for everybody
		DisableRefreshTokenValidation: true,       // no refresh token passes for an access token
		GlobalSecret:                  []byte(rand.Text() + rand.Text()),
		ScopeStrategy:                 fosite.WildcardScopeStrategy, // fosite sets it with a data race
	}
	s.provider = compose.Compose(config, s.store, compose.NewOAuth2HMACStrategy(config),
		//lint:ignore SA1019 fosite discourages the grant, the API has it
		compose.OAuth2ResourceOwnerPasswordCredentialsFactory,
		compose.OAuth2RefreshTokenGrantFactory,
		compose.OAuth2TokenIntrospectionFactory,
		compose.OAuth2TokenRevocationFactory)

	s.mux.HandleFunc("POST /api/v1/auth/token", s.logInWithKey)
	s.mux.HandleFunc("POST /api/auth/bearer/token", func(w http.ResponseWriter, r *http.Request) {
		form := passwordGrant(r.PostFormValue("username"), r.PostFormValue("password"))
		s.answer(w, r, http.StatusUnauthorized, form)
	})
	s.mux.HandleFunc("POST /api/auth/bearer/refresh", func(w http.ResponseWriter, r *http.Request) {
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.PostFormValue("refresh_token")}}
		s.answer(w, r, http.StatusBadRequest, form)
	})
	s.mux.HandleFunc("GET "+listPath, s.list)
	return s
}

func passwordGrant(name, password string) url.Values {
	return url.Values{"grant_type": {"password"}, "username": {name}, "password": {password}}
}

// logInWithKey takes a request token (api/netosecret.md). Its account and its app key are a user to fosite.
func (s *server) logInWithKey(w http.ResponseWriter, r *http.Request) {
	var body struct {
		JWT string `json:"jwt"`
	}
	var claims struct {
		AppName   string `json:"appname"`
		AppKey    string `json:"appkey"`
		Shortname string `json:"shortname"`
	}
	err := json.NewDecoder(r.Body).Decode(&body)
	if err == nil {
		var token *jwt.JSONWebToken
		if token, err = jwt.ParseSigned(body.JWT, []jose.SignatureAlgorithm{jose.HS256}); err == nil {
			err = token.Claims([]byte(s.sharedSecret), &claims)
		}
	}
	if err != nil || claims.AppName != appName {
		claims.AppKey = "" // which fosite refuses
	}
	s.answer(w, r, http.StatusUnauthorized, passwordGrant(claims.Shortname, claims.AppKey))
}

// answer passes a token request on to fosite, and fosite's answer back in the API's words. refused is
// the status of a refusal.
func (s *server) answer(w http.ResponseWriter, r *http.Request, refused int, form url.Values) {
	body, err := s.issue(r.Context(), form)
	status := http.StatusOK
	if err != nil {
		e := fosite.ErrorToRFC6749Error(err)
		if status = e.CodeField; status/100 == 4 {
			status = refused
		}
		body = map[string]any{"status": status, "name": http.StatusText(status), "message": e.HintField}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// issue returns the fields of the API's answer to a request in the form of RFC 6749.
func (s *server) issue(ctx context.Context, form url.Values) (map[string]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	form.Set("client_id", clientID)
	access, err := s.provider.NewAccessRequest(ctx, formRequest(ctx, form), new(fosite.DefaultSession))
	if err != nil {
		s.counts.Refused++
		return nil, err
	}
	answer, err := s.provider.NewAccessResponse(ctx, access)
	if err != nil {
		s.counts.Refused++
		return nil, err
	}
	if form.Get("grant_type") == "password" {
		s.counts.LogIns++
	} else {
		s.counts.Refreshes++
	}
	fields := maps.Clone(answer.ToMap())
	ends := access.GetSession().GetExpiresAt(fosite.RefreshToken)
	fields["refresh_expires_in"] = int(time.Until(ends).Seconds())
	fields["not-before-policy"] = 0
	fields["session-state"] = access.GetID()
	return fields, nil
}

func formRequest(ctx context.Context, form url.Values) *http.Request {
	r := httptest.NewRequestWithContext(ctx, "POST", "/", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// list is a call of the API's, for those with a good access token. It tells how many refreshes there
// were.
func (s *server) list(w http.ResponseWriter, r *http.Request) {
	_, _, err := s.provider.IntrospectToken(
		r.Context(), fosite.AccessTokenFromRequest(r), fosite.AccessToken, new(fosite.DefaultSession))
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	json.NewEncoder(w).Encode(s.answered().Refreshes)
}

// answered returns the counts up to now.
func (s *server) answered() counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// checkAnswered compares the counts up to now.
func (s *server) checkAnswered(t *testing.T, want counts) {
	t.Helper()
	if diff := cmp.Diff(want, s.answered()); diff != "" {
		t.Errorf("token requests (-want +got):\n%s", diff)
	}
}

// latency is a request's way to the server in process.
const latency = 20 * time.Millisecond

// RoundTrip serves req in process.
func (s *server) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	time.Sleep(latency)
	rec := httptest.NewRecorder()
	s.mux.ServeHTTP(rec, req.Clone(req.Context()))
	resp := rec.Result()
	resp.Request = req
	return resp, nil
}

// context returns the test's context with a client whose requests are served in process.
func (s *server) context(t *testing.T) context.Context {
	return context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: s})
}

// credential is a program's sign-in.
type credential interface {
	Token(context.Context) (*oauth2.Token, error)
	TokenSource(context.Context) oauth2.TokenSource
	Client(context.Context) *http.Client
}

func (s *server) withPassword(url string, o netoauth.Options) *netoauth.Password {
	return &netoauth.Password{URL: url, Username: username, Password: netoauth.Secret(s.password), Options: o}
}

func (s *server) withKey(url string, o netoauth.Options) *netoauth.APIKey {
	return &netoauth.APIKey{
		URL: url, Shortname: shortname, AppName: appName,
		AppKey: netoauth.Secret(s.appKey), SharedSecret: netoauth.Secret(s.sharedSecret), Options: o,
	}
}

// logIn returns the first token of a new family.
func (s *server) logIn(t *testing.T) *oauth2.Token {
	t.Helper()
	return exchange(t, s.context(t), s.withPassword(inProcessURL, netoauth.Options{}))
}

// refresh uses a refresh token as a program without a token source does.
func (s *server) refresh(t *testing.T, token string) (*oauth2.Token, error) {
	r := netoauth.Refresh{URL: inProcessURL, RefreshToken: netoauth.Secret(token)}
	return r.Token(s.context(t))
}

func exchange(t *testing.T, ctx context.Context, c credential) *oauth2.Token {
	t.Helper()
	token, err := c.Token(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// list calls the API and returns the status, 0 where there is no answer.
func list(t *testing.T, client *http.Client, url string) int {
	t.Helper()
	resp, err := client.Get(url + listPath)
	if err != nil {
		t.Error(err)
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// revoke ends the family of a token, as the token revocation of RFC 7009 does.
func (s *server) revoke(t *testing.T, token string) {
	t.Helper()
	r := formRequest(t.Context(), map[string][]string{"token": {token}, "client_id": {clientID}})
	if err := s.provider.NewRevocationRequest(t.Context(), r); err != nil {
		t.Error(fosite.ErrorToRFC6749Error(err).GetDescription())
	}
}

// takes reports whether the API takes an access token.
func (s *server) takes(t *testing.T, token *oauth2.Token) bool {
	t.Helper()
	static := &oauth2.Transport{Source: oauth2.StaticTokenSource(token), Base: s}
	return list(t, &http.Client{Transport: static}, inProcessURL) == http.StatusOK
}
