-- Locks and time: creates an empty table; instant.

-- +goose Up
-- What a key may do: admin everything; tenant everything with the objects of its tenant; publish only enqueue; read only
-- read.
CREATE TYPE outhook.key_scope AS ENUM ('admin', 'tenant', 'publish', 'read');

-- The keys of the REST API. OUTHOOK_API_KEY, the bootstrap key, is not in here.
CREATE TABLE outhook.api_keys (
    id           uuid NOT NULL DEFAULT outhook.uuid_v7(),
    name         text NOT NULL,
    -- SHA-256 of the whole key. A key has 256 random bits, so a plain hash is enough.
    key_hash     bytea NOT NULL,
    scope        outhook.key_scope NOT NULL,
    -- The tenant whose objects the key is bound to. NULL: those of every tenant.
    tenant_id    text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    -- NULL: it does not expire.
    expires_at   timestamptz,
    -- To the minute, so that a busy key does not write a row per request.
    last_used_at timestamptz,
    revoked_at   timestamptz,
    CONSTRAINT api_keys_pkey PRIMARY KEY (id),
    CONSTRAINT api_keys_key_hash_key UNIQUE (key_hash),
    -- An admin's key is bound to no tenant, a tenant's always; the others may be.
    CONSTRAINT api_keys_tenant_id_check CHECK (CASE scope WHEN 'admin' THEN tenant_id IS NULL WHEN 'tenant' THEN tenant_id IS NOT NULL ELSE true END)
);

-- +goose Down
DROP TABLE outhook.api_keys;
DROP TYPE outhook.key_scope;
