package stores

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/integration/stores/redisstore"
	"github.com/netoauth/netoauth/tokensql"
	"github.com/redis/go-redis/v9"
)

// A fleet asks little of its engine.
func TestFleet_loadsItsEngineLittle(t *testing.T) {
	each(t, []*engine{postgreSQL, redisKind}, func(t *testing.T, s subject) {
		got := load(t, s)
		t.Log(got)
		if got.perMinute() > 10 {
			t.Errorf("%v, want 10 at most", got)
		}
	})
}

// loadFigures are statements by twelve programs, in so many renewals.
type loadFigures struct{ statements, renewals int }

const loadPrograms = 12

// perMinute returns the statements of a program in a minute of 5-min tokens, which are renewed about
// every 220 s: when the first of the twelve comes to its point between 70 % and 85 % of 300 s.
func (f loadFigures) perMinute() float64 {
	return float64(f.statements) / loadPrograms / float64(f.renewals) * 60 / 220
}

func (f loadFigures) String() string { return fmt.Sprintf("%.1f", f.perMinute()) }

// load counts what twelve programs, here in one process, say to the engine in 15 s of 3-s tokens. The
// token endpoint takes 0.2 s. Renewals cost the same whatever tokens last.
func load(t *testing.T, s subject) (f loadFigures) {
	a, at := newAPI(t, 3*time.Second), s.place(t)
	a.slow = 200 * time.Millisecond
	var statements atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for range loadPrograms {
		all.Go(func() {
			key, err := netoauth.ParseAPIKey(a.Netosecret)
			if err != nil {
				t.Error(err)
				return
			}
			s, end := at.counted(&statements)
			defer end()
			key.URL, key.Store = a.url, s
			src := key.TokenSource(context.Background())
			for ; ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
				if _, err := src.Token(); err != nil {
					t.Error(err)
				}
			}
			netoauth.Wait(context.Background(), src)
		})
	}
	all.Wait()
	made := a.requests()
	return loadFigures{int(statements.Load()), made.LogIns + made.Refreshes}
}

// counted opens the Store with a counter of its statements.
func (p place) counted(n *atomic.Int64) (netoauth.Store, func() error) {
	if p.Engine == "Redis" {
		s, end, err := p.open()
		if err != nil {
			panic(err)
		}
		s.(*redisstore.Store).Client.AddHook(tracer{n})
		return s, end
	}
	host, port, _ := net.SplitHostPort(p.Address)
	c, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%s user=postgres dbname=postgres sslmode=disable", host, port))
	if err != nil {
		panic(err)
	}
	c.Tracer = tracer{n}
	db := stdlib.OpenDB(*c)
	db.SetMaxOpenConns(1)
	db.SetConnMaxIdleTime(time.Second)
	return &tokensql.Store{DB: db, Dialect: tokensql.PostgreSQL, Owner: p.Owner}, db.Close
}

// tracer counts statements, of pgx or of go-redis.
type tracer struct{ n *atomic.Int64 }

func (t tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	t.n.Add(1)
	return ctx
}

func (tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// ProcessHook counts, as a redis.Hook.
func (t tracer) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		t.n.Add(1)
		return next(ctx, cmd)
	}
}

func (tracer) DialHook(next redis.DialHook) redis.DialHook { return next }

func (tracer) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
