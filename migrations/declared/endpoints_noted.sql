-- endpoints_made notes the first revision of an endpoint, endpoints_changed each further one. What does not change what it gets
-- and how, like its lane, costs a comparison and no call. The words of WHEN are Postgres' own: they are compared with its catalog.
CREATE OR REPLACE TRIGGER endpoints_made AFTER INSERT ON outhook.endpoints
    FOR EACH ROW EXECUTE FUNCTION outhook.note_endpoint_revision();
CREATE OR REPLACE TRIGGER endpoints_changed AFTER UPDATE ON outhook.endpoints FOR EACH ROW
    WHEN (((old.event_types IS DISTINCT FROM new.event_types) OR ((old.filter)::text IS DISTINCT FROM (new.filter)::text) OR (old.labels IS DISTINCT FROM new.labels) OR (old.ordered IS DISTINCT FROM new.ordered) OR (old.status IS DISTINCT FROM new.status)
    OR (old.url IS DISTINCT FROM new.url) OR (old.timeout_ms IS DISTINCT FROM new.timeout_ms)
    OR (old.max_in_flight IS DISTINCT FROM new.max_in_flight) OR (old.rate_limit IS DISTINCT FROM new.rate_limit)
    OR (old.rate_per IS DISTINCT FROM new.rate_per) OR (old.rate_burst IS DISTINCT FROM new.rate_burst)
    OR (old.retry_schedule IS DISTINCT FROM new.retry_schedule) OR (old.retry_jitter IS DISTINCT FROM new.retry_jitter)
    OR (old.deleted_at IS DISTINCT FROM new.deleted_at)))
    EXECUTE FUNCTION outhook.note_endpoint_revision();
