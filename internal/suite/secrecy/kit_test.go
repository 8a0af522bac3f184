package secrecy_test

import (
	"encoding/json"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite"
	"golang.org/x/oauth2"
)

// kit is a set of secrets for credentials.
type kit struct{ appKey, sharedSecret, password, refreshToken, accessToken, newAccess, newRefresh string }

// plainKit is secrets that look alike however they are written; awkwardKit ones that each notation
// writes in another way.
var (
	plainKit = kit{"AppKeyQ7rT2mWx9LpZ", "SharedSecretB4nV8kJ1sDf6", "PasswordG3hY5uXc0Eq",
		"RefreshTokenM9aS2dF4gH6jK8", "AccessTokenP0oI9uY8tR7eW6", "NewAccessTokenZ1xC2vB3nM4", "NewRefreshTokenL5kJ4hG3fD2"}
	awkwardKit = kit{`App "Key"\&<Q7>'ü%+ x`, `Shared "Secret"\&<B4>'ü%+ x`, `Pass "word"\&<G3>'ü%+ x`,
		`Refresh "Token"\&<M9>'ü%+ x`, "AccessTokenP0oI9uY8tR7eW6", "NewAccessTokenZ1xC2vB3nM4", `New "Refresh"\&<L5>'ü%+ x`}
)

// kits are the secrets that errors are tried with.
var kits = []struct {
	name string
	kit
}{{"plain", plainKit}, {"awkward", awkwardKit}}

func (k kit) vault() *vault {
	return newVault("the app key", k.appKey, "the shared secret", k.sharedSecret, "the password", k.password,
		"the refresh token", k.refreshToken, "the access token", k.accessToken,
		"the new access token", k.newAccess, "the new refresh token", k.newRefresh)
}

// answer is one of the API that has the kit's new tokens.
func (k kit) answer() string {
	text, err := json.Marshal(map[string]any{
		"access_token": k.newAccess, "refresh_token": k.newRefresh, "id_token": k.newAccess,
		"token_type": "bearer", "expires_in": 300, "refresh_expires_in": 1800,
	})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// initial is a stored token of the kit.
func (k kit) initial() *oauth2.Token {
	tok := &oauth2.Token{AccessToken: k.accessToken, RefreshToken: k.refreshToken}
	return tok.WithExtra(map[string]any{"id_token": k.accessToken})
}

// account is what the kit's credentials for the API at u are made of.
func (k kit) account(u string) suite.Account {
	return suite.Account{
		Key: netoauth.APIKey{URL: u, Shortname: "acme", AppName: "reports", AppKey: netoauth.Secret(k.appKey),
			SharedSecret: netoauth.Secret(k.sharedSecret)},
		User:         netoauth.Password{URL: u, Username: "ann", Password: netoauth.Secret(k.password)},
		RefreshToken: netoauth.Secret(k.refreshToken),
	}
}

// credentials are the kit's, for the default URL, as the types they are.
func (k kit) credentials(o netoauth.Options) (*netoauth.APIKey, *netoauth.Password, *netoauth.Refresh) {
	a := k.account("")
	return a.Credential(suite.APIKey, o).(*netoauth.APIKey), a.Credential(suite.Password, o).(*netoauth.Password),
		a.Credential(suite.Refresh, o).(*netoauth.Refresh)
}
