package console_test

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
)

// administer adds operations in each state, keys in each state, and workers that live, are gone and have paused queues.
func (b *bundle) administer(w *world) {
	b.t.Helper()
	ctx := b.t.Context()
	order := func(tenant string, types ...string) string {
		made, err := b.api.CreateOperation(ctx, client.NewReplay{
			Since: time.Now().Add(-time.Hour), TenantID: &tenant, EventTypes: types,
		}, client.CreateOperationParams{})
		require.NoError(b.t, err)
		return made.ID
	}
	recovered, err := b.api.RecoverEndpoint(ctx, w.failing, client.NewRecover{Since: time.Now().Add(-time.Hour)},
		client.RecoverEndpointParams{})
	require.NoError(b.t, err)
	w.running, w.halted, w.completed = recovered.ID, order("acme", "invoice.*", "order.paid"), order("globex")
	const move = `UPDATE outhook.operations SET state = $2, total_count = $3, replayed_count = $4, skipped_count = $5, last_error = nullif($6, ''),
		created_at = now() - interval '95 seconds', updated_at = now(), completed_at = CASE WHEN $2 = 'completed' THEN now() END WHERE id = $1`
	b.exec(move, w.running, "running", 48210, 31877, 12, "")
	b.exec(move, w.halted, "paused", nil, 1204, 0, "the database can't be reached")
	b.exec(move, w.completed, "completed", 3, 3, 0, "")

	b.key("publish", "acme")
	b.key("operate", "")
	require.NoError(b.t, b.api.RevokeKey(ctx, b.key("tenant", "globex").ID))
	b.exec(`UPDATE outhook.api_keys SET last_used_at = now() WHERE name = 'publish of acme'`)
	b.exec(`UPDATE outhook.api_keys SET expires_at = now() - interval '1 day' WHERE name = 'operate of '`)

	b.exec(`INSERT INTO outhook.leases (name, holder, until) VALUES ('worker/web-1_2026_11_30T09_15_02', 'a', now() + interval '1 hour'),
		('pacer', 'web-1_2026_11_30T09_15_02', now() + interval '1 hour'), ('retention', 'b2c5', now() + interval '1 hour')`)
	b.exec(`INSERT INTO outhook.river_queue (name, created_at, updated_at, paused_at) VALUES ('deliver_bulk', now(), now(), now())`)
}
