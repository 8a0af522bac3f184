package netoauthtest

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	maxBody = 1 << 20
	maxSkew = time.Minute // between iat and the server's clock, either way

	// 128 random bits as text: base64, the densest of the usual encodings,
	// takes 22 characters for them.
	minJTI = 22
)

// endpoint is one of the three ways to get tokens: the form of its request, and
// what tells for whom they are.
type endpoint struct {
	contentType string
	parse       func(body []byte) (map[string]any, error)
	fields      []string
	check       func(*Server, map[string]any) (grant, *refusal)
}

var endpoints = map[string]endpoint{
	APIKeyPath:   {"application/json", parseObject, []string{"jwt"}, (*Server).checkRequestToken},
	PasswordPath: {"application/x-www-form-urlencoded", parseForm, []string{"username", "password"}, (*Server).checkPassword},
	RefreshPath:  {"application/x-www-form-urlencoded", parseForm, []string{"refresh_token"}, (*Server).checkRefreshToken},
}

// grant is what a refresh token stands for.
type grant struct {
	subject, shortname string
	session            string    // stays the same from the log-in through all refreshes
	end                time.Time // zero: none
}

// refusal is an answer other than 200. Its message never quotes the request.
type refusal struct {
	code    int
	message string
}

func (s *Server) serveToken(w http.ResponseWriter, r *http.Request, e endpoint) {
	s.mu.Lock()
	s.requests[r.URL.Path]++
	delay, fault := s.delay, s.fault
	if s.faults == 0 {
		fault = nil
	} else if s.faults > 0 {
		s.faults--
	}
	s.mu.Unlock()

	// net/http notices that a client is gone only once the body has been read.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	r.Body = io.NopCloser(bytes.NewReader(body))
	if delay > 0 {
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	s.setDate(w)
	w.Header().Set("Cache-Control", "no-store")
	if fault != nil {
		fault.ServeHTTP(w, r)
		return
	}

	g, refused := s.take(r, e, body, err)
	if refused != nil {
		if refused.code == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", http.MethodPost)
		}
		writeError(w, refused.code, refused.message)
		return
	}
	writeJSON(w, http.StatusOK, s.issue(g))
}

// take checks a token request, its form before its credentials.
func (s *Server) take(r *http.Request, e endpoint, body []byte, bodyErr error) (grant, *refusal) {
	refuse := func(code int, message string) (grant, *refusal) { return grant{}, &refusal{code, message} }
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	fields, err := e.parse(body)
	switch {
	case r.Method != http.MethodPost:
		return refuse(http.StatusMethodNotAllowed, "the method must be POST")
	case errors.As(bodyErr, new(*http.MaxBytesError)):
		return refuse(http.StatusRequestEntityTooLarge, "the body is larger than 1 MiB")
	case bodyErr != nil:
		return refuse(http.StatusBadRequest, "the body is incomplete")
	case mediaType != e.contentType:
		return refuse(http.StatusBadRequest, "the Content-Type must be "+e.contentType)
	case r.Header.Get("Accept") != "application/json":
		return refuse(http.StatusBadRequest, "the Accept header must be application/json")
	case r.URL.RawQuery != "":
		return refuse(http.StatusBadRequest, "the URL must not have a query")
	case err != nil || !hasExactly(fields, e.fields...):
		return refuse(http.StatusBadRequest, "the body must have exactly these fields, once each, "+
			"as strings that are not empty: "+strings.Join(e.fields, ", "))
	}
	return e.check(s, fields)
}

func (s *Server) checkPassword(m map[string]any) (grant, *refusal) {
	if m["username"] != s.Username || m["password"] != s.Password {
		return grant{}, &refusal{http.StatusUnauthorized, "wrong user name or password"}
	}
	return grant{subject: s.Username, shortname: s.key.Shortname, session: rand.Text()}, nil
}

// checkRefreshToken uses a refresh token up, as rotation has it.
func (s *Server) checkRefreshToken(m map[string]any) (grant, *refusal) {
	token := m["refresh_token"].(string)
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.refreshTokens[token]
	delete(s.refreshTokens, token)
	if !ok || g.over(time.Now()) {
		return grant{}, &refusal{http.StatusBadRequest, "the refresh token is used, expired, revoked or not from this server"}
	}
	return g, nil
}

func (g grant) over(now time.Time) bool { return !g.end.IsZero() && !now.Before(g.end) }

// checkRequestToken checks what a client signed with its API key. The shortname
// may be any: the key of a parent account reaches each sub-account.
func (s *Server) checkRequestToken(m map[string]any) (grant, *refusal) {
	refuse := func(message string) (grant, *refusal) {
		return grant{}, &refusal{http.StatusUnauthorized, "the request token " + message}
	}
	payload, err := verify(m["jwt"].(string), []byte(s.key.SharedSecret))
	if err != nil {
		return refuse(err.Error())
	}
	claims, err := parseObject(payload)
	if err != nil {
		return refuse("has claims that are not a JSON object")
	}
	number, _ := claims["iat"].(json.Number)
	seconds, err := number.Float64()
	if err != nil {
		return refuse("has no iat that is a number")
	}
	delete(claims, "iat")
	if !hasExactly(claims, "jti", "appname", "appkey", "shortname") {
		return refuse("must have exactly the claims iat, jti, appname, appkey, shortname")
	}
	jti := claims["jti"].(string)
	switch {
	case len(jti) < minJTI:
		return refuse("has a jti too short for 128 random bits")
	case claims["appname"] != s.key.AppName || claims["appkey"] != s.key.AppKey:
		return refuse("has a wrong appname or appkey")
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	now := float64(s.now().UnixNano()) / 1e9
	if math.Abs(now-seconds) > maxSkew.Seconds() {
		return refuse("has an iat more than a minute from the server's clock")
	}
	if _, ok := s.jtis[jti]; ok {
		return refuse("has a jti that was used before")
	}
	s.jtis[jti] = time.Unix(int64(seconds), 0)
	return grant{subject: s.key.AppName, shortname: claims["shortname"].(string), session: rand.Text()}, nil
}

// answer has the fields of the reference's closed schema for a 200.
type answer struct {
	AccessToken      string `json:"access_token"`
	ExpiresIn        int64  `json:"expires_in"`
	RefreshExpiresIn int64  `json:"refresh_expires_in"`
	RefreshToken     string `json:"refresh_token"`
	TokenType        string `json:"token_type"`
	IDToken          string `json:"id_token"`
	NotBeforePolicy  int    `json:"not-before-policy"`
	SessionState     string `json:"session-state"`
	Scope            string `json:"scope"`
}

func (s *Server) issue(g grant) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.issued++; s.issued%256 == 0 {
		s.forget(now)
	}
	jwt := func(lifetime time.Duration) string {
		iat := s.now().Unix()
		claims := map[string]any{"iat": iat, "jti": rand.Text(), "sub": g.subject, "shortname": g.shortname}
		if lifetime != 0 {
			claims["exp"] = iat + int64(lifetime/time.Second)
		}
		return sign(claims, s.tokenKey)
	}
	a := answer{
		AccessToken:      jwt(s.access),
		ExpiresIn:        int64(s.access / time.Second),
		RefreshExpiresIn: int64(s.refresh / time.Second),
		RefreshToken:     jwt(s.refresh),
		TokenType:        "bearer",
		IDToken:          jwt(s.access),
		SessionState:     g.session,
		Scope:            "profile email",
	}
	s.accessTokens[a.AccessToken] = now.Add(s.access)
	g.end = time.Time{}
	if s.refresh != 0 {
		g.end = now.Add(s.refresh)
	}
	s.refreshTokens[a.RefreshToken] = g
	return a
}

// forget drops what would be refused for its age anyway, so that memory stays
// in proportion to the tokens that are good. s.mu must be held.
func (s *Server) forget(now time.Time) {
	maps.DeleteFunc(s.accessTokens, func(_ string, end time.Time) bool { return !now.Before(end) })
	maps.DeleteFunc(s.refreshTokens, func(_ string, g grant) bool { return g.over(now) })
	oldest := s.now().Add(-maxSkew - time.Second) // iat was cut to a whole second
	maps.DeleteFunc(s.jtis, func(_ string, iat time.Time) bool { return iat.Before(oldest) })
}

// sign returns claims as a JWS in compact form, HS256. It stands beside the
// client's own signer on purpose: a server that shared code with the client
// would share its mistakes.
func sign(claims map[string]any, key []byte) string {
	payload, _ := json.Marshal(claims) // strings and integers have no error
	enc := base64.RawURLEncoding
	jws := enc.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc.EncodeToString(payload)
	return jws + "." + enc.EncodeToString(mac(jws, key))
}

// verify returns the payload of a JWS that was signed with key.
func verify(jws string, key []byte) ([]byte, error) {
	parts := strings.Split(jws, ".")
	// The decoder would skip line breaks, which are not base64url.
	if len(parts) != 3 || strings.ContainsAny(jws, "\r\n") {
		return nil, errors.New("is not a JWS of three parts")
	}
	var raw [3][]byte
	for i, part := range parts {
		var err error
		if raw[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return nil, errors.New("has a part that is not base64url without padding")
		}
	}
	header, err := parseObject(raw[0])
	if err != nil || !maps.Equal(header, map[string]any{"alg": "HS256", "typ": "JWT"}) {
		return nil, errors.New(`must have the header {"alg":"HS256","typ":"JWT"}`)
	}
	if !hmac.Equal(raw[2], mac(parts[0]+"."+parts[1], key)) {
		return nil, errors.New("has a signature that does not fit the shared secret")
	}
	return raw[1], nil
}

func mac(text string, key []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// parseObject decodes a JSON object. Unlike json.Unmarshal it refuses a name
// that comes twice, of which two readers may take different values.
func parseObject(data []byte) (map[string]any, error) {
	errShape := errors.New("not a JSON object with each name once")
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errShape
	}
	m := make(map[string]any)
	for dec.More() {
		t, err := dec.Token()
		name, _ := t.(string)
		if _, twice := m[name]; twice || err != nil {
			return nil, errShape
		}
		var v any
		if err := dec.Decode(&v); err != nil {
			return nil, errShape
		}
		m[name] = v
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return nil, errShape
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errShape
	}
	return m, nil
}

func parseForm(data []byte) (map[string]any, error) {
	form, err := url.ParseQuery(string(data))
	m := make(map[string]any, len(form))
	for name, values := range form {
		if len(values) == 1 {
			m[name] = values[0]
		} else {
			m[name] = values // which hasExactly refuses
		}
	}
	return m, err
}

// hasExactly reports whether m has the names and no other, each with a string
// that is not empty.
func hasExactly(m map[string]any, names ...string) bool {
	for _, name := range names {
		if v, _ := m[name].(string); v == "" {
			return false
		}
	}
	return len(m) == len(names)
}
