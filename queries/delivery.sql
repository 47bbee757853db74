-- Queries on deliveries. Each that takes ids also takes the group's smallest and greatest event id, low and high: the
-- bounds let the planner prune partitions, which a list of ids does not.

-- name: LoadDeliveries :many
-- All that the deliver workers need of a group of jobs, in one query. A delivery that is gone has no row. Endpoints and
-- secrets are read with each group, so that a rotation, a new URL or a pause holds at once. Secrets: newest first.
-- The payload as text: pgx decodes json into json.RawMessage through encoding/json, which drops the white space around it.
-- Empty: it is gone.
-- LATERAL with OFFSET 0 makes the planner look each row up by its key: with few statistics it takes the bounds for a
-- narrow range and would scan all that lies between them (measured: 9.8 ms a group instead of 0.5).
WITH n AS MATERIALIZED (
    SELECT v.id, v.url, v.headers, v.secret_headers, v.timeout_ms, v.retry_schedule, v.max_in_flight, v.lane, v.status, v.deleted_at,
        (SELECT array_agg(s.key_id ORDER BY s.id DESC) FROM outhook.endpoint_secrets AS s
            WHERE s.endpoint_id = v.id AND (s.expires_at IS NULL OR s.expires_at > now())) AS secret_key_ids,
        (SELECT array_agg(s.sealed ORDER BY s.id DESC) FROM outhook.endpoint_secrets AS s
            WHERE s.endpoint_id = v.id AND (s.expires_at IS NULL OR s.expires_at > now())) AS sealed_secrets
    FROM outhook.endpoints AS v WHERE v.id = ANY (@endpoint_ids::uuid[])
)
SELECT d.event_id, d.endpoint_id, k.job_id::bigint AS loaded_job_id, d.job_id, d.state, d.attempt_count, d.try_count,
    e.tenant_id, e.type, coalesce(e.payload::text, '')::text AS payload, e.traceparent,
    n.url, n.headers, n.secret_headers, n.timeout_ms, n.retry_schedule, n.max_in_flight, n.lane, n.status, (n.deleted_at IS NOT NULL)::boolean AS deleted,
    coalesce(j.attempt, 0)::integer AS job_attempt, (j.state IS NOT DISTINCT FROM 'running')::boolean AS job_running,
    coalesce(n.secret_key_ids, '{}')::text[] AS secret_key_ids, coalesce(n.sealed_secrets, '{}')::bytea[] AS sealed_secrets,
    clock_timestamp()::timestamptz AS database_time
FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@endpoint_ids::uuid[]) AS endpoint_id,
        unnest(@job_ids::bigint[]) AS job_id) AS k
JOIN n ON n.id = k.endpoint_id
CROSS JOIN LATERAL (SELECT s.* FROM outhook.deliveries AS s WHERE s.event_id = k.event_id
    AND s.endpoint_id = k.endpoint_id AND s.event_id BETWEEN @low::uuid AND @high::uuid OFFSET 0) AS d
CROSS JOIN LATERAL (SELECT s.* FROM outhook.events AS s WHERE s.id = k.event_id
    AND s.id BETWEEN @low::uuid AND @high::uuid OFFSET 0) AS e
LEFT JOIN LATERAL (SELECT s.attempt, s.state FROM outhook.river_job AS s WHERE s.id = k.job_id OFFSET 0) AS j ON true;

-- name: RecordDeliveries :exec
-- Writes what a group of runs found out; no two rows of one call may have the same delivery. A row changes the
-- delivery's state only if its job still owns the delivery (job_id) and the delivery is pending, or the row brings a
-- success that came late for a failed one. The attempt count always follows. at is when the next attempt is due if the
-- state is pending, else when the delivery was settled.
-- The rows are there already: INSERT … ON CONFLICT is the one form of UPDATE that looks each of them up by its key,
-- whatever the statistics say. A joined UPDATE was planned as a scan of all between the smallest and the greatest id,
-- compared with each row of the call (measured: 89 µs a row instead of 15).
INSERT INTO outhook.deliveries AS d (event_id, endpoint_id, job_id, attempt_count, state, reason, try_count, next_attempt_at,
    completed_at)
SELECT r.event_id, r.endpoint_id, r.job_id, r.number, r.state::outhook.delivery_state, nullif(r.reason, ''), r.failures,
    CASE WHEN r.state = 'pending' THEN r.at END, CASE WHEN r.state <> 'pending' THEN r.at END
FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@endpoint_ids::uuid[]) AS endpoint_id,
        unnest(@job_ids::bigint[]) AS job_id, unnest(@numbers::integer[]) AS number, unnest(@states::text[]) AS state,
        unnest(@reasons::text[]) AS reason, unnest(@failures::integer[]) AS failures, unnest(@ats::timestamptz[]) AS at) AS r
ON CONFLICT (event_id, endpoint_id) DO UPDATE SET
    (attempt_count, state, reason, try_count, next_attempt_at, completed_at) = (
        SELECT greatest(d.attempt_count, excluded.attempt_count),
            CASE WHEN a.applies THEN excluded.state ELSE d.state END,
            CASE WHEN a.applies THEN excluded.reason ELSE d.reason END,
            CASE WHEN a.applies THEN d.try_count + excluded.try_count ELSE d.try_count END,
            CASE WHEN a.applies THEN excluded.next_attempt_at ELSE d.next_attempt_at END,
            CASE WHEN a.applies THEN excluded.completed_at ELSE d.completed_at END
        FROM (SELECT d.job_id = excluded.job_id
            AND (d.state = 'pending' OR (d.state = 'failed' AND excluded.state = 'succeeded')) AS applies) AS a
    );

-- name: ReopenDelivery :exec
-- Makes a settled delivery pending again, with its whole schedule, for the run of its own job that a person has ordered
-- and that is recorded in the same transaction.
UPDATE outhook.deliveries SET state = 'pending', reason = NULL, try_count = 0, next_attempt_at = now(), completed_at = NULL
WHERE event_id = @event_id AND endpoint_id = @endpoint_id AND job_id = @job_id AND state <> 'pending';

-- name: GetDelivery :one
SELECT d.event_id, d.endpoint_id, n.tenant_id, e.type, e.created_at, d.state, d.reason, d.attempt_count, d.try_count,
    d.next_attempt_at, d.completed_at
FROM outhook.deliveries AS d
JOIN outhook.events AS e ON e.id = d.event_id
JOIN outhook.endpoints AS n ON n.id = d.endpoint_id
WHERE d.event_id = @event_id AND d.endpoint_id = @endpoint_id;

-- name: ListEventDeliveries :many
SELECT d.event_id, d.endpoint_id, n.tenant_id, e.type, e.created_at, d.state, d.reason, d.attempt_count, d.try_count,
    d.next_attempt_at, d.completed_at
FROM outhook.deliveries AS d
JOIN outhook.events AS e ON e.id = d.event_id
JOIN outhook.endpoints AS n ON n.id = d.endpoint_id
WHERE d.event_id = @event_id
ORDER BY d.endpoint_id;

-- name: ListDeliveries :many
-- Newest event first. since and until become bounds on the event's id; the cursor is the last row of the page before.
-- The tenant is compared in events, whose index has the order of this list.
SELECT d.event_id, d.endpoint_id, e.tenant_id, e.type, e.created_at, d.state, d.reason, d.attempt_count, d.try_count,
    d.next_attempt_at, d.completed_at
FROM outhook.deliveries AS d
JOIN outhook.events AS e ON e.id = d.event_id
WHERE (sqlc.narg('tenant_id')::text IS NULL OR e.tenant_id = sqlc.narg('tenant_id'))
    AND (sqlc.narg('endpoint_id')::uuid IS NULL OR d.endpoint_id = sqlc.narg('endpoint_id'))
    AND (sqlc.narg('state')::text IS NULL OR d.state = sqlc.narg('state')::text::outhook.delivery_state)
    AND (sqlc.narg('since')::timestamptz IS NULL OR d.event_id >= outhook.uuid_v7_floor(sqlc.narg('since')))
    AND (sqlc.narg('until')::timestamptz IS NULL OR d.event_id < outhook.uuid_v7_floor(sqlc.narg('until')))
    -- The first condition prunes partitions, which a comparison of rows does not.
    AND (sqlc.narg('cursor_event_id')::uuid IS NULL OR (d.event_id <= sqlc.narg('cursor_event_id')
        AND (d.event_id, d.endpoint_id) < (sqlc.narg('cursor_event_id'), sqlc.narg('cursor_endpoint_id')::uuid)))
ORDER BY d.event_id DESC, d.endpoint_id DESC
LIMIT @max_rows;

-- name: LockDelivery :one
SELECT d.event_id, d.endpoint_id, d.job_id, d.state, d.attempt_count, n.status, (n.deleted_at IS NOT NULL)::boolean AS deleted,
    EXISTS (SELECT FROM outhook.events AS e WHERE e.id = d.event_id AND e.payload IS NULL)::boolean AS payload_gone
FROM outhook.deliveries AS d
JOIN outhook.endpoints AS n ON n.id = d.endpoint_id
WHERE d.event_id = @event_id AND d.endpoint_id = @endpoint_id
FOR UPDATE OF d;

-- name: ReplayDelivery :exec
UPDATE outhook.deliveries
SET state = 'pending', reason = NULL, try_count = 0, completed_at = NULL, next_attempt_at = now(), job_id = @job_id
WHERE event_id = @event_id AND endpoint_id = @endpoint_id;

-- name: HastenDelivery :exec
UPDATE outhook.deliveries SET next_attempt_at = now() WHERE event_id = @event_id AND endpoint_id = @endpoint_id;

-- name: CancelDelivery :exec
UPDATE outhook.deliveries
SET state = 'cancelled', reason = @reason, next_attempt_at = NULL, completed_at = now()
WHERE event_id = @event_id AND endpoint_id = @endpoint_id;

-- name: CancelEndpointDeliveries :many
-- Cancels up to max_rows pending deliveries of an ended endpoint and returns their jobs, which are to be finished in the
-- same transaction. after: the greatest event id of the call before, so that each call goes on where that stopped. Nothing
-- is cancelled if the endpoint was enabled again; the lock makes that wait for this transaction. A delivery that is locked
-- is being settled or replayed at this moment; the worker that loads it next obeys the endpoint's status.
WITH ended AS (
    SELECT n.id FROM outhook.endpoints AS n
    WHERE n.id = @endpoint_id AND (n.status = 'disabled' OR n.deleted_at IS NOT NULL) FOR SHARE
)
UPDATE outhook.deliveries AS d
SET state = 'cancelled', reason = @reason, next_attempt_at = NULL, completed_at = now()
FROM (SELECT p.event_id, p.endpoint_id FROM outhook.deliveries AS p
    WHERE p.endpoint_id = (SELECT v.id FROM ended AS v) AND p.state = 'pending' AND p.event_id > @after
    ORDER BY p.event_id LIMIT @max_rows FOR UPDATE SKIP LOCKED) AS k
WHERE d.event_id = k.event_id AND d.endpoint_id = k.endpoint_id
RETURNING d.event_id, d.job_id;

-- name: InsertTestEvent :one
-- Stores an event for one endpoint whatever its event types are, with its delivery and job: the test button.
WITH event_row AS (
    INSERT INTO outhook.events (id, created_at, tenant_id, type, payload, traceparent)
    SELECT v.id, outhook.uuid_v7_time(v.id), @tenant_id, @type, @payload, outhook.trace_or_null(@traceparent)
    FROM (SELECT outhook.uuid_v7() AS id) AS v
    RETURNING id, created_at
), delivery_row AS (
    INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, next_attempt_at)
    SELECT r.id, @endpoint_id, nextval('outhook.river_job_id_seq'), r.created_at FROM event_row AS r
    RETURNING event_id, endpoint_id, job_id
)
INSERT INTO outhook.river_job (id, kind, args, queue, max_attempts)
SELECT r.job_id, 'deliver', jsonb_build_object('event_id', r.event_id, 'endpoint_id', r.endpoint_id), 'deliver', 1000
FROM delivery_row AS r
RETURNING (args ->> 'event_id')::uuid AS event_id;
