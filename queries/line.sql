-- Queries of lines: what an endpoint gets one at a time (docs/decisions.md, "Order is a line of jobs").

-- name: ReleaseLines :one
-- Releases the next delivery of each line of which nothing is live, and returns how many it released, and in which queues. notify: tell
-- the workers of all processes. No commit waits for the disk: what is lost is released again.
WITH s AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true) AS off
), r AS MATERIALIZED (
    SELECT v.queue, v.jobs FROM s CROSS JOIN LATERAL outhook.release_lines(@keys::bytea[]) AS v (queue, jobs) WHERE s.off <> ''
), w AS MATERIALIZED (
    -- The pacer looks at lanes by itself.
    SELECT outhook.wake(r.queue, true) FROM r WHERE @notify::boolean AND r.queue IN ('deliver', 'deliver_bulk')
)
SELECT (coalesce((SELECT sum(r.jobs) FROM r), 0) + 0 * (SELECT count(*) FROM w))::integer AS jobs,
    coalesce((SELECT array_agg(r.queue) FROM r), '{}')::text[] AS queues;

-- name: HasLines :one
-- Whether there are lines, or have been: the pacer looks at them then.
SELECT (EXISTS (SELECT FROM outhook.lines)
    OR EXISTS (SELECT FROM outhook.river_job AS j WHERE j.state = 'pending' AND j.queue > 'line-' AND j.queue < 'linf'))::boolean AS lines;

-- name: FindStandingLines :one
-- Of the lines behind a queue, up to max_rows that have something waiting, those that stand: nothing of them is live though something
-- is due, and their endpoint is not paused. looked: how many it has looked at, the last in last_queue. The recursion skips from one
-- queue to the next in the index, however much waits in each.
WITH RECURSIVE q AS (
    (SELECT j.queue, 1 AS n FROM outhook.river_job AS j
        WHERE j.state = 'pending' AND j.queue > greatest(@after::text, 'line-') AND j.queue < 'linf' ORDER BY j.queue LIMIT 1)
    UNION ALL
    SELECT t.queue, q.n + 1 FROM q
    CROSS JOIN LATERAL (SELECT j.queue FROM outhook.river_job AS j
        WHERE j.state = 'pending' AND j.queue > q.queue AND j.queue < 'linf' ORDER BY j.queue LIMIT 1) AS t
    WHERE q.n < @max_rows::integer
), k AS MATERIALIZED (
    -- A person may have named a queue as they like.
    SELECT q.queue, q.n, CASE WHEN q.queue ~ '^line-[0-9a-f]{32}$' THEN decode(substring(q.queue FROM 6), 'hex') END AS key FROM q
), l AS MATERIALIZED (
    -- A subquery that is no join, so that it is a look into the index, whatever the statistics say.
    SELECT k.*, coalesce((SELECT true FROM outhook.river_job AS j WHERE j.unique_key = k.key AND j.unique_states IS NOT NULL
        AND outhook.river_job_state_in_bitmask(j.unique_states, j.state) LIMIT 1), false) AS live
    FROM k
), v AS MATERIALIZED (
    SELECT k.queue, k.n, k.key, n.stands FROM l AS k
    LEFT JOIN LATERAL (
        SELECT true AS stands
        FROM (SELECT j.scheduled_at,
                CASE WHEN j.args ->> 'endpoint_id' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (j.args ->> 'endpoint_id')::uuid END AS endpoint_id
            FROM outhook.river_job AS j WHERE j.state = 'pending' AND j.queue = k.queue AND j.unique_key = k.key AND NOT k.live
            ORDER BY j.priority, j.scheduled_at, j.id LIMIT 1) AS h
        LEFT JOIN LATERAL (SELECT e.status <> 'disabled' AND e.deleted_at IS NULL AND (e.status = 'paused'
                OR EXISTS (SELECT FROM outhook.pauses AS p WHERE p.tenant_id = e.tenant_id AND p.resumed_at IS NULL)) AS paused
            FROM outhook.endpoints AS e WHERE e.id = h.endpoint_id OFFSET 0) AS e ON true
        WHERE h.scheduled_at <= clock_timestamp() AND e.paused IS NOT TRUE
        OFFSET 0
    ) AS n ON true
)
SELECT count(*)::integer AS looked, coalesce((array_agg(v.queue ORDER BY v.n DESC))[1], '')::text AS last_queue,
    coalesce(array_agg(v.key ORDER BY v.n) FILTER (WHERE v.stands), '{}')::bytea[] AS keys
FROM v;

-- name: BlockEndpoint :one
-- Pauses an endpoint whose line is to stand when a schedule is used up. key: the line; that of an ordering key goes on. No row: it
-- is no such endpoint, or is paused or ended already.
UPDATE outhook.endpoints
SET status = 'paused', status_reason = @reason, status_changed_at = now(), updated_at = greatest(now(), updated_at + interval '1 us')
WHERE id = @id AND ordered = 'block' AND status = 'enabled' AND deleted_at IS NULL
    AND outhook.line_key(id, NULL) = @key::bytea
RETURNING *;

-- name: ForgetLines :execrows
-- Forgets what was released of lines that have released nothing for an age and have nothing left. Their numbers begin anew.
DELETE FROM outhook.lines AS l
USING (SELECT s.key FROM outhook.lines AS s
    WHERE s.released_at < now() - make_interval(secs => @age_seconds::float8)
        AND (SELECT true FROM outhook.river_job AS j WHERE j.state = 'pending' AND j.queue = 'line-' || encode(s.key, 'hex') LIMIT 1) IS NULL
        AND (SELECT true FROM outhook.river_job AS j WHERE j.unique_key = s.key AND j.unique_states IS NOT NULL
            AND outhook.river_job_state_in_bitmask(j.unique_states, j.state) LIMIT 1) IS NULL
    LIMIT @max_rows::integer FOR UPDATE SKIP LOCKED) AS k
WHERE l.key = k.key;
