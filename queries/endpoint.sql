-- name: InsertEndpoint :one
INSERT INTO outhook.endpoints (id, tenant_id, url, description, event_types, headers, timeout_ms, retry_schedule, retry_jitter,
    metadata, max_in_flight, rate_limit, rate_per, rate_burst, uid, filter, filter_path, labels, format, ordered, lane, lane_reason)
VALUES (outhook.uuid_v7(), @tenant_id, @url, @description, @event_types::text[], @headers, @timeout_ms, @retry_schedule::integer[],
    sqlc.narg('retry_jitter')::double precision, @metadata,
    coalesce(nullif(@max_in_flight::integer, 0), 32), sqlc.narg('rate_limit')::integer, coalesce(nullif(@rate_per::text, ''), 'second'),
    greatest(@rate_burst::integer, 1), sqlc.narg('uid')::text, sqlc.narg('filter')::json, sqlc.narg('filter_path')::jsonpath,
    coalesce(sqlc.narg('labels')::text[], '{}'), coalesce(nullif(@format::text, ''), 'standard'), @ordered::text,
    CASE WHEN sqlc.narg('rate_limit')::integer > 0 THEN 'limited' ELSE '' END,
    CASE WHEN sqlc.narg('rate_limit')::integer > 0 THEN 'it has a rate limit' ELSE '' END)
RETURNING *;

-- name: CountLimitedEndpoints :one
SELECT count(*) FROM outhook.endpoints WHERE lane <> '' AND rate_limit IS NOT NULL AND deleted_at IS NULL;

-- name: CountEndpoints :one
-- Of a tenant, without the deleted ones.
SELECT count(*) FROM outhook.endpoints WHERE tenant_id = @tenant_id AND deleted_at IS NULL;

-- name: InsertEndpointSecret :exec
INSERT INTO outhook.endpoint_secrets (endpoint_id, key_id, sealed) VALUES (@endpoint_id, @key_id, @sealed);

-- name: DeleteEndpointSecrets :exec
DELETE FROM outhook.endpoint_secrets WHERE endpoint_id = @endpoint_id;

-- name: GetEndpoint :one
SELECT * FROM outhook.endpoints WHERE id = @id AND deleted_at IS NULL;

-- name: LockEndpoint :one
SELECT * FROM outhook.endpoints WHERE id = @id AND deleted_at IS NULL FOR UPDATE;

-- name: FindEndpoint :one
-- By its uid.
SELECT id FROM outhook.endpoints WHERE tenant_id = @tenant_id::text AND uid = @uid::text AND deleted_at IS NULL;

-- name: FindEndpointOf :one
-- By its id, deleted or not.
SELECT id FROM outhook.endpoints WHERE id = @id AND tenant_id = @tenant_id::text;

-- name: FindEndpointOfURL :one
-- Another one of the tenant with this URL.
SELECT id FROM outhook.endpoints
WHERE tenant_id = @tenant_id::text AND url = @url::text AND id <> @id AND deleted_at IS NULL
ORDER BY id
LIMIT 1;

-- name: ListEndpoints :many
SELECT * FROM outhook.endpoints AS n
WHERE n.deleted_at IS NULL
    AND (sqlc.narg('tenant_id')::text IS NULL OR n.tenant_id = sqlc.narg('tenant_id'))
    AND (sqlc.narg('cursor')::uuid IS NULL OR CASE WHEN @ascending::boolean THEN n.id > sqlc.narg('cursor') ELSE n.id < sqlc.narg('cursor') END)
    AND (sqlc.narg('endpoint_ids')::uuid[] IS NULL OR n.id = ANY (sqlc.narg('endpoint_ids')))
    AND (sqlc.narg('uid')::text IS NULL OR n.uid = sqlc.narg('uid'))
    AND (sqlc.narg('status')::text IS NULL OR n.status::text = sqlc.narg('status'))
    AND (sqlc.narg('health')::text IS NULL OR sqlc.narg('health') = CASE WHEN n.status = 'disabled' THEN 'disabled' ELSE coalesce(
        (SELECT h.state FROM outhook.endpoint_health AS h WHERE h.endpoint_id = n.id), 'healthy') END)
    -- With its port, or without.
    AND (sqlc.narg('url_host')::text IS NULL OR EXISTS (
        SELECT FROM (SELECT lower(substring(n.url FROM '(?i)^https?://([^/?#]+)')) AS host) AS u
        WHERE lower(sqlc.narg('url_host')) IN (u.host, substring(u.host FROM '^(.*?)(?::[0-9]*)?$'))))
    AND (sqlc.narg('event_type')::text IS NULL OR n.event_types = '{}' OR n.event_types && outhook.type_patterns(sqlc.narg('event_type')))
    AND (sqlc.narg('label')::text IS NULL OR sqlc.narg('label') = ANY (n.labels))
    AND n.metadata @> @metadata::jsonb
ORDER BY CASE WHEN @ascending THEN n.id END, CASE WHEN NOT @ascending THEN n.id END DESC
LIMIT @max_rows;

-- name: UpdateEndpoint :one
UPDATE outhook.endpoints SET
    url = @url, description = @description, event_types = @event_types::text[], headers = @headers,
    timeout_ms = @timeout_ms, retry_schedule = @retry_schedule::integer[], retry_jitter = sqlc.narg('retry_jitter')::double precision,
    metadata = @metadata, uid = sqlc.narg('uid')::text, filter = sqlc.narg('filter')::json, filter_path = sqlc.narg('filter_path')::jsonpath,
    labels = @labels::text[], format = @format::text, ordered = @ordered::text,
    -- Never the same twice: it is the endpoint's ETag.
    updated_at = greatest(now(), updated_at + interval '1 us'),
    max_in_flight = @max_in_flight, rate_limit = sqlc.narg('rate_limit')::integer, rate_per = @rate_per, rate_burst = @rate_burst,
    -- A rate limit needs a lane of its own, also for what shares the queue of bursts; a slow endpoint has one.
    lane = CASE WHEN sqlc.narg('rate_limit')::integer IS NOT NULL AND lane IN ('', 'bulk') THEN 'limited'
        WHEN sqlc.narg('rate_limit')::integer IS NULL AND lane = 'limited' THEN '' ELSE lane END,
    lane_reason = CASE WHEN sqlc.narg('rate_limit')::integer IS NOT NULL AND lane IN ('', 'bulk') THEN 'it has a rate limit'
        WHEN sqlc.narg('rate_limit')::integer IS NULL AND lane = 'limited' THEN '' ELSE lane_reason END,
    lane_changed_at = CASE WHEN (sqlc.narg('rate_limit')::integer IS NOT NULL AND lane IN ('', 'bulk'))
        OR (sqlc.narg('rate_limit')::integer IS NULL AND lane = 'limited') THEN now() ELSE lane_changed_at END,
    status = @status::outhook.endpoint_status,
    status_reason = CASE WHEN status = @status::outhook.endpoint_status THEN status_reason ELSE @status_reason END,
    status_changed_at = CASE WHEN status = @status::outhook.endpoint_status THEN status_changed_at ELSE now() END,
    -- The pacer cancels what is pending, unless it is enabled again meanwhile.
    cancel_since = CASE WHEN status = @status::outhook.endpoint_status THEN cancel_since
        WHEN @status::outhook.endpoint_status = 'disabled' THEN now() END
WHERE id = @id
RETURNING *;

-- name: DisableEndpoint :one
UPDATE outhook.endpoints
SET status = 'disabled', status_reason = @reason, status_changed_at = now(), cancel_since = now(),
    updated_at = greatest(now(), updated_at + interval '1 us')
WHERE id = @id AND status <> 'disabled' AND deleted_at IS NULL
RETURNING *;

-- name: DeleteEndpoint :execrows
UPDATE outhook.endpoints SET deleted_at = now(), cancel_since = now(), updated_at = now(), secret_headers = '{}' WHERE id = @id AND deleted_at IS NULL;

-- name: PreviewWants :one
-- Of a tenant's last max_rows events from low to before high, how many there are, how many have a payload that can be looked
-- into, and how many of those an endpoint with these event types, labels and this filter would get.
SELECT count(*)::integer AS events, count(*) FILTER (WHERE w.wants IS NOT NULL)::integer AS readable,
    count(*) FILTER (WHERE w.wants)::integer AS wanted, coalesce(min(w.created_at), 'epoch')::timestamptz AS oldest
FROM (SELECT v.created_at, CASE WHEN v.doc IS NOT NULL THEN outhook.endpoint_wants(@event_types::text[], outhook.type_patterns(v.type),
        sqlc.narg('filter_path')::jsonpath, v.doc, @labels::text[], v.labels) END AS wants
    FROM (SELECT e.created_at, e.type, e.labels, outhook.event_document(e.tenant_id, e.type, e.payload) AS doc FROM outhook.events AS e
        WHERE e.tenant_id = @tenant_id::text AND e.id >= @low::uuid AND e.id < @high::uuid AND e.type <> 'outhook.test'
        ORDER BY e.id DESC LIMIT @max_rows) AS v) AS w;
