-- Queries on the rollups: what happened, added up by time. Whoever reads adds rows up.

-- name: InsertRollups :exec
-- A process's rows of minutes. part, drawn for each call, tells them from others of the same time. 0 and '' stand for none.
INSERT INTO outhook.rollups (endpoint_id, tenant_id, at, seconds, part, succeeded, rejected, timed_out, unreachable, blocked, unknown,
    delivered, failed, cancelled, first_latency, duration)
SELECT r.endpoint_id, r.tenant_id, r.at, 60, @part, nullif(r.succeeded, 0), nullif(r.rejected, 0), nullif(r.timed_out, 0),
    nullif(r.unreachable, 0), nullif(r.blocked, 0), nullif(r.unknown, 0), nullif(r.delivered, 0), nullif(r.failed, 0),
    nullif(r.cancelled, 0), nullif(r.first_latency, '')::integer[], nullif(r.duration, '')::integer[]
FROM (SELECT unnest(@endpoint_ids::uuid[]) AS endpoint_id, unnest(@tenant_ids::text[]) AS tenant_id, unnest(@ats::timestamptz[]) AS at,
        unnest(@succeeded::integer[]) AS succeeded, unnest(@rejected::integer[]) AS rejected,
        unnest(@timed_out::integer[]) AS timed_out, unnest(@unreachable::integer[]) AS unreachable,
        unnest(@blocked::integer[]) AS blocked, unnest(@unknown::integer[]) AS unknown,
        unnest(@delivered::integer[]) AS delivered, unnest(@failed::integer[]) AS failed,
        unnest(@cancelled::integer[]) AS cancelled, unnest(@first_latencies::text[]) AS first_latency,
        unnest(@durations::text[]) AS duration) AS r;

-- name: OldestRollup :one
-- The beginning of the oldest hour whose rows of some seconds are all older than an age.
SELECT date_trunc('hour', r.at, 'UTC')::timestamptz AS begin FROM outhook.rollups AS r
WHERE r.seconds = @seconds AND r.at < date_trunc('hour', now() - make_interval(secs => @age_seconds::float8), 'UTC')
ORDER BY r.at LIMIT 1;

-- name: FoldRollups :exec
-- Makes the rows of a time one for each subject and coarser stretch.
WITH o AS (
    DELETE FROM outhook.rollups AS r
    WHERE r.seconds = @fine::integer AND r.at >= @begin::timestamptz AND r.at < @until::timestamptz RETURNING r.*
)
INSERT INTO outhook.rollups (endpoint_id, tenant_id, at, seconds, part, events, succeeded, rejected, timed_out, unreachable, blocked,
    unknown, delivered, failed, cancelled, first_latency, duration)
SELECT o.endpoint_id, o.tenant_id, date_bin(make_interval(secs => @coarse::integer), o.at, '1970-01-01 00:00:00+00'), @coarse,
    1 + floor(random() * 2147483646)::integer,
    sum(o.events), sum(o.succeeded), sum(o.rejected), sum(o.timed_out), sum(o.unreachable), sum(o.blocked), sum(o.unknown),
    sum(o.delivered), sum(o.failed), sum(o.cancelled),
    CASE WHEN count(o.first_latency) > 0 THEN ARRAY[
        sum(o.first_latency[1]), sum(o.first_latency[2]), sum(o.first_latency[3]), sum(o.first_latency[4]), sum(o.first_latency[5]),
        sum(o.first_latency[6]), sum(o.first_latency[7]), sum(o.first_latency[8]), sum(o.first_latency[9]), sum(o.first_latency[10]),
        sum(o.first_latency[11]), sum(o.first_latency[12]), sum(o.first_latency[13]), sum(o.first_latency[14]), sum(o.first_latency[15]),
        sum(o.first_latency[16]), sum(o.first_latency[17]), sum(o.first_latency[18]), sum(o.first_latency[19]), sum(o.first_latency[20]),
        sum(o.first_latency[21]), sum(o.first_latency[22]), sum(o.first_latency[23]), sum(o.first_latency[24])]::integer[] END,
    CASE WHEN count(o.duration) > 0 THEN ARRAY[
        sum(o.duration[1]), sum(o.duration[2]), sum(o.duration[3]), sum(o.duration[4]), sum(o.duration[5]),
        sum(o.duration[6]), sum(o.duration[7]), sum(o.duration[8]), sum(o.duration[9]), sum(o.duration[10]),
        sum(o.duration[11]), sum(o.duration[12]), sum(o.duration[13]), sum(o.duration[14]), sum(o.duration[15]),
        sum(o.duration[16]), sum(o.duration[17]), sum(o.duration[18]), sum(o.duration[19]), sum(o.duration[20]),
        sum(o.duration[21]), sum(o.duration[22]), sum(o.duration[23]), sum(o.duration[24])]::integer[] END
FROM o
GROUP BY 1, 2, 3;

-- name: DeleteOldRollups :exec
DELETE FROM outhook.rollups AS r WHERE r.seconds = @seconds AND r.at < now() - make_interval(secs => @age_seconds::float8);

-- name: ListUncountedMinutes :many
-- The minutes whose events nobody has counted, up to max_minutes, oldest first: those that ended 5 s ago or earlier.
SELECT m.at::timestamptz AS at FROM (
    SELECT generate_series(greatest(
        (SELECT r.at + interval '1 minute' FROM outhook.rollups AS r
            WHERE r.endpoint_id = '00000000-0000-0000-0000-000000000000' AND r.tenant_id = '' AND r.seconds = 60 AND r.part = 0
            ORDER BY r.at DESC LIMIT 1),
        date_trunc('minute', now()) - make_interval(mins => @max_minutes::integer)),
        date_trunc('minute', now() - interval '5 seconds') - interval '1 minute', interval '1 minute') AS at
) AS m
ORDER BY m.at;

-- name: CountMinute :exec
-- The events from since to before until: of each tenant, and of all, which is a row also if there were none. part 0: once.
INSERT INTO outhook.rollups (endpoint_id, tenant_id, at, seconds, part, events)
SELECT '00000000-0000-0000-0000-000000000000', coalesce(e.tenant_id, ''), @since::timestamptz, 60, 0, count(e.id)
FROM outhook.events AS e
WHERE e.id >= outhook.uuid_v7_floor(@since) AND e.id < outhook.uuid_v7_floor(@until::timestamptz)
GROUP BY GROUPING SETS ((e.tenant_id), ())
ON CONFLICT DO NOTHING;

-- name: ListRollups :many
-- Of a subject, from since to before until: some hundreds or thousands, however much happened. Empty arrays: none.
SELECT r.at, coalesce(r.events, 0)::bigint AS events,
    coalesce(r.succeeded, 0)::integer AS succeeded, coalesce(r.rejected, 0)::integer AS rejected,
    coalesce(r.timed_out, 0)::integer AS timed_out, coalesce(r.unreachable, 0)::integer AS unreachable,
    coalesce(r.blocked, 0)::integer AS blocked, coalesce(r.unknown, 0)::integer AS unknown,
    coalesce(r.delivered, 0)::integer AS delivered, coalesce(r.failed, 0)::integer AS failed,
    coalesce(r.cancelled, 0)::integer AS cancelled,
    coalesce(array_replace(r.first_latency, NULL, 0), '{}')::integer[] AS first_latency,
    coalesce(array_replace(r.duration, NULL, 0), '{}')::integer[] AS duration
FROM outhook.rollups AS r
WHERE r.endpoint_id = @endpoint_id AND r.tenant_id = @tenant_id AND r.at >= @since::timestamptz AND r.at < @until::timestamptz;

-- name: SumEndpointRollups :many
-- The attempts of some endpoints, of a tenant or of any, by steps from since to before until; one row, of step -1, for an
-- endpoint that had none. Each endpoint's rows are looked up by the key, whatever the planner thinks of the others.
SELECT n.id AS endpoint_id, coalesce(s.step, -1)::integer AS step, coalesce(s.succeeded, 0)::bigint AS succeeded, coalesce(s.failed, 0)::bigint AS failed
FROM outhook.endpoints AS n
LEFT JOIN LATERAL (
    SELECT (extract(epoch FROM r.at - @since::timestamptz)::bigint / @step_seconds::integer)::integer AS step,
        sum(coalesce(r.succeeded, 0)) AS succeeded,
        sum(coalesce(r.rejected, 0) + coalesce(r.timed_out, 0) + coalesce(r.unreachable, 0) + coalesce(r.blocked, 0)
            + coalesce(r.unknown, 0)) AS failed
    FROM outhook.rollups AS r
    WHERE r.endpoint_id = n.id AND r.tenant_id = n.tenant_id AND r.at >= @since AND r.at < @until::timestamptz
    GROUP BY 1
) AS s ON true
WHERE n.id = ANY (@endpoint_ids::uuid[]) AND (sqlc.narg('tenant_id')::text IS NULL OR n.tenant_id = sqlc.narg('tenant_id'));

-- name: EraseRollups :exec
-- Of a tenant and its endpoints.
DELETE FROM outhook.rollups AS r
WHERE r.tenant_id = @tenant_id AND (r.endpoint_id = '00000000-0000-0000-0000-000000000000'
    OR r.endpoint_id = ANY (ARRAY(SELECT n.id FROM outhook.endpoints AS n WHERE n.tenant_id = @tenant_id)));
