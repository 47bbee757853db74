-- enqueue stores one event in the caller's transaction and returns its id (the first event's, if the idempotency key
-- was taken before by an event of the same type and payload; by another one it is an error of SQLSTATE OH002). The
-- payload is stored and sent byte for byte. traceparent: see enqueue_many. labels: those by which endpoints with labels choose.
-- headers: those that all requests have, an object of texts. deliver_at: when it is to be delivered. ordering_key: each endpoint gets
-- the events of a tenant with the same one in the order of their commits, one at a time. What came after the first five arguments is here and in enqueue_event
-- alone; who has tenants or payloads of another type casts them to text, or takes that.
--
-- It runs with the caller's rights and under his settings, so that it costs nothing; enqueue_many has its own.
CREATE OR REPLACE FUNCTION outhook.enqueue(tenant_id text, type text, payload text, idempotency_key text DEFAULT NULL,
    traceparent text DEFAULT NULL, labels text[] DEFAULT NULL, headers jsonb DEFAULT NULL,
    deliver_at timestamptz DEFAULT NULL, ordering_key text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT CASE WHEN e.conflict THEN outhook.key_conflict(e.event_id) ELSE e.event_id END
        FROM outhook.enqueue_many(ARRAY[tenant_id], ARRAY[type], ARRAY[payload], ARRAY[idempotency_key], false,
            ARRAY[traceparent], CASE WHEN labels IS NOT NULL THEN ARRAY[labels::pg_catalog.text] END,
            CASE WHEN headers IS NOT NULL THEN ARRAY[headers::pg_catalog.text] END,
            CASE WHEN deliver_at IS NOT NULL THEN ARRAY[deliver_at] END,
            CASE WHEN ordering_key IS NOT NULL THEN ARRAY[ordering_key] END) AS e);
END
$$;

-- The same for a payload that is json already (row_to_json, json_build_object), so that no cast is needed.
CREATE OR REPLACE FUNCTION outhook.enqueue(tenant_id text, type text, payload json, idempotency_key text DEFAULT NULL,
    traceparent text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT CASE WHEN e.conflict THEN outhook.key_conflict(e.event_id) ELSE e.event_id END
        FROM outhook.enqueue_many(ARRAY[tenant_id], ARRAY[type], ARRAY[payload::pg_catalog.text], ARRAY[idempotency_key], false,
            ARRAY[traceparent]) AS e);
END
$$;

-- The same for jsonb: what is sent is Postgres' own rendering of it.
CREATE OR REPLACE FUNCTION outhook.enqueue(tenant_id text, type text, payload jsonb, idempotency_key text DEFAULT NULL,
    traceparent text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT CASE WHEN e.conflict THEN outhook.key_conflict(e.event_id) ELSE e.event_id END
        FROM outhook.enqueue_many(ARRAY[tenant_id], ARRAY[type], ARRAY[payload::pg_catalog.text], ARRAY[idempotency_key], false,
            ARRAY[traceparent]) AS e);
END
$$;

-- The same for tenants whose id is a bigint (or an integer).
CREATE OR REPLACE FUNCTION outhook.enqueue(tenant_id bigint, type text, payload text, idempotency_key text DEFAULT NULL,
    traceparent text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT CASE WHEN e.conflict THEN outhook.key_conflict(e.event_id) ELSE e.event_id END
        FROM outhook.enqueue_many(ARRAY[tenant_id::pg_catalog.text], ARRAY[type], ARRAY[payload], ARRAY[idempotency_key], false,
            ARRAY[traceparent]) AS e);
END
$$;

-- The same for tenants whose id is a bigint (or an integer), and a payload that is json.
CREATE OR REPLACE FUNCTION outhook.enqueue(tenant_id bigint, type text, payload json, idempotency_key text DEFAULT NULL,
    traceparent text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT CASE WHEN e.conflict THEN outhook.key_conflict(e.event_id) ELSE e.event_id END
        FROM outhook.enqueue_many(ARRAY[tenant_id::pg_catalog.text], ARRAY[type], ARRAY[payload::pg_catalog.text], ARRAY[idempotency_key], false,
            ARRAY[traceparent]) AS e);
END
$$;

-- The same for tenants whose id is a bigint (or an integer), and a payload that is jsonb.
CREATE OR REPLACE FUNCTION outhook.enqueue(tenant_id bigint, type text, payload jsonb, idempotency_key text DEFAULT NULL,
    traceparent text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT CASE WHEN e.conflict THEN outhook.key_conflict(e.event_id) ELSE e.event_id END
        FROM outhook.enqueue_many(ARRAY[tenant_id::pg_catalog.text], ARRAY[type], ARRAY[payload::pg_catalog.text], ARRAY[idempotency_key], false,
            ARRAY[traceparent]) AS e);
END
$$;

-- The same for tenants whose id is a uuid.
CREATE OR REPLACE FUNCTION outhook.enqueue(tenant_id uuid, type text, payload text, idempotency_key text DEFAULT NULL,
    traceparent text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT CASE WHEN e.conflict THEN outhook.key_conflict(e.event_id) ELSE e.event_id END
        FROM outhook.enqueue_many(ARRAY[tenant_id::pg_catalog.text], ARRAY[type], ARRAY[payload], ARRAY[idempotency_key], false,
            ARRAY[traceparent]) AS e);
END
$$;

-- The same for tenants whose id is a uuid, and a payload that is json.
CREATE OR REPLACE FUNCTION outhook.enqueue(tenant_id uuid, type text, payload json, idempotency_key text DEFAULT NULL,
    traceparent text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT CASE WHEN e.conflict THEN outhook.key_conflict(e.event_id) ELSE e.event_id END
        FROM outhook.enqueue_many(ARRAY[tenant_id::pg_catalog.text], ARRAY[type], ARRAY[payload::pg_catalog.text], ARRAY[idempotency_key], false,
            ARRAY[traceparent]) AS e);
END
$$;

-- The same for tenants whose id is a uuid, and a payload that is jsonb.
CREATE OR REPLACE FUNCTION outhook.enqueue(tenant_id uuid, type text, payload jsonb, idempotency_key text DEFAULT NULL,
    traceparent text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT CASE WHEN e.conflict THEN outhook.key_conflict(e.event_id) ELSE e.event_id END
        FROM outhook.enqueue_many(ARRAY[tenant_id::pg_catalog.text], ARRAY[type], ARRAY[payload::pg_catalog.text], ARRAY[idempotency_key], false,
            ARRAY[traceparent]) AS e);
END
$$;
