-- Queries that find what a text is a name of, by indexes only; of a tenant, or of any.

-- name: FindByID :many
-- An event, an endpoint that is not deleted, an operation.
SELECT 'event'::text AS kind, e.id, e.tenant_id::text AS tenant_id, e.type::text AS label FROM outhook.events AS e
WHERE e.id = @id::uuid AND (sqlc.narg('tenant_id')::text IS NULL OR e.tenant_id = sqlc.narg('tenant_id'))
UNION ALL
SELECT 'endpoint', n.id, n.tenant_id, n.url FROM outhook.endpoints AS n
WHERE n.id = @id AND n.deleted_at IS NULL AND (sqlc.narg('tenant_id')::text IS NULL OR n.tenant_id = sqlc.narg('tenant_id'))
UNION ALL
SELECT 'operation', o.id, coalesce(o.tenant_id, ''), o.kind FROM outhook.operations AS o
WHERE o.id = @id AND (sqlc.narg('tenant_id')::text IS NULL OR o.tenant_id = sqlc.narg('tenant_id'));

-- name: FindByUID :many
SELECT n.id, n.tenant_id, n.url FROM outhook.endpoints AS n
WHERE n.uid = @uid::text AND n.deleted_at IS NULL AND (sqlc.narg('tenant_id')::text IS NULL OR n.tenant_id = sqlc.narg('tenant_id'))
ORDER BY n.tenant_id
LIMIT @max_rows;

-- name: FindByHost :many
-- The host in lower case and without its port; the port as it is written in the URL, '' for any and none. The first expression is
-- that of endpoints_host_idx.
SELECT n.id, n.tenant_id, n.url FROM outhook.endpoints AS n
WHERE lower(substring(n.url COLLATE "C" FROM '(?i)^https?://(?:[^/?#]*@)?(\[[^]/?#]*\]|[^/?#@:]+)')) = @host::text
    AND (@port::text = '' OR substring(n.url FROM '(?i)^https?://[^/?#]*:([0-9]+)(?:[/?#]|$)') = @port)
    AND n.deleted_at IS NULL AND (sqlc.narg('tenant_id')::text IS NULL OR n.tenant_id = sqlc.narg('tenant_id'))
ORDER BY n.tenant_id, n.id
LIMIT @max_rows;

-- name: FindTenant :one
-- What there is of a tenant: an entry, endpoints, events that were counted, or that have an id from low to before high.
SELECT coalesce(t.name, '')::text AS name, (t.id IS NOT NULL)::boolean AS has_entry,
    EXISTS (SELECT FROM outhook.endpoints AS n WHERE n.tenant_id = q.label AND n.deleted_at IS NULL)::boolean AS has_endpoints,
    (EXISTS (SELECT FROM outhook.usage_hours AS h WHERE h.tenant_id = q.label)
        OR EXISTS (SELECT FROM outhook.events AS e WHERE e.tenant_id = q.label AND e.id >= @low::uuid AND e.id < @high::uuid))::boolean AS has_events
FROM (SELECT @label::text AS label) AS q
LEFT JOIN outhook.tenants AS t ON t.tenant_id = q.label;
