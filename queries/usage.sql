-- Queries on what tenants have used, for bills.

-- name: ListHoursToCount :many
-- The hours that are to be counted from the log, oldest first, of those whose day the log still has: when an hour has been over for
-- grace, an hour later, and 23 hours later, when it is final. Counting began a day before the first hour that was counted.
SELECT h.hour::timestamptz AS hour FROM (
    SELECT generate_series(coalesce((SELECT min(c.hour) FROM outhook.usage_counts AS c),
            date_trunc('hour', now() - make_interval(secs => @grace_seconds::float8), 'UTC') - interval '24 hours'),
        date_trunc('hour', now() - make_interval(secs => @grace_seconds), 'UTC') - interval '1 hour', interval '1 hour') AS hour
) AS h
LEFT JOIN outhook.usage_counts AS c ON c.hour = h.hour
WHERE h.hour >= @log_begins::timestamptz AND (c.hour IS NULL OR EXISTS (
    SELECT FROM unnest('{1 hour,23 hours}'::interval[]) AS a (age)
    WHERE c.counted_at < h.hour + interval '1 hour' + a.age AND now() >= h.hour + interval '1 hour' + a.age))
ORDER BY h.hour;

-- name: NextEvent :one
-- The first event from low to before high.
SELECT v.id FROM outhook.events AS v WHERE v.id >= @low::uuid AND v.id < @high::uuid ORDER BY v.id LIMIT 1;

-- name: CountUsage :many
-- Of the events from low to before high: how many, their deliveries, the bytes of their payloads, and those of their attempts that began
-- before a time. By hash joins: the caller excludes nested loops, which statistics from a time with few rows make look best.
WITH e AS MATERIALIZED (
    SELECT v.id, v.tenant_id, v.type, coalesce(octet_length(v.payload::text), 0) AS bytes FROM outhook.events AS v
    WHERE v.id >= @low::uuid AND v.id < @high::uuid
), d AS MATERIALIZED (
    SELECT v.event_id, count(*) AS n FROM outhook.deliveries AS v WHERE v.event_id >= @low AND v.event_id < @high GROUP BY v.event_id
), a AS MATERIALIZED (
    SELECT v.event_id, count(*) AS n FROM outhook.delivery_attempts AS v
    WHERE v.event_id >= @low AND v.event_id < @high AND v.started_at < @attempts_until::timestamptz GROUP BY v.event_id
)
SELECT e.tenant_id, e.type, count(*) AS events, coalesce(sum(d.n), 0)::bigint AS deliveries, coalesce(sum(a.n), 0)::bigint AS attempts,
    coalesce(sum(e.bytes), 0)::bigint AS payload_bytes
FROM e
LEFT JOIN d ON d.event_id = e.id
LEFT JOIN a ON a.event_id = e.id
GROUP BY e.tenant_id, e.type;

-- name: CountLaterAttempts :many
-- The attempts that began from since to before until, of events from low to before high.
WITH a AS MATERIALIZED (
    SELECT t.event_id, count(*) AS n FROM outhook.delivery_attempts AS t
    WHERE t.started_at >= @since::timestamptz AND t.started_at < @until::timestamptz AND t.event_id >= @low::uuid AND t.event_id < @high::uuid
    GROUP BY t.event_id
)
SELECT e.tenant_id, e.type, sum(a.n)::bigint AS attempts FROM a
CROSS JOIN LATERAL (SELECT v.tenant_id, v.type FROM outhook.events AS v
    WHERE v.id = a.event_id AND v.id >= @low AND v.id < @high OFFSET 0) AS e
GROUP BY e.tenant_id, e.type;

-- name: SaveUsage :exec
-- What was counted of an hour. Nothing becomes less: what has left the log since was there. A tenant that was erased since the hour
-- began has none.
INSERT INTO outhook.usage_hours AS h (hour, tenant_id, type, events, deliveries, attempts, payload_bytes)
SELECT @hour::timestamptz, r.tenant_id, r.type, r.events, r.deliveries, r.attempts, r.payload_bytes
FROM (SELECT unnest(@tenant_ids::text[]) AS tenant_id, unnest(@types::text[]) AS type, unnest(@events::bigint[]) AS events,
        unnest(@deliveries::bigint[]) AS deliveries, unnest(@attempts::bigint[]) AS attempts,
        unnest(@payload_bytes::bigint[]) AS payload_bytes) AS r
WHERE NOT EXISTS (SELECT FROM outhook.tenant_erasures AS x WHERE x.tenant_id = r.tenant_id AND x.requested_at >= @hour)
ORDER BY r.tenant_id, r.type
ON CONFLICT (hour, tenant_id, type) DO UPDATE SET events = greatest(h.events, excluded.events),
    deliveries = greatest(h.deliveries, excluded.deliveries), attempts = greatest(h.attempts, excluded.attempts),
    payload_bytes = greatest(h.payload_bytes, excluded.payload_bytes);

-- name: MarkHourCounted :exec
-- at: when the counting began.
INSERT INTO outhook.usage_counts AS c (hour, counted_at) VALUES (@hour, @at)
ON CONFLICT (hour) DO UPDATE SET counted_at = greatest(c.counted_at, excluded.counted_at);

-- name: DeleteOldUsage :exec
WITH counts AS (
    DELETE FROM outhook.usage_counts AS c WHERE c.hour < now() - make_interval(secs => @age_seconds::float8)
)
DELETE FROM outhook.usage_hours AS h WHERE h.hour < now() - make_interval(secs => @age_seconds);

-- name: EraseUsage :exec
DELETE FROM outhook.usage_hours AS h WHERE h.tenant_id = @tenant_id;

-- name: GetUsageFinal :one
-- Before when the usage is final: the end of the last hour that was counted a day after it began.
SELECT coalesce(max(c.hour) + interval '1 hour', 'epoch')::timestamptz AS final_until FROM outhook.usage_counts AS c
WHERE c.counted_at >= c.hour + interval '24 hours';

-- name: ListUsage :many
-- By hour, day, month (UTC), or else all from since to before until; by tenant and type, '' if not.
SELECT (CASE @unit::text WHEN 'hour' THEN h.hour WHEN 'day' THEN date_trunc('day', h.hour, 'UTC')
        WHEN 'month' THEN date_trunc('month', h.hour, 'UTC') ELSE @since::timestamptz END)::timestamptz AS begin,
    (CASE WHEN @by_tenant::boolean THEN h.tenant_id ELSE '' END)::text AS tenant_id,
    (CASE WHEN @by_type::boolean THEN h.type ELSE '' END)::text AS type,
    sum(h.events)::bigint AS events, sum(h.deliveries)::bigint AS deliveries, sum(h.attempts)::bigint AS attempts,
    sum(h.payload_bytes)::bigint AS payload_bytes
FROM outhook.usage_hours AS h
WHERE h.hour >= @since AND h.hour < @until::timestamptz
    AND (sqlc.narg('tenant_id')::text IS NULL OR h.tenant_id = sqlc.narg('tenant_id'))
    AND (sqlc.narg('type')::text IS NULL OR h.type = sqlc.narg('type'))
    AND (sqlc.narg('type_prefix')::text IS NULL OR starts_with(h.type, sqlc.narg('type_prefix')))
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
OFFSET @skip_rows LIMIT @max_rows;
