-- Locks and time: creates an empty table; instant.

-- +goose Up
-- The keys of the REST API. OUTHOOK_API_KEY, the bootstrap key, is not in here.
CREATE TABLE outhook.api_keys (
    id           uuid NOT NULL DEFAULT outhook.uuid_v7(),
    name         text NOT NULL,
    -- SHA-256 of the whole key. A key has 256 random bits, so a plain hash is enough.
    key_hash     bytea NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    -- To the minute, so that a busy key does not write a row per request.
    last_used_at timestamptz,
    revoked_at   timestamptz,
    CONSTRAINT api_keys_pkey PRIMARY KEY (id),
    CONSTRAINT api_keys_key_hash_key UNIQUE (key_hash)
);

-- +goose Down
DROP TABLE outhook.api_keys;
