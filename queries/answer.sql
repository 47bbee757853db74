-- Queries on the stored answers to requests with an Idempotency-Key. kept_seconds is how long they are given again.

-- name: GetStoredAnswer :one
SELECT key_id, sealed FROM outhook.stored_answers
WHERE id = @id AND created_at > now() - make_interval(secs => @kept_seconds::float8);

-- name: ClaimAnswer :execrows
-- Takes a row for a request that begins: a new one, or one that has expired. Waits for a transaction that holds it.
INSERT INTO outhook.stored_answers AS a (id, api_key_id, key_id, sealed) VALUES (@id, @api_key_id, '', '')
ON CONFLICT (id) DO UPDATE SET created_at = now() WHERE a.created_at <= now() - make_interval(secs => @kept_seconds::float8);

-- name: StoreAnswer :exec
UPDATE outhook.stored_answers SET tenant_ids = @tenant_ids::text[], key_id = @key_id, sealed = @sealed WHERE id = @id;

-- name: DeleteAnswersOfKey :exec
DELETE FROM outhook.stored_answers WHERE api_key_id = @api_key_id::uuid;

-- name: DeleteAnswersOfRevoked :execrows
-- Of requests that were under way when their API key was revoked.
DELETE FROM outhook.stored_answers AS a USING outhook.api_keys AS k
WHERE k.revoked_at > now() - make_interval(secs => 2 * @kept_seconds::float8) AND a.api_key_id = k.id;

-- name: DeleteOldAnswers :execrows
-- Up to max_rows that have expired, but for those that a new request has taken.
DELETE FROM outhook.stored_answers AS a USING (
    SELECT s.id FROM outhook.stored_answers AS s
    WHERE s.created_at <= now() - make_interval(secs => @kept_seconds::float8) LIMIT @max_rows FOR UPDATE SKIP LOCKED
) AS d
WHERE a.id = d.id;

-- name: EraseStoredAnswers :exec
DELETE FROM outhook.stored_answers WHERE tenant_ids @> ARRAY[@tenant_id::text] AND created_at <= @requested_at;

-- name: LockStaleAnswers :many
-- Up to max_rows behind a position that another key than key_id sealed.
SELECT id, key_id, sealed FROM outhook.stored_answers
WHERE key_id <> @key_id AND id > @after_id::bytea
ORDER BY id
LIMIT @max_rows
FOR UPDATE;

-- name: ResealAnswer :exec
UPDATE outhook.stored_answers SET key_id = @key_id, sealed = @sealed WHERE id = @id;
