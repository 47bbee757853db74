-- Queries of the workers' presence. Each worker process has the lease worker/<its River client id>. The lease "workers"
-- belongs to all of them together: its row tells since when one or the other has looked without a gap.

-- name: WatchWorkers :exec
-- Notes that somebody looks. A gap, or a clock that was set back, begins the count anew. Leases that ended long ago go:
-- who has none is as dead as who has one that lapsed.
WITH forgotten AS (
    DELETE FROM outhook.leases AS f WHERE f.name LIKE 'worker/%' AND f.until < now() - interval '1 minute'
)
INSERT INTO outhook.leases AS l (name, holder, until)
VALUES ('workers', 'workers', clock_timestamp() + make_interval(secs => @max_gap_seconds::float8))
ON CONFLICT (name) DO UPDATE SET until = excluded.until,
    since = CASE WHEN l.until < clock_timestamp() OR l.since > clock_timestamp() THEN excluded.since ELSE l.since END;

-- name: RescueJobs :many
-- Gives up to max_rows running jobs to the living, and returns how many of each client and queue: those of clients that are
-- dead, and deliveries that have been running for longer than any can. Dead is whose lease has lapsed, of which the last
-- part could be seen without a gap: all the others' leases lapse, too, while the database is away.
--
-- The first rescue in a row lets a job run at once, since its worker may have died of anything. Each further one doubles a
-- wait, from 2 s to 10 minutes. A run that had recorded its failure keeps its place in the schedule. What is due soon becomes
-- available rather than retryable, as everywhere but in a lane or a burst: what waits there has its place in line noted, and
-- gets it back when it is woken (WakeJobs). What a lane had released waits for a release again, and a run that was to be
-- cancelled is. Since when a delivery is due its job notes, as in SettleRuns.
--
-- Its request may have left, so its number gets a row at once: no run may follow that would see that it has none. So does
-- that of a run that was cancelled, even if a replay has given its delivery another job since. A delivery that somebody has
-- locked is rescued when it is free.
WITH watched AS MATERIALIZED (
    SELECT FROM outhook.leases AS l WHERE l.name = 'workers' AND l.until >= now()
        AND l.since <= now() - make_interval(secs => @unbroken_seconds::float8)
), stuck AS MATERIALIZED (
    SELECT j.id, j.queue, c.id AS client_id, c.died,
        CASE WHEN jsonb_typeof(j.metadata -> 'rescues') = 'number'
            THEN least(greatest((j.metadata ->> 'rescues')::numeric, 0), 1000)::integer ELSE 0 END + 1 AS rescues,
        -- A person may have inserted a job with other arguments.
        CASE WHEN j.args ->> 'event_id' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (j.args ->> 'event_id')::uuid END AS event_id,
        CASE WHEN j.args ->> 'endpoint_id' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (j.args ->> 'endpoint_id')::uuid END AS endpoint_id,
        CASE WHEN jsonb_typeof(j.args -> 'base') = 'number' THEN (j.args ->> 'base')::integer ELSE 0 END + j.attempt AS number,
        j.metadata ? 'cancel_attempted_at' AS to_cancel
    FROM outhook.river_job AS j
    CROSS JOIN LATERAL (SELECT a.id, NOT EXISTS (SELECT FROM outhook.leases AS l WHERE l.name = 'worker/' || a.id AND l.until >= now())
            AND EXISTS (SELECT FROM watched) AS died
        FROM (SELECT coalesce(j.attempted_by[array_upper(j.attempted_by, 1)], '') AS id) AS a) AS c
    WHERE j.state = 'running' AND ((c.died AND j.attempted_at < now() - make_interval(secs => @lease_seconds::float8))
        OR (j.kind = 'deliver' AND j.attempted_at < now() - make_interval(secs => @stuck_seconds::float8)))
    ORDER BY j.id LIMIT @max_rows FOR UPDATE OF j SKIP LOCKED
), due AS MATERIALIZED (
    SELECT s.*, coalesce(q.queue, s.queue) AS back_to, d.free, d.next_attempt_at,
        CASE WHEN s.rescues > 1 THEN least(2 ^ least(s.rescues - 1, 10), 600) ELSE 0 END AS wait
    FROM stuck AS s
    CROSS JOIN LATERAL outhook.note_lost_run(s.event_id, s.endpoint_id, s.id, s.number, s.to_cancel) AS d (free, next_attempt_at)
    LEFT JOIN LATERAL (SELECT outhook.lane_queue(n.id, n.tenant_id, n.lane, n.status, 'deliver') AS queue FROM outhook.endpoints AS n
        WHERE n.id = s.endpoint_id OFFSET 0) AS q ON s.queue IN ('deliver_slow', 'deliver_limited')
), rescued AS (
    UPDATE outhook.river_job AS j SET
        state = (CASE WHEN due.to_cancel THEN 'cancelled' WHEN t.due_at >= now() + interval '5 seconds' OR t.in_line THEN 'retryable'
            ELSE 'available' END)::outhook.river_job_state,
        finalized_at = CASE WHEN due.to_cancel THEN now() END,
        scheduled_at = CASE WHEN due.to_cancel OR t.due_at <= now() THEN j.scheduled_at ELSE t.due_at END,
        queue = due.back_to,
        errors = array_append(j.errors, jsonb_build_object('at', now(), 'attempt', j.attempt,
            'error', CASE WHEN due.died THEN 'the worker died' ELSE 'the run did not end' END, 'trace', '')),
        metadata = j.metadata || jsonb_build_object('rescues', due.rescues) || CASE WHEN due.next_attempt_at <= now() AND NOT due.to_cancel
            THEN jsonb_build_object('due', (extract(epoch FROM due.next_attempt_at) * 1000000)::bigint::text) ELSE '{}' END
            || CASE WHEN t.in_line AND NOT due.to_cancel THEN jsonb_build_object('place', (extract(epoch FROM
                CASE WHEN due.next_attempt_at > now() THEN due.next_attempt_at ELSE j.scheduled_at END) * 1000000)::bigint::text) ELSE '{}' END
    FROM due CROSS JOIN LATERAL (SELECT v.due_at, v.due_at > now() AND (due.back_to LIKE 'endpoint-%' OR due.back_to LIKE 'bulk-%') AS in_line
        FROM (SELECT greatest(due.next_attempt_at, now() + make_interval(secs => due.wait)) AS due_at) AS v) AS t
    WHERE j.id = due.id AND due.free
    RETURNING due.client_id, due.died, due.wait, CASE WHEN j.queue LIKE 'bulk-%' THEN 'deliver_bulk' ELSE j.queue END AS queue
)
SELECT r.client_id::text AS client_id, r.died::boolean AS died, count(*)::integer AS jobs, max(r.wait)::float8 AS wait_seconds,
    outhook.wake(r.queue, true)::text AS notified
FROM rescued AS r GROUP BY r.client_id, r.died, r.queue;

-- name: ListLeases :many
-- The leases that hold, by name, without the one that belongs to all workers together.
SELECT l.name, l.holder, l.since, now()::timestamptz AS database_time FROM outhook.leases AS l
WHERE l.until >= now() AND l.name <> 'workers'
ORDER BY l.name LIMIT @max_rows;

-- name: CountRunning :many
-- How many deliveries run, by the client that has fetched them and by queue, and since when the oldest does.
SELECT r.client_id::text AS client_id, r.queue::text AS queue, count(*) AS jobs, coalesce(min(r.attempted_at), now())::timestamptz AS oldest_at
FROM (SELECT coalesce(j.attempted_by[array_upper(j.attempted_by, 1)], '') AS client_id,
        CASE WHEN j.queue LIKE 'bulk-%' THEN 'deliver_bulk' ELSE j.queue END AS queue, j.attempted_at
    FROM outhook.river_job AS j WHERE j.state = 'running' AND j.kind = 'deliver' LIMIT @max_jobs) AS r
GROUP BY r.client_id, r.queue ORDER BY r.client_id, r.queue;

-- name: ListPausedQueues :many
-- The queues that a person has paused, with how much of each is due, counted up to max_jobs: of deliver_bulk, with the queues
-- of bursts.
SELECT q.name, q.paused_at::timestamptz AS paused_at, (SELECT count(*) FROM (SELECT FROM outhook.river_job AS j
        WHERE j.state = 'available' AND j.queue = q.name AND j.scheduled_at <= now()
        UNION ALL SELECT FROM outhook.river_job AS j
        WHERE q.name = 'deliver_bulk' AND j.state = 'available' AND j.queue > 'bulk' AND j.queue < 'bull' AND j.queue LIKE 'bulk-%'
            AND j.scheduled_at <= now()
        LIMIT @max_jobs) AS d)::integer AS due
FROM outhook.river_queue AS q WHERE q.paused_at IS NOT NULL ORDER BY q.name LIMIT @max_rows;

-- name: CheckWorkers :one
-- Whether a worker lives, until when one was seen to look after the others (1970: never), and whether and since when there is
-- something that workers would take: due in a queue that they work and nobody has paused, or in the lane of an endpoint that
-- is enabled and whose tenant nobody has paused; or fetched and not ended. As ReadBacklog and LookAtLanes it reads the
-- beginnings of parts of the index.
WITH RECURSIVE q AS (
    (SELECT j.queue FROM outhook.river_job AS j WHERE j.state = 'available' ORDER BY j.queue LIMIT 1)
    UNION ALL
    SELECT (SELECT j.queue FROM outhook.river_job AS j WHERE j.state = 'available' AND j.queue > q.queue ORDER BY j.queue LIMIT 1)
    FROM q WHERE q.queue IS NOT NULL
), worked AS MATERIALIZED (
    SELECT k.queue FROM unnest(@queues::text[]) AS k (queue)
    WHERE NOT EXISTS (SELECT FROM outhook.river_queue AS p WHERE p.name = k.queue AND p.paused_at IS NOT NULL)
), taken AS MATERIALIZED (
    SELECT q.queue FROM q WHERE CASE WHEN q.queue LIKE 'bulk-%' THEN 'deliver_bulk' ELSE q.queue END IN (SELECT w.queue FROM worked AS w)
        OR EXISTS (SELECT FROM outhook.endpoints AS n
        -- A person may have named a queue as they like.
        WHERE n.id = CASE WHEN q.queue ~ '^endpoint-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN substring(q.queue FROM 10)::uuid END
            AND n.status = 'enabled' AND n.deleted_at IS NULL
            AND NOT EXISTS (SELECT FROM outhook.pauses AS p WHERE p.tenant_id = n.tenant_id AND p.resumed_at IS NULL))
), due AS MATERIALIZED (
    SELECT min(x.at) AS at FROM (
        SELECT (SELECT j.scheduled_at FROM outhook.river_job AS j
            WHERE j.state = 'available' AND j.queue = t.queue AND j.scheduled_at <= now()
            ORDER BY j.queue, j.priority, j.scheduled_at LIMIT 1) AS at FROM taken AS t
        UNION ALL
        (SELECT s.scheduled_at FROM outhook.river_job AS s
            WHERE s.state IN ('retryable', 'scheduled') AND s.scheduled_at <= now()
                AND CASE WHEN s.queue LIKE 'bulk-%' THEN 'deliver_bulk' ELSE s.queue END IN (SELECT w.queue FROM worked AS w)
            ORDER BY s.scheduled_at LIMIT 1)
        UNION ALL
        SELECT min(r.attempted_at) FROM outhook.river_job AS r WHERE r.state = 'running' AND r.kind = 'deliver'
    ) AS x
)
SELECT EXISTS (SELECT FROM outhook.leases AS l WHERE l.name LIKE 'worker/%' AND l.until >= now())::boolean AS live,
    coalesce((SELECT l.until FROM outhook.leases AS l WHERE l.name = 'workers'), 'epoch')::timestamptz AS seen_until,
    (due.at IS NOT NULL)::boolean AS is_due, coalesce(due.at, 'epoch')::timestamptz AS due_since
FROM due;
