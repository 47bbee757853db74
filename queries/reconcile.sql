-- Queries of reconcile and doctor: what must hold between deliveries, River's jobs and partitions. Each examines a window
-- in one statement, and so in one snapshot: a delivery and its job that are settled by one commit are seen as they were
-- before it or after it. What is pending, and what a job is of, is looked for among the events from low to high, so that the
-- partitions of a few days are locked at a time.

-- name: FindBrokenDeliveries :one
-- Examines up to max_rows pending deliveries whose job id is above after, in that order, and returns those whose job does
-- not work for them. last_job_id is where the next window begins. OFFSET 0 keeps the planner from working problem out anew
-- wherever it stands (measured: 27 µs a row instead of 4).
SELECT count(*)::integer AS examined, coalesce(max(c.job_id), 0)::bigint AS last_job_id,
    coalesce(array_agg(c.event_id) FILTER (WHERE c.problem <> ''), '{}')::uuid[] AS event_ids,
    coalesce(array_agg(c.endpoint_id) FILTER (WHERE c.problem <> ''), '{}')::uuid[] AS endpoint_ids,
    coalesce(array_agg(c.problem) FILTER (WHERE c.problem <> ''), '{}')::text[] AS problems
FROM (
    SELECT w.event_id, w.endpoint_id, w.job_id, CASE
        WHEN j.state IN ('available', 'retryable', 'scheduled') AND j.queue <> ALL (@worked_queues::text[]) AND j.queue NOT LIKE 'bulk-%'
            AND n.cancel_since IS NULL AND (j.queue <> 'endpoint-' || n.id OR n.deleted_at IS NOT NULL OR NOT (n.status = 'paused' OR (n.status = 'enabled'
                -- The pacer brings jobs out of the queue of an endpoint that was enabled, or whose lane was closed, just now.
                AND (n.lane IN ('slow', 'limited') OR n.lane_changed_at > now() - interval '5 min'
                    OR n.status_changed_at > now() - interval '5 min'))
                OR EXISTS (SELECT FROM outhook.pauses AS p WHERE p.tenant_id = n.tenant_id
                    AND coalesce(p.resumed_at, now()) > now() - interval '5 min')))
            THEN 'deliveries_in_idle_queues'
        WHEN j.state IN ('running', 'available', 'retryable', 'scheduled') OR j.state = 'pending' AND j.queue = 'line-' || encode(j.unique_key, 'hex') THEN ''
        WHEN n.id IS NULL OR NOT EXISTS (SELECT FROM outhook.events AS e
            WHERE e.id = w.event_id AND e.id >= @low::uuid AND e.id < @high::uuid)
            THEN 'deliveries_without_event'
        WHEN j.state = 'cancelled' THEN 'deliveries_of_cancelled_jobs'
        ELSE 'deliveries_without_job'
    END AS problem
    FROM (SELECT p.event_id, p.endpoint_id, p.job_id FROM outhook.deliveries AS p
        WHERE p.state = 'pending' AND p.event_id >= @low AND p.event_id < @high AND p.job_id > @after
        ORDER BY p.job_id LIMIT @max_rows) AS w
    LEFT JOIN outhook.river_job AS j ON j.id = w.job_id
    LEFT JOIN outhook.endpoints AS n ON n.id = w.endpoint_id
    OFFSET 0
) AS c;

-- name: LockPendingDeliveries :many
-- The first step of a repair. A delivery that is locked is being settled, replayed or cancelled at this moment.
SELECT d.event_id, d.endpoint_id
FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@endpoint_ids::uuid[]) AS endpoint_id) AS k
JOIN outhook.deliveries AS d ON d.event_id = k.event_id AND d.endpoint_id = k.endpoint_id
    AND d.event_id BETWEEN @low::uuid AND @high::uuid
WHERE d.state = 'pending'
FOR UPDATE OF d SKIP LOCKED;

-- name: ClassifyDeliveries :many
-- The second step: a new statement, whose snapshot is younger than the locks. Nobody can settle these deliveries any
-- more, so what it says of their jobs holds. number is the highest attempt number that was given away.
SELECT d.event_id, d.endpoint_id, d.job_id, now()::timestamptz AS database_time,
    greatest(d.attempt_count, coalesce((j.args ->> 'base')::integer, 0) + coalesce(j.attempt, 0))::integer AS number,
    coalesce(j.args ? 'base' AND NOT j.args ? 'repaired', false)::boolean AS replay,
    (CASE
        WHEN j.state IN ('available', 'retryable', 'scheduled') AND j.queue <> ALL (@worked_queues::text[]) AND j.queue NOT LIKE 'bulk-%'
            AND n.cancel_since IS NULL AND (j.queue <> 'endpoint-' || n.id OR n.deleted_at IS NOT NULL OR NOT (n.status = 'paused' OR (n.status = 'enabled'
                -- The pacer brings jobs out of the queue of an endpoint that was enabled, or whose lane was closed, just now.
                AND (n.lane IN ('slow', 'limited') OR n.lane_changed_at > now() - interval '5 min'
                    OR n.status_changed_at > now() - interval '5 min'))
                OR EXISTS (SELECT FROM outhook.pauses AS p WHERE p.tenant_id = n.tenant_id
                    AND coalesce(p.resumed_at, now()) > now() - interval '5 min')))
            THEN 'deliveries_in_idle_queues'
        WHEN j.state IN ('running', 'available', 'retryable', 'scheduled') OR j.state = 'pending' AND j.queue = 'line-' || encode(j.unique_key, 'hex') THEN ''
        WHEN n.id IS NULL OR NOT EXISTS (SELECT FROM outhook.events AS e
            WHERE e.id = d.event_id AND e.id BETWEEN @low::uuid AND @high::uuid)
            THEN 'deliveries_without_event'
        WHEN j.state = 'cancelled' THEN 'deliveries_of_cancelled_jobs'
        ELSE 'deliveries_without_job'
    END)::text AS problem
FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@endpoint_ids::uuid[]) AS endpoint_id) AS k
JOIN outhook.deliveries AS d ON d.event_id = k.event_id AND d.endpoint_id = k.endpoint_id
    AND d.event_id BETWEEN @low::uuid AND @high::uuid
LEFT JOIN outhook.river_job AS j ON j.id = d.job_id
LEFT JOIN outhook.endpoints AS n ON n.id = d.endpoint_id;

-- name: ReplaceJobs :exec
-- Gives each delivery a new job, due when its next attempt is. base: the attempt number that the job counts from. replay:
-- the lost job was that of a person's order. What is in line waits at its place there, before what has the same one, and not before its
-- time: it may have been live.
WITH k AS MATERIALIZED (
    SELECT r.event_id, r.endpoint_id, r.base, r.replay, d.next_attempt_at, nextval('outhook.river_job_id_seq') AS job_id,
        CASE WHEN e.ordering_key IS NOT NULL OR n.ordered <> '' THEN outhook.line_key(n.id, e.ordering_key) END AS line,
        coalesce(e.deliver_at, outhook.uuid_v7_time(d.event_id)) - interval '1 microsecond' AS place
    FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@endpoint_ids::uuid[]) AS endpoint_id,
            unnest(@bases::integer[]) AS base, unnest(@replays::boolean[]) AS replay) AS r
    JOIN outhook.deliveries AS d ON d.event_id = r.event_id AND d.endpoint_id = r.endpoint_id
        AND d.event_id BETWEEN @low::uuid AND @high::uuid
    JOIN outhook.endpoints AS n ON n.id = d.endpoint_id
    LEFT JOIN LATERAL (SELECT s.ordering_key, s.deliver_at FROM outhook.events AS s
        WHERE s.id = d.event_id AND s.id BETWEEN @low::uuid AND @high::uuid OFFSET 0) AS e ON true
), job_rows AS (
    INSERT INTO outhook.river_job (id, kind, args, max_attempts, queue, state, scheduled_at, unique_key, unique_states, metadata)
    SELECT k.job_id, 'deliver', jsonb_build_object('event_id', k.event_id, 'endpoint_id', k.endpoint_id, 'base', k.base)
            || CASE WHEN k.replay THEN '{}' ELSE '{"repaired": true}' END::jsonb,
        1000, CASE WHEN k.line IS NULL THEN 'deliver' ELSE 'line-' || encode(k.line, 'hex') END,
        CASE WHEN k.line IS NOT NULL THEN 'pending' WHEN k.next_attempt_at > now() THEN 'scheduled' ELSE 'available' END::outhook.river_job_state,
        CASE WHEN k.line IS NULL THEN coalesce(k.next_attempt_at, now()) ELSE k.place END, k.line,
        CASE WHEN k.line IS NOT NULL THEN B'11100001' END,
        CASE WHEN k.line IS NULL THEN '{}' ELSE jsonb_strip_nulls(jsonb_build_object('sequence', (SELECT CASE WHEN a.request_headers ->> 'outhook-sequence' ~ '^[0-9]{1,18}$'
            THEN (a.request_headers ->> 'outhook-sequence')::bigint END FROM outhook.delivery_attempts AS a WHERE a.event_id = k.event_id
                AND a.endpoint_id = k.endpoint_id AND a.event_id BETWEEN @low::uuid AND @high::uuid
            ORDER BY a.number DESC LIMIT 1)))
            || CASE WHEN k.next_attempt_at > now() THEN jsonb_build_object('after', (extract(epoch FROM k.next_attempt_at) * 1000000)::bigint::text) ELSE '{}' END END
    FROM k
)
UPDATE outhook.deliveries AS d SET job_id = k.job_id FROM k
WHERE d.event_id = k.event_id AND d.endpoint_id = k.endpoint_id AND d.event_id BETWEEN @low::uuid AND @high::uuid;

-- name: CancelDeliveries :exec
-- number: the highest attempt number that was given away, which has its row by now.
UPDATE outhook.deliveries AS d SET state = 'cancelled', reason = @reason::text, next_attempt_at = NULL, completed_at = now(),
    attempt_count = greatest(d.attempt_count, k.number)
FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@endpoint_ids::uuid[]) AS endpoint_id,
        unnest(@numbers::integer[]) AS number) AS k
WHERE d.event_id = k.event_id AND d.endpoint_id = k.endpoint_id AND d.event_id BETWEEN @low::uuid AND @high::uuid;

-- name: ListJobDays :one
-- Looks through up to max_rows live jobs, with those that wait in lines, whose id is above after, in that order, and returns the days of their events, counted
-- from 1970. last_job_id is where the next window begins.
SELECT count(*)::integer AS examined, coalesce(max(w.id), 0)::bigint AS last_job_id,
    coalesce(array_agg(DISTINCT (outhook.uuid_v7_time(w.event_id) AT TIME ZONE 'UTC')::date - '1970-01-01'::date), '{}')::integer[] AS days
FROM (SELECT j.id, CASE WHEN j.args ->> 'event_id' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
            THEN j.args ->> 'event_id' ELSE '00000000-0000-7000-8000-000000000000' END::uuid AS event_id
    FROM outhook.river_job AS j
    WHERE j.kind = 'deliver' AND j.state IN ('running', 'available', 'retryable', 'scheduled', 'pending') AND j.id > @after
    ORDER BY j.id LIMIT @max_rows) AS w;

-- name: FindStrayJobs :one
-- Examines the live jobs whose id is above after and at most upto and whose event is one from low to high, and returns those
-- without a pending delivery of theirs. A job without any ends by itself when it is fetched, so it is a stray only if that does
-- not happen. A live job of a settled delivery is River UI's Retry that waits for its turn. A person may have inserted a job
-- with other arguments: its event counts as one of 1970.
SELECT coalesce(array_agg(c.id) FILTER (WHERE c.problem <> ''), '{}')::bigint[] AS job_ids,
    coalesce(array_agg(c.problem) FILTER (WHERE c.problem <> ''), '{}')::text[] AS problems
FROM (
    SELECT w.id, CASE
        WHEN d.job_id = w.id AND d.state <> 'pending' THEN 'jobs_of_settled_deliveries'
        WHEN d.job_id = w.id OR w.state = 'running' THEN ''
        WHEN (w.queue <> ALL (@worked_queues::text[]) AND w.queue NOT LIKE 'bulk-%') OR w.scheduled_at < now() - interval '1 minute' THEN 'jobs_without_delivery'
        ELSE ''
    END AS problem
    FROM (SELECT j.id, j.state, j.queue, j.scheduled_at,
            CASE WHEN j.args ->> 'event_id' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                THEN j.args ->> 'event_id' ELSE '00000000-0000-7000-8000-000000000000' END::uuid AS event_id,
            CASE WHEN j.args ->> 'endpoint_id' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (j.args ->> 'endpoint_id')::uuid END AS endpoint_id
        FROM outhook.river_job AS j
        WHERE j.kind = 'deliver' AND j.state IN ('running', 'available', 'retryable', 'scheduled', 'pending')
            AND j.id > @after AND j.id <= @upto
        ORDER BY j.id OFFSET 0) AS w
    LEFT JOIN LATERAL (SELECT s.job_id, s.state FROM outhook.deliveries AS s
        WHERE s.event_id = w.event_id AND s.endpoint_id = w.endpoint_id
            AND s.event_id >= @low::uuid AND s.event_id < @high::uuid OFFSET 0) AS d ON true
    WHERE w.event_id >= @low AND w.event_id < @high
    OFFSET 0
) AS c;

-- name: CancelStrayJobs :exec
-- A job that owns no delivery never comes to own one, so what was found earlier still holds. One that somebody holds is for
-- a later run.
UPDATE outhook.river_job AS j SET state = 'cancelled', finalized_at = now()
FROM (SELECT s.id FROM outhook.river_job AS s WHERE s.id = ANY (@job_ids::bigint[])
        AND s.state IN ('available', 'retryable', 'scheduled', 'pending') FOR UPDATE SKIP LOCKED) AS k
WHERE j.id = k.id;

-- name: GetLogDays :one
-- The first and the last day of which there is a partition of deliveries, counted from 1970; from 0 to -1 if there is none.
SELECT coalesce(min(c.day) - '1970-01-01', 0)::integer AS first, coalesce(max(c.day) - '1970-01-01', -1)::integer AS last
FROM (SELECT to_date(right(r.relname, 8), 'YYYYMMDD') AS day FROM pg_catalog.pg_inherits AS i
    JOIN pg_catalog.pg_class AS r ON r.oid = i.inhrelid AND r.relname ~ '_p[0-9]{8}$'
    WHERE i.inhparent = 'outhook.deliveries'::regclass) AS c;

-- name: ListInterruptedDetaches :many
-- Partitions whose DETACH CONCURRENTLY ended in the middle: while one is left, no other partition of its table can be
-- detached. One that still goes on holds no lock on any table while it waits; its statement tells. Who may not see others'
-- statements can't tell either, and finds none: that is, everybody but the owner while others are connected.
SELECT p.relname::text AS parent, c.relname::text AS name
FROM pg_catalog.pg_inherits AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
JOIN pg_catalog.pg_class AS p ON p.oid = i.inhparent
WHERE i.inhdetachpending AND c.relnamespace = 'outhook'::regnamespace AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_stat_activity AS a WHERE a.datname = current_database() AND a.state = 'active'
        AND a.pid <> pg_backend_pid() AND a.query ~* '\ydetach\s+partition\y'
    UNION ALL
    SELECT FROM pg_catalog.pg_stat_activity AS a
    WHERE a.datname = current_database() AND a.query = '<insufficient privilege>')
ORDER BY c.relname;

-- name: ListLateJobs :many
-- Up to max_rows deliveries that trouble of ours has kept for more than min_seconds behind their time, by the index that only
-- such jobs are in: <event id>/<endpoint id>.
SELECT concat_ws('/', j.args ->> 'event_id', j.args ->> 'endpoint_id')::text AS delivery
FROM outhook.river_job AS j
WHERE j.metadata ? 'due' AND j.finalized_at IS NULL AND (j.metadata ->> 'due') COLLATE "C"
    < (extract(epoch FROM now() - make_interval(secs => @min_seconds::float8)) * 1000000)::bigint::text
ORDER BY j.queue, (j.metadata ->> 'due') COLLATE "C" LIMIT @max_rows;

-- name: CheckSequences :one
-- The names of the sequences whose next value is in their column already; with repair they are set.
SELECT outhook.check_sequences(@repair)::text[] AS names;

-- name: CountLocks :one
-- How many locks the server has room for, and how many a statement takes that reads the log without a bound: one for each of
-- its tables and indexes.
SELECT (current_setting('max_locks_per_transaction')::bigint
        * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint))::bigint AS room,
    (SELECT count(*) FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = 'outhook'::regnamespace AND c.relkind IN ('r', 'p', 'i', 'I')
            AND c.relname ~ '^(events|deliveries|delivery_attempts)_')::bigint AS wanted;

-- name: ListVacuumHolders :many
-- Who keeps vacuum from removing dead rows of this database, since more than min_seconds: the oldest first, 5 at most. What a
-- standby holds for its own queries has no time: it counts from 10,000 transactions on. Who is not in pg_read_all_stats sees
-- his own sessions only.
SELECT h.holder::text AS holder
FROM (
    SELECT a.xact_start AS since, format('the session %s of %s (%L), in a transaction since %s', a.pid, a.usename,
            left(a.application_name, 60), outhook.rfc3339(a.xact_start)) AS holder
    FROM pg_catalog.pg_stat_activity AS a
    WHERE a.datname = current_database() AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
        AND a.backend_type <> 'autovacuum worker' AND a.query !~* '^\s*vacuum' AND a.pid <> pg_backend_pid()
        AND a.xact_start < now() - make_interval(secs => @min_seconds::float8)
    UNION ALL
    SELECT p.prepared, format('the prepared transaction %L of %s, since %s', left(p.gid, 60), p.owner, outhook.rfc3339(p.prepared))
    FROM pg_catalog.pg_prepared_xacts AS p
    WHERE p.database = current_database() AND p.prepared < now() - make_interval(secs => @min_seconds::float8)
    UNION ALL
    SELECT NULL, format('the replication slot %L, %s transactions behind', s.slot_name, age(s.xmin))
    FROM pg_catalog.pg_replication_slots AS s WHERE age(s.xmin) > 10000
    UNION ALL
    SELECT NULL, format('the standby %L (hot_standby_feedback), %s transactions behind', left(r.application_name, 60), age(r.backend_xmin))
    FROM pg_catalog.pg_stat_replication AS r WHERE age(r.backend_xmin) > 10000
) AS h
ORDER BY h.since NULLS FIRST LIMIT 5;
