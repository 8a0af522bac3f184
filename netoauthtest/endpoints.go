package netoauthtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"

	maxBody = 1 << 20
	maxAge  = time.Minute // of a request token, from its iat on the server's clock

	// 128 random bits as text: base64, the densest of the usual encodings, takes 22 characters for
	// them.
	minJTI = 22
)

// endpoint is one of the three ways to get tokens: the form of its request, and what finds the
// session that the tokens belong to, with Server.mu held.
type endpoint struct {
	contentType string
	parse       func(body []byte) (map[string]any, error)
	fields      []string
	check       func(*Server, map[string]string) (*session, *refusal)
}

var endpoints = map[string]endpoint{
	APIKeyPath:   {jsonType, parseObject, []string{"jwt"}, (*Server).checkRequestToken},
	PasswordPath: {formType, parseForm, []string{"username", "password"}, (*Server).checkPassword},
	RefreshPath:  {formType, parseForm, []string{"refresh_token"}, (*Server).checkRefreshToken},
}

// refusal is an answer other than 200. Its message never quotes the request.
type refusal struct {
	code    int
	message string
}

func (s *Server) serveToken(w http.ResponseWriter, r *http.Request, e endpoint) {
	delay, fault := s.arrive(r.URL.Path)
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

	fields, refused := e.read(r, body, err)
	var a answer
	if refused == nil {
		a, refused = s.exchange(e, fields)
	}
	if refused != nil {
		if refused.code == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", http.MethodPost)
		}
		writeError(w, refused.code, refused.message)
		return
	}
	writeJSON(w, http.StatusOK, a)
}

// arrive counts a token request, and returns the delay and the fault that it meets; nil: none.
func (s *Server) arrive(path string) (time.Duration, http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[path]++
	if s.faults == 0 || len(s.faultPaths) > 0 && !slices.Contains(s.faultPaths, path) {
		return s.delay, nil
	}
	if s.faults > 0 {
		s.faults--
	}
	return s.delay, s.fault
}

// read checks the form of a token request and returns its fields.
func (e endpoint) read(r *http.Request, body []byte, bodyErr error) (map[string]string, *refusal) {
	refuse := func(code int, message string) (map[string]string, *refusal) {
		return nil, &refusal{code, message}
	}
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	object, err := e.parse(body)
	fields, ok := exactly(object, e.fields...)
	switch {
	case r.Method != http.MethodPost:
		return refuse(http.StatusMethodNotAllowed, "the method must be POST")
	case errors.As(bodyErr, new(*http.MaxBytesError)):
		return refuse(http.StatusRequestEntityTooLarge, "the body is larger than 1 MiB")
	case bodyErr != nil:
		return refuse(http.StatusBadRequest, "the body is incomplete")
	case mediaType != e.contentType:
		return refuse(http.StatusBadRequest, "the Content-Type must be "+e.contentType)
	case r.Header.Get("Accept") != jsonType:
		return refuse(http.StatusBadRequest, "the Accept header must be "+jsonType)
	case r.URL.RawQuery != "":
		return refuse(http.StatusBadRequest, "the URL must not have a query")
	case err != nil || !ok:
		return refuse(http.StatusBadRequest, "the body must have exactly these fields, once each, "+
			"as strings that are not empty: "+strings.Join(e.fields, ", "))
	}
	return fields, nil
}

// exchange checks credentials and issues tokens for them. It is one step, so that of two uses of a
// refresh token at once the later finds the earlier's tokens issued, and ends them with their
// session.
func (s *Server) exchange(e endpoint, fields map[string]string) (answer, *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ses, refused := e.check(s, fields)
	if refused != nil {
		return answer{}, refused
	}
	return s.issue(ses), nil
}

func (s *Server) checkPassword(fields map[string]string) (*session, *refusal) {
	if fields["username"] != s.Username || fields["password"] != s.Password {
		return nil, &refusal{http.StatusUnauthorized, "wrong user name or password"}
	}
	return newSession(s.Username, s.key.Shortname, false), nil
}

// checkRefreshToken takes a refresh token for the one use that it is good for, as rotation has it,
// and ends the session of one that comes again. 400 is what the reference has for "Wrong or expired
// refresh token, or user/api-key removed".
func (s *Server) checkRefreshToken(fields map[string]string) (*session, *refusal) {
	refuse := func(message string) (*session, *refusal) {
		return nil, &refusal{http.StatusBadRequest, "the refresh token " + message}
	}
	token := fields["refresh_token"]
	ses := s.sessions[s.sessionID(token)]
	switch {
	case ses == nil || ses.over(time.Now()):
		return refuse("is expired, revoked, of a session that has ended or not from this server")
	case token != ses.refreshToken:
		s.end(ses)
		return refuse("was used before, which ends its session (RFC 9700, section 4.14.2)")
	case ses.withKey && !s.reaches(ses.shortname):
		return refuse("is for an account that the API key does not reach any more")
	}
	return ses, nil
}

// checkRequestToken checks what a client signed with its API key.
func (s *Server) checkRequestToken(fields map[string]string) (*session, *refusal) {
	refuse := func(message string) (*session, *refusal) {
		return nil, &refusal{http.StatusUnauthorized, "the request token " + message}
	}
	payload, err := verify(fields["jwt"], []byte(s.key.SharedSecret))
	if err != nil {
		return refuse(err.Error())
	}
	object, err := parseObject(payload)
	if err != nil {
		return refuse("has claims that are not a JSON object")
	}
	number, _ := object["iat"].(json.Number)
	iat, err := number.Float64()
	if err != nil {
		return refuse("has no iat that is a number")
	}
	delete(object, "iat")
	claims, ok := exactly(object, "jti", "appname", "appkey", "shortname")
	now := float64(s.now().UnixNano()) / 1e9
	switch _, replayed := s.jtis[claims["jti"]]; {
	case !ok:
		return refuse("must have exactly the claims iat, jti, appname, appkey, shortname")
	case len(claims["jti"]) < minJTI:
		return refuse("has a jti too short for 128 random bits")
	case claims["appname"] != s.key.AppName || claims["appkey"] != s.key.AppKey:
		return refuse("has a wrong appname or appkey")
	case iat > now:
		return refuse("has an iat from the future, by the server's clock")
	case now-iat > maxAge.Seconds():
		return refuse("has an iat over a minute ago, by the server's clock")
	case replayed:
		return refuse("has a jti that was used before")
	case !s.reaches(claims["shortname"]):
		return refuse("names an account that the API key does not reach")
	}
	s.jtis[claims["jti"]] = time.Unix(int64(iat), 0)
	return newSession(s.key.AppName, claims["shortname"], true), nil
}

// reaches reports whether the API key is good for an account: any, unless SetAccounts names some.
func (s *Server) reaches(shortname string) bool {
	return len(s.accounts) == 0 || slices.Contains(s.accounts, shortname)
}

func parseForm(data []byte) (map[string]any, error) {
	form, err := url.ParseQuery(string(data))
	m := make(map[string]any, len(form))
	for name, values := range form {
		if len(values) == 1 {
			m[name] = values[0]
		} else {
			m[name] = values // which exactly refuses
		}
	}
	return m, err
}

// exactly returns what m has, if that is the names and no other, each with a string that is not
// empty.
func exactly(m map[string]any, names ...string) (values map[string]string, ok bool) {
	values = make(map[string]string, len(names))
	for _, name := range names {
		values[name], _ = m[name].(string)
		if values[name] == "" {
			return nil, false
		}
	}
	return values, len(m) == len(names)
}
