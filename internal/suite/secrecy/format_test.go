package secrecy_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

// embedding is what users derive from the types.
type (
	myKey      struct{ netoauth.APIKey }
	myPassword struct {
		*netoauth.Password
		Note string
	}
	myRefresh struct {
		Note string
		netoauth.Refresh
	}
)

// credentialValues are the credential types of k, and what may hold them.
func credentialValues(k kit) []value {
	data := netoauth.Options{InitialToken: k.initial()} // which can be marshalled
	o := data
	o.OnToken, o.Logger = func(*oauth2.Token) {}, slog.New(slog.DiscardHandler)
	var list []value
	for suffix, o := range map[string]netoauth.Options{"": o, " of data": data} {
		key, user, session := k.credentials(o)
		list = append(list, held("APIKey"+suffix, *key)...)
		list = append(list, held("Password"+suffix, *user)...)
		list = append(list, held("Refresh"+suffix, *session)...)
		list = append(list, held("Options"+suffix, o)...)
	}
	key, user, session := k.credentials(o)
	list = append(list, held("Secret", netoauth.Secret(k.password))...)
	list = append(list,
		value{"Account", key.Account("sub")},
		value{"map with Secret for keys, in fmt", keyed{netoauth.Secret(k.password): 1}},
		value{"APIKey embedded", myKey{*key}}, value{"*APIKey embedded", &myKey{*key}},
		value{"*Password embedded", myPassword{user, "z"}},
		value{"Refresh embedded", &myRefresh{"z", *session}},
		value{"[]credential", []suite.Credential{key, user, session}},
		value{"Token method", key.Token},
	)
	return list
}

// keyed hides from encoding/json, which documents that it takes a string key as it is.
type keyed map[netoauth.Secret]int

func (keyed) MarshalJSON() ([]byte, error) { return []byte("{}"), nil }

func TestSecret_isShownByNoFormattingOfACredential(t *testing.T) {
	v := plainKit.vault()
	for _, val := range credentialValues(plainKit) {
		v.checkAll(t, val.name, texts(val.x))
	}
}

// A struct that holds a credential by value, itself held by pointer inside something else, is where
// fmt stops asking: it refuses to print the inner pointer with any verb but v, and reports that
// with all fields bare. So the promise is for the v verbs there. Held by pointer, the credential is
// safe with all.
func TestSecret_inAStructBehindAnInnerPointer(t *testing.T) {
	k := plainKit
	v := k.vault()
	type config struct {
		Key      netoauth.APIKey
		User     netoauth.Password
		Renewal  netoauth.Refresh
		Password netoauth.Secret
	}
	type pointers struct {
		Key      *netoauth.APIKey
		User     *netoauth.Password
		Renewal  *netoauth.Refresh
		Password *netoauth.Secret
	}
	o := netoauth.Options{InitialToken: k.initial()}
	secret := netoauth.Secret(k.password)
	key, user, session := k.credentials(o)
	byValue := &config{*key, *user, *session, secret}
	byPointer := &pointers{key, user, session, &secret}
	for _, x := range []any{[]*config{byValue}, struct{ C *config }{byValue}, map[string]*config{"k": byValue}, &byValue} {
		for _, format := range vFormats {
			v.check(t, fmt.Sprintf("%s of %T", format, x), fmt.Sprintf(format, x))
		}
	}
	for _, x := range []any{
		[]*pointers{byPointer}, struct{ C *pointers }{byPointer}, map[string]*pointers{"k": byPointer}, &byPointer,
	} {
		v.checkAll(t, fmt.Sprintf("%T", x), texts(x))
	}
}

// Of an unexported field fmt asks no Formatter; a pointer there prints as an address with the v
// verbs, and with no other.
func TestSecret_behindAPointerInAnUnexportedField(t *testing.T) {
	k := plainKit
	v := k.vault()
	o := netoauth.Options{InitialToken: k.initial()}
	secret := netoauth.Secret(k.password)
	key, user, session := k.credentials(o)
	for name, x := range map[string]any{
		"*APIKey":                struct{ p *netoauth.APIKey }{key},
		"*Password":              struct{ p *netoauth.Password }{user},
		"*Refresh":               struct{ p *netoauth.Refresh }{session},
		"*Options":               struct{ p *netoauth.Options }{&o},
		"*Secret":                struct{ p *netoauth.Secret }{&secret},
		"an interface":           struct{ c suite.Credential }{key},
		"any":                    struct{ x any }{user},
		"[]*APIKey":              struct{ s []*netoauth.APIKey }{[]*netoauth.APIKey{key}},
		"a map":                  struct{ m map[string]suite.Credential }{map[string]suite.Credential{"k": session}},
		"with numbers around":    struct{ a, b any }{1, key},
		"a struct with a struct": struct{ s struct{ p *netoauth.APIKey } }{struct{ p *netoauth.APIKey }{key}},
	} {
		for _, x := range []any{x, &x, []any{x}} {
			for _, format := range vFormats {
				v.check(t, format+" of "+name, fmt.Sprintf(format, x))
			}
			all := texts(x)
			for _, how := range []string{
				"Sprint", "Sprintln", "Append", "log.Panic", "slog", "template {{.}}", "json.Marshal", "xml.Marshal",
			} {
				v.check(t, name+", "+how, all[how])
			}
		}
	}
}

func TestSecret_isRedactedByTheVerbsOfTheContract(t *testing.T) {
	var none netoauth.Options
	key, user, renewal := plainKit.credentials(none)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, x := range []any{key, *key, user, *renewal, none, netoauth.Secret("x")} {
			if text := fmt.Sprintf(verb, x); !strings.Contains(text, "[redacted]") {
				t.Errorf("%s of %T is %q, want [redacted] in it", verb, x, text)
			}
		}
	}
	if text := fmt.Sprint(key); !strings.Contains(text, "acme") || !strings.Contains(text, "reports") {
		t.Errorf("an APIKey prints as %q, which does not tell it from another", text)
	}
	if text := fmt.Sprint(user); !strings.Contains(text, "ann") {
		t.Errorf("a Password prints as %q, which does not tell it from another", text)
	}
}

func TestSecret_printsLogsAndMarshalsAsRedacted(t *testing.T) {
	s := netoauth.Secret(plainKit.password)
	text, err := json.Marshal(map[string]any{"s": s, "p": &s, "struct": struct{ S netoauth.Secret }{s}})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"p":"[redacted]","s":"[redacted]","struct":{"S":"[redacted]"}}`; string(text) != want {
		t.Errorf("JSON is %s, want %s", text, want)
	}
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).Info("", "s", s)
	if !strings.Contains(b.String(), "s=[redacted]") {
		t.Errorf("slog writes %q", b.String())
	}
	if string(s) != plainKit.password {
		t.Error("string(s) is not its value")
	}
}
