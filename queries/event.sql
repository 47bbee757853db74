-- name: GetEvent :one
-- The payload as text: pgx decodes json into json.RawMessage through encoding/json, which drops the white space around it.
-- Empty: it is gone.
SELECT e.id, e.created_at, e.tenant_id, e.type, coalesce(e.payload::text, '')::text AS payload FROM outhook.events AS e WHERE e.id = @id;

-- name: GetEventTenant :one
SELECT e.tenant_id FROM outhook.events AS e WHERE e.id = @id;

-- name: ListEvents :many
-- Newest first, without payloads, of the events from low to before high: the days whose partitions are locked.
SELECT e.id, e.created_at, e.tenant_id, e.type,
    (SELECT count(*) FROM outhook.deliveries AS d
        WHERE d.event_id = e.id AND d.event_id >= @low::uuid AND d.event_id < @high::uuid) AS delivery_count
FROM outhook.events AS e
WHERE e.id >= @low AND e.id < @high
    AND (sqlc.narg('tenant_id')::text IS NULL OR e.tenant_id = sqlc.narg('tenant_id'))
    AND (sqlc.narg('type')::text IS NULL OR e.type = sqlc.narg('type'))
    AND (sqlc.narg('since')::timestamptz IS NULL OR e.id >= outhook.uuid_v7_floor(sqlc.narg('since')))
    AND (sqlc.narg('until')::timestamptz IS NULL OR e.id < outhook.uuid_v7_floor(sqlc.narg('until')))
    AND (sqlc.narg('cursor')::uuid IS NULL OR e.id < sqlc.narg('cursor'))
ORDER BY e.id DESC
LIMIT @max_rows;

-- name: CountFanOut :one
-- How many deliveries each event would have.
SELECT outhook.fan_out_sizes(@tenant_ids::text[], @types::text[])::integer[] AS sizes;

-- name: EnqueueMany :many
-- The REST API's way in: a group of events, in the order given, waking the workers at once.
SELECT e.index::integer AS index, e.event_id::uuid AS event_id, e.created_at::timestamptz AS created_at,
    e.duplicate::boolean AS duplicate, e.conflict::boolean AS conflict, e.delivery_count::integer AS delivery_count
FROM outhook.enqueue_many(@tenant_ids::text[], @types::text[], @payloads::text[], @idempotency_keys::text[], true,
    sqlc.narg('traceparents')::text[])
    AS e (index, event_id, created_at, duplicate, conflict, delivery_count);
