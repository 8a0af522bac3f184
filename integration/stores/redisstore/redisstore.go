// Package redisstore is an example of a Store of one's own: a session in Redis or Valkey, to copy.
//
// It is as durable as its server. One without appendonly loses the session when it restarts, one with
// appendfsync everysec what the last second brought, and a replica that takes over what had not reached
// it. Programs that can log in do so then. Set maxmemory-policy noeviction, and keep strangers out.
package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/netoauth/netoauth/tokenstore"
	"github.com/redis/go-redis/v9"
	"golang.org/x/oauth2"
)

const lease = 15 * time.Second // without a sign of life, until another may take it

// Store is a session. Without the Client's ContextTimeoutEnabled a read goes on after its context's end.
type Store struct {
	Client *redis.Client
	Owner  string // whose session it is, in 1 to 4096 bytes of UTF-8
}

// KEYS are a hash, of the token and of last, the Update that wrote it, and the lease, which has the name
// of its Update and ends by itself. ARGV[1] is the Update that runs the script.
var (
	// take takes the lease, or with "keep" only keeps it up, and returns token and last.
	take = redis.NewScript(`
		local holder = redis.call('GET', KEYS[2])
		if holder ~= ARGV[1] and (holder or ARGV[3] == 'keep') then return false end
		redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
		return {redis.call('HGET', KEYS[1], 'token') or '', redis.call('HGET', KEYS[1], 'last') or ''}`)

	// give gives the lease free. With a token, and with last as it was when the lease was taken, it writes
	// the token first, or returns 0 where the lease is lost and another has written since.
	give = redis.NewScript(`
		local mine, last = redis.call('GET', KEYS[2]) == ARGV[1], redis.call('HGET', KEYS[1], 'last') or ''
		if ARGV[2] and last ~= ARGV[1] then
			if not mine and last ~= ARGV[3] then return 0 end
			redis.call('HSET', KEYS[1], 'token', ARGV[2], 'last', ARGV[1])
		end
		if mine then redis.call('DEL', KEYS[2]) end
		return 1`)
)

// Load returns the stored token, nil if there is none.
func (s *Store) Load(ctx context.Context) (*oauth2.Token, error) {
	token, err := s.Client.HGet(ctx, s.keys()[0], "token").Result()
	if token == "" {
		return nil, failed(ctx, err)
	}
	return tokenstore.Decode(s.Owner, []byte(token))
}

// Update stores what f returns. Every other Update is kept out meanwhile.
func (s *Store) Update(ctx context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
	return s.hold(ctx, func(token string) (data []byte, err error) {
		var stored *oauth2.Token
		if token != "" {
			if stored, err = tokenstore.Decode(s.Owner, []byte(token)); err != nil {
				return nil, err
			}
		}
		t, err := f(stored)
		if err != nil || t == nil {
			return nil, err
		}
		return tokenstore.Encode(s.Owner, t)
	})
}

// Remove deletes the stored token. A last stays, so that no Update from before writes after it.
func (s *Store) Remove(ctx context.Context) error {
	return s.hold(ctx, func(string) ([]byte, error) { return []byte{}, nil })
}

// hold has the lease while use makes what is to be written; nil: nothing.
func (s *Store) hold(ctx context.Context, use func(token string) ([]byte, error)) error {
	me, always := rand.Text(), context.WithoutCancel(ctx)
	defer s.run(always, 2*time.Second, give, me)
	was, err := s.run(ctx, 5*time.Second, take, me, lease.Milliseconds(), "").StringSlice()
	for failing := time.Now(); err != nil; { // redis.Nil: another has the lease
		if err == redis.Nil {
			failing = time.Now()
		}
		if time.Since(failing) > 5*time.Second || !pause(ctx, 100*time.Millisecond) {
			return failed(ctx, err)
		}
		was, err = s.run(ctx, 5*time.Second, take, me, lease.Milliseconds(), "").StringSlice()
	}
	beats, stop := context.WithCancel(always)
	ended := make(chan struct{})
	defer func() { stop(); <-ended }()
	go func() {
		defer close(ended)
		for pause(beats, lease/4) {
			s.run(beats, lease/4, take, me, lease.Milliseconds(), "keep")
		}
	}()
	data, err := use(was[0])
	for try := always; err == nil && data != nil; try = ctx { // once in any case: it has been issued
		written, err := s.run(try, 3*time.Second, give, me, data, was[1]).Int()
		switch {
		case err == nil && written == 0:
			return errors.New("redisstore: another program has changed the session meanwhile: its token stays")
		case err == nil || !pause(ctx, 100*time.Millisecond):
			return failed(ctx, err)
		}
	}
	return err
}

func (s *Store) keys() []string {
	return []string{"netoauth:{" + s.Owner + "}", "netoauth:{" + s.Owner + "}:lease"}
}

func (s *Store) run(ctx context.Context, limit time.Duration, script *redis.Script, args ...any) *redis.Cmd {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return script.Run(ctx, s.Client, s.keys(), args...)
}

// failed is for the errors of the server, and for the end of ctx.
func failed(ctx context.Context, err error) error {
	if err = errors.Join(ctx.Err(), err); err == nil || errors.Is(err, redis.Nil) && ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("redisstore: the session was left as it is: %w", err)
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return ctx.Err() == nil
}
