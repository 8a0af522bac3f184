package endpoint

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// Object returns the fields of a JSON object, nil for anything else. A number beyond float64 is
// null.
func Object(text []byte) (fields map[string]any) {
	if err := json.Unmarshal(text, &fields); err != nil {
		if _, beyond := errors.AsType[*json.UnmarshalTypeError](err); !beyond {
			return nil
		}
	}
	return fields
}

// newToken returns the token in the response to a request sent at start, whether that is over as it
// comes, and what is wrong with the response.
func newToken(fields map[string]any, start time.Time) (t *oauth2.Token, over bool, problem string) {
	access, _ := fields["access_token"].(string)
	kind, _ := fields["token_type"].(string)
	refresh, _ := fields["refresh_token"].(string)
	switch {
	case access == "":
		return nil, false, "the answer has no access_token"
	case strings.ContainsFunc(access, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, false, "the access_token has characters that no header takes" // RFC 6750 section 2.1
	case kind != "" && !strings.EqualFold(kind, "bearer"):
		return nil, false, "the token_type is not bearer" // RFC 6749 section 7.1
	case OneLine("", refresh) != nil:
		return nil, false, "the refresh_token has a line break"
	}
	t = &oauth2.Token{AccessToken: access, TokenType: kind, RefreshToken: refresh}
	switch life, known := lifetime(fields["expires_in"], access); {
	case known && life <= 0:
		t.Expiry, t.ExpiresIn = start, int64(life/time.Second)
		over, problem = true, "the access token is over as it comes, by its expires_in or its exp"
	case known:
		t.Expiry, t.ExpiresIn = start.Add(life), int64(life/time.Second)
	}
	return t.WithExtra(fields), over, problem
}
