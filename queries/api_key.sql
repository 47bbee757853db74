-- name: InsertAPIKey :one
INSERT INTO outhook.api_keys (name, key_hash) VALUES (@name, @key_hash) RETURNING *;

-- name: ListAPIKeys :many
SELECT * FROM outhook.api_keys ORDER BY id;

-- name: RevokeAPIKey :execrows
UPDATE outhook.api_keys SET revoked_at = now() WHERE id = @id AND revoked_at IS NULL;

-- name: UseAPIKeys :many
-- Finds the live ones among keys by their hashes and notes their use, at most once a minute each. A key whose use another
-- call is noting at this moment is not waited for.
WITH stale AS (
    SELECT s.id FROM outhook.api_keys AS s
    WHERE s.key_hash = ANY (@key_hashes::bytea[]) AND s.revoked_at IS NULL
        AND (s.last_used_at IS NULL OR s.last_used_at < now() - interval '1 minute')
    FOR UPDATE SKIP LOCKED
), used AS (
    UPDATE outhook.api_keys AS u SET last_used_at = now() FROM stale AS s WHERE u.id = s.id
)
SELECT k.key_hash FROM outhook.api_keys AS k WHERE k.key_hash = ANY (@key_hashes::bytea[]) AND k.revoked_at IS NULL;
