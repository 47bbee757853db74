-- name: GetEvent :one
-- The payload as text: pgx decodes json into json.RawMessage through encoding/json, which drops the white space around it.
-- Empty: it is gone.
SELECT e.id, e.created_at, e.tenant_id, e.type, coalesce(e.payload::text, '')::text AS payload, coalesce(e.labels, '{}')::text[] AS labels,
    e.headers, e.deliver_at, e.withdrawn_at, e.ordering_key
FROM outhook.events AS e WHERE e.id = @id;

-- name: GetEventTenant :one
SELECT e.tenant_id FROM outhook.events AS e WHERE e.id = @id;

-- name: ListEvents :many
-- Of the next scan_rows events of a tenant, or of all, from low to before high (the days whose partitions are locked): those
-- that match, without payloads, and the last of the scan_rows, whether it matches or not: from it the caller goes on. So a
-- statement does bounded work, however few match. ascending is a constant when it is planned, and the order that of an index.
SELECT w.id, w.created_at, w.tenant_id, w.type, coalesce(w.labels, '{}')::text[] AS labels, w.deliver_at,
    (SELECT count(*) FROM outhook.deliveries AS d
        WHERE d.event_id = w.id AND d.event_id >= @low::uuid AND d.event_id < @high::uuid) AS delivery_count,
    w.matches::boolean AS matches, (w.n = @scan_rows::integer)::boolean AS is_last
FROM (SELECT e.id, e.created_at, e.tenant_id, e.type, e.labels, e.deliver_at,
        row_number() OVER (ORDER BY CASE WHEN @ascending::boolean THEN e.id END, CASE WHEN NOT @ascending THEN e.id END DESC) AS n,
        (sqlc.narg('type')::text IS NULL OR e.type = sqlc.narg('type'))
            AND (sqlc.narg('label')::text IS NULL OR coalesce(sqlc.narg('label') = ANY (e.labels), false))
            AND (sqlc.narg('type_prefix')::text IS NULL OR starts_with(e.type, sqlc.narg('type_prefix'))) AS matches
    FROM outhook.events AS e
    WHERE e.id >= @low AND e.id < @high
        AND (sqlc.narg('tenant_id')::text IS NULL OR e.tenant_id = sqlc.narg('tenant_id'))
        AND (sqlc.narg('only')::uuid IS NULL OR e.id = sqlc.narg('only'))
        AND (sqlc.narg('since')::timestamptz IS NULL OR e.id >= outhook.uuid_v7_floor(sqlc.narg('since')))
        AND (sqlc.narg('until')::timestamptz IS NULL OR e.id < outhook.uuid_v7_floor(sqlc.narg('until')))
        AND (sqlc.narg('cursor')::uuid IS NULL
            OR CASE WHEN @ascending THEN e.id > sqlc.narg('cursor') ELSE e.id < sqlc.narg('cursor') END)
    ORDER BY CASE WHEN @ascending THEN e.id END, CASE WHEN NOT @ascending THEN e.id END DESC
    LIMIT @scan_rows) AS w
WHERE w.matches OR w.n = @scan_rows::integer
ORDER BY CASE WHEN @ascending THEN w.id END, CASE WHEN NOT @ascending THEN w.id END DESC
LIMIT @max_rows;

-- name: FindKeyedEvent :one
-- The event that has a tenant's idempotency key.
SELECT k.event_id FROM outhook.event_keys AS k WHERE k.tenant_id = @tenant_id AND k.idempotency_key = @idempotency_key;

-- name: CancelEvent :one
-- Takes an event back before its deliver_at.
SELECT c.id::uuid AS id, c.withdrawn::boolean AS withdrawn, c.repeated::boolean AS repeated, c.cancelled::integer AS cancelled
FROM outhook.cancel_event(@tenant_id::text, sqlc.narg('idempotency_key')::text, sqlc.narg('event_id')::uuid) AS c (id, withdrawn, repeated, cancelled);

-- name: CountFanOut :one
-- How many deliveries each event would have. The payloads are JSON: enqueue_many has said of no other that it makes too many.
SELECT outhook.fan_out_sizes(@tenant_ids::text[], @types::text[], (@payloads::text[])::json[], sqlc.narg('labels')::text[])::integer[] AS sizes;

-- name: EnqueueMany :many
-- The REST API's way in: a group of events, in the order given. It wakes the workers once they are committed (WakeWorkers).
SELECT e.index::integer AS index, e.event_id::uuid AS event_id, e.created_at::timestamptz AS created_at,
    e.duplicate::boolean AS duplicate, e.conflict::boolean AS conflict, e.delivery_count::integer AS delivery_count
FROM outhook.enqueue_many(@tenant_ids::text[], @types::text[], @payloads::text[], @idempotency_keys::text[], true,
    sqlc.narg('traceparents')::text[], sqlc.narg('labels')::text[], sqlc.narg('headers')::text[], sqlc.narg('deliver_ats')::timestamptz[],
    sqlc.narg('ordering_keys')::text[])
    AS e (index, event_id, created_at, duplicate, conflict, delivery_count);

-- name: WakeWorkers :exec
-- Tells the workers of new deliveries, in a transaction of its own that waits no longer than this for others that notify.
SELECT set_config('lock_timeout', '500ms', true), outhook.wake('deliver', true);
