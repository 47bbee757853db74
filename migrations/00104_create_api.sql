-- Locks and time: creates empty tables only; instant.

-- +goose Up
-- What a key may do: admin everything; tenant everything with the objects of its tenant; publish only enqueue; read only
-- read.
CREATE TYPE outhook.key_scope AS ENUM ('admin', 'tenant', 'publish', 'read');

-- The keys of the REST API. OUTHOOK_API_KEY, the bootstrap key, is not in here.
CREATE TABLE outhook.api_keys (
    id           uuid NOT NULL,
    name         text COLLATE "C" NOT NULL,
    -- SHA-256 of the whole key. A key has 256 random bits, so a plain hash is enough.
    key_hash     bytea NOT NULL,
    scope        outhook.key_scope NOT NULL,
    -- The tenant whose objects the key is bound to. NULL: those of every tenant.
    tenant_id    text COLLATE "C",
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

-- Who did what with which object, and when: a row for each order of a person or a program that changed something or read
-- a secret, written in the transaction of the change. Rows are added and never changed; what holds values that may be
-- secret (a URL, a header, a payload) is named and not copied.
CREATE TABLE outhook.audit_entries (
    id             uuid NOT NULL,
    -- When the order was carried out; it may be visible later, when its transaction commits.
    at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The key in api_keys. NULL: the bootstrap key, or the command line.
    key_id         uuid,
    -- The key's name at that time, OUTHOOK_API_KEY for the bootstrap key, or 'command line: ' and the system's user.
    actor          text NOT NULL,
    -- The tenant that the key is bound to. NULL: an operator's.
    key_tenant_id  text COLLATE "C",
    -- The operation's id in the API's document: create-endpoint, replay-delivery, revoke-key, ...
    action         text COLLATE "C" NOT NULL,
    -- Whose object it is. NULL: nobody's in particular.
    tenant_id      text COLLATE "C",
    -- endpoint, delivery, key, ...
    object_type    text COLLATE "C" NOT NULL,
    -- The object's id; of a delivery the event's and the endpoint's with a slash.
    object_id      text COLLATE "C" NOT NULL,
    -- What was changed: names, and values that are no secret.
    detail         jsonb NOT NULL DEFAULT '{}',
    -- The client's address (see OUTHOOK_TRUSTED_PROXIES). NULL: the command line.
    source_address inet,
    -- As in the log and in the answer's X-Request-Id. NULL: the command line.
    request_id     text,
    CONSTRAINT audit_entries_pkey PRIMARY KEY (id)
);

-- Lists of one tenant, newest first.
CREATE INDEX audit_entries_tenant_id_idx ON outhook.audit_entries (tenant_id, id);

-- The history of one object, newest first.
CREATE INDEX audit_entries_object_id_idx ON outhook.audit_entries (object_id, id);

-- +goose Down
DROP TABLE outhook.audit_entries;
DROP TABLE outhook.api_keys;
DROP TYPE outhook.key_scope;
