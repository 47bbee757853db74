package jobs_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/jobs/retention"
)

// daysAgo makes the partitions of a day and returns its noon.
func (b *testBundle) daysAgo(t *testing.T, days int) time.Time {
	t.Helper()
	var noon time.Time
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT ((now() AT TIME ZONE 'UTC')::date - $1::integer + time '12:00') AT TIME ZONE 'UTC'`, days).Scan(&noon))
	_, err := b.pool.Exec(b.ctx, `SELECT outhook.create_partitions($1::date, $1::date)`, noon)
	require.NoError(t, err)
	return noon
}

// oldEvents stores n events of a time, with a payload of 1 KiB, a delivery each in that state and its job.
func (b *testBundle) oldEvents(t *testing.T, at time.Time, n int, endpointID uuid.UUID, state, jobState string) []uuid.UUID {
	t.Helper()
	rows, err := b.pool.Query(b.ctx, `WITH e AS (
			INSERT INTO outhook.events (id, created_at, tenant_id, type, payload)
			SELECT outhook.uuid_v7($1, n), $1, $2, 'invoice.paid', json_build_object('n', n, 'text', repeat('x', 1000))
			FROM generate_series(1, $3::integer) AS n RETURNING id
		), d AS (
			INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, state, completed_at, next_attempt_at)
			SELECT id, $4, nextval('outhook.river_job_id_seq'), $5::text::outhook.delivery_state,
				CASE WHEN $5 <> 'pending' THEN $1::timestamptz END, CASE WHEN $5 = 'pending' THEN $1::timestamptz END
			FROM e RETURNING event_id, job_id
		), j AS (
			INSERT INTO outhook.river_job (id, kind, args, queue, max_attempts, state, scheduled_at, finalized_at)
			SELECT job_id, 'deliver', jsonb_build_object('event_id', event_id, 'endpoint_id', $4::uuid), 'deliver', 1000,
				$6::text::outhook.river_job_state, now() + interval '1 hour', CASE WHEN $6 IN ('completed', 'cancelled') THEN now() END FROM d
		) SELECT id FROM e ORDER BY id`, at, tenant, n, endpointID, state, jobState)
	require.NoError(t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	require.NoError(t, err)
	return ids
}

// lineBuffer keeps a log.
type lineBuffer struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (l *lineBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lineBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (b *testBundle) count(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(b.ctx, query, args...).Scan(&n))
	return n
}

func TestRetention(t *testing.T) {
	t.Parallel()

	t.Run("DropsTheDaysBeforeItWithTheirPendingDeliveries", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		last, kept := b.daysAgo(t, 31), b.daysAgo(t, 30)
		b.oldEvents(t, last, 2500, endpointID, "pending", "retryable")
		b.oldEvents(t, last.Add(time.Hour), 3, endpointID, "succeeded", "completed")
		keptIDs := b.oldEvents(t, kept, 1, endpointID, "pending", "scheduled")
		today := b.enqueue(t, `{}`)
		var told []retention.Result
		cfg := b.config(t)
		cfg.Retention.OnRetained = func(r retention.Result) { told = append(told, r) }

		done, err := b.retain(b.ctx, cfg)
		require.NoError(t, err)
		require.Equal(t, retention.Result{Expired: 2500, Tables: 3}, done)
		require.Equal(t, []retention.Result{done}, told)
		require.Equal(t, 2500, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE state = 'cancelled' AND finalized_at IS NOT NULL`))
		require.Equal(t, 2, b.count(t, `SELECT count(*) FROM outhook.events`))
		for _, id := range append(keptIDs, today) {
			require.Equal(t, db.DeliveryStatePending, b.delivery(t, id, endpointID).State)
		}
		done, err = b.retain(b.ctx, cfg)
		require.NoError(t, err)
		require.Zero(t, done)
	})

	t.Run("KeepsADayForWhatIsToBeDeliveredLater", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		day := b.daysAgo(t, 31)
		later := b.oldEvents(t, day, 1, endpointID, "pending", "scheduled")[0]
		b.oldEvents(t, day.Add(time.Hour), 2, endpointID, "pending", "scheduled")
		b.oldEvents(t, b.daysAgo(t, 32), 1, endpointID, "pending", "scheduled")
		b.exec(t, `UPDATE outhook.events SET deliver_at = now() - interval '1 hour' WHERE id = $1`, later)
		b.exec(t, `INSERT INTO outhook.event_keys (tenant_id, idempotency_key, event_id, created_at)
			SELECT tenant_id, id::text, id, created_at FROM outhook.events`)

		for _, want := range []retention.Result{{Expired: 3, Tables: 3, Keys: 1}, {}} {
			done, err := b.retain(b.ctx, b.config(t))
			require.NoError(t, err)
			require.Equal(t, want, done)
			require.Equal(t, db.DeliveryStatePending, b.delivery(t, later, endpointID).State)
		}
		b.exec(t, `UPDATE outhook.deliveries SET state = 'succeeded', next_attempt_at = NULL, completed_at = now() WHERE event_id = $1`, later)
		done, err := b.retain(b.ctx, b.config(t))
		require.NoError(t, err)
		require.Equal(t, retention.Result{Tables: 3, Keys: 3}, done)
	})

	t.Run("GoesOnWithWhatAnInterruptedRunLeft", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		b.oldEvents(t, b.daysAgo(t, 40), 2, endpointID, "pending", "available")
		day := b.daysAgo(t, 40).Format("20060102")
		// A replay after the day's deliveries had expired, and a process that died between the detach and the drop.
		_, err := b.pool.Exec(b.ctx, `ALTER TABLE outhook.deliveries DETACH PARTITION outhook.deliveries_p`+day)
		require.NoError(t, err)
		done, err := b.retain(b.ctx, b.config(t))
		require.NoError(t, err)
		require.Equal(t, retention.Result{Expired: 2, Tables: 3}, done)
		require.Equal(t, 2, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE state = 'cancelled'`))
	})

	t.Run("DeletesStoredAnswersAfterADayAndOfRevokedKeys", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(t, `INSERT INTO outhook.api_keys (id, name, key_hash, scope, revoked_at) VALUES
			('00000000-0000-7000-8000-000000000001', 'live', '1', 'admin', NULL), ('00000000-0000-7000-8000-000000000002', 'revoked', '2', 'admin', now())`)
		b.exec(t, `INSERT INTO outhook.stored_answers (id, api_key_id, created_at, key_id, sealed)
			SELECT int4send(n), NULL, now() - interval '25 hours', '', '' FROM generate_series(1, 12000) AS n
			UNION ALL VALUES ('kept'::bytea, NULL::uuid, now() - interval '23 hours', '', ''::bytea),
				('live', '00000000-0000-7000-8000-000000000001', now(), '', ''), ('revoked', '00000000-0000-7000-8000-000000000002', now(), '', '')`)
		w := retention.NewWorker(b.config(t).Retention, b.pool, slog.New(slog.DiscardHandler), nil)
		require.NoError(t, w.Work(b.ctx, nil))
		require.Equal(t, 2, b.count(t, `SELECT count(*) FROM outhook.stored_answers`))
		require.Equal(t, 2, b.count(t, `SELECT count(*) FROM outhook.stored_answers WHERE id IN ('kept', 'live')`))
	})

	t.Run("DeletesIdempotencyKeysOnceADay", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, err := b.pool.Exec(b.ctx, `INSERT INTO outhook.event_keys (tenant_id, idempotency_key, event_id, created_at)
			SELECT 'acme', 'key ' || n, outhook.uuid_v7(), (now() AT TIME ZONE 'UTC')::date::timestamp AT TIME ZONE 'UTC' - CASE
				WHEN n % 2 = 0 THEN interval '30 days' ELSE interval '30 days 1 microsecond' END
			FROM generate_series(1, 60000) AS n`)
		require.NoError(t, err)
		done, err := b.retain(b.ctx, b.config(t))
		require.NoError(t, err)
		require.Equal(t, retention.Result{Keys: 30000}, done)
		require.Equal(t, 30000, b.count(t, `SELECT count(*) FROM outhook.event_keys WHERE right(idempotency_key, 1) IN ('0', '2', '4', '6', '8')`))
	})

	t.Run("IsDoneByAPeriodicJob", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		b.oldEvents(t, b.daysAgo(t, 8), 2, endpointID, "failed", "cancelled")
		log := &lineBuffer{}
		cfg := b.config(t)
		cfg.Retention.Keep, cfg.Logger = 7*ledger.Day, slog.New(slog.NewJSONHandler(log, nil))
		b.start(t, cfg)
		eventually(t, func() bool { return strings.Contains(log.String(), `"msg":"retained","partitions":3,"expired":0`) },
			func() any { return log.String() })
	})

	// Also where the user who works owns nothing, and so can't remove partitions.
	t.Run("ErasesExpiredSecrets", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		otherID, _ := b.endpoint(t)
		_, err := b.pool.Exec(b.ctx, `INSERT INTO outhook.endpoint_secrets (endpoint_id, key_id, sealed, expires_at) VALUES
			($1, 'expired', '', now() - interval '1 second'), ($2, 'expired', '', now() - interval '1 month'), ($1, 'overlap', '', now() + interval '1 hour')`,
			endpointID, otherID)
		require.NoError(t, err)
		cfg := b.config(t)
		cfg.Retention.NotOwner = true
		b.start(t, cfg)
		eventually(t, func() bool {
			return b.count(t, `SELECT count(*) FROM outhook.endpoint_secrets WHERE key_id = 'expired'`) == 0
		}, func() any { return nil })
		require.Equal(t, 3, b.count(t, `SELECT count(*) FROM outhook.endpoint_secrets`), "those that sign stay")
	})

	t.Run("IsDoneByOneProcessAtATime", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.daysAgo(t, 40)
		n, err := db.New().TakeLease(b.ctx, b.pool, "retention", "another", 60)
		require.NoError(t, err)
		require.Equal(t, int64(1), n)
		done, err := b.retain(b.ctx, b.config(t))
		require.NoError(t, err)
		require.Zero(t, done)
		require.NoError(t, db.New().GiveLease(b.ctx, b.pool, "retention", "another"))
		done, err = b.retain(b.ctx, b.config(t))
		require.NoError(t, err)
		require.Equal(t, 3, done.Tables)
	})

	t.Run("MustBeLongerThanTheSchedulesAndADay", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		check := func(days time.Duration, schedule retry.Schedule, jitter retry.Jitter) error {
			return retention.Check(b.ctx, b.pool, days*ledger.Day, schedule, jitter)
		}
		require.NoError(t, check(2, retry.Fast(), 0))
		require.ErrorIs(t, check(1, retry.Fast(), 0), retry.ErrRetention)
		require.ErrorIs(t, check(4, retry.Standard(), 0), retry.ErrRetention)
		b.endpoint(t, withSchedule(retry.Schedule{12 * time.Hour, 12 * time.Hour}))
		require.ErrorContains(t, check(2, retry.Fast(), 0), "an endpoint")
		require.NoError(t, check(3, retry.Fast(), 0))

		// With a jitter, at their longest: the server's schedule with its jitter, an endpoint's with either's, and the
		// server's with an endpoint's.
		day := retry.Schedule{24 * time.Hour}
		require.NoError(t, check(3, day, 0))
		require.ErrorIs(t, check(3, day, 1), retry.ErrRetention)
		require.ErrorContains(t, check(3, retry.Fast(), 1), "an endpoint")
		b.exec(t, `UPDATE outhook.endpoints SET retry_jitter = 0.5`)
		require.NoError(t, check(3, retry.Fast(), 1))
		b.exec(t, `UPDATE outhook.endpoints SET retry_jitter = 1`)
		require.ErrorContains(t, check(3, retry.Fast(), 0), "an endpoint")
		b.exec(t, `UPDATE outhook.endpoints SET retry_schedule = NULL`)
		require.NoError(t, check(3, retry.Fast(), 0))
		require.ErrorContains(t, check(3, day, 0), "an endpoint")
		b.exec(t, `UPDATE outhook.endpoints SET retry_schedule = '{}'`)
		require.NoError(t, check(3, day, 0))
	})
}

func TestPayloadRetention(t *testing.T) {
	t.Parallel()

	t.Run("ErasesPayloadsAndGivesTheRoomBack", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		noon := b.daysAgo(t, 3)
		b.oldEvents(t, noon, 5000, endpointID, "succeeded", "completed")
		pending := b.oldEvents(t, noon.Add(time.Hour), 20, endpointID, "pending", "scheduled")
		b.oldEvents(t, b.daysAgo(t, 2), 5, endpointID, "succeeded", "completed")
		const rest = `SELECT count(*) FROM (SELECT id, created_at, tenant_id, type FROM outhook.events EXCEPT SELECT * FROM before) AS e`
		_, err := b.pool.Exec(b.ctx, `CREATE TABLE before AS SELECT id, created_at, tenant_id, type FROM outhook.events`)
		require.NoError(t, err)
		size := func() int {
			return b.count(t, `SELECT pg_relation_size('outhook.events_p`+noon.Format("20060102")+`')`)
		}
		before := size()
		cfg := b.config(t)
		cfg.Retention.KeepPayloads = 2 * ledger.Day
		done := b.retainUntil(t, cfg, func(r retention.Result) bool { return r.Payloads == 5000 && size() < before/3 })
		require.Equal(t, retention.Result{Payloads: 5000}, done)
		require.Equal(t, 5025, b.count(t, `SELECT count(*) FROM outhook.events`))
		require.Zero(t, b.count(t, rest), "nothing but the payload has changed")
		require.Equal(t, 25, b.count(t, `SELECT count(*) FROM outhook.events WHERE payload IS NOT NULL`))
		require.Equal(t, 20, b.count(t, `SELECT count(*) FROM outhook.events WHERE id = ANY ($1) AND payload IS NOT NULL`, pending))

		_, err = b.pool.Exec(b.ctx, `UPDATE outhook.deliveries SET state = 'failed', completed_at = now() WHERE state = 'pending'`)
		require.NoError(t, err)
		b.retainUntil(t, cfg, func(r retention.Result) bool { return r.Payloads == 20 })
		require.Equal(t, 5, b.count(t, `SELECT count(*) FROM outhook.events WHERE payload IS NOT NULL`))
		done, err = b.retain(b.ctx, cfg)
		require.NoError(t, err)
		require.Zero(t, done, "each day once")
	})

	t.Run("WaitsForOpenTransactions", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		b.oldEvents(t, b.daysAgo(t, 3), 100, endpointID, "succeeded", "completed")
		open, err := b.pool.Begin(b.ctx)
		require.NoError(t, err)
		_, err = open.Exec(b.ctx, `SELECT outhook.enqueue($1, 'a.b', '{}')`, tenant)
		require.NoError(t, err)
		cfg := b.config(t)
		cfg.Retention.KeepPayloads = ledger.Day
		_, err = b.retain(b.ctx, cfg)
		require.ErrorIs(t, err, retention.ErrInTheWay)
		require.NoError(t, open.Commit(b.ctx))
		b.retainUntil(t, cfg, func(retention.Result) bool {
			return b.count(t, `SELECT count(*) FROM outhook.events WHERE payload IS NOT NULL`) == 1
		})
	})

	t.Run("NothingIsDeliveredWithoutItsPayload", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		eventID := b.enqueue(t, `{"a": 1}`)
		_, err := b.pool.Exec(b.ctx, `UPDATE outhook.events SET payload = NULL`)
		require.NoError(t, err)
		b.start(t, b.config(t))
		d := b.awaitState(t, eventID, endpointID, db.DeliveryStateCancelled)
		require.Equal(t, ledger.ReasonPayloadGone, *d.Reason)
		require.Empty(t, b.receiver.received())
		require.ErrorIs(t, pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) error {
			return ledger.Replay(b.ctx, tx, eventID, endpointID, ledger.How{})
		}), ledger.ErrPayloadGone)
	})
}

// retainUntil repeats runs, which other tests' transactions may hold up, and returns the sum of what they did.
func (b *testBundle) retainUntil(t *testing.T, cfg jobs.Config, done func(retention.Result) bool) (sum retention.Result) {
	t.Helper()
	var last error
	eventually(t, func() bool {
		var r retention.Result
		r, last = b.retain(context.WithoutCancel(b.ctx), cfg)
		sum.Expired, sum.Tables, sum.Payloads, sum.Keys = sum.Expired+r.Expired, sum.Tables+r.Tables, sum.Payloads+r.Payloads, sum.Keys+r.Keys
		return done(sum)
	}, func() any { return fmt.Sprintf("%+v, %v", sum, last) })
	return sum
}

// Any login of the database can take any advisory lock.
// Who follows the attempts reads nothing of the days that are over, not even the last pages of each.
func TestRetentionCompletesTheIndexesOfDaysThatAreOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	noon := b.daysAgo(t, 3)
	ids := b.oldEvents(t, noon, 1, endpointID, "succeeded", "completed")
	_, err := b.pool.Exec(b.ctx, `INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome)
		SELECT $1, $2, i, $3, 'rejected' FROM generate_series(1, 20000) AS i`, ids[0], endpointID, noon)
	require.NoError(t, err)
	partition := "outhook.delivery_attempts" + noon.UTC().Format("_p20060102")
	_, err = b.pool.Exec(b.ctx, `VACUUM `+partition)
	require.NoError(t, err)
	missing := func() (n int) {
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT brin_summarize_new_values(($1 || '_started_at_idx')::regclass)`, partition).Scan(&n))
		return n
	}
	require.Equal(t, 1, missing(), "VACUUM leaves out the last pages")
	_, err = b.pool.Exec(b.ctx, `SELECT brin_desummarize_range(($1 || '_started_at_idx')::regclass, 128)`, partition)
	require.NoError(t, err)

	_, err = retention.Run(b.ctx, b.pool, b.config(t).Retention, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Zero(t, missing())

	var options []string
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT reloptions FROM pg_class WHERE oid = ($1 || '_started_at_idx')::regclass`, partition).Scan(&options))
	require.Equal(t, []string{"autosummarize=on"}, options)
}

func TestAStrangersLocksStopNoRetention(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.daysAgo(t, 40)
	b.takeAsStranger(t, `1869968488, hashtext('retention')`)
	done, err := b.retain(b.ctx, b.config(t))
	require.NoError(t, err)
	require.Equal(t, 3, done.Tables)
}

// A process that was frozen in the middle of the retention does nothing more once another has taken over.
func TestARetentionThatWasFrozenEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	b.oldEvents(t, b.daysAgo(t, 40), 1, endpointID, "succeeded", "completed")
	day := b.daysAgo(t, 40).Format("20060102")

	// It waits for a lock when another process takes over.
	open, err := b.pool.Begin(b.ctx)
	require.NoError(t, err)
	_, err = open.Exec(b.ctx, `SELECT count(*) FROM outhook.delivery_attempts_p`+day)
	require.NoError(t, err)
	ended, cfg := make(chan error, 1), b.config(t)
	go func() {
		_, err := b.retain(b.ctx, cfg)
		ended <- err
	}()
	eventually(t, func() bool {
		return b.count(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'ALTER TABLE%DETACH%CONCURRENTLY'
			AND state = 'active' AND wait_event_type = 'Lock'`) == 1
	}, func() any { return nil })
	b.exec(t, `UPDATE outhook.leases SET holder = 'another', until = now() + interval '1 minute' WHERE name = 'retention'`)
	require.ErrorContains(t, <-ended, "another process has taken over the retention")
	require.NoError(t, open.Rollback(b.ctx))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.leases WHERE name = 'retention' AND holder = 'another'`))

	b.exec(t, `DELETE FROM outhook.leases`)
	b.retainUntil(t, b.config(t), func(r retention.Result) bool { return r.Tables == 3 })
}
