// Package fuzz_test throws arbitrary input at netoauth's two parsers of what others wrote: a NETOSECRET that a
// person pasted, and the answer of a token endpoint. Run one with
//
//	go test -fuzz FuzzTokenAnswer -fuzztime 20s ./fuzz
package fuzz_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/netoauth/netoauth"
)

// apiKey is the object in a NETOSECRET, with what a test wants to change.
func apiKey(change func(map[string]any)) string {
	key := map[string]any{
		"url": "https://api.netography.com/api/v1", "shortname": "acme-corp", "appname": "collector",
		"appkey": "0123-4567-89ab", "sharedsecret": "correct horse battery",
	}
	if change != nil {
		change(key)
	}
	text, err := json.Marshal(key)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(text)
}

// harmless is input that fails and holds no value: its errors are the words that any error may use.
func harmless() []string {
	inputs := []string{"", "?", "eyJ.e30.", "e30=", "W10=", apiKey(func(k map[string]any) {
		for name := range k {
			k[name] = 0
		}
	})}
	for _, url := range []string{"%", "/", "https://u@h", "https://h?", "http://h"} {
		inputs = append(inputs, apiKey(func(k map[string]any) { k["url"] = url }))
	}
	return inputs
}

func FuzzParseAPIKey(f *testing.F) {
	var words []string
	for _, s := range harmless() {
		f.Add(s)
		_, err := netoauth.ParseAPIKey(s)
		if err == nil {
			f.Fatalf("no error for %q", s)
		}
		words = append(words, err.Error())
	}
	vocabulary := strings.Join(words, "\n")
	f.Add(apiKey(nil))
	f.Add(strings.TrimRight(apiKey(nil), "="))
	f.Add("\ufeff" + apiKey(nil))
	f.Add(" " + strings.Join(strings.SplitAfter(apiKey(nil), "c"), "\r\n\t") + " ")
	f.Add(apiKey(func(k map[string]any) { k["appkey"] = map[string]any{"value": []any{"deep secret", 12345678}} }))
	f.Add(apiKey(func(k map[string]any) { k["url"] = "https://user:hunter22@api.netography.com" }))
	f.Add(apiKey(func(k map[string]any) { k["url"] = "https://api.netography.com/\x7fsecret" }))
	f.Add(apiKey(func(k map[string]any) { k["sharedsecret"] = "line\nbreak \"quoted\" \u2028 \u00fc" }))

	// Deeper than encoding/json reads, but not as a seed: that would be a burden to the fuzzer.
	deep := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(`{"url":`, 10001) + strings.Repeat("}", 10001)))
	if _, err := netoauth.ParseAPIKey(deep); err == nil || !strings.Contains(vocabulary, err.Error()) {
		f.Errorf("deep nesting: error %v", err)
	}

	f.Fuzz(func(t *testing.T, netosecret string) {
		key, err := netoauth.ParseAPIKey(netosecret)
		if err == nil {
			again, err := netoauth.ParseAPIKey(key.Netosecret())
			if err != nil {
				t.Fatalf("its own NETOSECRET: %v", err)
			}
			if !cmp.Equal(key, again) {
				t.Errorf("the round trip changed the key from %q to %q", reveal(key), reveal(again))
			}
			return
		}
		text := err.Error()
		if len(text) > 1000 || strings.ContainsFunc(text, unprintable) {
			t.Errorf("error of %d bytes, want one line of at most 1000: %q", len(text), text)
		}
		for _, value := range append(values(netosecret), netosecret) {
			if len(value) >= 4 && strings.Contains(text, value) && !strings.Contains(vocabulary, value) {
				t.Errorf("error %q shows the value %q", text, value)
			}
		}
	})
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

func reveal(k *netoauth.APIKey) []string {
	return []string{k.URL, k.Shortname, k.AppName, string(k.AppKey), string(k.SharedSecret)}
}

// values returns the strings and numbers in the JSON that a NETOSECRET holds, as far as it can be read.
func values(netosecret string) []string {
	s := strings.Join(strings.Fields(netosecret), "")
	s = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(s), "=")
	raw, _ := base64.RawStdEncoding.DecodeString(s) // what it decoded before an error, too
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	for all := []string(nil); ; {
		token, err := d.Token()
		if err != nil {
			return all
		}
		switch v := token.(type) {
		case json.Number:
			all = append(all, v.String())
		case string:
			all = append(all, v)
		}
	}
}
