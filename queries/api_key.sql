-- name: InsertAPIKey :one
INSERT INTO outhook.api_keys (name, key_hash) VALUES (@name, @key_hash) RETURNING *;

-- name: ListAPIKeys :many
SELECT * FROM outhook.api_keys ORDER BY id;

-- name: RevokeAPIKey :execrows
UPDATE outhook.api_keys SET revoked_at = now() WHERE id = @id AND revoked_at IS NULL;

-- name: UseAPIKey :one
-- Finds a live key by its hash and notes its use, at most once a minute.
WITH used AS (
    UPDATE outhook.api_keys AS u SET last_used_at = now()
    WHERE u.key_hash = @key_hash AND u.revoked_at IS NULL
        AND (u.last_used_at IS NULL OR u.last_used_at < now() - interval '1 minute')
)
SELECT k.id, k.name FROM outhook.api_keys AS k WHERE k.key_hash = @key_hash AND k.revoked_at IS NULL;
