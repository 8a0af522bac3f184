package main

import (
	"context"
	"sync"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/endpoint"
	"golang.org/x/oauth2"
)

// renewing is a Store for one run that is to renew the session. It shows the token that was stored
// when the run began without its access token, as if that had ended, so that its refresh token is
// used. A token that another program stores in the meantime is shown as it is: it is a renewed
// session, whose refresh token needs no use.
type renewing struct {
	netoauth.Store

	mu     sync.Mutex // an exchange may outlast the run's patience
	looked bool
	old    string // the access token that was stored at the first look; "": none
}

// Load is that of the Store below.
func (r *renewing) Load(ctx context.Context) (*oauth2.Token, error) {
	t, err := r.Store.Load(ctx)
	if err != nil {
		return nil, err
	}
	return r.show(t), nil
}

// Update is that of the Store below.
func (r *renewing) Update(ctx context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
	return r.Store.Update(ctx, func(stored *oauth2.Token) (*oauth2.Token, error) {
		return f(r.show(stored))
	})
}

// show returns what the run is to know of a stored token.
func (r *renewing) show(stored *oauth2.Token) *oauth2.Token {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.looked {
		r.looked = true
		if stored != nil {
			r.old = stored.AccessToken
		}
	}
	switch {
	case stored == nil, stored.AccessToken != r.old:
		return stored
	case stored.RefreshToken == "":
		return nil
	}
	t := *stored
	t.ExpiresIn = int64(endpoint.Lifetime(stored).Seconds()) // tells when the refresh token ends
	t.AccessToken = ""
	return &t
}
