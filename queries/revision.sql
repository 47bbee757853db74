-- Queries of what endpoints have been.

-- name: ListEndpointRevisions :many
-- Newest first unless ascending. by and what follows: of the audit trail's entry of the same transaction, null if nobody ordered
-- the change through the API. Transactions of the API take seconds: the entry is looked for a minute around the change.
SELECT r.id, r.at, r.first_known, r.changed, r.event_types, r.filter, r.labels, r.ordered, r.status, r.status_reason, r.host, r.timeout_ms, r.max_in_flight,
    r.rate_limit, r.rate_per, r.rate_burst, r.retry_schedule, r.retry_jitter, r.deleted,
    u.actor, u.key_id, u.key_tenant_id, u.action
FROM outhook.endpoint_revisions AS r
LEFT JOIN outhook.audit_entries AS u ON u.id = (SELECT e.id FROM outhook.audit_entries AS e
    WHERE e.object_id = r.endpoint_id::text AND e.xid = r.xid
        AND e.id >= outhook.uuid_v7_floor(r.at - interval '1 minute') AND e.id < outhook.uuid_v7_floor(r.at + interval '1 minute')
    ORDER BY e.object_id, e.id LIMIT 1)
WHERE r.endpoint_id = @endpoint_id
    AND (sqlc.narg('cursor')::uuid IS NULL OR CASE WHEN @ascending::boolean THEN r.id > sqlc.narg('cursor') ELSE r.id < sqlc.narg('cursor') END)
ORDER BY CASE WHEN @ascending THEN r.id END, CASE WHEN NOT @ascending THEN r.id END DESC
LIMIT @max_rows;

-- name: GetEndpointTenant :one
-- Deleted or not.
SELECT n.tenant_id FROM outhook.endpoints AS n WHERE n.id = @id;
