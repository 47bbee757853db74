-- Queries of the erasing of a tenant's data.

-- name: InsertErasure :one
INSERT INTO outhook.tenant_erasures (id, tenant_id, requested_xid)
VALUES (outhook.uuid_v7(), @tenant_id, pg_current_xact_id()::text::bigint)
ON CONFLICT (tenant_id) WHERE completed_at IS NULL
    DO UPDATE SET requested_at = now(), settled_at = excluded.settled_at, requested_xid = excluded.requested_xid, pass = 1, last_event_id = NULL
RETURNING *;

-- name: InsertEraseJobs :exec
-- For every erasure that is not complete and has no live job. Behind the others of the queue, which are short: many tenants
-- may be erased at the same time.
INSERT INTO outhook.river_job (kind, args, queue, max_attempts, priority)
SELECT 'erase', jsonb_build_object('erasure_id', e.id), 'maintenance', 1000, 2
FROM outhook.tenant_erasures AS e
WHERE e.completed_at IS NULL AND NOT EXISTS (SELECT FROM outhook.river_job AS j
    WHERE j.kind = 'erase' AND j.args ->> 'erasure_id' = e.id::text
        AND j.state IN ('running', 'available', 'retryable', 'scheduled'));

-- name: GetErasure :one
SELECT * FROM outhook.tenant_erasures WHERE id = @id;

-- name: LockErasure :one
-- settled: the requests and the transactions that were under way at the order have ended.
SELECT e.id, e.tenant_id, e.requested_at, e.pass, e.last_event_id,
    (e.settled_at <= now()
        AND pg_snapshot_xmin(pg_current_snapshot())::text::bigint > e.requested_xid)::boolean AS settled
FROM outhook.tenant_erasures AS e WHERE e.id = @id AND e.completed_at IS NULL FOR UPDATE OF e;

-- name: SaveErasure :exec
UPDATE outhook.tenant_erasures SET pass = @pass, last_event_id = @last_event_id,
    endpoint_count = endpoint_count + @endpoints::bigint, delivery_count = delivery_count + @deliveries::bigint,
    payload_count = payload_count + @payloads::bigint, attempt_count = attempt_count + @attempts::bigint,
    key_count = key_count + @keys::bigint, completed_at = CASE WHEN @complete::boolean THEN now() END
WHERE id = @id;

-- name: EraseEndpoints :execrows
-- Ends up to max_rows endpoints of a tenant and erases what they say of it. The rows stay for the log.
UPDATE outhook.endpoints AS n
SET deleted_at = coalesce(n.deleted_at, now()), cancel_since = coalesce(n.cancel_since, now()), updated_at = now(), uid = NULL, url = '', description = '', event_types = '{}', filter = NULL, filter_path = NULL, labels = '{}', headers = '{}', secret_headers = '{}',
    metadata = '{}', status_reason = ''
FROM (SELECT v.id FROM outhook.endpoints AS v
    WHERE v.tenant_id = @tenant_id AND v.created_at <= @requested_at AND v.url <> '' ORDER BY v.id LIMIT @max_rows FOR UPDATE) AS k
WHERE n.id = k.id;

-- name: EraseSecrets :exec
DELETE FROM outhook.endpoint_secrets AS s USING outhook.endpoints AS n
WHERE n.id = s.endpoint_id AND n.tenant_id = @tenant_id AND n.url = '';

-- name: EraseRevisions :exec
-- What endpoints that are erased have been.
DELETE FROM outhook.endpoint_revisions AS r USING outhook.endpoints AS n
WHERE n.id = r.endpoint_id AND n.tenant_id = @tenant_id AND n.url = '';

-- name: RevokeTenantKeys :exec
-- The API keys that are bound to a tenant, of the time until the order.
UPDATE outhook.api_keys SET revoked_at = now()
WHERE tenant_id = @tenant_id::text AND created_at <= @requested_at AND revoked_at IS NULL;

-- name: EraseTenant :exec
-- What people have noted of a tenant, of the time until the order.
DELETE FROM outhook.tenants WHERE tenant_id = @tenant_id AND created_at <= @requested_at;

-- name: EraseHealth :exec
-- Of the endpoints that are erased, in the order in which everybody locks them.
DELETE FROM outhook.endpoint_health AS h USING (SELECT v.endpoint_id FROM outhook.endpoint_health AS v
    JOIN outhook.endpoints AS n ON n.id = v.endpoint_id AND n.tenant_id = @tenant_id AND n.url = ''
    ORDER BY v.endpoint_id FOR UPDATE OF v) AS k
WHERE h.endpoint_id = k.endpoint_id;

-- name: EraseOperations :exec
-- Of the tenant, or of one of its endpoints that are erased; their jobs find nothing and end.
DELETE FROM outhook.operations AS o
WHERE o.created_at <= @requested_at AND (o.tenant_id = @tenant_id::text
    OR EXISTS (SELECT FROM outhook.endpoints AS n WHERE n.id = o.endpoint_id AND n.tenant_id = @tenant_id AND n.url = ''));

-- name: ListTenantEvents :many
-- The next events of a tenant after one, up to max_rows, below high.
SELECT e.id FROM outhook.events AS e
WHERE e.tenant_id = @tenant_id AND e.id > @after::uuid AND e.id < @high::uuid ORDER BY e.id LIMIT @max_rows;

-- name: EraseDeliveries :many
-- Cancels the pending deliveries of events and returns their jobs, which are to be finished in the same transaction. One
-- that is locked is being recorded at this moment; the worker that loads it next cancels it, since its endpoint is gone.
UPDATE outhook.deliveries AS d
SET state = 'cancelled', reason = @reason::text, next_attempt_at = NULL, completed_at = now()
FROM (SELECT p.event_id, p.endpoint_id FROM outhook.deliveries AS p
    WHERE p.event_id = ANY (@event_ids::uuid[]) AND p.event_id BETWEEN @low::uuid AND @high::uuid AND p.state = 'pending'
    FOR UPDATE SKIP LOCKED) AS k
WHERE d.event_id = k.event_id AND d.endpoint_id = k.endpoint_id AND d.event_id BETWEEN @low::uuid AND @high::uuid
RETURNING d.job_id;

-- name: EraseEvents :execrows
UPDATE outhook.events AS e SET payload = NULL, traceparent = NULL, labels = NULL, headers = NULL, ordering_key = NULL
WHERE e.id = ANY (@event_ids::uuid[]) AND e.id BETWEEN @low::uuid AND @high::uuid
    AND (e.payload IS NOT NULL OR e.traceparent IS NOT NULL OR e.labels IS NOT NULL OR e.headers IS NOT NULL
        OR e.ordering_key IS NOT NULL);

-- name: ErasePayload :execrows
-- Of one event, and its headers.
UPDATE outhook.events SET payload = NULL, headers = NULL WHERE id = @id AND payload IS NOT NULL;

-- name: EraseAnswers :execrows
-- What the receivers of an event answered, which may repeat its payload.
UPDATE outhook.delivery_attempts SET response_body = NULL, response_headers = NULL
WHERE event_id = @event_id AND (response_body IS NOT NULL OR response_headers IS NOT NULL);

-- name: EraseAttempts :execrows
-- What a receiver said, where it was and what was sent to it; of an error, its class stays.
UPDATE outhook.delivery_attempts AS a SET response_body = NULL, response_headers = NULL, request_headers = NULL,
    remote_addr = NULL, error = split_part(a.error, ':', 1)
WHERE a.event_id = ANY (@event_ids::uuid[]) AND a.event_id BETWEEN @low::uuid AND @high::uuid
    AND (coalesce(a.response_body, a.response_headers::text, a.request_headers::text, a.remote_addr) IS NOT NULL
        OR strpos(a.error, ':') > 0);

-- name: EraseKeys :execrows
DELETE FROM outhook.event_keys AS k USING (SELECT s.tenant_id, s.idempotency_key FROM outhook.event_keys AS s
    WHERE s.tenant_id = @tenant_id AND s.created_at <= @requested_at LIMIT @max_rows FOR UPDATE SKIP LOCKED) AS d
WHERE k.tenant_id = d.tenant_id AND k.idempotency_key = d.idempotency_key;
