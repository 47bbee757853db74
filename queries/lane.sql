-- Queries of lanes. An endpoint that is slow or limited has a queue of its own, endpoint-<id>, that no worker works: its
-- jobs wait there, and the pacer, one process at a time, releases as many as may be under way to the queue deliver_slow or
-- deliver_limited. A release is good for one attempt: river_job.metadata ->> 'release' is its number. No statement waits for a
-- row that is locked: it leaves it out, and the next look finds it.

-- name: SlowEndpoints :exec
-- Notes signs that endpoints are slow, and opens the lanes of those that have none; beyond max_lanes they share the queue
-- of bursts, until ShareLanes gives their tenant its share; one with a rate limit keeps its own queue. An endpoint occurs once
-- in a call. hold_seconds: how long nothing may leave. throttled: its width is halved, at most once a second. A lane that is opened soon after it was closed takes twice as long to close again. A sign of an
-- endpoint that is locked is lost, and comes again; one that is disabled needs no lane.
WITH free AS MATERIALIZED (
    SELECT n.id, n.lane, n.max_in_flight FROM outhook.endpoints AS n
    WHERE n.id = ANY (@endpoint_ids::uuid[]) AND n.deleted_at IS NULL AND n.status <> 'disabled'
    ORDER BY n.id FOR NO KEY UPDATE SKIP LOCKED
), busy AS MATERIALIZED (
    -- Who inserts one holds the endpoint.
    SELECT l.endpoint_id FROM outhook.lanes AS l WHERE l.endpoint_id IN (SELECT free.id FROM free) FOR UPDATE SKIP LOCKED
), k AS MATERIALIZED (
    SELECT n.id, n.lane, n.max_in_flight, r.reason, r.hold, r.throttled,
        row_number() OVER (PARTITION BY n.lane IN ('', 'limited') ORDER BY n.id) AS rank
    FROM (SELECT unnest(@endpoint_ids::uuid[]) AS id, unnest(@reasons::text[]) AS reason,
        unnest(@hold_seconds::float8[]) AS hold, unnest(@throttled::boolean[]) AS throttled) AS r
    JOIN free AS n ON n.id = r.id
    WHERE n.id IN (SELECT busy.endpoint_id FROM busy)
        OR NOT EXISTS (SELECT FROM outhook.lanes AS l WHERE l.endpoint_id = n.id)
), opened AS (
    UPDATE outhook.endpoints AS n SET lane_reason = k.reason, lane_changed_at = now(), lane = CASE
        WHEN k.rank + (SELECT count(*) FROM outhook.endpoints AS o
            WHERE o.lane = 'slow' AND o.status = 'enabled' AND o.deleted_at IS NULL) <= @max_lanes::integer THEN 'slow'
        WHEN k.lane = '' THEN 'bulk' ELSE k.lane END
    FROM k WHERE n.id = k.id AND k.lane IN ('', 'limited')
)
INSERT INTO outhook.lanes AS l (endpoint_id, slow_at, held_until, width, width_at)
SELECT k.id, now(), now() + make_interval(secs => k.hold),
    CASE WHEN k.throttled THEN greatest(k.max_in_flight / 2, 1) ELSE 1000 END, now()
FROM k
ORDER BY k.id
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

-- name: HasLanes :one
SELECT EXISTS (SELECT FROM outhook.endpoints WHERE lane <> '' AND deleted_at IS NULL) AS lanes;

-- name: LookAtLanes :many
-- What the pacer needs to know of each open lane in which something waits or is under way: whatever else has a lane costs
-- nothing. The recursion skips from one queue to the next in the index, among those named endpoint-. in_flight: jobs that were released and have not
-- ended, of which unstarted have not been fetched. waiting: jobs that are due, as many as the endpoint has room for, or 0
-- if none may leave for another reason.
WITH RECURSIVE q AS (
    (SELECT j.queue FROM outhook.river_job AS j
        WHERE j.state = 'available' AND j.queue > 'endpoint' AND j.queue < 'endpoinu' ORDER BY j.queue LIMIT 1)
    UNION ALL
    SELECT (SELECT j.queue FROM outhook.river_job AS j
        WHERE j.state = 'available' AND j.queue > q.queue AND j.queue < 'endpoinu' ORDER BY j.queue LIMIT 1)
    FROM q WHERE q.queue IS NOT NULL
), a AS MATERIALIZED (
    SELECT k.id, sum(k.n)::integer AS in_flight, sum(k.unstarted)::integer AS unstarted, bool_or(k.waits) AS waits FROM (
        SELECT substring(q.queue FROM 10) AS id, 0 AS n, 0 AS unstarted, true AS waits FROM q WHERE q.queue LIKE 'endpoint-%'
        UNION ALL
        SELECT j.args ->> 'endpoint_id', 1, CASE WHEN j.state = 'available' THEN 1 ELSE 0 END, false FROM outhook.river_job AS j
        WHERE j.queue IN ('deliver_slow', 'deliver_limited') AND j.state IN ('available', 'running')) AS k
    -- A person may have inserted a job with other arguments.
    WHERE k.id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' GROUP BY k.id
)
SELECT n.id, n.tenant_id, n.lane, n.max_in_flight, coalesce(n.rate_limit, 0)::integer AS rate_limit, n.rate_per, n.rate_burst,
    l.next_at, l.width, a.in_flight, a.unstarted, (a.waits AND n.works)::boolean AS waits, w.n::integer AS waiting,
    clock_timestamp()::timestamptz AS database_time
FROM a
CROSS JOIN LATERAL (SELECT v.*, v.status = 'enabled' AND NOT EXISTS (SELECT FROM outhook.pauses AS p
        WHERE p.tenant_id = v.tenant_id AND p.resumed_at IS NULL) AS works
    FROM outhook.endpoints AS v
    WHERE v.id = a.id::uuid AND v.lane IN ('slow', 'limited') AND v.deleted_at IS NULL OFFSET 0) AS n
CROSS JOIN LATERAL (SELECT v.* FROM outhook.lanes AS v WHERE v.endpoint_id = n.id OFFSET 0) AS l
CROSS JOIN LATERAL (SELECT count(*) AS n FROM (SELECT FROM outhook.river_job AS j
    WHERE j.state = 'available' AND j.queue = 'endpoint-' || n.id AND j.scheduled_at <= now()
    ORDER BY j.priority, j.scheduled_at, j.id
    LIMIT CASE WHEN NOT a.waits OR NOT n.works OR (n.rate_limit IS NOT NULL AND l.next_at > clock_timestamp())
            OR (n.lane = 'slow' AND l.held_until > clock_timestamp()) THEN 0
        ELSE greatest(least(n.max_in_flight, l.width) - a.in_flight, 0) END) AS d) AS w;

-- name: ReleaseJobs :one
-- Releases jobs of each endpoint, the oldest first, to a queue that is worked, notes when its next one may leave, and wakes
-- the queues. Nothing, and false, if the holder has lost its lease, which it keeps to the end otherwise. One statement, since the
-- time that it takes to release is what bounds how fast a lane is.
WITH held AS MATERIALIZED (
    SELECT FROM outhook.leases AS e
    WHERE e.name = @lease_name AND e.holder = @holder AND e.until > clock_timestamp() FOR SHARE
), k AS MATERIALIZED (
    SELECT l.endpoint_id, r.n, r.queue, r.next_at
    FROM (SELECT unnest(@endpoint_ids::uuid[]) AS endpoint_id, unnest(@counts::integer[]) AS n, unnest(@queues::text[]) AS queue,
        unnest(@next_ats::timestamptz[]) AS next_at) AS r
    JOIN outhook.lanes AS l ON l.endpoint_id = r.endpoint_id
    WHERE (SELECT count(*) FROM held) = 1
    FOR UPDATE OF l SKIP LOCKED
), paced AS (
    UPDATE outhook.lanes AS l SET next_at = k.next_at FROM k WHERE l.endpoint_id = k.endpoint_id AND l.next_at <> k.next_at
), due AS MATERIALIZED (
    SELECT d.id, k.queue FROM k
    CROSS JOIN LATERAL (SELECT j.id FROM outhook.river_job AS j
        WHERE j.state = 'available' AND j.queue = 'endpoint-' || k.endpoint_id AND j.scheduled_at <= now()
        ORDER BY j.priority, j.scheduled_at, j.id LIMIT k.n FOR UPDATE SKIP LOCKED) AS d
), released AS (
    UPDATE outhook.river_job AS j SET queue = due.queue, metadata = j.metadata || jsonb_build_object('release', j.attempt + 1)
    FROM due WHERE j.id = due.id
    RETURNING j.queue
), woken AS MATERIALIZED (
    SELECT outhook.wake(q.queue, true) FROM (SELECT DISTINCT r.queue FROM released AS r) AS q
)
SELECT ((SELECT count(*) FROM held) = 1 AND (SELECT count(*) FROM woken) >= 0)::boolean AS held;

-- name: WidenLanes :exec
-- Doubles the width of lanes that have not been throttled for a while.
UPDATE outhook.lanes AS l SET width = least(l.width * 2, 1000), width_at = now()
FROM (SELECT v.endpoint_id FROM outhook.endpoints AS n JOIN outhook.lanes AS v ON v.endpoint_id = n.id
    WHERE n.lane <> '' AND v.width < n.max_in_flight AND v.width_at < now() - interval '10 s'
    FOR UPDATE OF v SKIP LOCKED) AS k
WHERE l.endpoint_id = k.endpoint_id;

-- name: CloseLanes :many
-- Closes the lanes of endpoints that have shown no sign of slowness for long enough and for which nothing waits, and returns
-- them; and those of ended ones, so that they take nobody's place. One with a rate limit keeps its queue until it is deleted.
WITH k AS MATERIALIZED (
    SELECT n.id, n.deleted_at IS NULL AND n.status <> 'disabled' AS proved
    FROM outhook.endpoints AS n JOIN outhook.lanes AS l ON l.endpoint_id = n.id
    WHERE n.lane <> '' AND (n.deleted_at IS NOT NULL OR (n.lane <> 'limited' AND (n.status = 'disabled'
        OR (l.slow_at < now() - make_interval(secs => l.prove_ms / 1000.0) AND NOT EXISTS (SELECT FROM outhook.river_job AS j
            WHERE j.state = 'available' AND j.queue = 'endpoint-' || n.id AND j.scheduled_at <= now())))))
    FOR NO KEY UPDATE OF n, l SKIP LOCKED
), closed AS (
    UPDATE outhook.endpoints AS n SET lane_changed_at = now(),
        lane = CASE WHEN n.rate_limit IS NULL OR n.deleted_at IS NOT NULL THEN '' ELSE 'limited' END,
        lane_reason = CASE WHEN n.rate_limit IS NULL OR n.deleted_at IS NOT NULL THEN '' ELSE 'it has a rate limit' END
    FROM k WHERE n.id = k.id
), shut AS (
    UPDATE outhook.lanes AS l SET closed_at = now(), width = 1000 FROM k WHERE l.endpoint_id = k.id
)
SELECT k.id FROM k WHERE k.proved;

-- name: ShareLanes :exec
-- Shares the lanes among the tenants that have slow endpoints: the first endpoint of each has one, then the second, as far as
-- they go; who has one comes first. An endpoint beyond that shares the queue of bursts, and the pacer moves what waits for it
-- there; one with a rate limit keeps its own queue. Where all get the same, nobody's changes hands.
WITH ranked AS (
    SELECT n.id, n.lane, n.lane_changed_at,
        row_number() OVER (PARTITION BY n.tenant_id ORDER BY n.lane = 'bulk', n.lane_changed_at, n.id) AS nth
    FROM outhook.endpoints AS n
    WHERE n.lane <> '' AND n.lane IN ('slow', 'bulk') AND n.status = 'enabled' AND n.deleted_at IS NULL
), shared AS (
    SELECT r.id, r.lane,
        row_number() OVER (ORDER BY r.nth, r.lane = 'bulk', r.lane_changed_at, r.id) <= @max_lanes::integer AS has
    FROM ranked AS r
), k AS MATERIALIZED (
    SELECT n.id, s.has FROM (SELECT * FROM shared WHERE shared.has <> (shared.lane = 'slow')) AS s
    JOIN outhook.endpoints AS n ON n.id = s.id
    WHERE n.lane = s.lane AND n.status = 'enabled' AND n.deleted_at IS NULL
    ORDER BY n.id FOR NO KEY UPDATE OF n SKIP LOCKED
)
UPDATE outhook.endpoints AS n SET lane_changed_at = now(),
    lane = CASE WHEN k.has THEN 'slow' WHEN n.rate_limit IS NULL THEN 'bulk' ELSE 'limited' END,
    lane_reason = CASE WHEN k.has OR n.rate_limit IS NULL THEN n.lane_reason ELSE 'it has a rate limit' END
FROM k WHERE n.id = k.id;

-- name: ListStrandedQueues :many
-- The queues that nobody works and that hold jobs although these do not wait there for their endpoint's turn or the end of
-- its pause or its tenant's, and are not being cancelled: it was enabled, a transaction read its lane and committed after that
-- had closed, or a retry woke there. The recursion skips from one queue to the next in the index, and over those of bursts, which are worked.
WITH RECURSIVE q AS (
    SELECT s.state, (SELECT j.queue FROM outhook.river_job AS j WHERE j.state = s.state ORDER BY j.queue LIMIT 1) AS queue
    FROM (SELECT unnest('{available,retryable,scheduled}'::outhook.river_job_state[]) AS state) AS s
    UNION ALL
    SELECT q.state, (SELECT j.queue FROM outhook.river_job AS j WHERE j.state = q.state 
        AND j.queue > CASE WHEN q.queue LIKE 'bulk-%' THEN 'bull' ELSE q.queue END ORDER BY j.queue LIMIT 1)
    FROM q WHERE q.queue IS NOT NULL
), k AS MATERIALIZED (
    SELECT DISTINCT q.queue, CASE WHEN q.queue ~ '^endpoint-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
        THEN substring(q.queue FROM 10)::uuid END AS id
    FROM q WHERE q.queue <> ALL (@worked_queues::text[]) AND q.queue NOT LIKE 'bulk-%'
)
SELECT k.queue::text AS queue FROM k
WHERE NOT EXISTS (SELECT FROM outhook.endpoints AS n WHERE n.id = k.id AND (n.cancel_since IS NOT NULL
    OR (n.deleted_at IS NULL AND (n.status = 'paused' OR (n.status = 'enabled' AND (n.lane IN ('slow', 'limited')
        OR EXISTS (SELECT FROM outhook.pauses AS p WHERE p.tenant_id = n.tenant_id AND p.resumed_at IS NULL)))))));

-- name: MoveStrandedJobs :execrows
-- Moves up to max_rows jobs of a stranded queue back. Many of them go to their tenant's queue of bursts.
WITH k AS MATERIALIZED (
    SELECT j.id, j.args ->> 'endpoint_id' AS endpoint_id FROM outhook.river_job AS j
    WHERE j.queue = @queue AND j.state IN ('available', 'retryable', 'scheduled') AND j.kind = 'deliver'
    LIMIT @max_rows FOR UPDATE SKIP LOCKED
)
UPDATE outhook.river_job AS j SET queue = CASE WHEN (SELECT count(*) FROM k) < 100 THEN 'deliver'
    ELSE coalesce((SELECT outhook.bulk_queue(n.tenant_id) FROM outhook.endpoints AS n
        -- A person may have inserted a job with other arguments.
        WHERE n.id = CASE WHEN k.endpoint_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN k.endpoint_id::uuid END),
        'deliver_bulk') END
FROM k WHERE j.id = k.id;

-- name: MoveJobsToLanes :execrows
-- Takes up to max_rows of the jobs of endpoints that have a lane out of the first head_rows of each of some shared queues: what
-- was enqueued before the lane was opened must not stand in front of others. The last ones first: workers fetch the others
-- meanwhile. State and queue are compared as expressions the second time, so that no index on them can be taken for a better
-- way to find the jobs than their ids.
WITH head AS MATERIALIZED (
    SELECT q.queue, h.id, h.endpoint_id, h.rank
    FROM (SELECT unnest(@queues::text[]) AS queue) AS q
    CROSS JOIN LATERAL (SELECT j.id, j.args ->> 'endpoint_id' AS endpoint_id,
            row_number() OVER (ORDER BY j.priority, j.scheduled_at, j.id) AS rank
        FROM outhook.river_job AS j WHERE j.state = 'available' AND j.queue = q.queue
        ORDER BY j.priority, j.scheduled_at, j.id LIMIT @head_rows) AS h
), k AS MATERIALIZED (
    SELECT h.id, h.queue AS shared, 'endpoint-' || h.endpoint_id AS queue FROM head AS h
    WHERE h.endpoint_id = ANY (ARRAY(SELECT d.id FROM (SELECT DISTINCT head.endpoint_id AS id FROM head) AS d
        CROSS JOIN LATERAL (SELECT FROM outhook.endpoints AS n
            -- A person may have inserted a job with other arguments.
            WHERE n.id = CASE WHEN d.id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN d.id::uuid END
                AND n.lane IN ('slow', 'limited') AND n.status = 'enabled' AND n.deleted_at IS NULL OFFSET 0) AS n))
    ORDER BY h.rank DESC LIMIT @max_rows
), locked AS MATERIALIZED (
    SELECT j.id, k.queue FROM k JOIN outhook.river_job AS j ON j.id = k.id
    WHERE j.state::text = 'available' AND j.queue || '' = k.shared FOR UPDATE OF j SKIP LOCKED
)
UPDATE outhook.river_job AS j SET queue = l.queue FROM locked AS l WHERE j.id = l.id;

-- name: ListEndedEndpoints :many
-- Endpoints whose deliveries are to be cancelled. An erasure cancels those of its tenant itself, with its own reason.
SELECT n.id, n.cancel_since::timestamptz AS cancel_since, (n.deleted_at IS NOT NULL)::boolean AS deleted
FROM outhook.endpoints AS n
WHERE n.cancel_since IS NOT NULL AND NOT EXISTS (SELECT FROM outhook.tenant_erasures AS e
    WHERE e.tenant_id = n.tenant_id AND e.completed_at IS NULL);

-- name: CancelEndpointDeliveries :one
-- Cancels up to max_rows pending deliveries of an endpoint and their jobs, in any live state but running, from the newest event
-- to the oldest (a run that is under way ends as it does, or with its worker, and is met again then): those before the given one, among the next look_rows of any state. last: the event to go on before; all zero: there
-- is no more. pending: how many it met, with those that it left out because a run, a replay or a person has locked them. A probe
-- of the endpoint stays. held: the endpoint's row could be locked, and is as it was at cancel_since. The list of one endpoint
-- leaves only the index on it with the wanted order, whatever the statistics say.
WITH n AS MATERIALIZED (
    SELECT v.id FROM outhook.endpoints AS v WHERE v.id = @endpoint_id AND v.cancel_since = @cancel_since::timestamptz
    FOR SHARE SKIP LOCKED
), seen AS MATERIALIZED (
    SELECT d.event_id, d.endpoint_id, d.job_id, d.state FROM outhook.deliveries AS d WHERE d.endpoint_id = ANY (ARRAY(SELECT n.id FROM n))
        AND d.event_id < @before::uuid
    ORDER BY d.endpoint_id DESC, d.event_id DESC LIMIT @look_rows::integer
), wanted AS MATERIALIZED (
    SELECT s.event_id, s.endpoint_id, s.job_id FROM seen AS s WHERE s.state = 'pending' LIMIT @max_rows::integer
), free AS MATERIALIZED (
    SELECT d.event_id, d.endpoint_id, d.job_id FROM wanted AS w
    JOIN outhook.deliveries AS d ON d.event_id = w.event_id AND d.endpoint_id = w.endpoint_id
    WHERE d.state = 'pending' AND d.job_id = w.job_id FOR UPDATE OF d SKIP LOCKED
), jobs AS MATERIALIZED (
    SELECT j.id, j.state::text IN ('available', 'retryable', 'scheduled', 'pending') AS live, j.args ? 'probe' AS probe
    FROM outhook.river_job AS j WHERE j.id = ANY (ARRAY(SELECT f.job_id FROM free AS f)) AND j.state::text <> 'running'
    FOR UPDATE SKIP LOCKED
), finished AS (
    UPDATE outhook.river_job AS j SET state = 'cancelled', finalized_at = now()
    WHERE j.id = ANY (ARRAY(SELECT k.id FROM jobs AS k WHERE k.live AND NOT k.probe))
), cancelled AS (
    UPDATE outhook.deliveries AS d SET state = 'cancelled', reason = @reason::text, next_attempt_at = NULL, completed_at = now()
    FROM free AS f
    WHERE d.event_id = f.event_id AND d.endpoint_id = f.endpoint_id AND (f.job_id IN (SELECT k.id FROM jobs AS k WHERE NOT k.probe)
        OR NOT EXISTS (SELECT FROM outhook.river_job AS j WHERE j.id = f.job_id))
)
SELECT EXISTS (SELECT FROM n) AS held,
    ((SELECT count(*) FROM wanted) - (SELECT count(*) FROM jobs AS k WHERE k.probe))::integer AS pending,
    coalesce(CASE WHEN (SELECT count(*) FROM wanted) = @max_rows::integer THEN (SELECT w.event_id FROM wanted AS w ORDER BY w.event_id LIMIT 1)
        WHEN (SELECT count(*) FROM seen) = @look_rows::integer THEN (SELECT s.event_id FROM seen AS s ORDER BY s.event_id LIMIT 1)
    END, '00000000-0000-0000-0000-000000000000')::uuid AS last;

-- name: EndCancel :exec
-- Notes that nothing is left to be cancelled.
UPDATE outhook.endpoints AS n SET cancel_since = NULL
FROM (SELECT v.id FROM outhook.endpoints AS v WHERE v.id = @endpoint_id AND v.cancel_since = @cancel_since::timestamptz
    FOR NO KEY UPDATE SKIP LOCKED) AS k
WHERE n.id = k.id;
