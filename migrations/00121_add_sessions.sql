-- Locks and time: ACCESS EXCLUSIVE on api_keys, which is small; instant. Processes of the version before go on: they admit keys
-- with the scope operate to nothing, and know nothing of sessions, which begin once a process of this version serves.

-- +goose Up
-- operate: replay, recover, pause, enable and test; read everything else.
ALTER TYPE outhook.key_scope ADD VALUE 'operate';

-- A session of the console is a key that lives for hours and is as good as the key that it was made with; a code is a key that is
-- good for one thing, once: a session.
ALTER TABLE outhook.api_keys
    ADD COLUMN kind text COLLATE "C" NOT NULL DEFAULT 'key',
    -- The key that a session or a code was made with: it is good as long as that one. NULL: the bootstrap key.
    ADD COLUMN parent_id uuid,
    -- For the bootstrap key, which is not in here: HMAC-SHA256 of its SHA-256, with the session's own text as the key. So a
    -- session ends with the bootstrap key, and nobody who reads this table can try out what that key is.
    ADD COLUMN parent_seal bytea,
    ADD CONSTRAINT api_keys_kind_check CHECK (CASE kind
        WHEN 'key' THEN parent_id IS NULL AND parent_seal IS NULL
        WHEN 'session' THEN (parent_id IS NULL) <> (parent_seal IS NULL) AND expires_at IS NOT NULL
        WHEN 'code' THEN (parent_id IS NULL) <> (parent_seal IS NULL) AND expires_at IS NOT NULL
        ELSE false END);

-- +goose Down
-- A type loses a value only by being made anew. Keys with the scope operate go: the version before has nothing like it.
DELETE FROM outhook.api_keys WHERE kind <> 'key' OR scope = 'operate';

ALTER TABLE outhook.api_keys
    DROP CONSTRAINT api_keys_kind_check, DROP COLUMN parent_seal, DROP COLUMN parent_id, DROP COLUMN kind,
    DROP CONSTRAINT api_keys_tenant_id_check;

ALTER TYPE outhook.key_scope RENAME TO key_scope_with_operate;
CREATE TYPE outhook.key_scope AS ENUM ('admin', 'tenant', 'publish', 'read');
ALTER TABLE outhook.api_keys ALTER COLUMN scope TYPE outhook.key_scope USING scope::text::outhook.key_scope;
DROP TYPE outhook.key_scope_with_operate;

ALTER TABLE outhook.api_keys ADD CONSTRAINT api_keys_tenant_id_check
    CHECK (CASE scope WHEN 'admin' THEN tenant_id IS NULL WHEN 'tenant' THEN tenant_id IS NOT NULL ELSE true END);
