-- put_one is fan_out for one event: the same rows by short statements, since setting up the set-based one took longer than
-- the inserts (290 µs an event instead of 170). shared: the queue of endpoints without a lane, since one event alone makes
-- no burst, however many endpoints it is for. ordering: the event's ordering key. The subquery is evaluated by the first endpoint
-- with a filter, and once. The look for a guard is part of the insert, since a statement of its own would cost more than it does.
CREATE OR REPLACE FUNCTION outhook.put_one(id uuid, at timestamptz, tenant text, event_type text, doc json, notify boolean, trace text,
    shared text, marks text DEFAULT NULL, heads text DEFAULT NULL, due timestamptz DEFAULT NULL, ordering text DEFAULT NULL)
RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    owner CONSTANT text COLLATE "C" := tenant;
    name CONSTANT text COLLATE "C" := event_type;
    traceparent CONSTANT text COLLATE "C" := trace;
    usually CONSTANT text COLLATE "C" := shared;
    tags CONSTANT text[] COLLATE "C" := nullif(nullif(marks, ''), '{}');
    line CONSTANT text COLLATE "C" := ordering;
    extra CONSTANT jsonb := nullif(heads, '');
    later CONSTANT timestamptz := CASE WHEN due > at THEN due END;
    made integer;
    usual integer;
    bulk integer;
BEGIN
    INSERT INTO outhook.events (id, created_at, tenant_id, type, payload, traceparent, labels, headers, deliver_at, ordering_key)
    VALUES (id, at, owner, name,
        CASE WHEN EXISTS (SELECT FROM outhook.event_types AS t (id, called) WHERE t.called = name AND t.guard IS NOT NULL)
            THEN (SELECT doc FROM outhook.check_guards(ARRAY[name], ARRAY[doc])) ELSE doc END,
        outhook.trace_or_null(traceparent), tags, extra, later, line);
    WITH f AS MATERIALIZED (
        SELECT e.id AS endpoint_id, nextval('outhook.river_job_id_seq') AS job_id,
            CASE WHEN line IS NOT NULL OR e.ordered <> '' THEN outhook.line_key(e.id, line) END AS line_key,
            outhook.lane_queue(e.id, e.tenant_id, e.lane, e.status, usually) AS queue
        FROM outhook.endpoints AS e
        WHERE e.tenant_id = owner AND e.deleted_at IS NULL AND e.status <> 'disabled'
            AND outhook.endpoint_wants(e.event_types, outhook.type_patterns(name), e.filter_path,
                (SELECT outhook.event_document(owner, name, doc)), e.labels, tags)
    ), d AS (
        INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, next_attempt_at)
        SELECT put_one.id, f.endpoint_id, f.job_id, coalesce(later, at) FROM f
    ), j AS (
        -- As in fan_out.
        INSERT INTO outhook.river_job (id, kind, args, max_attempts, queue, state, scheduled_at, unique_key, unique_states)
        SELECT f.job_id, 'deliver', jsonb_build_object('event_id', put_one.id, 'endpoint_id', f.endpoint_id), 1000,
            CASE WHEN f.line_key IS NULL THEN f.queue ELSE 'line-' || encode(f.line_key, 'hex') END,
            CASE WHEN f.line_key IS NOT NULL THEN 'pending' WHEN later IS NULL THEN 'available' ELSE 'scheduled' END::outhook.river_job_state,
            coalesce(later, CASE WHEN f.line_key IS NULL THEN now() ELSE at END), f.line_key,
            CASE WHEN f.line_key IS NOT NULL THEN B'11100001' END
        FROM f
    )
    SELECT count(*), count(*) FILTER (WHERE f.queue = 'deliver' AND f.line_key IS NULL),
        count(*) FILTER (WHERE f.queue LIKE 'bulk-%' AND f.line_key IS NULL)
    INTO made, usual, bulk FROM f;
    IF later IS NOT NULL THEN
        RETURN made;
    END IF;
    IF usual > 0 THEN
        PERFORM outhook.wake('deliver', notify);
    END IF;
    IF bulk > 0 THEN
        PERFORM outhook.wake('deliver_bulk', notify);
    END IF;
    RETURN made;
END
$$;
