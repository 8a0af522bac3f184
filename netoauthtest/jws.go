package netoauthtest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"strings"
)

// sign returns claims as a JWS in compact form, HS256. It stands beside the client's own signer on
// purpose: a server that shared code with the client would share its mistakes.
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

// parseObject decodes a JSON object. Unlike json.Unmarshal it refuses a name that comes twice, of
// which two readers may take different values.
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
