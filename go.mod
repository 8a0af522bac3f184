module github.com/netoauth/netoauth

go 1.26.0

require (
	github.com/go-jose/go-jose/v4 v4.1.9
	github.com/google/go-cmp v0.7.0
	golang.org/x/oauth2 v0.38.0
)
