-- name: InsertAPIKey :one
INSERT INTO outhook.api_keys (id, name, key_hash, scope, tenant_id, expires_at)
VALUES (outhook.uuid_v7(), @name, @key_hash, @scope, sqlc.narg('tenant_id'), sqlc.narg('expires_at')) RETURNING *;

-- name: HasLiveAPIKey :one
SELECT EXISTS (SELECT FROM outhook.api_keys AS k
    WHERE k.kind = 'key' AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())) AS found;

-- name: ListAPIKeys :many
-- The revoked and expired ones too; no sessions.
SELECT * FROM outhook.api_keys
WHERE kind = 'key' AND (sqlc.narg('tenant_id')::text IS NULL OR tenant_id = sqlc.narg('tenant_id'))
    AND (sqlc.narg('cursor')::uuid IS NULL OR CASE WHEN @ascending::boolean THEN id > sqlc.narg('cursor') ELSE id < sqlc.narg('cursor') END)
ORDER BY CASE WHEN @ascending THEN id END, CASE WHEN NOT @ascending THEN id END DESC
LIMIT @max_rows;

-- name: RevokeAPIKey :one
UPDATE outhook.api_keys SET revoked_at = now() WHERE id = @id AND revoked_at IS NULL RETURNING *;

-- name: InsertSession :one
-- A session or a code: parent_id is the key that it is made with, or parent_seal stands for the
-- bootstrap key, or for the identity provider that vouches for a person.
INSERT INTO outhook.api_keys (id, name, key_hash, scope, tenant_id, expires_at, kind, parent_id, parent_seal)
VALUES (outhook.uuid_v7(), @name, @key_hash, @scope, sqlc.narg('tenant_id'), now() + make_interval(secs => @lifetime_s::float8), @kind,
    sqlc.narg('parent_id'), sqlc.narg('parent_seal')) RETURNING *;

-- name: RevokeSessions :execrows
-- The session with an id, or all sessions and codes of the console that were made with a key: of the bootstrap key, and
-- of people, if parent_id is null.
UPDATE outhook.api_keys AS s SET revoked_at = now()
WHERE s.kind <> 'key' AND s.revoked_at IS NULL
    AND CASE WHEN sqlc.narg('session_id')::uuid IS NULL
        THEN s.kind IN ('session', 'code') AND s.parent_id IS NOT DISTINCT FROM sqlc.narg('parent_id')::uuid
        ELSE s.id = sqlc.narg('session_id') END;

-- name: InsertPortalCode :one
-- What a link to the portal has: it is good once, and becomes the session.
INSERT INTO outhook.api_keys (id, name, key_hash, scope, tenant_id, expires_at, session_until, kind, parent_id, parent_seal, portal)
VALUES (outhook.uuid_v7(), @name, @key_hash, 'portal', @tenant_id, now() + make_interval(secs => @code_s::float8),
    now() + make_interval(secs => @session_s::float8), 'portal-code', sqlc.narg('parent_id'), sqlc.narg('parent_seal'), @portal)
RETURNING *;

-- name: OpenPortalSession :one
-- Makes a session of a code. Of two requests with it, the second waits for the first, and finds none.
UPDATE outhook.api_keys AS s
SET kind = 'portal', key_hash = @key_hash, expires_at = s.session_until,
    parent_seal = CASE WHEN s.parent_seal IS NULL THEN NULL ELSE @parent_seal::bytea END
WHERE s.id = @session_id AND s.kind = 'portal-code' AND s.revoked_at IS NULL
RETURNING *;

-- name: ListPortalSessions :many
-- Those that can be used, and links that can be opened.
SELECT s.* FROM outhook.api_keys AS s
WHERE s.kind IN ('portal', 'portal-code') AND s.revoked_at IS NULL AND s.expires_at > now()
    AND (sqlc.narg('tenant_id')::text IS NULL OR s.tenant_id = sqlc.narg('tenant_id'))
    AND (sqlc.narg('cursor')::uuid IS NULL OR CASE WHEN @ascending::boolean THEN s.id > sqlc.narg('cursor') ELSE s.id < sqlc.narg('cursor') END)
ORDER BY CASE WHEN @ascending THEN s.id END, CASE WHEN NOT @ascending THEN s.id END DESC
LIMIT @max_rows;

-- name: GetPortalSession :one
SELECT s.* FROM outhook.api_keys AS s WHERE s.id = @id AND s.kind IN ('portal', 'portal-code');

-- name: RevokePortalSessions :execrows
-- The one with an id, or all of a tenant.
UPDATE outhook.api_keys AS s SET revoked_at = now()
WHERE s.kind IN ('portal', 'portal-code') AND s.revoked_at IS NULL AND s.expires_at > now() AND s.tenant_id = @tenant_id
    AND (sqlc.narg('session_id')::uuid IS NULL OR s.id = sqlc.narg('session_id'));

-- name: DeleteOldSessions :exec
-- Sessions and codes that nobody can use any more. They are not kept as keys are: the audit trail names the key.
DELETE FROM outhook.api_keys AS s
WHERE s.kind <> 'key' AND (s.expires_at < now() - interval '1 hour' OR s.revoked_at < now() - interval '1 hour');

-- name: UseAPIKeys :many
-- Finds the live ones among keys by their hashes and notes their use, at most once a minute each. A key whose use another
-- call is noting at this moment is not waited for. A session lives no longer than the key that it was made with.
WITH stale AS (
    SELECT s.id FROM outhook.api_keys AS s
    WHERE s.key_hash = ANY (@key_hashes::bytea[]) AND s.revoked_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > now())
        AND (s.last_used_at IS NULL OR s.last_used_at < now() - interval '1 minute')
    FOR UPDATE SKIP LOCKED
), used AS (
    UPDATE outhook.api_keys AS u SET last_used_at = now() FROM stale AS s WHERE u.id = s.id
)
SELECT k.key_hash, k.id, k.name, k.scope, k.tenant_id, k.expires_at, k.kind, k.parent_id, k.parent_seal, k.portal FROM outhook.api_keys AS k
WHERE k.key_hash = ANY (@key_hashes::bytea[]) AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
    AND (k.parent_id IS NULL OR EXISTS (SELECT FROM outhook.api_keys AS p
        WHERE p.id = k.parent_id AND p.revoked_at IS NULL AND (p.expires_at IS NULL OR p.expires_at > now())));
