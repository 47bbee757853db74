package jobs_test

import (
	"strconv"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/outhook/outhook/jobs/line"
)

// lineModel is what must hold of lines: a list for each, of which the first is live or none, and everything that has ended.
type lineModel struct {
	*testBundle

	t     *testing.T
	waits map[string][]int64 // by key, the jobs that wait, in the order of their places
	live  map[string]int64
	count map[string]int64 // how many were released
}

func (m *lineModel) key(r *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r, "key")
}

func (m *lineModel) enqueue(r *rapid.T) {
	key := m.key(r)
	id := m.enqueueIn(m.t, key, "1")
	m.waits[key] = append(m.waits[key], m.job(id))
}

func (m *lineModel) job(eventID uuid.UUID) (id int64) {
	require.NoError(m.t, m.pool.QueryRow(m.ctx, `SELECT job_id FROM outhook.deliveries WHERE event_id = $1`, eventID).Scan(&id))
	return id
}

// release does what the pacer does, and a second time what does nothing.
func (m *lineModel) release(*rapid.T) {
	var w line.Watch
	require.NoError(m.t, w.Release(m.ctx, m.pool))
	for key, waits := range m.waits {
		if m.live[key] == 0 && len(waits) > 0 {
			m.live[key], m.waits[key] = waits[0], waits[1:]
			m.count[key]++
		}
	}
	standing, err := line.Standing(m.ctx, m.pool)
	require.NoError(m.t, err)
	require.Empty(m.t, standing)
}

// move puts a live job into another state in which it is live.
func (m *lineModel) move(r *rapid.T) {
	key, state := m.key(r), rapid.SampledFrom([]string{"running", "available", "retryable", "scheduled"}).Draw(r, "state")
	m.exec(m.t, `UPDATE outhook.river_job SET state = $2::outhook.river_job_state WHERE id = $1`, m.live[key], state)
}

// end ends a live job, whatever it does.
func (m *lineModel) end(r *rapid.T) {
	key, state := m.key(r), rapid.SampledFrom([]string{"completed", "cancelled", "discarded"}).Draw(r, "state")
	m.exec(m.t, `UPDATE outhook.river_job SET state = $2::outhook.river_job_state, finalized_at = now() WHERE id = $1`, m.live[key], state)
	delete(m.live, key)
}

// cancel ends one that waits.
func (m *lineModel) cancel(r *rapid.T) {
	key := m.key(r)
	if len(m.waits[key]) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.waits[key])-1).Draw(r, "which")
	m.exec(m.t, `UPDATE outhook.river_job SET state = 'cancelled', finalized_at = now() WHERE id = $1`, m.waits[key][i])
	m.waits[key] = append(append([]int64{}, m.waits[key][:i]...), m.waits[key][i+1:]...)
}

func (m *lineModel) check(*rapid.T) {
	rows, err := m.pool.Query(m.ctx, `SELECT e.ordering_key, j.id, j.state = 'pending', coalesce(j.metadata ->> 'sequence', '0')
		FROM outhook.river_job AS j JOIN outhook.events AS e ON e.id = (j.args ->> 'event_id')::uuid
		WHERE j.unique_key IS NOT NULL AND j.finalized_at IS NULL ORDER BY j.scheduled_at, j.id`)
	require.NoError(m.t, err)
	defer rows.Close()
	waits, live := map[string][]int64{}, map[string]int64{}
	for rows.Next() {
		var key, sequence string
		var id int64
		var pending bool
		require.NoError(m.t, rows.Scan(&key, &id, &pending, &sequence))
		if pending {
			waits[key] = append(waits[key], id)
			continue
		}
		require.Zero(m.t, live[key], "two are live")
		live[key] = id
		require.Equal(m.t, strconv.FormatInt(m.count[key], 10), sequence)
	}
	require.NoError(m.t, rows.Err())
	require.Equal(m.t, m.live, live)
	for key := range m.waits {
		require.Equal(m.t, append([]int64{}, m.waits[key]...), append([]int64{}, waits[key]...), key)
	}
}

// Of a line one at a time is live, in the order of the ids, and none stands, whatever happens in between.
func TestALineHoldsInEveryOrderOfSteps(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.endpoint(t)
	rapid.Check(t, func(r *rapid.T) {
		b.exec(t, `DELETE FROM outhook.river_job`)
		b.exec(t, `DELETE FROM outhook.lines`)
		m := &lineModel{
			testBundle: b, t: t, waits: map[string][]int64{}, live: map[string]int64{}, count: map[string]int64{},
		}
		r.Repeat(map[string]func(*rapid.T){
			"enqueue": m.enqueue, "release": m.release, "move": m.move, "end": m.end, "cancel": m.cancel, "": m.check,
		})
	})
}

// To look for lines that stand, and to release one, costs nothing of what waits in lines.
func TestLongLinesCostNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	_, client, seen := b.startTraced(t)
	last := b.enqueueIn(t, "k", "1")
	b.awaitState(t, last, endpointID, "succeeded")
	names := []string{"FindStandingLines", "ReleaseLines"}
	for _, name := range names {
		eventually(t, func() bool { _, ok := seen.get(name); return ok }, func() any { return name })
	}
	require.NoError(t, client.Stop(b.ctx))

	// 100,000 that wait behind one that is live, and 100 lines with one each.
	b.exec(t, `INSERT INTO outhook.river_job (kind, args, max_attempts, queue, state, scheduled_at, unique_key, unique_states)
		SELECT 'deliver', jsonb_build_object('event_id', gen_random_uuid(), 'endpoint_id', $1::text), 1000, 'line-' || encode(k.key, 'hex'),
			CASE WHEN i = 0 THEN 'running' ELSE 'pending' END::outhook.river_job_state, now() - interval '1 hour' + i * interval '1 ms',
			k.key, B'11100001'
		FROM (SELECT outhook.line_key($1::uuid, 'long') AS key) AS k, generate_series(0, 100000) AS i`, endpointID)
	b.exec(t, `INSERT INTO outhook.river_job (kind, args, max_attempts, queue, state, scheduled_at, unique_key, unique_states)
		SELECT 'deliver', jsonb_build_object('event_id', gen_random_uuid(), 'endpoint_id', $1::text), 1000, 'line-' || encode(k.key, 'hex'),
			'pending', now() - interval '1 hour', k.key, B'11100001'
		FROM generate_series(1, 100) AS i CROSS JOIN LATERAL (SELECT outhook.line_key($1::uuid, 'k' || i) AS key) AS k`, endpointID)
	for _, statistics := range []string{"none", "fresh"} {
		if statistics == "fresh" {
			b.exec(t, `ANALYZE outhook.river_job`)
		}
		for _, name := range names {
			root := b.explain(t, seen, name)
			pages := root.SharedHitBlocks + root.SharedReadBlocks
			t.Logf("%s with %s statistics reads %d pages", name, statistics, pages)
			require.Less(t, pages, 2500, "%s with %s statistics", name, statistics)
		}
	}
}
