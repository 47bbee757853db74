-- Counts for people, of what waits. A tenant's endpoints are its deliveries'.

-- name: GetBacklogStats :one
-- Of events from low to before high.
SELECT count(*) AS pending, count(*) FILTER (WHERE d.next_attempt_at <= now()) AS due,
    coalesce(extract(epoch FROM now() - min(d.next_attempt_at) FILTER (WHERE d.next_attempt_at <= now())), 0)::float8 AS oldest_due_s
FROM outhook.deliveries AS d
WHERE d.event_id >= @low::uuid AND d.event_id < @high::uuid AND d.state = 'pending'
    AND (sqlc.narg('tenant_id')::text IS NULL
        OR d.endpoint_id IN (SELECT n.id FROM outhook.endpoints AS n WHERE n.tenant_id = sqlc.narg('tenant_id')));
