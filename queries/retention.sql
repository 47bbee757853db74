-- Queries of the retention. What changes partitions is in package jobs: it is no query.

-- name: ExpireDeliveries :many
-- Cancels up to max_rows pending deliveries of events with ids below high and returns their jobs, which are to be finished in the
-- same transaction. Those that ListHeldDays tells of stay.
UPDATE outhook.deliveries AS d
SET state = 'cancelled', reason = @reason::text, next_attempt_at = NULL, completed_at = now()
FROM (SELECT p.event_id, p.endpoint_id FROM outhook.deliveries AS p
    WHERE p.event_id < @high::uuid AND p.state = 'pending'
        AND NOT EXISTS (SELECT FROM outhook.events AS e
            WHERE e.id = p.event_id AND e.id < @high AND e.deliver_at >= @since::timestamptz)
    LIMIT @max_rows FOR UPDATE SKIP LOCKED) AS k
WHERE d.event_id = k.event_id AND d.endpoint_id = k.endpoint_id
    AND d.event_id < @high::uuid
RETURNING d.job_id;

-- name: ListHeldDays :many
-- The days (UTC) of events with ids below high that have a pending delivery which its publisher wanted at since or later.
SELECT DISTINCT ((e.created_at AT TIME ZONE 'UTC')::date)::date AS day
FROM outhook.deliveries AS d JOIN outhook.events AS e ON e.id = d.event_id
WHERE d.event_id < @high::uuid AND d.state = 'pending' AND e.id < @high AND e.deliver_at >= @since::timestamptz
ORDER BY day;

-- name: CancelJobsOf :one
SELECT outhook.cancel_jobs_of(@detached::text)::integer AS cancelled;

-- name: GetRetentionMark :one
SELECT * FROM outhook.retention_marks WHERE name = @name;

-- name: SaveRetentionMark :exec
INSERT INTO outhook.retention_marks (name, step, page, pages, after_xid, done_until)
VALUES (@name, @step, @page, @pages, @after_xid, @done_until)
ON CONFLICT (name) DO UPDATE SET step = excluded.step, page = excluded.page, pages = excluded.pages,
    after_xid = excluded.after_xid, done_until = excluded.done_until, updated_at = now();

-- name: DeleteRetentionMark :exec
DELETE FROM outhook.retention_marks WHERE name = @name;

-- name: CountPages :one
SELECT (pg_relation_size(('outhook.' || quote_ident(@name::text))::regclass) / current_setting('block_size')::bigint)::bigint AS pages;

-- name: GetHorizon :one
-- The next transaction's id, and the oldest that is still open.
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_xid,
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest_xid;

-- name: DeleteOldKeys :execrows
-- Deletes the idempotency keys before a day in a range of pages, last excluded. By pages, because an index on the time
-- would cost each enqueue with a key more than reading the table once a day.
DELETE FROM outhook.event_keys
WHERE ctid >= format('(%s,0)', @first::bigint)::tid AND ctid < format('(%s,0)', @last::bigint)::tid
    AND created_at < @before::timestamptz;

-- name: ErasePayloads :execrows
-- Erases the payloads of a day, which kept them for pending deliveries when its rows were rewritten, as far as those are
-- settled by now.
UPDATE outhook.events AS e SET payload = NULL
WHERE e.id >= @low::uuid
    AND e.id < @high::uuid AND e.payload IS NOT NULL
    AND NOT EXISTS (SELECT FROM outhook.deliveries AS d WHERE d.event_id = e.id AND d.state = 'pending'
        AND d.event_id >= @low::uuid
        AND d.event_id < @high::uuid);

-- name: MoveEvents :one
SELECT outhook.move_events(@partition::text, @first::bigint, @last::bigint)::integer AS erased;

-- name: CountPayloads :one
SELECT count(*) FROM outhook.events AS e
WHERE e.id >= @low::uuid
    AND e.id < @high::uuid AND e.payload IS NOT NULL;

-- name: GetLongestSchedule :one
-- In seconds and with all that the jitter may add, over all endpoints with a schedule or a jitter of their own; 0 if there
-- is none. schedule and jitter are the server's, for what they do not have.
SELECT coalesce(max(ceil((SELECT sum(s) FROM unnest(coalesce(n.retry_schedule, @schedule::integer[])) AS s)
    * (1 + coalesce(n.retry_jitter, @jitter::double precision)))), 0)::bigint AS seconds
FROM outhook.endpoints AS n
WHERE n.deleted_at IS NULL AND (n.retry_schedule IS NOT NULL OR n.retry_jitter IS NOT NULL);

-- name: ListPartitionSizes :many
-- The partitions of the log tables, and what was detached and not dropped yet, with their sizes in bytes. row_estimate is
-- the planner's: −1 if the partition was never analysed.
SELECT p.name, p.parent, (i.inhrelid IS NOT NULL)::boolean AS attached, coalesce(i.inhdetachpending, false)::boolean AS detach_pending,
    p.reltuples::bigint AS row_estimate, (pg_table_size(p.oid) - p.toast_bytes)::bigint AS table_bytes, pg_indexes_size(p.oid) AS index_bytes,
    p.toast_bytes, coalesce(m.step, -1)::integer AS payload_step
FROM (SELECT c.oid, c.relname::text AS name, substring(c.relname FROM '^(.*)_p[0-9]{8}$')::text AS parent, c.reltuples,
        CASE WHEN c.reltoastrelid = 0 THEN 0 ELSE pg_total_relation_size(c.reltoastrelid) END::bigint AS toast_bytes
    FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = 'outhook'::regnamespace AND c.relkind = 'r'
        AND c.relname ~ '^(events|deliveries|delivery_attempts)_p[0-9]{8}$') AS p
LEFT JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = p.oid
LEFT JOIN outhook.retention_marks AS m ON m.name = p.name
ORDER BY right(p.name, 8), p.parent;
