-- Queries that follow the log of attempts while it grows.

-- name: GetTransactionTime :one
-- On the database's clock, before the snapshot of the query that follows in the transaction.
SELECT now()::timestamptz AS now;

-- name: FollowAttempts :many
-- The attempts that ended at or after from_time, in the order of their end, after the position of the last row of the page
-- before. An attempt is recorded after it ended, so its row may become visible after a later one's: the caller reads an
-- overlap. One whose worker died has no end; it is shown while the time of the run that found it, which is all that is
-- known, is near. started_from, 40 s earlier, is a bound for the BRIN index: an attempt takes at most 30 s. Of events from
-- low to before high.
SELECT a.event_id, a.endpoint_id, a.number, n.tenant_id, e.type, a.trigger, a.started_at, a.duration_ms, a.outcome,
    a.status_code, a.error, a.remote_addr, a.dns_us, a.connect_us, a.tls_us, a.first_byte_us,
    (a.started_at + coalesce(a.duration_ms, 40000) * interval '1 millisecond')::timestamptz AS ended_at
FROM outhook.delivery_attempts AS a
JOIN outhook.endpoints AS n ON n.id = a.endpoint_id
JOIN outhook.events AS e ON e.id = a.event_id AND e.id >= @low AND e.id < @high
WHERE a.event_id >= @low::uuid AND a.event_id < @high::uuid AND a.started_at >= @started_from::timestamptz
    AND a.started_at + coalesce(a.duration_ms, 40000) * interval '1 millisecond' >= @from_time::timestamptz
    AND (sqlc.narg('after_time')::timestamptz IS NULL
        OR (a.started_at + coalesce(a.duration_ms, 40000) * interval '1 millisecond', a.event_id, a.endpoint_id, a.number)
        > (sqlc.narg('after_time')::timestamptz, sqlc.narg('after_event_id')::uuid, sqlc.narg('after_endpoint_id')::uuid,
            sqlc.narg('after_number')::integer))
    AND (sqlc.narg('tenant_id')::text IS NULL OR n.tenant_id = sqlc.narg('tenant_id'))
    AND (sqlc.narg('endpoint_id')::uuid IS NULL OR a.endpoint_id = sqlc.narg('endpoint_id'))
    AND (sqlc.narg('type')::text IS NULL OR e.type = sqlc.narg('type'))
    AND (sqlc.narg('type_prefix')::text IS NULL OR starts_with(e.type, sqlc.narg('type_prefix')))
    AND (sqlc.narg('status_code')::integer IS NULL OR a.status_code = sqlc.narg('status_code'))
    AND (cardinality(@outcomes::text[]) = 0 OR a.outcome::text = ANY (@outcomes::text[]))
ORDER BY ended_at, a.event_id, a.endpoint_id, a.number
LIMIT @max_rows;
