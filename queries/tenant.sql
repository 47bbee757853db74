-- Queries of what people have noted of tenants.

-- name: GetTenant :one
SELECT * FROM outhook.tenants WHERE tenant_id = @tenant_id;

-- name: LockTenant :one
SELECT * FROM outhook.tenants WHERE tenant_id = @tenant_id FOR UPDATE;

-- name: ListTenants :many
SELECT * FROM outhook.tenants AS t
WHERE (sqlc.narg('tenant_id')::text IS NULL OR t.tenant_id = sqlc.narg('tenant_id'))
    AND (sqlc.narg('id')::uuid IS NULL OR t.id = sqlc.narg('id'))
    AND (sqlc.narg('cursor')::uuid IS NULL OR CASE WHEN @ascending::boolean THEN t.id > sqlc.narg('cursor') ELSE t.id < sqlc.narg('cursor') END)
ORDER BY CASE WHEN @ascending THEN t.id END, CASE WHEN NOT @ascending THEN t.id END DESC
LIMIT @max_rows;

-- name: InsertTenant :one
INSERT INTO outhook.tenants (id, tenant_id, name, contact, metadata)
VALUES (outhook.uuid_v7(), @tenant_id, @name, @contact, @metadata)
RETURNING *;

-- name: UpdateTenant :one
UPDATE outhook.tenants SET name = @name, contact = @contact, metadata = @metadata,
    -- Never the same twice: it is the ETag.
    updated_at = greatest(now(), updated_at + interval '1 us')
WHERE id = @id
RETURNING *;

-- name: DeleteTenant :exec
DELETE FROM outhook.tenants WHERE id = @id;
