-- Queries of lanes. An endpoint that is slow or limited has a queue of its own, endpoint-<id>, that no worker works: its
-- jobs wait there, and the pacer, one process at a time, releases as many as may be under way to the queue deliver_slow or
-- deliver_limited. A release is good for one attempt: river_job.metadata ->> 'release' is its number.

-- name: TakePacer :one
-- The lock of the process that paces, in the name space of the workers' presence.
SELECT pg_try_advisory_lock(hashtextextended('pacer', 1869968503)) AS held;

-- name: SlowEndpoints :exec
-- Notes signs that endpoints are slow, and opens the lanes of those that have none; beyond max_lanes they share the queue
-- of bursts. An endpoint occurs once in a call. hold_seconds: how long nothing may leave. throttled: its width is halved, at
-- most once a second. A lane that is opened soon after it was closed takes twice as long to close again.
WITH k AS MATERIALIZED (
    SELECT r.id, r.reason, r.hold, r.throttled, row_number() OVER (ORDER BY r.id) AS rank
    FROM (SELECT unnest(@endpoint_ids::uuid[]) AS id, unnest(@reasons::text[]) AS reason,
        unnest(@hold_seconds::float8[]) AS hold, unnest(@throttled::boolean[]) AS throttled) AS r
), opened AS (
    UPDATE outhook.endpoints AS n SET lane_reason = k.reason, lane_changed_at = now(), lane = CASE
        WHEN k.rank + (SELECT count(*) FROM outhook.endpoints AS o WHERE o.lane = 'slow') <= @max_lanes::integer THEN 'slow'
        ELSE 'bulk' END
    FROM k WHERE n.id = k.id AND n.deleted_at IS NULL AND n.lane IN ('', 'limited')
)
INSERT INTO outhook.lanes AS l (endpoint_id, slow_at, held_until, width, width_at)
SELECT n.id, now(), now() + make_interval(secs => k.hold),
    CASE WHEN k.throttled THEN greatest(n.max_in_flight / 2, 1) ELSE 1000 END, now()
FROM k JOIN outhook.endpoints AS n ON n.id = k.id AND n.deleted_at IS NULL
ORDER BY n.id
ON CONFLICT (endpoint_id) DO UPDATE SET
    slow_at = now(), held_until = greatest(l.held_until, excluded.held_until),
    width = CASE WHEN l.closed_at IS NOT NULL THEN excluded.width
        WHEN excluded.width < 1000 AND l.width_at < now() - interval '1 s' THEN greatest(least(l.width, excluded.width * 2) / 2, 1)
        ELSE l.width END,
    width_at = CASE WHEN l.closed_at IS NOT NULL OR (excluded.width < 1000 AND l.width_at < now() - interval '1 s') THEN now()
        ELSE l.width_at END,
    prove_ms = CASE WHEN l.closed_at IS NULL THEN l.prove_ms
        WHEN l.closed_at > now() - interval '10 min' - make_interval(secs => l.prove_ms / 1000.0) THEN least(l.prove_ms * 2, 3600000)
        ELSE @prove_ms::integer END,
    opened_at = CASE WHEN l.closed_at IS NULL THEN l.opened_at ELSE now() END, closed_at = NULL;

-- name: InsertLane :exec
-- The row of an endpoint with a rate limit.
INSERT INTO outhook.lanes (endpoint_id) VALUES (@endpoint_id) ON CONFLICT DO NOTHING;

-- name: LookAtLanes :many
-- What the pacer needs to know of each open lane, or of those that are named. in_flight: jobs that were released and have
-- not ended, of which unstarted have not been fetched. waiting: jobs that are due, at most max_in_flight.
SELECT n.id, n.lane, n.max_in_flight, coalesce(n.rate_limit, 0)::integer AS rate_limit, n.rate_per, n.rate_burst, l.next_at, l.held_until,
    l.width, l.width_at, l.slow_at, l.prove_ms, coalesce(f.n, 0)::integer AS in_flight, coalesce(f.unstarted, 0)::integer AS unstarted, w.n::integer AS waiting,
    (n.status = 'enabled')::boolean AS enabled, clock_timestamp()::timestamptz AS database_time
FROM outhook.endpoints AS n
JOIN outhook.lanes AS l ON l.endpoint_id = n.id
LEFT JOIN (SELECT j.args ->> 'endpoint_id' AS endpoint_id, count(*) AS n, count(*) FILTER (WHERE j.state = 'available') AS unstarted
    FROM outhook.river_job AS j WHERE j.queue IN ('deliver_slow', 'deliver_limited') AND j.state IN ('available', 'running')
    GROUP BY 1) AS f ON f.endpoint_id = n.id::text
CROSS JOIN LATERAL (SELECT count(*) AS n FROM (SELECT FROM outhook.river_job AS j
    WHERE j.state = 'available' AND j.queue = 'endpoint-' || n.id AND j.scheduled_at <= now()
    ORDER BY j.priority, j.scheduled_at, j.id LIMIT n.max_in_flight) AS d) AS w
WHERE n.lane <> '' AND n.deleted_at IS NULL AND (@everyone::boolean OR n.id = ANY (@endpoint_ids::uuid[]));

-- name: ReleaseJobs :execrows
-- Releases jobs of each endpoint, the oldest first, to a queue that is worked, and notes when its next one may leave.
WITH k AS (
    SELECT unnest(@endpoint_ids::uuid[]) AS endpoint_id, unnest(@counts::integer[]) AS n, unnest(@queues::text[]) AS queue,
        unnest(@next_ats::timestamptz[]) AS next_at
), paced AS (
    UPDATE outhook.lanes AS l SET next_at = k.next_at FROM k WHERE l.endpoint_id = k.endpoint_id AND l.next_at <> k.next_at
), due AS MATERIALIZED (
    SELECT d.id, k.queue FROM k
    CROSS JOIN LATERAL (SELECT j.id FROM outhook.river_job AS j
        WHERE j.state = 'available' AND j.queue = 'endpoint-' || k.endpoint_id AND j.scheduled_at <= now()
        ORDER BY j.priority, j.scheduled_at, j.id LIMIT k.n FOR UPDATE SKIP LOCKED) AS d
)
UPDATE outhook.river_job AS j SET queue = due.queue, metadata = j.metadata || jsonb_build_object('release', j.attempt + 1)
FROM due WHERE j.id = due.id;

-- name: WidenLanes :exec
UPDATE outhook.lanes SET width = least(width * 2, 1000), width_at = now()
WHERE endpoint_id = ANY (@endpoint_ids::uuid[]) AND width_at < now() - interval '10 s';

-- name: CloseLanes :many
-- Closes the lanes of endpoints that have shown no sign of slowness for long enough. One with a rate limit keeps its queue.
WITH closed AS (
    UPDATE outhook.endpoints AS n SET lane = CASE WHEN n.rate_limit IS NULL THEN '' ELSE 'limited' END,
        lane_reason = CASE WHEN n.rate_limit IS NULL THEN '' ELSE 'it has a rate limit' END, lane_changed_at = now()
    FROM outhook.lanes AS l
    WHERE n.id = ANY (@endpoint_ids::uuid[]) AND l.endpoint_id = n.id AND n.lane IN ('slow', 'bulk')
        AND l.slow_at < now() - make_interval(secs => l.prove_ms / 1000.0)
    RETURNING n.id
)
UPDATE outhook.lanes AS l SET closed_at = now(), width = 1000 FROM closed WHERE l.endpoint_id = closed.id
RETURNING l.endpoint_id;

-- name: PromoteLanes :exec
-- Gives lanes to slow endpoints that share the queue of bursts, as far as there is room.
UPDATE outhook.endpoints AS n SET lane = 'slow', lane_changed_at = now()
FROM (SELECT o.id, row_number() OVER (ORDER BY o.lane_changed_at) AS rank FROM outhook.endpoints AS o WHERE o.lane = 'bulk') AS k
WHERE n.id = k.id AND n.lane = 'bulk'
    AND k.rank + (SELECT count(*) FROM outhook.endpoints AS s WHERE s.lane = 'slow') <= @max_lanes::integer;

-- name: ListStrandedQueues :many
-- The queues of endpoints that hold jobs although their endpoint has no lane any more and is not paused: a transaction read
-- the lane and committed after it closed, or a retry woke there. The recursion skips from one queue to the next in the index.
WITH RECURSIVE q AS (
    SELECT s.state, (SELECT j.queue FROM outhook.river_job AS j WHERE j.state = s.state ORDER BY j.queue LIMIT 1) AS queue
    FROM (SELECT unnest('{available,retryable,scheduled}'::outhook.river_job_state[]) AS state) AS s
    UNION ALL
    SELECT q.state, (SELECT j.queue FROM outhook.river_job AS j WHERE j.state = q.state AND j.queue > q.queue ORDER BY j.queue LIMIT 1)
    FROM q WHERE q.queue IS NOT NULL
)
SELECT DISTINCT q.queue::text AS queue FROM q
WHERE q.queue ~ '^endpoint-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' AND NOT EXISTS (
    SELECT FROM outhook.endpoints AS n WHERE 'endpoint-' || n.id = q.queue AND n.id = substring(q.queue FROM 10)::uuid
        AND n.deleted_at IS NULL AND (n.status = 'paused' OR (n.status = 'enabled' AND n.lane IN ('slow', 'limited'))));

-- name: MoveStrandedJobs :execrows
-- Moves up to max_rows jobs of a stranded queue back. Many of them go to the queue of bursts.
WITH k AS (
    SELECT j.id FROM outhook.river_job AS j
    WHERE j.queue = @queue AND j.state IN ('available', 'retryable', 'scheduled')
    LIMIT @max_rows FOR UPDATE SKIP LOCKED
)
UPDATE outhook.river_job AS j SET queue = CASE WHEN (SELECT count(*) FROM k) >= 100 THEN 'deliver_bulk' ELSE 'deliver' END
FROM k WHERE j.id = k.id;

-- name: ListJobsForLanes :many
-- The jobs of endpoints that have a lane among the first max_rows of a shared queue: what was enqueued before the lane was
-- opened must not stand in front of others. The last ones first: workers fetch the others meanwhile.
WITH head AS MATERIALIZED (
    SELECT j.id, j.args ->> 'endpoint_id' AS endpoint_id, row_number() OVER (ORDER BY j.priority, j.scheduled_at, j.id) AS rank
    FROM outhook.river_job AS j
    WHERE j.state = 'available' AND j.queue = @queue ORDER BY j.priority, j.scheduled_at, j.id LIMIT @max_rows
)
SELECT h.id FROM outhook.endpoints AS n JOIN head AS h ON h.endpoint_id = n.id::text
WHERE n.lane IN ('slow', 'limited') AND n.status = 'enabled' AND n.deleted_at IS NULL
ORDER BY h.rank DESC;

-- name: MoveJobsToLanes :execrows
-- Takes those of the jobs that still wait in the shared queue, and whose endpoint still has a lane, into it. State and queue
-- are compared as expressions, so that no index on them can be taken for a better way to find the jobs than their ids.
WITH locked AS MATERIALIZED (
    SELECT j.id, 'endpoint-' || n.id AS queue FROM unnest(@ids::bigint[]) AS k (id) JOIN outhook.river_job AS j ON j.id = k.id
    JOIN outhook.endpoints AS n ON n.id::text = j.args ->> 'endpoint_id'
    WHERE j.state::text = 'available' AND j.queue || '' = @queue AND n.lane IN ('slow', 'limited') AND n.status = 'enabled'
        AND n.deleted_at IS NULL
    FOR UPDATE OF j SKIP LOCKED
)
UPDATE outhook.river_job AS j SET queue = l.queue FROM locked AS l WHERE j.id = l.id;
