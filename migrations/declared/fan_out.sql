-- fan_out stores the events whose id is their key's owner, makes one delivery and one River job for each subscribed
-- endpoint, wakes the workers, and returns each event's number of deliveries. burst: the events go on with a burst that
-- the transaction has begun.
--
-- NOTIFY makes commits queue behind each other, so of the transactions that are open at the same time only the one that
-- gets the queue's advisory lock notifies; the workers' poll finds the others' jobs.
--
-- A connection keeps the plan, which may be from a time with few endpoints. OFFSET 0 and enable_seqscan make it one index
-- look-up an event all the same: any other plan reads every endpoint for every event once there are many. The documents that
-- filters look into are made by the first endpoint with one, and once.
--
-- What goes in line (line_key), by an ordering key or since its endpoint is ordered, waits in River's state pending, which nothing
-- fetches, in the line's queue, at its place: the event's deliver_at, or the time in its id. The states by which the key is unique are those of a live
-- job: available, running, retryable and scheduled.
CREATE OR REPLACE FUNCTION outhook.fan_out(ids uuid[], owners uuid[], tenant_ids text[], types text[], docs json[], notify boolean,
    traceparents text[], burst boolean DEFAULT false, label_lists text[] DEFAULT NULL, header_texts text[] DEFAULT NULL,
    deliver_ats timestamptz[] DEFAULT NULL, ordering_keys text[] DEFAULT NULL)
RETURNS integer[]
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    tenants CONSTANT text[] COLLATE "C" := tenant_ids;
    names CONSTANT text[] COLLATE "C" := types;
    traces CONSTANT text[] COLLATE "C" := traceparents;
    marks CONSTANT text[] COLLATE "C" := label_lists;
    heads CONSTANT text[] COLLATE "C" := header_texts;
    orders CONSTANT text[] COLLATE "C" := ordering_keys;
    counts integer[];
    queues text[] COLLATE "C";
    queue text COLLATE "C";
BEGIN
    WITH input AS (
        SELECT v.*, outhook.type_patterns(v.type) AS patterns, nullif(nullif(v.mark, ''), '{}')::text[] AS labels,
            CASE WHEN v.due > outhook.uuid_v7_time(v.id) THEN v.due END AS later, nullif(v.ordering, '') AS ordering_key
        FROM unnest(ids, owners, tenants, names, docs, traces, marks, heads, deliver_ats, orders)
            WITH ORDINALITY AS v (id, owner, tenant, type, doc, trace, mark, head, due, ordering, i)
    ), event_rows AS (
        INSERT INTO outhook.events (id, created_at, tenant_id, type, payload, traceparent, labels, headers, deliver_at, ordering_key)
        SELECT v.id, outhook.uuid_v7_time(v.id), v.tenant, v.type, v.doc, outhook.trace_or_null(v.trace), v.labels, nullif(v.head, '')::jsonb,
            v.later, v.ordering_key
        FROM input AS v WHERE v.id = v.owner
    ), fan AS MATERIALIZED (
        SELECT f.*, nextval('outhook.river_job_id_seq') AS job_id FROM (
            SELECT v.i, v.id AS event_id, v.later, e.id AS endpoint_id,
                CASE WHEN v.ordering_key IS NOT NULL OR e.ordered <> '' THEN outhook.line_key(e.id, v.ordering_key) END AS line_key,
                -- A burst for one endpoint gets workers of its own, so that it does not stand in front of everybody.
                outhook.lane_queue(e.id, v.tenant, e.lane, e.status, CASE WHEN burst OR count(*) OVER (PARTITION BY e.id) >= 100
                    THEN outhook.bulk_queue(v.tenant) ELSE 'deliver' END) AS queue
            FROM input AS v
            CROSS JOIN LATERAL (SELECT n.id, n.lane, n.status, n.ordered FROM outhook.endpoints AS n
                WHERE n.tenant_id = v.tenant AND n.deleted_at IS NULL AND n.status <> 'disabled'
                    AND outhook.endpoint_wants(n.event_types, v.patterns, n.filter_path,
                        (SELECT outhook.event_documents(tenants, names, docs))[v.i], n.labels, v.labels)
                ORDER BY n.id OFFSET 0) AS e
            WHERE v.id = v.owner
            ORDER BY v.i, e.id
        ) AS f
    ), delivery_rows AS (
        INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, next_attempt_at)
        SELECT f.event_id, f.endpoint_id, f.job_id, coalesce(f.later, outhook.uuid_v7_time(f.event_id)) FROM fan AS f
    ), job_rows AS (
        INSERT INTO outhook.river_job (id, kind, args, max_attempts, queue, state, scheduled_at, unique_key, unique_states)
        SELECT f.job_id, 'deliver', jsonb_build_object('event_id', f.event_id, 'endpoint_id', f.endpoint_id), 1000,
            CASE WHEN f.line_key IS NULL THEN f.queue ELSE 'line-' || encode(f.line_key, 'hex') END,
            CASE WHEN f.line_key IS NOT NULL THEN 'pending' WHEN f.later IS NULL THEN 'available' ELSE 'scheduled' END::outhook.river_job_state,
            coalesce(f.later, CASE WHEN f.line_key IS NULL THEN now() ELSE outhook.uuid_v7_time(f.event_id) END), f.line_key,
            CASE WHEN f.line_key IS NOT NULL THEN B'11100001' END
        FROM fan AS f
    )
    SELECT array_agg(coalesce(c.n, 0) ORDER BY v.i), (SELECT array_agg(DISTINCT CASE WHEN f.queue LIKE 'bulk-%' THEN 'deliver_bulk' ELSE f.queue END) FROM fan AS f
        WHERE f.later IS NULL AND f.line_key IS NULL)
    INTO counts, queues
    FROM input AS v LEFT JOIN (SELECT f.i, count(*)::integer AS n FROM fan AS f GROUP BY f.i) AS c ON c.i = v.i;

    FOREACH queue IN ARRAY coalesce(queues, '{}') LOOP
        -- The pacer looks at lanes by itself.
        CONTINUE WHEN queue NOT IN ('deliver', 'deliver_bulk');
        PERFORM outhook.wake(queue, notify);
    END LOOP;
    RETURN counts;
END
$$;
