-- Queries on River's table, where River's own API can't take part in a set-based statement of ours.

-- name: CancelJobs :exec
-- Settles jobs in any live state, so that a live job of a settled delivery can only be a person's order (River UI's
-- Retry). One that is running is marked, as River's own cancel does: its worker ends it with its outcome, or whoever
-- rescues it with a row for its request, which may have left. The ids stand alone, and the state is compared as text, so
-- that neither a join nor an index on it can be taken for a better way to find the jobs: with statistics from a time with
-- few jobs it would read all of them.
UPDATE outhook.river_job SET
    state = CASE state::text WHEN 'running' THEN state ELSE 'cancelled' END,
    finalized_at = CASE state::text WHEN 'running' THEN NULL ELSE now() END,
    metadata = CASE state::text WHEN 'running' THEN metadata || jsonb_build_object('cancel_attempted_at', now()) ELSE metadata END
WHERE id = ANY (@job_ids::bigint[]) AND state::text IN ('running', 'available', 'retryable', 'scheduled', 'pending');

-- name: InsertReplayJob :one
-- base, the number that the new job's attempts count from, is the highest that is in the log or that a run of the job
-- before it has taken: such a run may be in the middle of its request. That job must be cancelled already. An event that is for
-- later waits for its time, unless at_once. line: what the delivery is in line in (LockDelivery), else null; it waits at its place there,
-- before what has the same one, with the number that its receiver was told.
INSERT INTO outhook.river_job (kind, args, max_attempts, queue, state, scheduled_at, unique_key, unique_states, metadata)
SELECT 'deliver', jsonb_build_object('event_id', @event_id::uuid, 'endpoint_id', @endpoint_id::uuid,
        'base', greatest(@attempt_count::integer, (SELECT coalesce((j.args ->> 'base')::integer, 0) + j.attempt
            FROM outhook.river_job AS j WHERE j.id = @previous_job_id::bigint))),
    1000, coalesce('line-' || encode(k.line, 'hex'), 'deliver'),
    CASE WHEN k.line IS NOT NULL THEN 'pending' WHEN k.later > now() THEN 'scheduled' ELSE 'available' END::outhook.river_job_state,
    CASE WHEN k.line IS NULL THEN greatest(now(), k.later)
        ELSE coalesce(k.later, outhook.uuid_v7_time(@event_id)) - interval '1 microsecond' END,
    k.line, CASE WHEN k.line IS NOT NULL THEN B'11100001' END,
    CASE WHEN k.line IS NULL THEN '{}' ELSE jsonb_strip_nulls(jsonb_build_object('sequence', (SELECT CASE WHEN a.request_headers ->> 'outhook-sequence' ~ '^[0-9]{1,18}$'
            THEN (a.request_headers ->> 'outhook-sequence')::bigint END FROM outhook.delivery_attempts AS a WHERE a.event_id = @event_id
                AND a.endpoint_id = @endpoint_id
            ORDER BY a.number DESC LIMIT 1))) END
FROM (SELECT sqlc.narg('line')::bytea AS line, CASE WHEN NOT @at_once::boolean THEN (SELECT e.deliver_at FROM outhook.events AS e
    WHERE e.id = @event_id) END AS later) AS k
RETURNING id, greatest(now(), scheduled_at)::timestamptz AS due_at;

-- name: HastenJobs :exec
-- The ids stand alone, as in CancelJobs. What waits in line goes on to do so, at its place, unless that is yet to come.
UPDATE outhook.river_job SET
    state = CASE state::text WHEN 'pending' THEN state ELSE 'available' END,
    scheduled_at = CASE state::text WHEN 'pending' THEN least(scheduled_at, now()) ELSE now() END,
    metadata = CASE state::text WHEN 'pending' THEN metadata - 'after' ELSE metadata END
WHERE id = ANY (@job_ids::bigint[]) AND state::text IN ('retryable', 'scheduled', 'available', 'pending');

-- name: WakeJobs :execrows
-- Makes up to max_rows jobs available whose time has come. One that somebody has locked keeps nobody else's waiting. One that
-- was given back in a lane or a burst stands where it was. Of a tenant whose events for later meet in one moment, 100 deliveries or
-- more at a time, they go to its queue of bursts. first: nobody has fetched it, and nothing has given it back.
WITH due AS MATERIALIZED (
    SELECT s.id, s.state = 'scheduled' AND s.queue = 'deliver' AND s.attempt = 0 AND NOT s.metadata ? 'due' AS first,
        s.args ->> 'endpoint_id' AS endpoint_id
    FROM outhook.river_job AS s
    WHERE s.state IN ('retryable', 'scheduled') AND s.scheduled_at <= now()
    ORDER BY s.scheduled_at LIMIT @max_rows FOR UPDATE SKIP LOCKED
), burst AS MATERIALIZED (
    SELECT b.id, outhook.bulk_queue(b.tenant_id) AS queue FROM (
        SELECT d.id, n.tenant_id, count(*) OVER (PARTITION BY n.tenant_id) AS n FROM due AS d
        JOIN outhook.endpoints AS n
            -- A person may have inserted a job with other arguments.
            ON n.id = CASE WHEN d.endpoint_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN d.endpoint_id::uuid END
        WHERE d.first AND (SELECT count(*) FROM due AS w WHERE w.first) >= 100) AS b
    WHERE b.n >= 100
)
UPDATE outhook.river_job AS j SET state = 'available', queue = coalesce(b.queue, j.queue),
    scheduled_at = CASE WHEN j.metadata ->> 'place' ~ '^[0-9]{16}$'
        THEN least(j.scheduled_at, to_timestamp((j.metadata ->> 'place')::float8 / 1000000)) ELSE j.scheduled_at END
FROM due LEFT JOIN burst AS b ON b.id = due.id
WHERE j.id = due.id;

-- name: FreeLostRuns :execrows
-- Gives back the deliveries that a client has fetched before a time and knows nothing of: the answer to its fetch was lost.
-- No request left, and the number is free again. job_ids: what it knows of those. One that was to be cancelled is.
WITH lost AS MATERIALIZED (
    SELECT s.id, s.metadata ? 'cancel_attempted_at' AS to_cancel FROM outhook.river_job AS s
    WHERE s.state = 'running' AND s.kind = 'deliver' AND s.attempted_by[array_upper(s.attempted_by, 1)] = @client_id::text
        AND s.attempted_at < @fetched_before::timestamptz AND s.id NOT IN (SELECT unnest(@job_ids::bigint[]))
    FOR UPDATE SKIP LOCKED
)
UPDATE outhook.river_job AS j SET attempt = j.attempt - 1, finalized_at = CASE WHEN lost.to_cancel THEN now() END,
    state = CASE WHEN lost.to_cancel THEN 'cancelled' ELSE 'available' END::outhook.river_job_state
FROM lost WHERE j.id = lost.id;

-- name: ListDueQueues :many
-- Which of the queues have a job that is due and that nobody has fetched, and are not paused. Each is a look at the
-- beginning of its part of River's index (state, queue, priority, scheduled_at, id), however many jobs there are. The tenants'
-- queues of bursts count as deliver_bulk.
SELECT k.queue::text AS queue FROM unnest(@queues::text[]) AS k (queue)
CROSS JOIN LATERAL (
    (SELECT 1 FROM outhook.river_job AS j
    WHERE j.state = 'available' AND j.queue = k.queue AND j.scheduled_at <= now()
    ORDER BY j.queue, j.priority, j.scheduled_at LIMIT 1)
    UNION ALL
    (SELECT 1 FROM outhook.river_job AS j
    WHERE k.queue = 'deliver_bulk' AND j.state = 'available' AND j.queue > 'bulk' AND j.queue < 'bull' AND j.queue LIKE 'bulk-%'
        AND j.scheduled_at <= now()
    ORDER BY j.queue, j.priority, j.scheduled_at LIMIT 1)
    LIMIT 1
) AS due
WHERE NOT EXISTS (SELECT FROM outhook.river_queue AS q WHERE q.name = k.queue AND q.paused_at IS NOT NULL);

-- name: MarkBegun :execrows
-- Notes that a run whose job has brought workers down is about to send. 0: it is not the job's current run any more.
UPDATE outhook.river_job
SET metadata = metadata || jsonb_build_object('begun', coalesce((metadata ->> 'begun')::integer, 0) + 1)
WHERE id = @job_id AND state = 'running' AND attempt = @attempt::integer AND attempted_at = @attempted_at;

-- name: NotifyQueue :exec
SELECT outhook.wake(@queue::text, true);

-- name: GetDatabaseTime :one
SELECT clock_timestamp()::timestamptz;

-- name: IsReadOnly :one
-- Whether nothing can be stored on this connection: a standby, or a primary that is being replaced.
SELECT current_setting('transaction_read_only')::boolean AS read_only;

-- name: ListQueues :many
SELECT q.name, (q.paused_at IS NOT NULL)::boolean AS paused FROM outhook.river_queue AS q;
