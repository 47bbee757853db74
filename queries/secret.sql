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

-- name: ListMissingKeys :many
-- The keys that have sealed what is needed and are not among key_ids, and how many rows need each, counted up to max_rows:
-- secrets that are live, endpoints with secret headers, and stored answers that are given again. Each recursion skips from one
-- key to the next in an index. What a key is needed for is counted in the index's order: of a key of few rows the statistics
-- say nothing, and to look for it by equality, up to a limit, may read the whole table. Of the answers, which have none on the key, the oldest and the newest tell: keys change with time.
WITH RECURSIVE s AS (
    (SELECT v.key_id FROM outhook.endpoint_secrets AS v ORDER BY v.key_id LIMIT 1)
    UNION ALL
    SELECT (SELECT v.key_id FROM outhook.endpoint_secrets AS v WHERE v.key_id > s.key_id ORDER BY v.key_id LIMIT 1)
    FROM s WHERE s.key_id IS NOT NULL
), h AS (
    (SELECT jsonb_path_query_array(v.secret_headers, '$.*.key_id') AS key_ids FROM outhook.endpoints AS v
        WHERE v.secret_headers <> '{}' ORDER BY jsonb_path_query_array(v.secret_headers, '$.*.key_id') LIMIT 1)
    UNION ALL
    SELECT (SELECT jsonb_path_query_array(v.secret_headers, '$.*.key_id') FROM outhook.endpoints AS v
        WHERE v.secret_headers <> '{}' AND jsonb_path_query_array(v.secret_headers, '$.*.key_id') > h.key_ids
        ORDER BY jsonb_path_query_array(v.secret_headers, '$.*.key_id') LIMIT 1)
    FROM h WHERE h.key_ids IS NOT NULL
), a AS MATERIALIZED (
    SELECT o.id, o.key_id FROM (SELECT v.id, v.key_id FROM outhook.stored_answers AS v
        WHERE v.created_at > now() - make_interval(secs => @kept_seconds::float8)
        ORDER BY v.created_at LIMIT @max_rows) AS o
    UNION
    SELECT o.id, o.key_id FROM (SELECT v.id, v.key_id FROM outhook.stored_answers AS v
        WHERE v.created_at > now() - make_interval(secs => @kept_seconds::float8)
        ORDER BY v.created_at DESC LIMIT @max_rows) AS o
), used AS (
    SELECT 'secrets' AS what, s.key_id, (SELECT count(*) FROM (SELECT FROM outhook.endpoint_secrets AS v
        WHERE v.key_id >= s.key_id AND v.key_id <= s.key_id AND (v.expires_at IS NULL OR v.expires_at > now())
        ORDER BY v.key_id LIMIT @max_rows) AS c) AS n
    FROM (SELECT v.key_id FROM s AS v LIMIT @max_rows) AS s WHERE s.key_id <> ALL (@key_ids::text[])
    UNION ALL
    SELECT 'headers', k.key_id, (SELECT count(*) FROM (SELECT FROM outhook.endpoints AS v
        WHERE v.secret_headers <> '{}' AND jsonb_path_query_array(v.secret_headers, '$.*.key_id') >= k.key_ids
            AND jsonb_path_query_array(v.secret_headers, '$.*.key_id') <= k.key_ids AND v.deleted_at IS NULL
        ORDER BY jsonb_path_query_array(v.secret_headers, '$.*.key_id') LIMIT @max_rows) AS c)
    FROM (SELECT DISTINCT h.key_ids, x.key_id FROM (SELECT v.key_ids FROM h AS v LIMIT @max_rows) AS h
        CROSS JOIN LATERAL jsonb_array_elements_text(h.key_ids) AS x (key_id)) AS k
    WHERE k.key_id <> ALL (@key_ids)
    UNION ALL
    SELECT 'answers', a.key_id, count(*) FROM a WHERE a.key_id <> ALL (@key_ids) GROUP BY a.key_id
)
SELECT u.key_id::text AS key_id, coalesce(sum(u.n) FILTER (WHERE u.what = 'secrets'), 0)::bigint AS secrets,
    coalesce(sum(u.n) FILTER (WHERE u.what = 'headers'), 0)::bigint AS headers,
    coalesce(sum(u.n) FILTER (WHERE u.what = 'answers'), 0)::bigint AS answers
FROM used AS u GROUP BY u.key_id HAVING sum(u.n) > 0 ORDER BY u.key_id;
