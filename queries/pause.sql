-- Queries of maintenance: pauses of all deliveries, and of a tenant's. A pause of a tenant is obeyed where deliveries are loaded
-- and where the pacer looks; one of everything is River's pause of the queues. Neither costs an enqueue anything.

-- name: PauseDeliveries :exec
-- Begins a pause. One that holds stays as it is. tenant_id '': of everything, which no longer holds if River
-- UI has resumed all its queues.
INSERT INTO outhook.pauses AS p (tenant_id, paused_by, reason) VALUES (@tenant_id, @paused_by, @reason)
ON CONFLICT (tenant_id) DO UPDATE SET paused_at = now(), paused_by = excluded.paused_by, reason = excluded.reason, resumed_at = NULL
WHERE p.resumed_at IS NOT NULL
    OR (p.tenant_id = '' AND NOT EXISTS (SELECT FROM outhook.river_queue AS q WHERE q.paused_at = p.paused_at));

-- name: GetPause :one
SELECT p.* FROM outhook.pauses AS p WHERE p.tenant_id = @tenant_id;

-- name: PauseQueues :exec
-- Pauses queues as River does, those that nobody has paused yet, and makes the workers look. A queue that no worker has worked
-- yet has no row.
WITH paused AS (
    INSERT INTO outhook.river_queue AS q (name, created_at, updated_at, paused_at)
    SELECT k.name, now(), now(), @paused_at::timestamptz FROM unnest(@names::text[]) AS k (name)
    ON CONFLICT (name) DO UPDATE SET paused_at = excluded.paused_at, updated_at = now() WHERE q.paused_at IS NULL
    RETURNING q.name
)
SELECT pg_notify('outhook.river_control', jsonb_build_object('action', 'pause', 'queue', p.name)::text) FROM paused AS p;

-- name: ResumeDeliveries :one
-- Ends a pause. No row: none holds.
UPDATE outhook.pauses AS p SET resumed_at = now() WHERE p.tenant_id = @tenant_id AND p.resumed_at IS NULL
RETURNING p.*;

-- name: ResumeQueues :exec
-- Resumes the queues that a pause of everything has paused.
WITH resumed AS (
    UPDATE outhook.river_queue AS q SET paused_at = NULL, updated_at = now() WHERE q.paused_at = @paused_at::timestamptz
    RETURNING q.name
)
SELECT pg_notify('outhook.river_control', jsonb_build_object('action', 'resume', 'queue', r.name)::text) FROM resumed AS r;

-- name: ListPauses :many
-- The pauses that hold, that of everything first.
SELECT p.* FROM outhook.pauses AS p
WHERE p.resumed_at IS NULL
    AND (p.tenant_id <> '' OR EXISTS (SELECT FROM outhook.river_queue AS q WHERE q.paused_at = p.paused_at))
ORDER BY p.tenant_id LIMIT @max_rows;
