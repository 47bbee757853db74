package jobs_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/logthrottle"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/jobs/rekey"
)

// labelled returns the value of a series by the value of one of its labels, in what a collector shows now.
func labelled(t *testing.T, g prometheus.Gatherer, name, label string) float64 {
	t.Helper()
	families, err := g.Gather()
	require.NoError(t, err)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == name && len(m.GetLabel()) > 0 && m.GetLabel()[0].GetValue() == label {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	require.FailNow(t, "no such series", "%s %s", name, label)
	return 0
}

// oldestDue returns outhook_oldest_due_seconds of a queue, read anew.
func (b *testBundle) oldestDue(t *testing.T, queue string) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(jobs.NewCollector(b.pool, ledger.Day, slog.New(slog.DiscardHandler)))
	return labelled(t, reg, "outhook_oldest_due_seconds", queue)
}

// A worker whose keys open no secret sends nothing: that is counted by its cause, said in the log, told by doctor, and the
// delivery has been due since its own time, however often its run is given back.
func TestWhatIsGivenBackStaysDue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	good := b.keyring
	wrong, err := signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)
	b.keyring = wrong

	eventID := b.enqueue(t, `{}`)
	const ago = 10 * time.Minute
	b.exec(t, `UPDATE outhook.deliveries SET next_attempt_at = now() - $1::interval`, ago)
	b.exec(t, `UPDATE outhook.river_job SET scheduled_at = now() - $1::interval WHERE kind = 'deliver'`, ago)
	require.InDelta(t, ago.Seconds(), b.oldestDue(t, ledger.QueueDeliver), 60)
	require.Zero(t, b.inspect(t)["deliveries_given_back"])

	began := time.Now()
	var log lineBuffer
	reg := prometheus.NewRegistry()
	cfg := b.config(t)
	cfg.Metrics, cfg.Logger = reg, slog.New(slog.NewJSONHandler(&log, nil))
	client := b.start(t, cfg)
	const waits = `SELECT count(*) FROM outhook.river_job WHERE kind = 'deliver' AND state = 'scheduled'
		AND scheduled_at > now() AND metadata @> jsonb_build_object('snoozes', $1::integer)`
	for n := 1; n <= 3; n++ {
		eventually(t, func() bool { return b.number(t, waits, n) == 1 }, func() any { return log.String() })
		require.InDelta(t, ago.Seconds(), b.oldestDue(t, ledger.QueueDeliver), 60, "given back %d times", n)
		b.exec(t, `UPDATE outhook.river_job SET scheduled_at = now() WHERE kind = 'deliver' AND state = 'scheduled'`)
	}

	require.InDelta(t, 0, b.oldestDue(t, ledger.QueueDeliverBulk), 1)
	require.Equal(t, 1, b.inspect(t)["deliveries_given_back"])
	require.GreaterOrEqual(t, labelled(t, reg, "outhook_runs_given_back_total", "secret"), 3.0)
	require.Zero(t, labelled(t, reg, "outhook_runs_given_back_total", "load"))
	require.Equal(t, "secret", client.GivingBack())
	require.NoError(t, client.Ready(b.ctx), "it may be one endpoint's")
	require.Empty(t, b.receiver.received())

	said := 0
	for text := range strings.Lines(log.String()) {
		var line map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &line), text)
		if line["msg"] != "gave a delivery back" {
			continue
		}
		said++
		require.Equal(t, "secret", line["cause"])
		require.Equal(t, endpointID.String(), line["endpoint_id"])
		require.Contains(t, line["error"], good.KeyID())
	}
	require.Positive(t, said)
	require.LessOrEqual(t, said, 1+int(time.Since(began)/logthrottle.Interval))

	// The right key: it leaves, and nothing is late any more.
	wrong.Replace(good)
	b.exec(t, `UPDATE outhook.river_job SET scheduled_at = now() WHERE kind = 'deliver' AND state = 'scheduled'`)
	b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	require.InDelta(t, 0, b.oldestDue(t, ledger.QueueDeliver), 1)
	require.Zero(t, b.number(t, `SELECT count(*) FROM outhook.river_job WHERE metadata ? 'due'`))
	require.Zero(t, b.inspect(t)["deliveries_given_back"])
}

// What is given back or rescued keeps its place among those that wait for their endpoint's turn, or their tenant's: it would
// wait once more for all of them.
func TestWhatIsGivenBackKeepsItsPlaceInLine(t *testing.T) {
	t.Parallel()
	for _, queue := range []string{"deliver_limited", "bulk-0000000", "deliver"} {
		t.Run(queue, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			endpointID, _ := b.endpoint(t)
			if queue == ledger.QueueDeliverLimited {
				b.limitLater(t, endpointID, 10)
			}
			eventID := b.enqueue(t, `{}`)
			b.exec(t, `UPDATE outhook.river_job SET queue = $1, scheduled_at = '2026-01-01 10:00:00.123456Z' WHERE kind = 'deliver'`, queue)
			const job = `SELECT concat_ws(' ', j.state, j.queue = 'endpoint-' || $1::text, j.queue LIKE 'bulk-%', j.scheduled_at > now() - interval '1 hour',
				j.scheduled_at = '2026-01-01 10:00:00.123456Z') FROM outhook.river_job AS j WHERE kind = 'deliver'`
			is := func(want string) {
				t.Helper()
				var text string
				require.NoError(t, b.pool.QueryRow(b.ctx, job, endpointID.String()).Scan(&text))
				require.Equal(t, want, text)
			}

			jobID, attempt, at := b.fetch(t)
			b.giveBackUntil(t, eventID, endpointID, jobID, attempt, at, time.Now().Add(3*time.Second))
			switch queue {
			case ledger.QueueDeliver:
				is("available f f t f")
				return
			case ledger.QueueDeliverLimited:
				is("scheduled t f t f")
			default:
				is("scheduled f t t f")
			}

			b.exec(t, `UPDATE outhook.river_job SET scheduled_at = now() WHERE kind = 'deliver'`)
			n, err := db.New().WakeJobs(b.ctx, b.pool, 10)
			require.NoError(t, err)
			require.Equal(t, int64(1), n)
			lane := map[bool]string{true: "t f", false: "f t"}[queue == ledger.QueueDeliverLimited]
			is("available " + lane + " f t")

			b.exec(t, `UPDATE outhook.river_job SET queue = $1 WHERE kind = 'deliver'`, queue)
			b.pretendRunning(t, "dead")
			require.Len(t, b.rescue(t), 1)
			is("available " + lane + " f t")

			// A worker of its dies again: it waits now, and then stands where it was.
			b.exec(t, `UPDATE outhook.river_job SET queue = $1 WHERE kind = 'deliver'`, queue)
			b.pretendRunning(t, "dead")
			require.Len(t, b.rescue(t), 1)
			is("retryable " + lane + " t f")
			b.exec(t, `UPDATE outhook.river_job SET scheduled_at = now() WHERE kind = 'deliver'`)
			n, err = db.New().WakeJobs(b.ctx, b.pool, 10)
			require.NoError(t, err)
			require.Equal(t, int64(1), n)
			is("available " + lane + " f t")
		})
	}
}

// A worker that dies again and again keeps its deliveries from being sent, too: each rescue makes them run later.
func TestWhatIsRescuedStaysDue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.endpoint(t)
	b.enqueue(t, `{}`)
	const ago = 10 * time.Minute
	b.exec(t, `UPDATE outhook.deliveries SET next_attempt_at = now() - $1::interval`, ago)
	for range 3 {
		b.pretendRunning(t, "dead")
		require.Len(t, b.rescue(t), 1)
		require.InDelta(t, ago.Seconds(), b.oldestDue(t, ledger.QueueDeliver), 60)
	}
}

// What a tenant's own bound keeps waiting is nobody's trouble.
func TestWhatItsHostKeepsWaitingIsNotLate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	b.exec(t, `UPDATE outhook.deliveries SET next_attempt_at = now() - interval '1 hour'`)
	jobID, attempt, at := b.fetch(t)
	b.giveBack(t, eventID, endpointID, jobID, attempt, at) // as Worker.crowded does: not by trouble of ours
	require.Zero(t, b.number(t, `SELECT count(*) FROM outhook.river_job WHERE metadata ? 'due'`))
	require.Zero(t, b.inspect(t)["deliveries_given_back"])
}

// To look for what waits longest costs a few pages beside 200,000 jobs, of which half were given back.
func TestTheOldestIsFoundByAnIndex(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO outhook.river_job (kind, args, queue, max_attempts, state, scheduled_at, metadata)
		SELECT 'deliver', '{}', 'deliver', 1000, CASE WHEN i % 4 = 0 THEN 'scheduled' ELSE 'available' END::outhook.river_job_state,
			now() + i * interval '1 ms', CASE WHEN i % 2 = 0
			THEN jsonb_build_object('due', ((extract(epoch FROM now()) - 3600 + i / 1000.0) * 1000000)::bigint::text) ELSE '{}' END
		FROM generate_series(1, 200000) AS i`)
	for _, statistics := range []string{"none", "fresh"} {
		if statistics == "fresh" {
			b.exec(t, `ANALYZE outhook.river_job`)
		}
		seen := &statements{seen: make(map[string]pgx.TraceQueryStartData)}
		late, err := db.New().ListLate(b.ctx, b.workerPool(t, seen), 50_000)
		require.NoError(t, err)
		require.Len(t, late, 1)
		require.Equal(t, ledger.QueueDeliver, late[0].Queue)
		require.InDelta(t, 3600, late[0].LateSeconds, 120)

		root := b.explain(t, seen, "ListLate")
		pages := root.SharedHitBlocks + root.SharedReadBlocks
		t.Logf("ListLate with %s statistics reads %d pages", statistics, pages)
		require.Less(t, pages, 50, "with %s statistics", statistics)
	}
}

// rekeyed makes 50,000 endpoints with a secret each, all with the keyring's key id.
func (b *testBundle) rekeyed(t *testing.T, n int) {
	t.Helper()
	b.exec(t, `INSERT INTO outhook.endpoints (id, tenant_id, url)
		SELECT outhook.uuid_v7(now(), i), 'many', 'http://127.0.0.1:1/' FROM generate_series(1, $1::integer) AS i`, n)
	b.exec(t, `INSERT INTO outhook.endpoint_secrets (endpoint_id, key_id, sealed)
		SELECT e.id, $1, '' FROM outhook.endpoints AS e WHERE e.tenant_id = 'many'`, b.keyring.KeyID())
}

// Which keys are missing is found by indexes, however many endpoints there are, and only by what needs them.
func TestMissingKeysAreFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other, err := signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)
	missing := func(k *signature.Keyring) string {
		list, err := rekey.Missing(b.ctx, b.pool, k)
		require.NoError(t, err)
		return strings.Trim(fmt.Sprint(list), "[]")
	}
	require.Empty(t, missing(other), "nothing is stored")

	id, _ := b.endpoint(t)
	require.Empty(t, missing(b.keyring))
	require.Equal(t, b.keyring.KeyID()+" (1 endpoint secrets)", missing(other))

	// Secret headers of two names, and an answer.
	headers, err := b.keyring.SealHeaders(map[string]string{"Authorization": "Bearer a", "X-Pin": "1"}, id[:])
	require.NoError(t, err)
	require.NoError(t, db.New().SetSecretHeaders(b.ctx, b.pool, headers, id))
	keyID, sealed := b.keyring.Seal([]byte("an answer"), []byte{1})
	b.exec(t, `INSERT INTO outhook.stored_answers (id, key_id, sealed) VALUES ($1, $2, $3)`, []byte{1}, keyID, sealed)
	require.Empty(t, missing(b.keyring))
	require.Equal(t, b.keyring.KeyID()+" (1 endpoint secrets, 1 endpoints' secret headers, 1 stored answers)", missing(other))

	// What nobody needs any more asks for no key.
	b.exec(t, `UPDATE outhook.stored_answers SET created_at = now() - interval '25 hours'`)
	b.exec(t, `UPDATE outhook.endpoints SET deleted_at = now()`)
	b.exec(t, `UPDATE outhook.endpoint_secrets SET expires_at = now() - interval '1 second'`)
	require.Empty(t, missing(other))

	// One row of an old key among many of the new one.
	second, _ := b.endpoint(t)
	old := b.keyring.KeyID()
	b.keyring = other
	b.rekeyed(t, 50_000)
	require.Equal(t, old+" (1 endpoint secrets)", missing(other), second)
	third, err := signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)
	require.Contains(t, missing(third), other.KeyID()+" (1000 or more endpoint secrets)")

	for _, statistics := range []string{"none", "fresh"} {
		if statistics == "fresh" {
			b.exec(t, `ANALYZE`)
		}
		seen := &statements{seen: make(map[string]pgx.TraceQueryStartData)}
		pool := b.workerPool(t, seen)
		list, err := rekey.Missing(b.ctx, pool, other)
		require.NoError(t, err)
		require.Len(t, list, 1)
		read := b.rowsRead(t, pool, seen, "ListMissingKeys")
		t.Logf("ListMissingKeys with %s statistics reads %d rows", statistics, read)
		require.Less(t, read, 100, "with %s statistics", statistics)
	}
}
