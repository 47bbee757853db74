-- enqueue_event is enqueue under a name without overloads, for those who call functions by name over HTTP (PostgREST,
-- Supabase's rpc): the payload is any JSON value.
CREATE OR REPLACE FUNCTION outhook.enqueue_event(tenant_id text, type text, payload json, idempotency_key text DEFAULT NULL,
    traceparent text DEFAULT NULL, labels text[] DEFAULT NULL, headers jsonb DEFAULT NULL,
    deliver_at timestamptz DEFAULT NULL, ordering_key text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT CASE WHEN e.conflict THEN outhook.key_conflict(e.event_id) ELSE e.event_id END
        FROM outhook.enqueue_many(ARRAY[tenant_id], ARRAY[type], ARRAY[payload::pg_catalog.text], ARRAY[idempotency_key], false,
            ARRAY[traceparent], CASE WHEN labels IS NOT NULL THEN ARRAY[labels::pg_catalog.text] END,
            CASE WHEN headers IS NOT NULL THEN ARRAY[headers::pg_catalog.text] END,
            CASE WHEN deliver_at IS NOT NULL THEN ARRAY[deliver_at] END,
            CASE WHEN ordering_key IS NOT NULL THEN ARRAY[ordering_key] END) AS e);
END
$$;
