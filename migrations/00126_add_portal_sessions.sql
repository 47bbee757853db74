-- Locks and time: ACCESS EXCLUSIVE on api_keys, which is small; instant. Processes of the version before go on: they admit keys with
-- the scope portal to nothing, and their sweep of old sessions takes those of the portal along.

-- +goose Up
-- A session of the portal: one tenant's, with the capabilities that its row has.
ALTER TYPE outhook.key_scope ADD VALUE 'portal';

-- A link is made for a customer who is logged in to the application that publishes. Its row is a portal-code, which is good once; opened,
-- it becomes the session itself: another hash, another end, the same id.
ALTER TABLE outhook.api_keys
    -- Who it is for, what the session may do, what pages may frame it, how it looks: api/portal_session.go. NULL: it is none.
    ADD COLUMN portal jsonb,
    -- When the session that a portal-code becomes ends, and when it did.
    ADD COLUMN session_until timestamptz,
    DROP CONSTRAINT api_keys_kind_check,
    ADD CONSTRAINT api_keys_kind_check CHECK (CASE kind
        WHEN 'key' THEN parent_id IS NULL AND parent_seal IS NULL
        WHEN 'session' THEN (parent_id IS NULL) <> (parent_seal IS NULL) AND expires_at IS NOT NULL
        WHEN 'code' THEN (parent_id IS NULL) <> (parent_seal IS NULL) AND expires_at IS NOT NULL
        WHEN 'portal' THEN (parent_id IS NULL) <> (parent_seal IS NULL) AND expires_at IS NOT NULL
            AND tenant_id IS NOT NULL AND portal IS NOT NULL AND session_until IS NOT NULL
        WHEN 'portal-code' THEN (parent_id IS NULL) <> (parent_seal IS NULL) AND expires_at IS NOT NULL
            AND tenant_id IS NOT NULL AND portal IS NOT NULL AND session_until IS NOT NULL
        ELSE false END);

-- +goose Down
-- A type loses a value only by being made anew. Sessions of the portal go: the version before has nothing like them.
DELETE FROM outhook.api_keys WHERE kind LIKE 'portal%';

ALTER TABLE outhook.api_keys
    DROP CONSTRAINT api_keys_kind_check, DROP COLUMN session_until, DROP COLUMN portal,
    DROP CONSTRAINT api_keys_tenant_id_check,
    ADD CONSTRAINT api_keys_kind_check CHECK (CASE kind
        WHEN 'key' THEN parent_id IS NULL AND parent_seal IS NULL
        WHEN 'session' THEN (parent_id IS NULL) <> (parent_seal IS NULL) AND expires_at IS NOT NULL
        WHEN 'code' THEN (parent_id IS NULL) <> (parent_seal IS NULL) AND expires_at IS NOT NULL
        ELSE false END);

ALTER TYPE outhook.key_scope RENAME TO key_scope_with_portal;
CREATE TYPE outhook.key_scope AS ENUM ('admin', 'tenant', 'publish', 'read', 'operate');
ALTER TABLE outhook.api_keys ALTER COLUMN scope TYPE outhook.key_scope USING scope::text::outhook.key_scope;
DROP TYPE outhook.key_scope_with_portal;

ALTER TABLE outhook.api_keys ADD CONSTRAINT api_keys_tenant_id_check
    CHECK (CASE scope WHEN 'admin' THEN tenant_id IS NULL WHEN 'tenant' THEN tenant_id IS NOT NULL ELSE true END);
