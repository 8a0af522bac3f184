package secrecy_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

// sources are the token sources and what is built over them, for all three flows.
func sources(t testing.TB, k kit, ctx context.Context, o netoauth.Options) (values []value, use func()) {
	var all []oauth2.TokenSource
	for name, c := range k.account("https://api.test").All(o) {
		src := c.TokenSource(ctx)
		client := c.Client(ctx)
		transport, ok := client.Transport.(*netoauth.Transport)
		if !ok {
			t.Fatalf("%s: the client's Transport is a %T", name, client.Transport)
		}
		all = append(all, src, transport.Source)
		over := &netoauth.Transport{Source: src, Base: transport}
		foreign := &netoauth.Transport{Source: oauth2.ReuseTokenSource(k.initial(), src)}
		values = append(values, value{name + ": source", src}, value{name + ": []source", []oauth2.TokenSource{src}},
			value{name + ": map of source", map[string]oauth2.TokenSource{"k": src}},
			value{name + ": struct of source", struct{ S oauth2.TokenSource }{src}},
			value{name + ": unexported source", struct{ s oauth2.TokenSource }{src}},
			value{name + ": unexported source in a pointer", &struct {
				n int
				s oauth2.TokenSource
			}{1, src}},
			value{name + ": unexported any of source", struct{ s any }{src}},
			value{name + ": unexported Transport by value", struct{ t netoauth.Transport }{*transport}},
			value{name + ": unexported Transport", struct{ t *netoauth.Transport }{transport}},
			value{name + ": unexported RoundTripper", struct{ t http.RoundTripper }{transport}},
			value{name + ": unexported Client", struct{ c *http.Client }{client}},
			value{name + ": unexported Client by value", struct{ c http.Client }{*client}},
			value{name + ": source under x/oauth2's cache", oauth2.ReuseTokenSource(nil, src)},
			value{name + ": oauth2.Transport", &oauth2.Transport{Source: src}},
			value{name + ": foreign source", foreign},
			value{name + ": oauth2.Transport by value", oauth2.Transport{Source: src}},
		)
		values = append(values, value{name + ": Transport over Transport", over}, value{name + ": Client", client})
		values = append(values, held(name+": Transport", *transport)...)
	}
	return values, func() {
		for _, src := range all {
			if _, err := src.Token(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestSecret_isShownByNoFormattingOfASourceOrClient(t *testing.T) {
	k := plainKit
	v := k.vault()
	network := suite.Answer(200, k.answer())
	ctx := suite.Over(t.Context(), v.watch(network))
	lookAt := func(t *testing.T, values []value) {
		for _, val := range values {
			v.checkAll(t, val.name, texts(val.x))
		}
	}
	for name, o := range map[string]netoauth.Options{
		"new": {}, "with InitialToken": {InitialToken: k.initial(), OnToken: func(*oauth2.Token) {}},
	} {
		t.Run(name, func(t *testing.T) {
			values, use := sources(t, k, ctx, o)
			lookAt(t, values)
			use()
			lookAt(t, values)
		})
	}
	t.Run("of a credential that cannot be used", func(t *testing.T) {
		bad := k
		var values []value
		for name, c := range map[string]suite.Credential{
			"API key":  &netoauth.APIKey{AppKey: netoauth.Secret(bad.appKey), SharedSecret: netoauth.Secret(bad.sharedSecret)},
			"password": bad.account("https://ann:"+bad.password+"@api.test").Credential(suite.Password, netoauth.Options{}),
			"refresh":  bad.account("https://api.test?token="+bad.refreshToken).Credential(suite.Refresh, netoauth.Options{}),
		} {
			src := c.TokenSource(ctx)
			_, err := src.Token()
			values = append(values, value{name, src}, value{name + " error", err}, value{name + " client", c.Client(ctx)},
				value{name + " unexported", struct{ s oauth2.TokenSource }{src}})
		}
		lookAt(t, values)
	})
}

// fmt refuses %w in everything but Errorf's errors, and %p in what is not a pointer, before it
// looks for a Formatter, and prints all fields. A string type cannot keep anything back there. What
// can be safe is.
func TestSecret_verbsThatFmtNeverAsksAFormatterFor(t *testing.T) {
	bad := []string{"%p", "%w", "%T", "%+w", "%#p"}
	k := plainKit
	v := k.vault()
	network := suite.RoundTripper(suite.Answer(200, k.answer()).RoundTrip) // a function prints as an address
	values, use := sources(t, k, suite.Over(t.Context(), network), netoauth.Options{InitialToken: k.initial()})
	use()
	for _, c := range k.account("").All(netoauth.Options{InitialToken: k.initial()}) {
		v.check(t, "%p of a pointer", fmt.Sprintf("%p", c))
		for _, format := range bad {
			v.check(t, format+" of a pointer in a struct", fmt.Sprintf(format, struct{ C suite.Credential }{c}))
		}
	}
	for _, val := range values {
		for _, format := range bad {
			v.check(t, format+" of "+val.name, fmt.Sprintf(format, val.x))
		}
	}
}
