-- Queries on operations: replays of many deliveries in the background.

-- name: InsertOperation :one
-- until: NULL is now, and it is never later than now. No row if the endpoint is being recovered already.
INSERT INTO outhook.operations (id, kind, tenant_id, endpoint_id, event_types, states, missed, since, until)
VALUES (outhook.uuid_v7(), @kind, sqlc.narg('tenant_id'), sqlc.narg('endpoint_id'), @event_types::text[], @states::text[], @missed, @since,
    least(sqlc.narg('until')::timestamptz, now()))
ON CONFLICT (endpoint_id) WHERE kind = 'recover' AND state IN ('running', 'paused') DO NOTHING
RETURNING *;

-- name: InsertOperateJob :exec
INSERT INTO outhook.river_job (kind, args, queue, max_attempts)
VALUES ('operate', jsonb_build_object('operation_id', @operation_id::uuid), 'operations', 1000);

-- name: ReviveOperations :execrows
-- A job for each running operation that has none: somebody has deleted or cancelled it in River UI.
INSERT INTO outhook.river_job (kind, args, queue, max_attempts)
SELECT 'operate', jsonb_build_object('operation_id', o.id), 'operations', 1000
FROM outhook.operations AS o
WHERE o.state = 'running' AND NOT EXISTS (SELECT FROM outhook.river_job AS j
    WHERE j.queue = 'operations' AND j.state IN ('available', 'running', 'retryable', 'scheduled') AND j.kind = 'operate'
        AND j.args ->> 'operation_id' = o.id::text);

-- name: GetOperation :one
SELECT * FROM outhook.operations WHERE id = @id;

-- name: LockOperation :one
SELECT o.*, now()::timestamptz AS database_time FROM outhook.operations AS o WHERE o.id = @id FOR UPDATE OF o;

-- name: LockNextOperation :one
-- The operation whose turn it is, of those that may go on and that nobody holds. Tenants take turns: the one that was served
-- longest ago is next, and of its operations again the one that was. Without a tenant, each endpoint is like one. whose:
-- the tenant whose deliveries it replays, NULL: those of all. starved: nothing of the tenant's has moved for starved_seconds.
WITH served AS MATERIALIZED (
    SELECT coalesce(s.tenant_id, s.endpoint_id::text, '') AS turn, max(s.served_at) AS served_at, max(s.updated_at) AS moved_at
    FROM outhook.operations AS s WHERE s.served_at > now() - interval '1 min'
    GROUP BY coalesce(s.tenant_id, s.endpoint_id::text, '')
)
SELECT o.*, now()::timestamptz AS database_time,
    coalesce(o.tenant_id, (SELECT n.tenant_id FROM outhook.endpoints AS n WHERE n.id = o.endpoint_id)) AS whose,
    (greatest(o.updated_at, s.moved_at) < now() - make_interval(secs => @starved_seconds::float8))::boolean AS starved
FROM outhook.operations AS o
LEFT JOIN served AS s ON s.turn = coalesce(o.tenant_id, o.endpoint_id::text, '')
WHERE o.state = 'running' AND o.due_at <= now()
ORDER BY s.served_at NULLS FIRST, o.served_at NULLS FIRST, o.id
LIMIT 1 FOR UPDATE OF o SKIP LOCKED;

-- name: GetOperationWait :one
-- What its job needs to know: for how long it may not go on, and for how long it has stood still.
SELECT o.state, extract(epoch FROM o.due_at - now())::float8 AS due_seconds,
    extract(epoch FROM now() - o.updated_at)::float8 AS still_seconds
FROM outhook.operations AS o WHERE o.id = @id;

-- name: DeferOperation :exec
-- It has had its turn, and may not go on for a while.
UPDATE outhook.operations SET served_at = now(), due_at = now() + make_interval(secs => @seconds::float8) WHERE id = @id;

-- name: CountRunningOperations :one
-- Of a tenant, NULL: of those without one, up to max_rows.
SELECT count(*) FROM (SELECT FROM outhook.operations AS o
    WHERE o.state = 'running' AND o.tenant_id IS NOT DISTINCT FROM sqlc.narg('tenant_id')::text LIMIT @max_rows) AS w;

-- name: ListOperations :many
SELECT * FROM outhook.operations
WHERE (sqlc.narg('tenant_id')::text IS NULL OR tenant_id = sqlc.narg('tenant_id'))
    AND (sqlc.narg('endpoint_id')::uuid IS NULL OR endpoint_id = sqlc.narg('endpoint_id'))
    AND (sqlc.narg('state')::text IS NULL OR state = sqlc.narg('state'))
    AND (sqlc.narg('cursor')::uuid IS NULL OR CASE WHEN @ascending::boolean THEN id > sqlc.narg('cursor') ELSE id < sqlc.narg('cursor') END)
ORDER BY CASE WHEN @ascending THEN id END, CASE WHEN NOT @ascending THEN id END DESC
LIMIT @max_rows;

-- name: SetOperationState :one
-- Only from one of the given states.
UPDATE outhook.operations SET state = @state, updated_at = now(),
    completed_at = CASE WHEN @state IN ('completed', 'cancelled') THEN now() END
WHERE id = @id AND state = ANY (@from_states::text[])
RETURNING *;

-- name: SetOperationError :exec
-- It rests. Not if somebody holds the operation: that may be what went wrong.
UPDATE outhook.operations AS o SET last_error = @last_error, updated_at = now(), served_at = now(),
    due_at = now() + make_interval(secs => @rest_seconds::float8)
FROM (SELECT s.id FROM outhook.operations AS s WHERE s.id = @id FOR UPDATE SKIP LOCKED) AS k
WHERE o.id = k.id;

-- name: BeginPass :exec
UPDATE outhook.operations SET pass_began_at = now(), cursor_completed_at = NULL, cursor_event_id = NULL,
    cursor_endpoint_id = NULL, skipped_count = 0, total_count = coalesce(total_count, sqlc.narg('total_count')), updated_at = now(),
    served_at = now(), due_at = now()
WHERE id = @id;

-- name: BeginMissed :exec
UPDATE outhook.operations SET phase = 'missed', pass_began_at = now(), cursor_completed_at = NULL, cursor_event_id = NULL,
    cursor_endpoint_id = NULL, updated_at = now()
WHERE id = @id;

-- name: AdvanceOperation :exec
UPDATE outhook.operations SET cursor_completed_at = @cursor_completed_at, cursor_event_id = @cursor_event_id,
    cursor_endpoint_id = @cursor_endpoint_id, replayed_count = replayed_count + @replayed::bigint,
    skipped_count = skipped_count + @skipped::bigint, last_error = NULL, updated_at = now(), served_at = now()
WHERE id = @id;

-- name: CountEndedDeliveries :one
-- Of events from low to before high.
SELECT count(*) FROM outhook.deliveries AS d
JOIN outhook.events AS e ON e.id = d.event_id AND e.id >= @low AND e.id < @high
WHERE d.event_id >= @low::uuid AND d.event_id < @high::uuid AND d.state IN ('failed', 'cancelled') AND d.state::text = ANY (@states::text[])
    AND d.completed_at >= @since::timestamptz AND d.completed_at < @until::timestamptz
    AND (sqlc.narg('endpoint_id')::uuid IS NULL OR d.endpoint_id = sqlc.narg('endpoint_id'))
    AND (sqlc.narg('tenant_id')::text IS NULL OR e.tenant_id = sqlc.narg('tenant_id'))
    AND (@event_types::text[] = '{}' OR outhook.type_patterns(e.type) && @event_types::text[])
    AND NOT (@by_endpoint_only::boolean AND d.state = 'cancelled' AND d.reason NOT IN ('endpoint_disabled', 'endpoint_deleted'))
    AND e.type <> 'outhook.test';

-- name: ScanEndedDeliveries :many
-- Of events from low to before high: the next max_rows failed and cancelled deliveries by the time when they were settled, and which of them
-- match. Bounded work, however few match. since: not earlier than the cursor, so that the index is entered there.
SELECT w.event_id, w.endpoint_id, w.completed_at::timestamptz AS completed_at,
    (w.state::text = ANY (@states::text[]) AND e.type <> 'outhook.test'
        AND (sqlc.narg('tenant_id')::text IS NULL OR e.tenant_id = sqlc.narg('tenant_id'))
        AND (@event_types::text[] = '{}' OR outhook.type_patterns(e.type) && @event_types::text[])
        AND NOT (@by_endpoint_only::boolean AND w.state = 'cancelled' AND w.reason NOT IN ('endpoint_disabled', 'endpoint_deleted'))
    )::boolean AS matches
FROM (SELECT d.event_id, d.endpoint_id, d.completed_at, d.state, d.reason FROM outhook.deliveries AS d
    WHERE d.event_id >= @low::uuid AND d.event_id < @high::uuid
        AND d.state IN ('failed', 'cancelled') AND d.completed_at >= @since::timestamptz AND d.completed_at < @until::timestamptz
        AND (d.completed_at, d.event_id, d.endpoint_id)
            > (@cursor_completed_at::timestamptz, @cursor_event_id::uuid, @cursor_endpoint_id::uuid)
        AND (sqlc.narg('endpoint_id')::uuid IS NULL OR d.endpoint_id = sqlc.narg('endpoint_id'))
    ORDER BY d.completed_at, d.event_id, d.endpoint_id LIMIT @max_rows) AS w
CROSS JOIN LATERAL (SELECT s.type, s.tenant_id FROM outhook.events AS s
    WHERE s.id = w.event_id AND s.id >= @low AND s.id < @high OFFSET 0) AS e
ORDER BY w.completed_at, w.event_id, w.endpoint_id;

-- name: ScanDeliveries :many
-- The same by event id, for filters that include succeeded deliveries: no index has those by the time of their end.
SELECT w.event_id, w.endpoint_id, coalesce(w.completed_at, 'epoch')::timestamptz AS completed_at,
    (w.state::text = ANY (@states::text[]) AND w.completed_at >= @since::timestamptz AND w.completed_at < @until::timestamptz AND e.type <> 'outhook.test'
        AND (sqlc.narg('tenant_id')::text IS NULL OR e.tenant_id = sqlc.narg('tenant_id'))
        AND (@event_types::text[] = '{}' OR outhook.type_patterns(e.type) && @event_types::text[]))::boolean AS matches
FROM (SELECT d.event_id, d.endpoint_id, d.completed_at, d.state FROM outhook.deliveries AS d
    WHERE d.event_id >= @cursor_event_id::uuid AND (d.event_id, d.endpoint_id) > (@cursor_event_id, @cursor_endpoint_id::uuid)
        AND d.event_id >= @low::uuid AND d.event_id < @high::uuid
        AND d.event_id < outhook.uuid_v7_floor(interval '1 millisecond' + @until::timestamptz)
        AND (sqlc.narg('endpoint_id')::uuid IS NULL OR d.endpoint_id = sqlc.narg('endpoint_id'))
    ORDER BY d.event_id, d.endpoint_id LIMIT @max_rows) AS w
CROSS JOIN LATERAL (SELECT s.type, s.tenant_id FROM outhook.events AS s
    WHERE s.id = w.event_id AND s.id >= @low AND s.id < @high OFFSET 0) AS e
ORDER BY w.event_id, w.endpoint_id;

-- name: LockEndedDeliveries :many
-- Those of the given deliveries that still match, whose endpoint may get them and whose payload is still there. What was settled, replayed or cancelled
-- meanwhile does not match any more: its completed_at is gone or later than until.
SELECT d.event_id, d.endpoint_id, d.job_id
FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@endpoint_ids::uuid[]) AS endpoint_id) AS k
JOIN outhook.deliveries AS d ON d.event_id = k.event_id AND d.endpoint_id = k.endpoint_id
    AND d.event_id BETWEEN @low::uuid AND @high::uuid
JOIN outhook.endpoints AS n ON n.id = d.endpoint_id AND n.deleted_at IS NULL AND n.status <> 'disabled'
WHERE d.state::text = ANY (@states::text[]) AND d.completed_at >= @since::timestamptz AND d.completed_at < @until::timestamptz
    AND EXISTS (SELECT FROM outhook.events AS e WHERE e.id = d.event_id AND e.id BETWEEN @low::uuid AND @high::uuid
        AND e.payload IS NOT NULL AND e.withdrawn_at IS NULL)
FOR UPDATE OF d;

-- name: CountReplayable :many
-- How many of the given deliveries, which match, have an endpoint that may get them and a payload that is still there, by endpoint.
SELECT n.id AS endpoint_id, count(*) AS count
FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@endpoint_ids::uuid[]) AS endpoint_id) AS k
JOIN outhook.endpoints AS n ON n.id = k.endpoint_id AND n.deleted_at IS NULL AND n.status <> 'disabled'
WHERE EXISTS (SELECT FROM outhook.events AS e WHERE e.id = k.event_id AND e.id BETWEEN @low::uuid AND @high::uuid
    AND e.payload IS NOT NULL AND e.withdrawn_at IS NULL)
GROUP BY n.id;

-- name: DeleteEndedOperations :execrows
-- Those that ended before an age, and those that have been paused for as long: what they would replay is gone.
DELETE FROM outhook.operations AS o
USING (SELECT s.id FROM outhook.operations AS s WHERE s.completed_at < now() - make_interval(secs => @age_seconds::float8)
        OR (s.state = 'paused' AND s.updated_at < now() - make_interval(secs => @age_seconds))
    FOR UPDATE SKIP LOCKED) AS k
WHERE o.id = k.id;

-- name: ReplayDeliveries :exec
-- Opens settled deliveries again, each with a job of its own in its tenant's queue of bursts, so that live traffic goes first,
-- or in its endpoint's lane. The jobs before must be finished: base, the number that the new job's attempts count from, is the highest that is in the log or
-- that a run of the job before it has taken. An event that is for later waits for its time, unless at_once. What is in line waits at its
-- place there, before what has the same one, with the number that its receiver was told.
WITH k AS MATERIALIZED (
    SELECT d.event_id, d.endpoint_id, nextval('outhook.river_job_id_seq') AS job_id,
        greatest(d.attempt_count, (SELECT coalesce((j.args ->> 'base')::integer, 0) + j.attempt
            FROM outhook.river_job AS j WHERE j.id = d.job_id)) AS base,
        outhook.lane_queue(n.id, n.tenant_id, n.lane, n.status, outhook.bulk_queue(n.tenant_id)) AS queue,
        CASE WHEN e.ordering_key IS NOT NULL OR n.ordered <> '' THEN outhook.line_key(n.id, e.ordering_key) END AS line,
        coalesce(e.later, outhook.uuid_v7_time(d.event_id)) - interval '1 microsecond' AS place, greatest(now(), e.later) AS due_at
    FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@endpoint_ids::uuid[]) AS endpoint_id) AS r
    JOIN outhook.deliveries AS d ON d.event_id = r.event_id AND d.endpoint_id = r.endpoint_id
        AND d.event_id BETWEEN @low::uuid AND @high::uuid
    JOIN outhook.endpoints AS n ON n.id = d.endpoint_id
    LEFT JOIN LATERAL (SELECT s.ordering_key, CASE WHEN NOT @at_once::boolean THEN s.deliver_at END AS later FROM outhook.events AS s
        WHERE s.id = d.event_id AND s.id BETWEEN @low::uuid AND @high::uuid OFFSET 0) AS e ON true
), job_rows AS (
    INSERT INTO outhook.river_job (id, kind, args, max_attempts, queue, state, scheduled_at, unique_key, unique_states, metadata)
    SELECT k.job_id, 'deliver', jsonb_build_object('event_id', k.event_id, 'endpoint_id', k.endpoint_id, 'base', k.base),
        1000, CASE WHEN k.line IS NULL THEN k.queue ELSE 'line-' || encode(k.line, 'hex') END,
        CASE WHEN k.line IS NOT NULL THEN 'pending' WHEN k.due_at > now() THEN 'scheduled' ELSE 'available' END::outhook.river_job_state,
        CASE WHEN k.line IS NULL THEN k.due_at ELSE k.place END, k.line, CASE WHEN k.line IS NOT NULL THEN B'11100001' END,
        CASE WHEN k.line IS NULL THEN '{}' ELSE jsonb_strip_nulls(jsonb_build_object('sequence', (SELECT CASE WHEN a.request_headers ->> 'outhook-sequence' ~ '^[0-9]{1,18}$'
            THEN (a.request_headers ->> 'outhook-sequence')::bigint END FROM outhook.delivery_attempts AS a WHERE a.event_id = k.event_id
                AND a.endpoint_id = k.endpoint_id AND a.event_id BETWEEN @low::uuid AND @high::uuid
            ORDER BY a.number DESC LIMIT 1))) END
    FROM k
)
UPDATE outhook.deliveries AS d
SET state = 'pending', reason = NULL, try_count = 0, completed_at = NULL, next_attempt_at = k.due_at, job_id = k.job_id
FROM k
WHERE d.event_id = k.event_id AND d.endpoint_id = k.endpoint_id AND d.event_id BETWEEN @low::uuid AND @high::uuid;

-- name: CountAvailableJobs :one
-- Of a queue, up to max_rows.
SELECT count(*) FROM (SELECT FROM outhook.river_job AS j WHERE j.state = 'available' AND j.queue = @queue LIMIT @max_rows) AS w;

-- name: ScanMissedEvents :many
-- The next max_rows events of an endpoint's tenant from low to before high, in the order of their ids, and which of them the endpoint wants
-- without having a delivery of them. None from before the endpoint was created, and none if it is disabled.
SELECT w.id AS event_id, (w.payload IS NOT NULL AND w.withdrawn_at IS NULL AND w.type <> 'outhook.test'
        AND outhook.endpoint_wants(n.event_types, outhook.type_patterns(w.type), n.filter_path,
            outhook.event_document(n.tenant_id, w.type, w.payload), n.labels, w.labels)
        AND (@event_types::text[] = '{}' OR outhook.type_patterns(w.type) && @event_types::text[])
        AND NOT EXISTS (SELECT FROM outhook.deliveries AS d WHERE d.event_id = w.id AND d.endpoint_id = n.id
            AND d.event_id >= @low AND d.event_id < @high))::boolean AS matches
FROM outhook.endpoints AS n
CROSS JOIN LATERAL (SELECT e.id, e.type, e.payload, e.labels, e.withdrawn_at FROM outhook.events AS e
    WHERE e.tenant_id = n.tenant_id AND e.id > @cursor_event_id::uuid AND e.id >= @low::uuid AND e.id < @high::uuid AND e.id >= outhook.uuid_v7_floor(@since::timestamptz)
        AND e.id >= outhook.uuid_v7_floor(n.created_at) AND e.id < outhook.uuid_v7_floor(@until::timestamptz)
    ORDER BY e.id LIMIT @max_rows) AS w
WHERE n.id = @endpoint_id AND n.deleted_at IS NULL AND n.status <> 'disabled'
ORDER BY w.id;

-- name: InsertMissedDeliveries :one
-- Makes deliveries of events, from low to high, for an endpoint, with jobs in its tenant's queue of bursts, its lane or their line, and
-- returns how many it made. What is for later waits for its time.
WITH k AS MATERIALIZED (
    SELECT u.event_id, nextval('outhook.river_job_id_seq') AS job_id,
        greatest(now(), (SELECT e.deliver_at FROM outhook.events AS e WHERE e.id = u.event_id AND e.id BETWEEN @low::uuid AND @high::uuid)) AS due_at
    FROM (SELECT unnest(@event_ids::uuid[]) AS event_id) AS u
), made AS (
    INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, next_attempt_at)
    SELECT k.event_id, @endpoint_id::uuid, k.job_id, k.due_at FROM k
    ON CONFLICT (event_id, endpoint_id) DO NOTHING
    RETURNING event_id, endpoint_id, job_id, next_attempt_at
), w AS (
    SELECT m.event_id, m.endpoint_id, m.job_id, m.next_attempt_at,
        outhook.lane_queue(n.id, n.tenant_id, n.lane, n.status, outhook.bulk_queue(n.tenant_id)) AS queue,
        CASE WHEN e.ordering_key IS NOT NULL OR n.ordered <> '' THEN outhook.line_key(n.id, e.ordering_key) END AS line,
        coalesce(e.deliver_at, outhook.uuid_v7_time(m.event_id)) AS place
    FROM made AS m
    JOIN outhook.endpoints AS n ON n.id = m.endpoint_id
    LEFT JOIN LATERAL (SELECT s.ordering_key, s.deliver_at FROM outhook.events AS s
        WHERE s.id = m.event_id AND s.id BETWEEN @low::uuid AND @high::uuid OFFSET 0) AS e ON true
), job_rows AS (
    INSERT INTO outhook.river_job (id, kind, args, max_attempts, queue, state, scheduled_at, unique_key, unique_states)
    SELECT w.job_id, 'deliver', jsonb_build_object('event_id', w.event_id, 'endpoint_id', w.endpoint_id),
        1000, CASE WHEN w.line IS NULL THEN w.queue ELSE 'line-' || encode(w.line, 'hex') END,
        CASE WHEN w.line IS NOT NULL THEN 'pending' WHEN w.next_attempt_at > now() THEN 'scheduled' ELSE 'available' END::outhook.river_job_state,
        CASE WHEN w.line IS NULL THEN w.next_attempt_at ELSE w.place END, w.line,
        CASE WHEN w.line IS NOT NULL THEN B'11100001' END
    FROM w
)
SELECT count(*) FROM made;
