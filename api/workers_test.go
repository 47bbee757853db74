package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWorkers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	none := b.requireObject(b.do("GET", "/api/workers", ""), 200)
	require.Equal(t, []any{}, none["workers"])
	require.Equal(t, []any{}, none["leases"])
	require.Equal(t, []any{}, none["paused_queues"])
	require.Len(t, none["queues"], 6)

	b.newEndpoint(ownTenant, "")
	for range 4 {
		b.newEvent(ownTenant, "a")
	}
	b.exec(tell + `('worker/w1', 'w1', now() + interval '1 h'), ('worker/idle', 'idle', now() + interval '1 h'), ('worker/gone', 'gone', now() - interval '1 s'),
		('workers', 'workers', now() + interval '1 h'), ('pacer', 'w1', now() + interval '1 h'), ('retention', 'x', now() - interval '1 s')`)
	b.exec(`UPDATE outhook.river_job SET state = 'running', attempted_at = '2026-01-02T03:04:05Z',
		attempted_by = CASE id % 2 WHEN 0 THEN '{gone,w1}' ELSE '{w1,gone}' END::text[] WHERE id IN (SELECT id FROM outhook.river_job ORDER BY id LIMIT 2)`)
	b.exec(`UPDATE outhook.river_job SET scheduled_at = now() - interval '1 h' WHERE state = 'available'`)
	b.exec(`INSERT INTO outhook.river_queue (name, paused_at, updated_at) VALUES ('deliver', '2026-02-02T03:04:05Z', now()), ('operations', NULL, now())`)

	got := b.requireObject(b.do("GET", "/api/workers", ""), 200)
	workers := got["workers"].([]any)
	require.Len(t, workers, 3)
	byID := map[string]object{}
	for _, w := range workers {
		byID[w.(map[string]any)["id"].(string)] = w.(map[string]any)
	}
	runs := []any{map[string]any{"queue": "deliver", "running": 1.0, "oldest_at": "2026-01-02T03:04:05Z"}}
	require.Equal(t, runs, byID["w1"]["runs"])
	require.InDelta(t, 1, byID["w1"]["running"], 0)
	require.NotNil(t, byID["w1"]["since"])
	require.Equal(t, []any{}, byID["idle"]["runs"])
	require.Equal(t, runs, byID["gone"]["runs"])
	require.Nil(t, byID["gone"]["since"], "its lease has lapsed")

	leases := got["leases"].([]any)
	require.Len(t, leases, 1)
	require.Equal(t, "pacer", leases[0].(map[string]any)["name"])
	require.Equal(t, "w1", leases[0].(map[string]any)["holder"])
	require.Equal(t, []any{map[string]any{"queue": "deliver", "paused_at": "2026-02-02T03:04:05Z", "due": 2.0}}, got["paused_queues"])
	deliver := got["queues"].([]any)[0].(map[string]any)
	require.Equal(t, "deliver", deliver["queue"])
	require.InDelta(t, 2, deliver["due"], 0)
	require.InDelta(t, 2, deliver["running"], 0)
	require.InDelta(t, 3600, deliver["oldest_due_s"], 60)
}

// However much waits, and however many there are, the answer has a bound.
func TestWorkersAreCountedUpToABound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`INSERT INTO outhook.river_job (kind, args, queue, max_attempts) SELECT 'deliver', '{}', 'deliver', 1 FROM generate_series(1, 50001)`)
	b.exec(`INSERT INTO outhook.leases (name, holder, until) SELECT 'worker/' || n, n, now() + interval '1 h' FROM generate_series(1, 1001) AS n`)
	b.exec(`INSERT INTO outhook.river_queue (name, paused_at, updated_at) VALUES ('deliver', now(), now())`)
	got := b.requireObject(b.do("GET", "/api/workers", ""), 200)
	require.Len(t, got["workers"], 1000)
	require.InDelta(t, 50_000, got["queues"].([]any)[0].(map[string]any)["due"], 0)
	require.InDelta(t, 50_000, got["paused_queues"].([]any)[0].(map[string]any)["due"], 0)
}
