-- name: InsertAPIKey :one
INSERT INTO outhook.api_keys (id, name, key_hash, scope, tenant_id, expires_at)
VALUES (outhook.uuid_v7(), @name, @key_hash, @scope, sqlc.narg('tenant_id'), sqlc.narg('expires_at')) RETURNING *;

-- name: HasLiveAPIKey :one
SELECT EXISTS (SELECT FROM outhook.api_keys AS k
    WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())) AS found;

-- name: ListAPIKeys :many
-- The revoked and expired ones too.
SELECT * FROM outhook.api_keys
WHERE (sqlc.narg('tenant_id')::text IS NULL OR tenant_id = sqlc.narg('tenant_id'))
    AND (sqlc.narg('cursor')::uuid IS NULL OR CASE WHEN @ascending::boolean THEN id > sqlc.narg('cursor') ELSE id < sqlc.narg('cursor') END)
ORDER BY CASE WHEN @ascending THEN id END, CASE WHEN NOT @ascending THEN id END DESC
LIMIT @max_rows;

-- name: RevokeAPIKey :one
UPDATE outhook.api_keys SET revoked_at = now() WHERE id = @id AND revoked_at IS NULL RETURNING *;

-- name: UseAPIKeys :many
-- Finds the live ones among keys by their hashes and notes their use, at most once a minute each. A key whose use another
-- call is noting at this moment is not waited for.
WITH stale AS (
    SELECT s.id FROM outhook.api_keys AS s
    WHERE s.key_hash = ANY (@key_hashes::bytea[]) AND s.revoked_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > now())
        AND (s.last_used_at IS NULL OR s.last_used_at < now() - interval '1 minute')
    FOR UPDATE SKIP LOCKED
), used AS (
    UPDATE outhook.api_keys AS u SET last_used_at = now() FROM stale AS s WHERE u.id = s.id
)
SELECT k.key_hash, k.id, k.name, k.scope, k.tenant_id FROM outhook.api_keys AS k
WHERE k.key_hash = ANY (@key_hashes::bytea[]) AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now());
