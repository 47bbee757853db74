-- name: InsertAuditEntry :exec
INSERT INTO outhook.audit_entries (id, key_id, actor, key_tenant_id, action, tenant_id, object_type, object_id, detail,
    source_address, request_id)
VALUES (outhook.uuid_v7(), sqlc.narg('key_id'), @actor, sqlc.narg('key_tenant_id'), @action, sqlc.narg('tenant_id'), @object_type, @object_id,
    @detail, nullif(@source_address::text, '')::inet, nullif(@request_id::text, ''));

-- name: InsertAuditEntries :exec
-- One for each of many objects that an order was carried out on.
INSERT INTO outhook.audit_entries (id, key_id, actor, key_tenant_id, action, tenant_id, object_type, object_id, detail,
    source_address, request_id)
SELECT outhook.uuid_v7(), sqlc.narg('key_id')::uuid, @actor::text, sqlc.narg('key_tenant_id')::text, @action::text, u.tenant_id,
    @object_type::text, u.object_id, @detail::jsonb, nullif(@source_address::text, '')::inet, nullif(@request_id::text, '')
FROM (SELECT unnest(@tenant_ids::text[]) AS tenant_id, unnest(@object_ids::text[]) AS object_id) AS u;

-- name: ListAuditEntries :many
-- since and until become bounds on the id.
SELECT a.id, a.at, a.key_id, a.actor, a.key_tenant_id, a.action, a.tenant_id, a.object_type, a.object_id, a.detail,
    coalesce(host(a.source_address), '')::text AS source_address, coalesce(a.request_id, '')::text AS request_id
FROM outhook.audit_entries AS a
WHERE (sqlc.narg('tenant_id')::text IS NULL OR a.tenant_id = sqlc.narg('tenant_id'))
    AND (sqlc.narg('object_id')::text IS NULL OR a.object_id = sqlc.narg('object_id'))
    AND (sqlc.narg('action')::text IS NULL OR a.action = sqlc.narg('action'))
    AND (sqlc.narg('key_id')::uuid IS NULL OR a.key_id = sqlc.narg('key_id'))
    AND (sqlc.narg('since')::timestamptz IS NULL OR a.id >= outhook.uuid_v7_floor(sqlc.narg('since')))
    AND (sqlc.narg('until')::timestamptz IS NULL OR a.id < outhook.uuid_v7_floor(sqlc.narg('until')))
    AND (sqlc.narg('cursor')::uuid IS NULL OR CASE WHEN @ascending::boolean THEN a.id > sqlc.narg('cursor') ELSE a.id < sqlc.narg('cursor') END)
ORDER BY CASE WHEN @ascending THEN a.id END, CASE WHEN NOT @ascending THEN a.id END DESC
LIMIT @max_rows;
