-- Queries of the metrics. They run at most every 10 s in a process, and none reads more than a bounded part of a table.

-- name: ReadBacklog :many
-- The depth of each kind of queue by state, counted up to max_jobs, and for how long the oldest job that is due has waited.
-- Kind and state are a range of River's index (state, queue, priority, scheduled_at, id), whose order the subquery has:
-- a queue of millions costs no more than max_jobs of its entries. The lanes are endpoint-<id>. deliver_bulk is the sum of the
-- tenants' queues of bursts and itself; its oldest job may be the first of any, so each is looked at. line: what waits in lines.
WITH RECURSIVE b AS (
    (SELECT j.queue, j.scheduled_at, 1 AS n FROM outhook.river_job AS j
        WHERE j.state = 'available' AND j.queue > 'bulk' AND j.queue < 'bull' ORDER BY j.queue, j.priority, j.scheduled_at LIMIT 1)
    UNION ALL
    SELECT t.queue, t.scheduled_at, b.n + 1 FROM b
    CROSS JOIN LATERAL (SELECT j.queue, j.scheduled_at FROM outhook.river_job AS j
        WHERE j.state = 'available' AND j.queue > b.queue AND j.queue < 'bull' ORDER BY j.queue, j.priority, j.scheduled_at LIMIT 1) AS t
    WHERE b.n < @max_jobs
)
SELECT k.queue::text AS queue, s.state::text AS state, least(sum(c.n), @max_jobs)::bigint AS jobs,
    greatest(0, extract(epoch FROM clock_timestamp() - least(min(c.oldest),
        CASE WHEN k.queue = 'deliver_bulk' AND s.state = 'available' THEN (SELECT min(b.scheduled_at) FROM b) END)))::float8 AS oldest_seconds
FROM (VALUES ('deliver', 'deliver', 'deliver'), ('deliver_bulk', 'deliver_bulk', 'deliver_bulk'), ('deliver_bulk', 'bulk', 'bull'),
    ('deliver_slow', 'deliver_slow', 'deliver_slow'), ('deliver_limited', 'deliver_limited', 'deliver_limited'),
    ('lane', 'endpoint', 'endpoinu'), ('line', 'line-', 'linf')) AS k (queue, low, high)
JOIN (VALUES ('available'::outhook.river_job_state), ('retryable'), ('scheduled'), ('running'), ('pending')) AS s (state)
    ON (k.queue = 'line') = (s.state = 'pending')
CROSS JOIN LATERAL (
    SELECT count(*) AS n, min(j.scheduled_at) AS oldest FROM (
        SELECT v.scheduled_at FROM outhook.river_job AS v
        WHERE v.state = s.state AND v.queue >= k.low AND v.queue <= k.high
        ORDER BY v.queue, v.priority, v.scheduled_at LIMIT @max_jobs
    ) AS j
) AS c
GROUP BY k.queue, s.state;

-- name: ListLate :many
-- For how long the delivery has been due that trouble of ours (a key that is missing, a database that refuses) keeps longest
-- from being sent, by kind of queue. Its run was given back, and its job waits for a later time now than the delivery's own, which
-- its metadata say. Each is the first of its queue in an index that holds such jobs only.
SELECT k.queue::text AS queue,
    max(greatest(0, extract(epoch FROM clock_timestamp()) - c.due::bigint / 1000000.0))::float8 AS late_seconds
FROM (VALUES ('deliver', 'deliver', 'deliver', 1), ('deliver_bulk', 'deliver_bulk', 'deliver_bulk', 1),
    ('deliver_bulk', 'bulk', 'bull', @max_jobs::integer),
    ('deliver_slow', 'deliver_slow', 'deliver_slow', 1), ('deliver_limited', 'deliver_limited', 'deliver_limited', 1),
    ('lane', 'endpoint', 'endpoinu', @max_jobs)) AS k (queue, low, high, most)
CROSS JOIN LATERAL (
    SELECT min(j.due) AS due FROM (
        SELECT (v.metadata ->> 'due') COLLATE "C" AS due FROM outhook.river_job AS v
        WHERE v.metadata ? 'due' AND v.finalized_at IS NULL AND v.queue >= k.low AND v.queue <= k.high
            AND v.metadata ->> 'due' ~ '^[0-9]{16}$'
        ORDER BY v.queue, (v.metadata ->> 'due') COLLATE "C" LIMIT k.most
    ) AS j
) AS c
WHERE c.due IS NOT NULL
GROUP BY k.queue;

-- name: ListPausedNames :many
-- The queues that a person has paused.
SELECT q.name FROM outhook.river_queue AS q WHERE q.paused_at IS NOT NULL;

-- name: CountInserts :many
-- How many rows Postgres has counted as inserted into each partition of events and deliveries, by any publisher: its
-- cumulative statistics, so no table is read.
SELECT h.inhrelid::bigint AS partition_id, (h.inhparent = 'outhook.events'::regclass)::boolean AS is_event,
    pg_stat_get_tuples_inserted(h.inhrelid)::bigint AS inserts
FROM pg_catalog.pg_inherits AS h WHERE h.inhparent IN ('outhook.events'::regclass, 'outhook.deliveries'::regclass);

-- name: CountPartitionsAhead :one
-- The days after today (UTC) for which each of the three log tables has a partition.
SELECT count(*)::integer AS days FROM (
    SELECT FROM pg_catalog.pg_inherits AS h
    JOIN pg_catalog.pg_class AS c ON c.oid = h.inhrelid AND c.relname ~ '_p[0-9]{8}$'
    WHERE h.inhparent IN ('outhook.events'::regclass, 'outhook.deliveries'::regclass, 'outhook.delivery_attempts'::regclass)
        AND right(c.relname, 8) > to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')
    GROUP BY right(c.relname, 8) HAVING count(*) = 3
) AS d;

-- name: ReadUpkeep :one
-- What people would have to watch by hand. oldest_day: how many days ago the oldest partition's was. held_seconds and
-- held_transactions: how old the oldest snapshot or transaction is that keeps vacuum from removing dead rows of this database, as
-- in ListVacuumHolders; what a slot or a standby holds has no time. paused_all and paused_tenant: since when, in seconds since
-- 1970, 0: not; of tenants the first that is.
SELECT coalesce((now() AT TIME ZONE 'UTC')::date - (SELECT min(to_date(right(c.relname, 8), 'YYYYMMDD')) FROM pg_catalog.pg_inherits AS h
        JOIN pg_catalog.pg_class AS c ON c.oid = h.inhrelid AND c.relname ~ '_p[0-9]{8}$'
        WHERE h.inhparent IN ('outhook.events'::regclass, 'outhook.deliveries'::regclass, 'outhook.delivery_attempts'::regclass)), 0)::integer AS oldest_day,
    coalesce(pg_stat_get_dead_tuples('outhook.river_job'::regclass), 0)::bigint AS dead_jobs,
    coalesce(max(extract(epoch FROM clock_timestamp() - k.since)), 0)::float8 AS held_seconds, coalesce(max(k.behind), 0)::bigint AS held_transactions,
    coalesce((SELECT extract(epoch FROM p.paused_at) FROM outhook.pauses AS p WHERE p.tenant_id = '' AND p.resumed_at IS NULL
        AND EXISTS (SELECT FROM outhook.river_queue AS q WHERE q.paused_at = p.paused_at)), 0)::float8 AS paused_all,
    coalesce((SELECT min(extract(epoch FROM p.paused_at)) FROM outhook.pauses AS p WHERE p.tenant_id <> '' AND p.resumed_at IS NULL), 0)::float8 AS paused_tenant,
    (SELECT count(*) FROM outhook.pauses AS p WHERE p.tenant_id <> '' AND p.resumed_at IS NULL)::bigint AS paused_tenants
FROM (
    SELECT a.xact_start AS since, greatest(age(a.backend_xmin), age(a.backend_xid)) AS behind FROM pg_catalog.pg_stat_activity AS a
    WHERE a.datname = current_database() AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
        AND a.backend_type <> 'autovacuum worker' AND a.query !~* '^\s*vacuum' AND a.pid <> pg_backend_pid()
    UNION ALL
    SELECT p.prepared, age(p.transaction) FROM pg_catalog.pg_prepared_xacts AS p WHERE p.database = current_database()
    UNION ALL
    SELECT NULL, age(s.xmin) FROM pg_catalog.pg_replication_slots AS s
    UNION ALL
    SELECT NULL, age(r.backend_xmin) FROM pg_catalog.pg_stat_replication AS r
) AS k;

-- name: GetOldestDay :one
-- How many days ago the oldest partition's was, of days that are not held.
SELECT coalesce((now() AT TIME ZONE 'UTC')::date - (SELECT min(d.day) FROM (
        SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day FROM pg_catalog.pg_inherits AS h
        JOIN pg_catalog.pg_class AS c ON c.oid = h.inhrelid AND c.relname ~ '_p[0-9]{8}$'
        WHERE h.inhparent IN ('outhook.events'::regclass, 'outhook.deliveries'::regclass, 'outhook.delivery_attempts'::regclass)) AS d
    WHERE d.day <> ALL (@held::date[])), 0)::integer AS oldest_day;

-- name: CountEndpointsByState :many
-- Endpoints that are not deleted, by their status, and those that are enabled by their health, counted up to max_rows together.
SELECT k.state::text AS state, count(v.state) AS endpoints
FROM (VALUES ('healthy'), ('failing'), ('paused'), ('disabled')) AS k (state)
LEFT JOIN (
    SELECT CASE WHEN n.status = 'enabled' THEN coalesce(h.state, 'healthy') ELSE n.status::text END AS state
    FROM (SELECT s.id, s.status FROM outhook.endpoints AS s WHERE s.deleted_at IS NULL ORDER BY s.tenant_id, s.id LIMIT @max_rows) AS n
    LEFT JOIN outhook.endpoint_health AS h ON h.endpoint_id = n.id
) AS v ON v.state = k.state
GROUP BY k.state;
