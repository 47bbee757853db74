-- note_endpoint_revision notes what an endpoint is from now on. It runs with its owner's rights: nobody else writes revisions,
-- so that whoever changes endpoints can't leave one out.
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
            CASE WHEN OLD.filter::text IS DISTINCT FROM NEW.filter::text THEN 'filter' END,
            CASE WHEN OLD.labels IS DISTINCT FROM NEW.labels THEN 'labels' END,
            CASE WHEN OLD.ordered IS DISTINCT FROM NEW.ordered THEN 'ordered' END,
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
    INSERT INTO outhook.endpoint_revisions (endpoint_id, id, tenant_id, at, xid, changed, event_types, filter, filter_path, labels, ordered, status, status_reason,
        status_changed_at, host, timeout_ms, max_in_flight, rate_limit, rate_per, rate_burst, retry_schedule, retry_jitter, deleted)
    VALUES (NEW.id, outhook.uuid_v7(noted_at), NEW.tenant_id, noted_at, pg_current_xact_id()::text::bigint, changes, NEW.event_types,
        NEW.filter, NEW.filter_path, NEW.labels, NEW.ordered, NEW.status, NEW.status_reason, NEW.status_changed_at, lower(substring(NEW.url FROM host_pattern)), NEW.timeout_ms, NEW.max_in_flight,
        NEW.rate_limit, NEW.rate_per, NEW.rate_burst, NEW.retry_schedule, NEW.retry_jitter, NEW.deleted_at IS NOT NULL);
    RETURN NULL;
END
$$;
