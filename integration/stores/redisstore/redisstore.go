// Package redisstore is an example of a Store of one's own: a session in Redis or Valkey, to copy.
//
// It is as durable as its server: without appendonly a restart loses the session, with appendfsync
// everysec what the last second brought, and a replica that takes over what had not reached it. Set
// maxmemory-policy noeviction, and keep strangers out.
package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/netoauth/netoauth/tokenstore"
	"github.com/redis/go-redis/v9"
	"golang.org/x/oauth2"
)

const lease = 15 * time.Second // without a sign of life, until another may take it

// Store is a session. Its Client needs ContextTimeoutEnabled: else a read outlasts its context.
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
		if holder ~= ARGV[1] and (holder or ARGV[2] == 'keep') then return false end
		redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
		return {redis.call('HGET', KEYS[1], 'token') or '', redis.call('HGET', KEYS[1], 'last') or ''}`)
	// give gives the lease free, and writes a token first; it returns 0 where another has written since.
	give = redis.NewScript(`
		local mine, last = redis.call('GET', KEYS[2]) == ARGV[1], redis.call('HGET', KEYS[1], 'last') or ''
		if ARGV[2] and last ~= ARGV[1] then
			if not mine and last ~= ARGV[3] then return 0 end
			redis.call('HSET', KEYS[1], 'token', ARGV[2], 'last', ARGV[1])
		end
		if mine then redis.call('DEL', KEYS[2]) end return 1`)
)

// Load returns the stored token, nil if there is none.
func (s *Store) Load(ctx context.Context) (*oauth2.Token, error) {
	data, err := s.Client.HGet(ctx, s.key(), "token").Result()
	if err != nil && err != redis.Nil {
		return nil, fmt.Errorf("redisstore: cannot read: %w", errors.Join(err, ctx.Err()))
	}
	return s.decode(data)
}

// Update stores what f returns. Every other Update is kept out meanwhile.
func (s *Store) Update(ctx context.Context, f func(*oauth2.Token) (*oauth2.Token, error)) error {
	me, always := rand.Text(), context.WithoutCancel(ctx)
	defer s.run(always, 2*time.Second, give, me)
	var was []string // token and last
	for answered := time.Now(); was == nil; {
		got, err := s.run(ctx, 5*time.Second, take, me, "", lease.Milliseconds()).StringSlice()
		if err == redis.Nil { // another has it
			answered = time.Now()
		}
		if was = got; err != nil && (time.Since(answered) > 5*time.Second || !pause(ctx, 100*time.Millisecond)) {
			return fmt.Errorf("redisstore: no lease, try later: %w", errors.Join(err, ctx.Err()))
		}
	}
	var beats sync.WaitGroup
	beating, stop := context.WithCancel(always)
	defer func() { stop(); beats.Wait() }()
	beats.Go(func() {
		for pause(beating, lease/4) {
			s.run(beating, lease/4, take, me, "keep", lease.Milliseconds())
		}
	})
	t, err := s.decode(was[0])
	if err == nil {
		t, err = f(t)
	}
	if err != nil || t == nil {
		return err
	}
	data, err := tokenstore.Encode(s.Owner, t)
	for try := always; err == nil; try = ctx { // once in any case, as the token has been issued
		written, err := s.run(try, 3*time.Second, give, me, data, was[1]).Bool()
		if err == nil && written {
			return nil
		} else if err == nil {
			return errors.New("redisstore: another program has written meanwhile, and its token stays")
		} else if !pause(ctx, 100*time.Millisecond) {
			return fmt.Errorf("redisstore: not written: %w", errors.Join(err, ctx.Err()))
		}
	}
	return err
}

func (s *Store) key() string { return "netoauth:{" + s.Owner + "}" } // one slot of a cluster

func (s *Store) decode(data string) (t *oauth2.Token, err error) {
	if data != "" {
		t, err = tokenstore.Decode(s.Owner, []byte(data))
	}
	return t, err
}

func (s *Store) run(ctx context.Context, limit time.Duration, script *redis.Script, args ...any) *redis.Cmd {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return script.Run(ctx, s.Client, []string{s.key(), s.key() + ":lease"}, args...)
}

func pause(ctx context.Context, d time.Duration) bool {
	wait, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-wait.Done()
	return ctx.Err() == nil
}
