-- Locks and time: creates an empty table, then SHARE on endpoints while its two indexes are made, about 2 s for a million: changes of
-- endpoints wait, and what enqueues and delivers does not. Processes of the version before know nothing of the table: a tenant
-- that they erase keeps its row.

-- +goose Up
-- What people have noted of a tenant: a row for whom they like. A tenant stays a label that the publisher chooses, and needs no row;
-- nothing that enqueues or delivers reads it, so nothing refers to it either.
CREATE TABLE outhook.tenants (
    -- A UUIDv7: lists go by it.
    id         uuid NOT NULL,
    -- The tenant_id of its events and endpoints.
    tenant_id  text COLLATE "C" NOT NULL,
    name       text NOT NULL DEFAULT '',
    -- An e-mail address. '': none.
    contact    text NOT NULL DEFAULT '',
    -- Texts by name.
    metadata   jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Never the same twice: it is the ETag.
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenants_pkey PRIMARY KEY (id),
    CONSTRAINT tenants_tenant_id_key UNIQUE (tenant_id)
);

-- An endpoint by its uid, for whoever does not know the tenant. Few changes of an endpoint change what stands in this index or the next.
CREATE INDEX endpoints_uid_of_any_idx ON outhook.endpoints (uid, tenant_id) WHERE uid IS NOT NULL AND deleted_at IS NULL;

-- Endpoints by the host of their URL, without its port: the same expression as in queries/find.sql.
CREATE INDEX endpoints_host_idx ON outhook.endpoints (
    lower(substring(url COLLATE "C" FROM '(?i)^https?://(?:[^/?#]*@)?(\[[^]/?#]*\]|[^/?#@:]+)')), tenant_id, id
) WHERE deleted_at IS NULL;

-- +goose Down
DROP INDEX outhook.endpoints_host_idx;

DROP INDEX outhook.endpoints_uid_of_any_idx;

DROP TABLE outhook.tenants;
