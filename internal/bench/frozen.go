package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

const (
	// frozenRate is how many events a second two worker processes get, unless --rate says otherwise.
	frozenRate = 150

	// frozenCatch is for how long a process is tried to be caught inside a transaction.
	frozenCatch = 10 * time.Second

	// frozenSettle is after how long the others must be as fast as before.
	frozenSettle = 5 * time.Second

	// frozenReceipt is the greatest p99 of what is enqueued meanwhile, in milliseconds.
	frozenReceipt = 1000

	// againDelay is the delay of retries beside a locked row: too long for them to be made available at once. againRate is
	// how many events with one retry there are a second.
	againDelay = 6 * time.Second
	againRate  = 10

	groupBefore = "before"
	groupAfter  = "after"
)

// frozen measures what one worker process delivers while another one stands still.
func (p *play) frozen(ctx context.Context) error {
	before, after := names("before", crowdSize), names("after", crowdSize)
	if err := p.quick(ctx, before, groupBefore); err != nil {
		return err
	}
	if err := p.quick(ctx, after, groupAfter); err != nil {
		return err
	}

	victim, err := p.startAs(ctx, "bench_victim")
	if err != nil {
		return err
	}
	if err := p.startWorkers(ctx, 1); err != nil {
		return err
	}

	alone, err := p.alone(ctx, before, groupBefore)
	if err != nil {
		return err
	}

	caught, err := p.catch(ctx, victim, before)
	if err != nil {
		return err
	}
	thaw := func() { _ = victim.thaw() } // it has not ended: nobody else stops it
	defer thaw()

	beside, err := p.flowing(ctx, after, groupAfter, thaw)
	if err != nil {
		return err
	}

	p.r.figure("receipt p99 ms alone", alone.ReceiptMS.P99)
	p.reportFlow("beside a frozen worker", beside)
	p.r.figure("frozen inside a transaction", caught)
	return p.reportPending(ctx)
}

// quick makes endpoints that behave.
func (p *play) quick(ctx context.Context, tenants []string, group string) error {
	for _, tenant := range tenants {
		if err := p.endpoint(ctx, tenant, behaveQuick, group, ""); err != nil {
			return err
		}
	}
	return nil
}

// alone measures with nothing in the way.
func (p *play) alone(ctx context.Context, tenants []string, group string) (GroupCounts, error) {
	if err := p.warm(ctx, tenants, p.flowRate(), group); err != nil {
		return GroupCounts{}, err
	}
	return p.measureGroup(ctx, tenants, len(tenants), p.flowRate(), group)
}

func (p *play) flowRate() float64 {
	if p.cfg.Rate > 0 {
		return p.cfg.Rate
	}
	return frozenRate
}

// startAs starts a worker with a database user of its own, by which its sessions are known.
func (p *play) startAs(ctx context.Context, user string) (*process, error) {
	u, err := url.Parse(p.pg.URL(p.database))
	if err != nil {
		return nil, fmt.Errorf("reading a URL: %w", err)
	}
	password, _ := u.User.Password()
	u.User = url.UserPassword(user, password)

	_, err = p.pool.Exec(ctx, fmt.Sprintf("DROP ROLE IF EXISTS %s; CREATE ROLE %[1]s LOGIN SUPERUSER PASSWORD '%s'",
		user, password))
	if err != nil {
		return nil, fmt.Errorf("creating a role: %w", err)
	}

	worker, _, err := p.serve(ctx, p.database, "worker", "OUTHOOK_DATABASE_URL="+u.String())
	if err != nil {
		return nil, err
	}
	p.add("worker", worker)
	return worker, nil
}

// catch freezes a process under load while it is inside a transaction that has written, and returns 1; or, if it is
// never seen there, somewhere, and returns 0. What a session shows cannot change while its process stands still.
func (p *play) catch(ctx context.Context, victim *process, tenants []string) (float64, error) {
	loadCtx, stop := context.WithCancel(ctx)
	loaded := make(chan error, 1)
	go func() {
		_, err := p.lasting(2*frozenCatch).pulse(loadCtx, tenants, p.flowRate())
		loaded <- err
	}()

	caught, err := p.freezeInside(ctx, victim)
	stop()
	if loadErr := <-loaded; err == nil && !errors.Is(loadErr, context.Canceled) {
		err = loadErr
	}
	return caught, err
}

func (p *play) freezeInside(ctx context.Context, victim *process) (float64, error) {
	const inside = `SELECT count(*) > 0 FROM pg_stat_activity
		WHERE usename = 'bench_victim' AND state LIKE 'idle in transaction%' AND backend_xid IS NOT NULL`
	var caught bool
	for end := time.Now().Add(frozenCatch); ; {
		if err := sleepUntil(ctx, time.Now().Add(20*time.Millisecond)); err != nil {
			return 0, err
		}
		if err := victim.freeze(); err != nil {
			return 0, fmt.Errorf("freezing a worker: %w", err)
		}

		// A statement that is under way ends first.
		err := sleepUntil(ctx, time.Now().Add(10*time.Millisecond))
		if err == nil {
			err = p.pool.QueryRow(ctx, inside).Scan(&caught)
		}
		switch {
		case err != nil:
			return 0, errors.Join(err, victim.thaw())
		case caught:
			return 1, nil
		case time.Now().After(end):
			return 0, nil
		}

		if err := victim.thaw(); err != nil {
			return 0, err
		}
	}
}

// flowCounts is what a group got while something was in the way.
type flowCounts struct {
	GroupCounts

	rate    float64 // deliveries a second from frozenSettle on
	missing int64
}

// flowing pulses for the time of --freeze and then ends what is in the way.
func (p *play) flowing(ctx context.Context, tenants []string, group string, end func()) (f flowCounts, err error) {
	if err := p.receiver.reset(ctx); err != nil {
		return f, err
	}

	began := time.Now()
	var enqueued []int64
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		enqueued, err = p.lasting(p.cfg.Freeze).pulse(gctx, tenants, p.flowRate())
		return err
	})
	g.Go(func() (err error) {
		f.rate, err = p.rateOf(gctx, group, began.Add(min(frozenSettle, p.cfg.Freeze/2)), began.Add(p.cfg.Freeze))
		return err
	})

	err = g.Wait()
	end()
	if err != nil {
		return f, err
	}

	want := int64(0)
	for _, n := range enqueued {
		want += n
	}
	counts, err := p.receiver.awaitGroup(ctx, group, want)
	f.GroupCounts, f.missing = counts[group], want-counts[group].Count
	return f, err
}

// rateOf returns how many deliveries a second a group got from one moment to another.
func (p *play) rateOf(ctx context.Context, group string, from, to time.Time) (float64, error) {
	var counts [2]int64
	for i, at := range []time.Time{from, to} {
		if err := sleepUntil(ctx, at); err != nil {
			return 0, err
		}
		groups, err := p.receiver.groups(ctx)
		if err != nil {
			return 0, err
		}
		counts[i] = groups[group].Count
	}
	return perSecond(counts[1]-counts[0], to.Sub(from)), nil
}

func (p *play) reportFlow(beside string, f flowCounts) {
	p.r.atLeast("deliveries/s "+beside, f.rate, .95*p.flowRate())
	p.r.atMost("receipt p99 ms "+beside, f.ReceiptMS.P99, frozenReceipt)
	p.r.atMost("deliveries that did not arrive", float64(f.missing), 0)
	p.r.figure("receipt p50 ms "+beside, f.ReceiptMS.P50)
	p.r.figure("receipt max ms "+beside, f.ReceiptMS.Max)
	p.r.figure("deliveries "+beside, float64(f.Count))
}

// reportPending waits for what was under way.
func (p *play) reportPending(ctx context.Context) error {
	pending, err := p.awaitNone(ctx, 2*patience)
	p.r.atMost("deliveries that are not settled", float64(pending), 0)
	return err
}

// locked measures what two worker processes deliver while somebody's transaction locks a delivery that is under way,
// and the job of another one that waits for a retry.
func (p *play) locked(ctx context.Context) error {
	tenants := names("after", crowdSize)
	again := fmt.Sprintf(`,"retry_schedule":[%q]`, againDelay)
	err := errors.Join(
		p.quick(ctx, tenants, groupAfter),
		p.endpoint(ctx, groupAgain, behaveSecond, groupAgain, again),
		p.endpoint(ctx, "locked-delivery", behaveSlow, "locked", ""),
		p.endpoint(ctx, "locked-job", behaveRefuse, "locked", again))
	if err != nil {
		return err
	}

	if err := p.startWorkers(ctx, max(p.cfg.Workers, 2)); err != nil {
		return err
	}
	alone, err := p.alone(ctx, tenants, groupAfter)
	if err != nil {
		return err
	}

	tx, err := p.pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	unlock := func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }
	defer unlock()
	if err := p.lockRows(ctx, tx); err != nil {
		return err
	}

	beside, err := p.besideLocks(ctx, tenants, unlock)
	if err != nil {
		return err
	}

	p.r.figure("receipt p99 ms alone", alone.ReceiptMS.P99)
	p.reportFlow("beside locked rows", beside)
	return p.reportPending(ctx)
}

// besideLocks pulses, and beside that for the endpoint that refuses each first attempt.
func (p *play) besideLocks(ctx context.Context, tenants []string, unlock func()) (beside flowCounts, err error) {
	var retried []int64
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		beside, err = p.flowing(gctx, tenants, groupAfter, unlock)
		return err
	})
	g.Go(func() (err error) {
		// The last retries are due before the end.
		d := max(p.cfg.Freeze-againDelay-frozenSettle, time.Second)
		retried, err = p.lasting(d).pulse(gctx, []string{groupAgain}, againRate)
		return err
	})
	if err := g.Wait(); err != nil {
		return beside, err
	}

	counts, err := p.receiver.awaitGroup(ctx, groupAgain, retried[0])
	got := counts[groupAgain]
	p.r.atMost("retries' receipt p99 ms", got.ReceiptMS.P99, float64(againDelay.Milliseconds()+1000*mostLate))
	p.r.figure("retries", float64(got.Count))
	return beside, err
}

// lockRows locks the delivery that is under way and the job that waits, once they are there.
func (p *play) lockRows(ctx context.Context, tx pgx.Tx) error {
	for _, tenant := range []string{"locked-delivery", "locked-job"} {
		if err := p.lasting(time.Second).pulseOnce(ctx, tenant); err != nil {
			return err
		}
	}

	for _, lock := range []string{
		`SELECT d.event_id FROM outhook.deliveries AS d JOIN outhook.endpoints AS n ON n.id = d.endpoint_id
			JOIN outhook.river_job AS j ON j.id = d.job_id
			WHERE n.tenant_id = 'locked-delivery' AND d.state = 'pending' AND j.state = 'running' FOR UPDATE OF d SKIP LOCKED`,
		`SELECT d.event_id FROM outhook.deliveries AS d JOIN outhook.endpoints AS n ON n.id = d.endpoint_id
			JOIN outhook.river_job AS j ON j.id = d.job_id
			WHERE n.tenant_id = 'locked-job' AND d.attempt_count = 1 AND j.state = 'retryable' FOR UPDATE OF j SKIP LOCKED`,
	} {
		if err := lockOne(ctx, tx, lock); err != nil {
			return err
		}
	}
	return nil
}

// lockOne repeats a query until it has locked a row.
func lockOne(ctx context.Context, tx pgx.Tx, query string) error {
	ctx, cancel := context.WithTimeout(ctx, againDelay)
	defer cancel()

	for {
		var id uuid.UUID
		err := tx.QueryRow(ctx, query).Scan(&id)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if err := sleepUntil(ctx, time.Now().Add(5*time.Millisecond)); err != nil {
			return fmt.Errorf("waiting for a row to lock: %w", err)
		}
	}
}

// pulseOnce enqueues one event.
func (p *play) pulseOnce(ctx context.Context, tenant string) error {
	_, err := p.pulse(ctx, []string{tenant}, 1)
	return err
}
