-- Locks and time: creates an empty table and a view; instant.

-- +goose Up
-- Who did what with which object, and when: a row for each order of a person or a program that changed something or read
-- a secret, written in the transaction of the change. Rows are added and never changed; what holds values that may be
-- secret (a URL, a header, a payload) is named and not copied.
CREATE TABLE outhook.audit_entries (
    id             uuid NOT NULL DEFAULT outhook.uuid_v7(),
    -- When the order was carried out; it may be visible later, when its transaction commits.
    at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The key in api_keys. NULL: the bootstrap key, or the command line.
    key_id         uuid,
    -- The key's name at that time, OUTHOOK_API_KEY for the bootstrap key, or 'command line: ' and the system's user.
    actor          text NOT NULL,
    -- The tenant that the key is bound to. NULL: an operator's.
    key_tenant_id  text,
    -- The operation's id in the API's document: create-endpoint, replay-delivery, revoke-key, ...
    action         text NOT NULL,
    -- Whose object it is. NULL: nobody's in particular.
    tenant_id      text,
    -- endpoint, delivery, key, ...
    object_type    text NOT NULL,
    -- The object's id; of a delivery the event's and the endpoint's with a slash.
    object_id      text NOT NULL,
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

-- +goose StatementBegin
-- refuse_change holds against everybody, also those whose role owns the table, until they switch the trigger off
-- (docs/security.md): no accident and no injected statement rewrites the past.
CREATE FUNCTION outhook.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'outhook.% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION outhook.refuse_change() FROM PUBLIC;

CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON outhook.audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION outhook.refuse_change();

CREATE VIEW outhook.report_audit AS
SELECT a.id, a.at, a.actor, a.key_id, a.key_tenant_id, a.action, a.tenant_id, a.object_type, a.object_id, a.detail,
    a.source_address, a.request_id
FROM outhook.audit_entries AS a;
COMMENT ON VIEW outhook.report_audit IS
    'One row per order that changed something or read a secret. actor: the key''s name, or the command line.';

-- +goose StatementBegin
DO $$
BEGIN
    IF to_regrole('outhook_reporter') IS NOT NULL THEN
        GRANT SELECT ON outhook.report_audit TO outhook_reporter;
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP VIEW outhook.report_audit;
DROP TABLE outhook.audit_entries;
DROP FUNCTION outhook.refuse_change();
