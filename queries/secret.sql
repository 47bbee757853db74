-- Queries on what is encrypted: the endpoints' signing secrets and secret headers.

-- name: ListLiveSecrets :many
-- Newest first.
SELECT * FROM outhook.endpoint_secrets
WHERE endpoint_id = @endpoint_id AND (expires_at IS NULL OR expires_at > now())
ORDER BY id DESC;

-- name: KeepOneSecret :exec
-- Erases all secrets of an endpoint but one: those that have expired, and one that a forced rotation ends.
DELETE FROM outhook.endpoint_secrets WHERE endpoint_id = @endpoint_id AND id <> @secret_id;

-- name: ExpireSecret :one
-- Begins the overlap of a rotation.
UPDATE outhook.endpoint_secrets SET expires_at = now() + make_interval(secs => @overlap_seconds::float8)
WHERE endpoint_id = @endpoint_id AND id = @secret_id
RETURNING expires_at;

-- name: DeleteExpiredSecrets :execrows
-- Erases the secrets whose rotation's overlap has ended, but for those that somebody works on.
DELETE FROM outhook.endpoint_secrets AS s USING (
    SELECT e.endpoint_id, e.id FROM outhook.endpoint_secrets AS e WHERE e.expires_at < now() FOR UPDATE SKIP LOCKED
) AS expired
WHERE s.endpoint_id = expired.endpoint_id AND s.id = expired.id;

-- name: SetSecretHeaders :exec
UPDATE outhook.endpoints SET secret_headers = @secret_headers WHERE id = @endpoint_id;

-- name: LockStaleSecrets :many
-- Up to max_rows secrets behind a position that another key than key_id sealed.
SELECT * FROM outhook.endpoint_secrets
WHERE key_id <> @key_id AND (endpoint_id, id) > (@after_endpoint_id::uuid, @after_id::bigint)
ORDER BY endpoint_id, id
LIMIT @max_rows
FOR UPDATE;

-- name: ResealSecret :exec
UPDATE outhook.endpoint_secrets SET key_id = @key_id, sealed = @sealed WHERE endpoint_id = @endpoint_id AND id = @secret_id;

-- name: LockSecretHeaders :many
-- Up to max_rows endpoints behind a position that have secret headers.
SELECT id, secret_headers FROM outhook.endpoints
WHERE id > @after_id AND secret_headers <> '{}'
ORDER BY id
LIMIT @max_rows
FOR NO KEY UPDATE;
