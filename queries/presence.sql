-- Queries of the workers' presence: each worker process holds a session advisory lock named by its River client id. The
-- lock ends with the process, and not with a pause of it. 1869968503 is "outw" in ASCII.

-- name: TakePresence :one
SELECT pg_try_advisory_lock(hashtextextended(@client_id, 1869968503)) AS held;

-- name: ForgetSilence :exec
-- Ends the count for a client that has its lock again.
DELETE FROM outhook.silent_clients WHERE client_id = @client_id;

-- name: NoteSilentClients :many
-- Notes the clients that run deliveries or operations and do not hold their lock, but for the one that asks, and returns those that are
-- dead: silent for long enough, of which the last part could be seen without a gap. A start of the database ends what was
-- seen before. pg_locks shows a lock on a bigint as its two halves.
WITH silent AS MATERIALIZED (
    SELECT c.client_id
    FROM (SELECT j.attempted_by[array_upper(j.attempted_by, 1)] AS client_id FROM outhook.river_job AS j
        WHERE j.state = 'running' AND j.kind IN ('deliver', 'operate', 'cancel_deliveries') GROUP BY 1) AS c
    WHERE c.client_id <> @client_id::text AND hashtextextended(c.client_id, 1869968503) NOT IN (
        SELECT (l.classid::bigint << 32) | l.objid::bigint FROM pg_catalog.pg_locks AS l
        WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
            AND l.database = (SELECT b.oid FROM pg_catalog.pg_database AS b WHERE b.datname = current_database()))
), others AS (
    DELETE FROM outhook.silent_clients AS s WHERE s.client_id NOT IN (SELECT c.client_id FROM silent AS c)
), noted AS (
    INSERT INTO outhook.silent_clients AS s (client_id, since, seen_from, seen_at)
    SELECT c.client_id, now(), now(), now() FROM silent AS c ORDER BY c.client_id
    ON CONFLICT (client_id) DO UPDATE SET seen_at = greatest(s.seen_at, excluded.seen_at),
        seen_from = CASE WHEN s.seen_at < now() - make_interval(secs => @max_gap_seconds::float8)
            OR s.seen_from < pg_catalog.pg_postmaster_start_time() THEN excluded.seen_from ELSE s.seen_from END
    RETURNING s.client_id, s.since, s.seen_from
)
SELECT n.client_id FROM noted AS n
WHERE n.since <= now() - make_interval(secs => @silence_seconds::float8)
    AND n.seen_from <= now() - make_interval(secs => @unbroken_seconds::float8);

-- name: RescueJobs :many
-- Gives up to max_rows running deliveries and operations of a dead client to others, as River's rescuer would later, and returns their
-- queues. A run that had recorded its failure keeps its place in the schedule. Due ones become available rather than
-- retryable: retryable ones wait for River's leader, and the dead process may have been that. A run that was to be
-- cancelled is.
WITH stuck AS MATERIALIZED (
    SELECT j.id,
        -- A person may have inserted a job with other arguments.
        CASE WHEN j.args ->> 'event_id' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (j.args ->> 'event_id')::uuid END AS event_id,
        CASE WHEN j.args ->> 'endpoint_id' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (j.args ->> 'endpoint_id')::uuid END AS endpoint_id
    FROM outhook.river_job AS j
    WHERE j.state = 'running' AND j.kind IN ('deliver', 'operate', 'cancel_deliveries') AND @client_id::text = j.attempted_by[array_upper(j.attempted_by, 1)]
        AND j.attempted_at < now() - make_interval(secs => @silence_seconds::float)
    ORDER BY j.id LIMIT @max_rows FOR UPDATE SKIP LOCKED
), due AS (
    SELECT s.id, greatest(d.next_attempt_at, now()) AS due_at
    FROM stuck AS s
    LEFT JOIN LATERAL (SELECT v.next_attempt_at FROM outhook.deliveries AS v WHERE v.event_id = s.event_id
        AND v.endpoint_id = s.endpoint_id AND v.job_id = s.id AND v.state = 'pending' OFFSET 0) AS d ON true
)
UPDATE outhook.river_job AS j SET
    state = (CASE WHEN j.metadata ? 'cancel_attempted_at' THEN 'cancelled' WHEN due.due_at > now() THEN 'retryable'
        ELSE 'available' END)::outhook.river_job_state,
    finalized_at = CASE WHEN j.metadata ? 'cancel_attempted_at' THEN now() END,
    scheduled_at = CASE WHEN j.metadata ? 'cancel_attempted_at' THEN j.scheduled_at ELSE due.due_at END,
    errors = array_append(j.errors, jsonb_build_object('at', now(), 'attempt', j.attempt, 'error', 'the worker died', 'trace', '')),
    metadata = j.metadata || jsonb_build_object('river:rescue_count', CASE
        WHEN jsonb_typeof(j.metadata -> 'river:rescue_count') = 'number' THEN (j.metadata ->> 'river:rescue_count')::integer
        ELSE 0 END + 1)
FROM due WHERE j.id = due.id
RETURNING j.queue;
