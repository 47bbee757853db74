-- Locks and time: audit_entries for an instant; then endpoints against writing, not against reading, while a row is made for
-- each of them, some 10 s for a million: changes of endpoints wait, and what enqueues and delivers goes on. Each is a
-- transaction of its own, so that nobody who writes both waits for the other; what is broken off is repeated.
--
-- The triggers are declared, too, and stand here, so that no change gets lost between the rows that are made for the endpoints
-- that there are and the declaration. Processes of the version before write revisions by them as well.

-- +goose NO TRANSACTION
-- +goose Up

-- The transaction that the entry was written in: by it an endpoint's revision finds who made it. NULL: an entry of before.
ALTER TABLE outhook.audit_entries ADD COLUMN IF NOT EXISTS xid bigint;
ALTER TABLE outhook.audit_entries ALTER COLUMN xid SET DEFAULT pg_current_xact_id()::text::bigint;

-- What an endpoint was from a time on: a row for each change of its subscription, its status or its limits, by triggers,
-- in the transaction of the change, whichever statement makes it. Kept as long as the endpoint's row, and erased with
-- its tenant.
CREATE TABLE IF NOT EXISTS outhook.endpoint_revisions (
    endpoint_id       uuid NOT NULL,
    -- A UUIDv7 of the time at.
    id                uuid NOT NULL,
    tenant_id         text COLLATE "C" NOT NULL,
    -- When it was written: it holds from its commit on, a little later.
    at                timestamptz NOT NULL,
    -- The transaction of the change. NULL: first_known.
    xid               bigint,
    -- The first of an endpoint from before there were revisions: what it was when it was changed last, at that time;
    -- nothing is known of what it was before.
    first_known       boolean NOT NULL DEFAULT false,
    -- What differs from the revision before. Empty: it is the first.
    changed           text[] COLLATE "C" NOT NULL DEFAULT '{}',
    -- As the endpoint's.
    event_types       text[] COLLATE "C" NOT NULL,
    status            outhook.endpoint_status NOT NULL,
    status_reason     text NOT NULL,
    -- Since when it has the status.
    status_changed_at timestamptz NOT NULL,
    -- Of its URL, with its port, without credentials. NULL: it is erased.
    host              text,
    timeout_ms        integer NOT NULL,
    max_in_flight     integer NOT NULL,
    rate_limit        integer,
    rate_per          text COLLATE "C" NOT NULL,
    rate_burst        integer NOT NULL,
    retry_schedule    integer[],
    retry_jitter      double precision,
    deleted           boolean NOT NULL,
    CONSTRAINT endpoint_revisions_pkey PRIMARY KEY (endpoint_id, id)
);

-- A tenant's endpoints that were deleted, by the time: who asks what an event was not delivered to is told of them.
CREATE INDEX IF NOT EXISTS endpoint_revisions_deleted_idx ON outhook.endpoint_revisions (tenant_id, at) WHERE deleted;

-- +goose StatementBegin
DO $migration$
BEGIN
    LOCK TABLE outhook.endpoints IN SHARE ROW EXCLUSIVE MODE;

    CREATE OR REPLACE FUNCTION outhook.note_endpoint_revision() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        changes text[] COLLATE "C" := '{}';
        noted_at CONSTANT timestamptz := clock_timestamp();
        host_pattern CONSTANT text COLLATE "C" := '(?i)^https?://(?:[^/?#]*@)?([^/?#@]+)';
    BEGIN
        IF TG_OP = 'UPDATE' THEN
            changes := array_remove(ARRAY[
                CASE WHEN OLD.event_types IS DISTINCT FROM NEW.event_types THEN 'event_types' END,
                CASE WHEN OLD.status IS DISTINCT FROM NEW.status THEN 'status' END,
                CASE WHEN substring(OLD.url FROM host_pattern) IS DISTINCT FROM substring(NEW.url FROM host_pattern) THEN 'host' END,
                CASE WHEN OLD.timeout_ms IS DISTINCT FROM NEW.timeout_ms THEN 'timeout_ms' END,
                CASE WHEN OLD.max_in_flight IS DISTINCT FROM NEW.max_in_flight THEN 'max_in_flight' END,
                CASE WHEN (OLD.rate_limit, OLD.rate_per, OLD.rate_burst) IS DISTINCT FROM (NEW.rate_limit, NEW.rate_per, NEW.rate_burst)
                    THEN 'rate_limit' END,
                CASE WHEN OLD.retry_schedule IS DISTINCT FROM NEW.retry_schedule THEN 'retry_schedule' END,
                CASE WHEN OLD.retry_jitter IS DISTINCT FROM NEW.retry_jitter THEN 'retry_jitter' END,
                CASE WHEN (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL) THEN 'deleted' END], NULL);
            IF changes = '{}' THEN -- another path at the same host
                RETURN NULL;
            END IF;
        END IF;
        INSERT INTO outhook.endpoint_revisions (endpoint_id, id, tenant_id, at, xid, changed, event_types, status, status_reason,
            status_changed_at, host, timeout_ms, max_in_flight, rate_limit, rate_per, rate_burst, retry_schedule, retry_jitter, deleted)
        VALUES (NEW.id, outhook.uuid_v7(noted_at), NEW.tenant_id, noted_at, pg_current_xact_id()::text::bigint, changes, NEW.event_types,
            NEW.status, NEW.status_reason, NEW.status_changed_at, lower(substring(NEW.url FROM host_pattern)), NEW.timeout_ms, NEW.max_in_flight,
            NEW.rate_limit, NEW.rate_per, NEW.rate_burst, NEW.retry_schedule, NEW.retry_jitter, NEW.deleted_at IS NOT NULL);
        RETURN NULL;
    END
    $$;
    REVOKE ALL ON FUNCTION outhook.note_endpoint_revision() FROM PUBLIC;

    CREATE OR REPLACE TRIGGER endpoints_made AFTER INSERT ON outhook.endpoints
        FOR EACH ROW EXECUTE FUNCTION outhook.note_endpoint_revision();
    CREATE OR REPLACE TRIGGER endpoints_changed AFTER UPDATE ON outhook.endpoints FOR EACH ROW
        WHEN (((old.event_types IS DISTINCT FROM new.event_types) OR (old.status IS DISTINCT FROM new.status)
        OR (old.url IS DISTINCT FROM new.url) OR (old.timeout_ms IS DISTINCT FROM new.timeout_ms)
        OR (old.max_in_flight IS DISTINCT FROM new.max_in_flight) OR (old.rate_limit IS DISTINCT FROM new.rate_limit)
        OR (old.rate_per IS DISTINCT FROM new.rate_per) OR (old.rate_burst IS DISTINCT FROM new.rate_burst)
        OR (old.retry_schedule IS DISTINCT FROM new.retry_schedule) OR (old.retry_jitter IS DISTINCT FROM new.retry_jitter)
        OR (old.deleted_at IS DISTINCT FROM new.deleted_at)))
        EXECUTE FUNCTION outhook.note_endpoint_revision();

    -- Each change sets updated_at, so what an endpoint is has been so since then. The id is uuid_v7's of that time, in its own
    -- words, since functions are declared.
    INSERT INTO outhook.endpoint_revisions (endpoint_id, id, tenant_id, at, first_known, event_types, status, status_reason,
        status_changed_at, host, timeout_ms, max_in_flight, rate_limit, rate_per, rate_burst, retry_schedule, retry_jitter, deleted)
    SELECT n.id, (encode(int8send((floor(extract(epoch FROM n.updated_at) * 4096000)::bigint >> 12 << 16) | 28672
            | (floor(extract(epoch FROM n.updated_at) * 4096000)::bigint & 4095)), 'hex') || '8000000000000000')::uuid,
        n.tenant_id, n.updated_at, true, n.event_types, n.status, n.status_reason,
        n.status_changed_at, lower(substring(n.url FROM '(?i)^https?://(?:[^/?#]*@)?([^/?#@]+)')), n.timeout_ms, n.max_in_flight, n.rate_limit, n.rate_per,
        n.rate_burst, n.retry_schedule, n.retry_jitter, n.deleted_at IS NOT NULL
    FROM outhook.endpoints AS n
    WHERE n.url <> '' AND NOT EXISTS (SELECT FROM outhook.endpoint_revisions AS r WHERE r.endpoint_id = n.id);
END
$migration$;
-- +goose StatementEnd

-- +goose Down
-- What is declared, the triggers and their function, is gone by now.
DROP TABLE IF EXISTS outhook.endpoint_revisions;
ALTER TABLE outhook.audit_entries DROP COLUMN IF EXISTS xid;
