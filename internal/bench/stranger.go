package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"
)

const (
	// stormPause is how often each of four connections commits a transaction of about 1,000 notifications, if the server
	// is that quick: 40,000 a second.
	stormPause = 100 * time.Millisecond

	// successionBound is how long it may take, in seconds, until another process leads and has done what a leader does
	// first: River's lease of the leader lasts 15 s, and a process tries for it every 5 s.
	successionBound = 30
)

// storms are what the stranger's connections notify, over and over, with a number that makes each message another one.
func storms() []string {
	return []string{
		// That there are jobs.
		`SELECT pg_notify('outhook.river_insert', json_build_object('queue', q, 'n', $1::bigint * 250 + i)::text)
			FROM generate_series(1, 250) AS i, unnest(ARRAY['deliver', 'deliver_bulk', 'maintenance', 'operations']) AS q`,
		// What can't be read.
		`SELECT pg_notify('outhook.river_insert', repeat('x', 1000) || ($1::bigint * 1000 + i))
			FROM generate_series(1, 1000) AS i`,
		// Orders to runs and queues, and to the leader.
		`SELECT pg_notify('outhook.river_control', json_build_object('action', a, 'job_id', $1::bigint % 100 * 100 + i,
				'queue', q, 'n', $1::bigint)::text)
			FROM generate_series(1, 100) AS i, unnest(ARRAY['cancel', 'pause', 'resume', 'metadata_changed']) AS a,
				unnest(ARRAY['*', 'deliver', 'maintenance']) AS q`,
		`SELECT pg_notify('outhook.river_leadership', json_build_object('action', a, 'name', 'default',
				'leader_id', 'x', 'n', $1::bigint * 500 + i)::text)
			FROM generate_series(1, 500) AS i, unnest(ARRAY['request_resign', 'resigned']) AS a`,
	}
}

// Advisory locks: those by which an enqueue decides whether it notifies, and whatever others anybody takes.
const (
	takeKnown = `SELECT pg_advisory_lock(1869968488, hashtext(q))
		FROM unnest(ARRAY['deliver', 'deliver_bulk', 'maintenance', 'operations']) AS q`
	takeSeen = `SELECT CASE l.objsubid WHEN 1 THEN pg_advisory_lock(l.classid::bigint << 32 | l.objid::bigint)
			ELSE pg_advisory_lock(l.classid::bigint::bit(32)::integer, l.objid::bigint::bit(32)::integer) END
		FROM (SELECT DISTINCT classid, objid, objsubid FROM pg_locks AS o WHERE o.locktype = 'advisory' AND NOT EXISTS (
			SELECT FROM pg_locks AS m WHERE m.locktype = 'advisory' AND m.pid = pg_backend_pid()
				AND (m.classid, m.objid, m.objsubid) = (o.classid, o.objid, o.objsubid))) AS l`
	countTaken = `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()`
)

// stranger measures what is noticed of a database login without any right that notifies on every channel tens of
// thousands of times a second and takes every advisory lock, while a worker process takes the lead over from another.
func (p *play) stranger(ctx context.Context) error {
	if err := p.endpoint(ctx, "other", behaveQuick, groupHealthy, ""); err != nil {
		return err
	}
	if err := p.startWorkers(ctx, 1); err != nil {
		return err
	}
	if err := p.warm(ctx, []string{"other"}, lonelyRate, groupHealthy); err != nil {
		return err
	}

	alone, _, err := p.lasting(min(p.cfg.Duration, 10*time.Second)).receiving(ctx)
	if err != nil {
		return err
	}
	leader, err := p.awaitLeader(ctx, "", "")
	if err != nil {
		return err
	}
	if err := p.startWorkers(ctx, 1); err != nil {
		return err
	}

	m, err := p.newMob(ctx)
	if err != nil {
		return err
	}
	attacked, cancel := context.WithCancel(ctx)
	defer cancel()
	var running errgroup.Group
	m.attack(attacked, &running)

	var beside GroupCounts
	var refused int64
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		beside, refused, err = p.receiving(gctx)
		return err
	})
	g.Go(func() error { return p.succeed(gctx, leader) })
	err = g.Wait()
	cancel()
	if err := errors.Join(err, running.Wait()); err != nil {
		return err
	}

	p.r.atMost("receipt p99 ms", beside.ReceiptMS.P99, 1000)
	p.r.atMost("requests that were refused", float64(refused), 0)
	p.r.figure("receipt p99 ms alone", alone.ReceiptMS.P99)
	p.r.figure("receipt p50 ms alone", alone.ReceiptMS.P50)
	p.r.figure("receipt p50 ms", beside.ReceiptMS.P50)
	p.r.figure("receipt max ms", beside.ReceiptMS.Max)
	p.r.figure("deliveries", float64(beside.Count))
	p.r.figure("notifications of the stranger", float64(m.sent.Load()))
	p.r.figure("advisory locks of the stranger", float64(m.locks.Load()))
	return p.endedWrongly(ctx)
}

// receiving sends as accepting does, and returns what the receiver got of it and how many requests were refused.
func (p *play) receiving(ctx context.Context) (GroupCounts, int64, error) {
	if err := p.receiver.reset(ctx); err != nil {
		return GroupCounts{}, 0, err
	}
	_, refused, err := p.accepting(ctx)
	if err != nil {
		return GroupCounts{}, 0, err
	}

	counts, err := p.receiver.awaitGroup(ctx, groupHealthy, int64(lonelyRate*p.cfg.Duration.Seconds())-refused)
	return counts[groupHealthy], refused, err
}

// endedWrongly counts the deliveries that did not succeed, all of which the receiver has taken.
func (p *play) endedWrongly(ctx context.Context) error {
	if err := p.awaitSettled(ctx); err != nil {
		return err
	}
	var n float64
	err := p.pool.QueryRow(ctx, "SELECT count(*) FROM outhook.deliveries WHERE state <> 'succeeded'").Scan(&n)
	if err != nil {
		return fmt.Errorf("counting deliveries: %w", err)
	}
	p.r.atMost("deliveries that ended wrongly", n, 0)
	return nil
}

// succeed lets another process take the lead over in the middle of the storm, and make a partition that is missing.
func (p *play) succeed(ctx context.Context, leader string) error {
	const dropDay = `DO $$ DECLARE parent text; BEGIN
		FOREACH parent IN ARRAY ARRAY['delivery_attempts', 'deliveries', 'events'] LOOP
			EXECUTE format('DROP TABLE outhook.%I',
				parent || to_char((now() AT TIME ZONE 'UTC')::date + 30, '"_p"YYYYMMDD'));
		END LOOP; END $$`
	const hasDay = `SELECT to_regclass('outhook.events' ||
		to_char((now() AT TIME ZONE 'UTC')::date + 30, '"_p"YYYYMMDD')) IS NOT NULL`

	if err := sleepUntil(ctx, time.Now().Add(p.cfg.Duration/2)); err != nil {
		return err
	}
	deposed := 0.0
	if now, err := p.awaitLeader(ctx, "", ""); err != nil {
		return err
	} else if now != leader {
		deposed = 1
	}
	p.r.atMost("leaders deposed by the stranger", deposed, 0)

	if _, err := p.pool.Exec(ctx, dropDay); err != nil {
		return fmt.Errorf("dropping partitions: %w", err)
	}
	began := time.Now()
	if err := p.parts["worker"][0].stop(); err != nil {
		return err
	}
	if _, err := p.awaitLeader(ctx, leader, hasDay); err != nil {
		return err
	}
	p.r.atMost("another leader has made partitions after s", time.Since(began).Seconds(), successionBound)
	return nil
}

// awaitLeader waits until a process leads that is not other, and until a query says so if there is one.
func (p *play) awaitLeader(ctx context.Context, other, query string) (leader string, err error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)

	for {
		done := true
		err := p.pool.QueryRow(ctx, "SELECT leader_id FROM outhook.river_leader").Scan(&leader)
		if err == nil && query != "" {
			err = p.pool.QueryRow(ctx, query).Scan(&done)
		}
		switch {
		case err != nil && !errors.Is(err, pgx.ErrNoRows):
			return "", fmt.Errorf("looking for the leader: %w", err)
		case err == nil && done && leader != other:
			return leader, nil
		}

		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-deadline:
			return "", errors.New("nobody took the lead over")
		case <-tick.C:
		}
	}
}

// mob is who attacks, over several connections.
type mob struct {
	url         string
	sent, locks atomic.Int64
}

// newMob makes a login that has no right to anything.
func (p *play) newMob(ctx context.Context) (*mob, error) {
	_, err := p.admin.Exec(ctx, "DROP ROLE IF EXISTS bench_stranger; CREATE ROLE bench_stranger LOGIN PASSWORD 'stranger'")
	if err != nil {
		return nil, fmt.Errorf("making a login: %w", err)
	}
	u, err := url.Parse(p.pg.URL(p.database))
	if err != nil {
		return nil, fmt.Errorf("reading a URL: %w", err)
	}
	u.User = url.UserPassword("bench_stranger", "stranger")
	return &mob{url: u.String()}, nil
}

// attack begins everything. It ends with ctx.
func (m *mob) attack(ctx context.Context, running *errgroup.Group) {
	for _, storm := range storms() {
		m.repeat(ctx, running, func(conn *pgx.Conn, n int64) error {
			tag, err := conn.Exec(ctx, storm, n)
			m.sent.Add(tag.RowsAffected())
			return err
		}, stormPause)
	}

	m.repeat(ctx, running, func(conn *pgx.Conn, n int64) error {
		take := takeSeen
		if n == 0 {
			take = "SET lock_timeout = 500; " + takeKnown
		}
		_, err := conn.Exec(ctx, take)
		var pgErr *pgconn.PgError
		if err != nil && (!errors.As(err, &pgErr) || pgErr.Code != "55P03") { // lock_not_available
			return err
		}
		var count int64
		if err := conn.QueryRow(ctx, countTaken).Scan(&count); err != nil {
			return err
		}
		m.locks.Store(count)
		return nil
	}, 10*time.Millisecond)
}

// repeat does something over and over on a connection of its own, every so often or as often as it can.
func (m *mob) repeat(
	ctx context.Context, running *errgroup.Group, do func(*pgx.Conn, int64) error, every time.Duration,
) {
	running.Go(func() error {
		conn, err := pgx.Connect(ctx, m.url)
		if err != nil {
			return fmt.Errorf("connecting as a stranger: %w", err)
		}
		defer conn.Close(context.WithoutCancel(ctx))

		due := time.Now()
		for n := int64(0); sleepUntil(ctx, due) == nil; n++ {
			if err := do(conn, n); err != nil && ctx.Err() == nil {
				return fmt.Errorf("as a stranger: %w", err)
			}
			due = due.Add(every)
		}
		return nil
	})
}
