-- Counts for people, over a short time. Bounds on the event's id prune partitions, started_at has a BRIN index, and what
-- is pending has an index of its own. A tenant's endpoints are its deliveries' and attempts'.

-- name: CountEvents :one
SELECT count(*) AS count FROM outhook.events AS e
WHERE e.id >= outhook.uuid_v7_floor(@since::timestamptz) AND (sqlc.narg('tenant_id')::text IS NULL OR e.tenant_id = sqlc.narg('tenant_id'));

-- name: GetDeliveryStats :one
-- Of the events since a time: the deliveries by state, and the latency of those that succeeded, from the enqueue, at the
-- 50th, 95th and 99th percentile.
SELECT count(*) FILTER (WHERE d.state = 'pending') AS pending, count(*) FILTER (WHERE d.state = 'succeeded') AS succeeded,
    count(*) FILTER (WHERE d.state = 'failed') AS failed, count(*) FILTER (WHERE d.state = 'cancelled') AS cancelled,
    coalesce(percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (
        ORDER BY extract(epoch FROM d.completed_at - outhook.uuid_v7_time(d.event_id)) * 1000)
        FILTER (WHERE d.state = 'succeeded'), '{}')::float8[] AS latency_ms
FROM outhook.deliveries AS d
WHERE d.event_id >= outhook.uuid_v7_floor(@since::timestamptz)
    AND (sqlc.narg('tenant_id')::text IS NULL
        OR d.endpoint_id IN (SELECT n.id FROM outhook.endpoints AS n WHERE n.tenant_id = sqlc.narg('tenant_id')));

-- name: GetBacklogStats :one
-- Of events from low to before high.
SELECT count(*) AS pending, count(*) FILTER (WHERE d.next_attempt_at <= now()) AS due,
    coalesce(extract(epoch FROM now() - min(d.next_attempt_at) FILTER (WHERE d.next_attempt_at <= now())), 0)::float8 AS oldest_due_s
FROM outhook.deliveries AS d
WHERE d.event_id >= @low::uuid AND d.event_id < @high::uuid AND d.state = 'pending'
    AND (sqlc.narg('tenant_id')::text IS NULL
        OR d.endpoint_id IN (SELECT n.id FROM outhook.endpoints AS n WHERE n.tenant_id = sqlc.narg('tenant_id')));

-- name: CountAttempts :many
-- Of events from low to before high: attempts that started since a time, by outcome and duration, which is null if it is not known.
SELECT a.outcome, a.duration_ms, count(*) AS count
FROM outhook.delivery_attempts AS a
WHERE a.event_id >= @low::uuid AND a.event_id < @high::uuid AND a.started_at >= @since::timestamptz
    AND (sqlc.narg('tenant_id')::text IS NULL
        OR a.endpoint_id IN (SELECT n.id FROM outhook.endpoints AS n WHERE n.tenant_id = sqlc.narg('tenant_id')))
GROUP BY a.outcome, a.duration_ms;
