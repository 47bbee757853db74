-- name: InsertEndpoint :one
INSERT INTO outhook.endpoints (tenant_id, url, description, event_types, headers, timeout_ms, retry_schedule, metadata)
VALUES (@tenant_id, @url, @description, @event_types::text[], @headers, @timeout_ms, @retry_schedule::integer[], @metadata)
RETURNING *;

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
    AND (sqlc.narg('cursor')::uuid IS NULL OR id > sqlc.narg('cursor'))
ORDER BY id
LIMIT @max_rows;

-- name: UpdateEndpoint :one
UPDATE outhook.endpoints SET
    url = @url, description = @description, event_types = @event_types::text[], headers = @headers,
    timeout_ms = @timeout_ms, retry_schedule = @retry_schedule::integer[], metadata = @metadata, updated_at = now(),
    status = @status::outhook.endpoint_status,
    status_reason = CASE WHEN status = @status::outhook.endpoint_status THEN status_reason ELSE @status_reason END,
    status_changed_at = CASE WHEN status = @status::outhook.endpoint_status THEN status_changed_at ELSE now() END
WHERE id = @id
RETURNING *;

-- name: DisableEndpoint :one
UPDATE outhook.endpoints
SET status = 'disabled', status_reason = @reason, status_changed_at = now(), updated_at = now()
WHERE id = @id AND status <> 'disabled' AND deleted_at IS NULL
RETURNING *;

-- name: DeleteEndpoint :execrows
UPDATE outhook.endpoints SET deleted_at = now(), updated_at = now() WHERE id = @id AND deleted_at IS NULL;
