-- name: InsertEndpoint :one
INSERT INTO outhook.endpoints (id, tenant_id, url, description, event_types, headers, timeout_ms, retry_schedule, retry_jitter,
    metadata, max_in_flight, rate_limit, rate_per, rate_burst, lane, lane_reason)
VALUES (outhook.uuid_v7(), @tenant_id, @url, @description, @event_types::text[], @headers, @timeout_ms, @retry_schedule::integer[],
    sqlc.narg('retry_jitter')::double precision, @metadata,
    coalesce(nullif(@max_in_flight::integer, 0), 32), sqlc.narg('rate_limit')::integer, coalesce(nullif(@rate_per::text, ''), 'second'),
    greatest(@rate_burst::integer, 1),
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

-- name: ListEndpoints :many
SELECT * FROM outhook.endpoints
WHERE deleted_at IS NULL
    AND (sqlc.narg('tenant_id')::text IS NULL OR tenant_id = sqlc.narg('tenant_id'))
    AND (sqlc.narg('cursor')::uuid IS NULL OR CASE WHEN @ascending::boolean THEN id > sqlc.narg('cursor') ELSE id < sqlc.narg('cursor') END)
ORDER BY CASE WHEN @ascending THEN id END, CASE WHEN NOT @ascending THEN id END DESC
LIMIT @max_rows;

-- name: UpdateEndpoint :one
UPDATE outhook.endpoints SET
    url = @url, description = @description, event_types = @event_types::text[], headers = @headers,
    timeout_ms = @timeout_ms, retry_schedule = @retry_schedule::integer[], retry_jitter = sqlc.narg('retry_jitter')::double precision,
    metadata = @metadata, updated_at = now(),
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
SET status = 'disabled', status_reason = @reason, status_changed_at = now(), cancel_since = now(), updated_at = now()
WHERE id = @id AND status <> 'disabled' AND deleted_at IS NULL
RETURNING *;

-- name: DeleteEndpoint :execrows
UPDATE outhook.endpoints SET deleted_at = now(), cancel_since = now(), updated_at = now(), secret_headers = '{}' WHERE id = @id AND deleted_at IS NULL;
