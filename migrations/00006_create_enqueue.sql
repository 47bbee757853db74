-- Locks and time: creates functions only; instant.
--
-- The one way in. Every publisher (the Go package, the REST API, psql, a trigger, any language) calls these functions,
-- so there is one set of rules. They are SECURITY DEFINER with a pinned search_path and name every object with its
-- schema: a publisher's role needs EXECUTE and no right on any table, and the caller's search_path does not matter. The
-- functions that they call run inside, under that search_path, and nobody else may execute them.
--
-- SQLSTATEs that callers may rely on:
--   22023 invalid_parameter_value   an event is invalid; the message begins with "event <index>: "
--   54000 program_limit_exceeded    a payload is larger than 262,144 bytes
--   40001 serialization_failure     REPEATABLE READ or SERIALIZABLE only: another transaction has taken the same
--                                   idempotency key since this one began; retry the transaction

-- +goose Up
-- +goose StatementBegin
-- type_patterns returns the values of endpoints.event_types that subscribe to an event type:
-- a.b.c gives {a.*, a.b.*, a.b.c}.
CREATE FUNCTION outhook.type_patterns(type text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    patterns text[] := ARRAY[type];
    prefix text := '';
    parts CONSTANT text[] := string_to_array(type, '.');
BEGIN
    FOR i IN 1..cardinality(parts) - 1 LOOP
        prefix := prefix || parts[i] || '.';
        patterns := patterns || (prefix || '*');
    END LOOP;
    RETURN patterns;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- json_too_deep says whether a valid JSON text nests deeper than max levels. It drops the strings, keeps the brackets
-- and strips one level of innermost pairs in each round.
CREATE FUNCTION outhook.json_too_deep(doc text, max integer) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    brackets text := translate(regexp_replace(regexp_replace(doc, '"(?:[^"\\]|\\.)*"', '', 'g'), '[^][{}]+', '', 'g'), '{}', '[]');
BEGIN
    FOR level IN 1..max LOOP
        EXIT WHEN brackets = '';
        brackets := replace(brackets, '[]', '');
    END LOOP;
    RETURN brackets <> '';
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- event_problem returns what is wrong with an event, or NULL. One expression, so that the planner puts it into its callers.
CREATE FUNCTION outhook.event_problem(tenant_id text, type text, payload text, idempotency_key text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN tenant_id IS NULL OR tenant_id = '' THEN 'tenant_id is empty; give the label of the customer'
    WHEN octet_length(tenant_id) > 255 THEN 'tenant_id is longer than 255 bytes'
    WHEN tenant_id ~ '[\x01-\x1f\x7f]' THEN 'tenant_id contains a control character'
    WHEN tenant_id = 'outhook.operator' THEN 'tenant_id outhook.operator is reserved for operational events'
    WHEN type IS NULL OR type !~ '^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$'
        THEN 'type must be names of letters, digits and _ joined by dots, like invoice.paid'
    WHEN octet_length(type) > 255 THEN 'type is longer than 255 bytes'
    WHEN type LIKE 'outhook.%' THEN 'types that begin with outhook. are reserved'
    WHEN payload IS NULL THEN 'payload is missing; JSON null is the text null'
    WHEN octet_length(payload) > 262144 THEN 'payload is larger than 262144 bytes; send a link to large data instead'
    WHEN octet_length(idempotency_key) > 255 THEN 'idempotency_key is longer than 255 bytes'
    WHEN idempotency_key ~ '[\x01-\x1f\x7f]' THEN 'idempotency_key contains a control character'
END;
-- +goose StatementEnd

-- +goose StatementBegin
-- trace_or_null returns a traceparent of W3C Trace Context, version 00, and NULL for anything else: a broken tracer must
-- not abort anybody's business transaction. One expression, so that the planner puts it into its callers.
CREATE FUNCTION outhook.trace_or_null(traceparent text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN traceparent ~ '^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$' THEN traceparent END;
-- +goose StatementEnd

-- +goose StatementBegin
-- check_events raises 22023 or 54000 for the first event that breaks a rule that can be seen without parsing its
-- payload. No message repeats a value: it may be a secret.
CREATE FUNCTION outhook.check_events(tenant_ids text[], types text[], payloads text[], idempotency_keys text[], traceparents text[])
RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    n CONSTANT integer := coalesce(cardinality(tenant_ids), 0);
    bad record;
BEGIN
    IF coalesce(cardinality(types), 0) <> n OR coalesce(cardinality(payloads), 0) <> n
        OR (idempotency_keys IS NOT NULL AND cardinality(idempotency_keys) <> n)
        OR (traceparents IS NOT NULL AND cardinality(traceparents) <> n) THEN
        RAISE EXCEPTION 'the arrays of an enqueue_many call must have the same length' USING ERRCODE = '22023';
    END IF;
    SELECT c.i - 1 AS index, c.problem, c.problem LIKE 'payload is larger%' AS large INTO bad FROM (
        SELECT v.i, outhook.event_problem(v.tenant, v.type, v.payload, v.key) AS problem
        FROM unnest(tenant_ids, types, payloads, idempotency_keys) WITH ORDINALITY AS v (tenant, type, payload, key, i)
    ) AS c WHERE c.problem IS NOT NULL ORDER BY c.i LIMIT 1;
    IF bad IS NOT NULL THEN
        RAISE EXCEPTION 'event %: %', bad.index, bad.problem
            USING ERRCODE = CASE WHEN bad.large THEN '54000' ELSE '22023' END;
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- parse_payloads returns the payloads as json, byte for byte, and raises 22023 for the first that is not JSON or nests
-- deeper than 512 levels.
CREATE FUNCTION outhook.parse_payloads(payloads text[]) RETURNS json[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    docs json[];
    deep integer;
BEGIN
    -- The inner block is a subtransaction that writes nothing, so it costs no transaction id.
    BEGIN
        docs := payloads::json[];
    EXCEPTION WHEN data_exception OR statement_too_complex THEN
        FOR i IN 1..cardinality(payloads) LOOP
            BEGIN
                PERFORM payloads[i]::json;
            EXCEPTION
                WHEN data_exception THEN
                    RAISE EXCEPTION 'event %: payload is not valid JSON', i - 1 USING ERRCODE = '22023';
                WHEN statement_too_complex THEN
                    RAISE EXCEPTION 'event %: payload nests deeper than 512 levels', i - 1 USING ERRCODE = '22023';
            END;
        END LOOP;
    END;
    -- Counting the opening brackets is cheap and settles nearly every payload.
    SELECT v.i - 1 INTO deep FROM unnest(payloads) WITH ORDINALITY AS v (doc, i)
    WHERE octet_length(v.doc) > 1024
        AND octet_length(v.doc) - octet_length(replace(replace(v.doc, '[', ''), '{', '')) > 512
        AND outhook.json_too_deep(v.doc, 512)
    ORDER BY v.i LIMIT 1;
    IF deep IS NOT NULL THEN
        RAISE EXCEPTION 'event %: payload nests deeper than 512 levels', deep USING ERRCODE = '22023';
    END IF;
    RETURN docs;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- take_keys takes the idempotency keys for new_ids and returns, for each event, the id of the event that owns its key:
-- its own if it has no key or took it now, else the first event's. Keys are taken in one order (tenant, key, bytewise),
-- so two batches can't deadlock; a key that another open transaction has taken is waited for.
--
-- What was taken is what RETURNING says. To look for it would not do: the snapshot of REPEATABLE READ and SERIALIZABLE may
-- be older than the deletion of a key by the retention, and shows the deleted row beside the one in its place.
CREATE FUNCTION outhook.take_keys(tenant_ids text[], idempotency_keys text[], new_ids uuid[]) RETURNS uuid[]
LANGUAGE plpgsql AS $$
DECLARE
    owners uuid[];
BEGIN
    LOOP
        WITH taken AS (
            INSERT INTO outhook.event_keys AS k (tenant_id, idempotency_key, event_id, created_at)
            SELECT DISTINCT ON (v.tenant, v.key) v.tenant, v.key, v.id, outhook.uuid_v7_time(v.id)
            FROM (SELECT u.tenant COLLATE "C" AS tenant, u.key COLLATE "C" AS key, u.id, u.i
                FROM unnest(tenant_ids, idempotency_keys, new_ids, owners) WITH ORDINALITY AS u (tenant, key, id, owner, i)
                WHERE u.key <> '' AND u.owner IS NULL) AS v
            ORDER BY v.tenant, v.key, v.i
            ON CONFLICT (tenant_id, idempotency_key) DO NOTHING
            RETURNING k.tenant_id, k.idempotency_key, k.event_id
        )
        SELECT array_agg(CASE WHEN v.key <> '' THEN coalesce(v.owner, t.event_id) ELSE v.id END ORDER BY v.i) INTO owners
        FROM unnest(tenant_ids, idempotency_keys, new_ids, owners) WITH ORDINALITY AS v (tenant, key, id, owner, i)
        LEFT JOIN taken AS t ON t.tenant_id = v.tenant AND t.idempotency_key = v.key;
        EXIT WHEN array_position(owners, NULL) IS NULL;

        -- The others were there. A new statement: under READ COMMITTED it sees the rows that the INSERT waited for. Of two,
        -- the newer one is this transaction's own, from an earlier call.
        SELECT array_agg(coalesce(v.owner, (SELECT k.event_id FROM outhook.event_keys AS k
            WHERE k.tenant_id = v.tenant AND k.idempotency_key = v.key ORDER BY k.event_id DESC LIMIT 1)) ORDER BY v.i) INTO owners
        FROM unnest(tenant_ids, idempotency_keys, owners) WITH ORDINALITY AS v (tenant, key, owner, i);

        -- A key can only be missing if it was deleted between the two statements: take it.
        EXIT WHEN array_position(owners, NULL) IS NULL;
    END LOOP;
    RETURN owners;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- wake notifies the workers of a queue. NOTIFY serialises commits, so of the transactions that are open at the same time
-- only one does, unless it must; its notification may come before another's commit, and then the workers' poll finds that.
CREATE FUNCTION outhook.wake(queue text, always boolean) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF always OR pg_try_advisory_xact_lock(1869968488, hashtext(queue)) THEN
        PERFORM pg_notify('outhook.river_insert', json_build_object('queue', queue)::text);
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- lane_queue returns the queue of an endpoint's new jobs: its own if it has a lane or is paused. A transaction that reads
-- this and commits after the lane has closed leaves its jobs there; the pacer brings them back.
CREATE FUNCTION outhook.lane_queue(id uuid, lane text, status outhook.endpoint_status, shared text) RETURNS text
LANGUAGE sql STABLE
RETURN CASE WHEN lane = '' AND status = 'enabled' THEN shared WHEN lane = 'bulk' AND status = 'enabled' THEN 'deliver_bulk'
    ELSE 'endpoint-' || id END;
-- +goose StatementEnd

-- +goose StatementBegin
-- fan_out stores the events whose id is their key's owner, makes one delivery and one River job for each subscribed
-- endpoint, wakes the workers, and returns each event's number of deliveries. burst: the events go on with a burst that
-- the transaction has begun.
--
-- NOTIFY makes commits queue behind each other, so of the transactions that are open at the same time only the one that
-- gets the queue's advisory lock notifies; the workers' poll finds the others' jobs.
--
-- A connection keeps the plan, which may be from a time with few endpoints. OFFSET 0 and enable_seqscan make it one index
-- look-up an event all the same: any other plan reads every endpoint for every event once there are many.
CREATE FUNCTION outhook.fan_out(ids uuid[], owners uuid[], tenant_ids text[], types text[], docs json[], notify boolean,
    traceparents text[], burst boolean DEFAULT false)
RETURNS integer[]
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    counts integer[];
    queues text[];
    queue text;
BEGIN
    WITH input AS (
        SELECT v.*, outhook.type_patterns(v.type) AS patterns
        FROM unnest(ids, owners, tenant_ids, types, docs, traceparents) WITH ORDINALITY AS v (id, owner, tenant, type, doc, trace, i)
    ), event_rows AS (
        INSERT INTO outhook.events (id, created_at, tenant_id, type, payload, traceparent)
        SELECT v.id, outhook.uuid_v7_time(v.id), v.tenant, v.type, v.doc, outhook.trace_or_null(v.trace) FROM input AS v WHERE v.id = v.owner
    ), fan AS MATERIALIZED (
        SELECT f.*, nextval('outhook.river_job_id_seq') AS job_id FROM (
            SELECT v.i, v.id AS event_id, e.id AS endpoint_id,
                -- A burst for one endpoint gets workers of its own, so that it does not stand in front of everybody.
                outhook.lane_queue(e.id, e.lane, e.status,
                    CASE WHEN burst OR count(*) OVER (PARTITION BY e.id) >= 100 THEN 'deliver_bulk' ELSE 'deliver' END) AS queue
            FROM input AS v
            CROSS JOIN LATERAL (SELECT n.id, n.lane, n.status FROM outhook.endpoints AS n
                WHERE n.tenant_id = v.tenant AND n.deleted_at IS NULL AND n.status <> 'disabled'
                    AND (n.event_types = '{}' OR n.event_types && v.patterns)
                ORDER BY n.id OFFSET 0) AS e
            WHERE v.id = v.owner
            ORDER BY v.i, e.id
        ) AS f
    ), delivery_rows AS (
        INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, next_attempt_at)
        SELECT f.event_id, f.endpoint_id, f.job_id, outhook.uuid_v7_time(f.event_id) FROM fan AS f
    ), job_rows AS (
        INSERT INTO outhook.river_job (id, kind, args, queue, max_attempts)
        SELECT f.job_id, 'deliver', jsonb_build_object('event_id', f.event_id, 'endpoint_id', f.endpoint_id), f.queue, 1000
        FROM fan AS f
    )
    SELECT array_agg(coalesce(c.n, 0) ORDER BY v.i), (SELECT array_agg(DISTINCT f.queue) FROM fan AS f) INTO counts, queues
    FROM input AS v LEFT JOIN (SELECT f.i, count(*)::integer AS n FROM fan AS f GROUP BY f.i) AS c ON c.i = v.i;

    FOREACH queue IN ARRAY coalesce(queues, '{}') LOOP
        -- The pacer looks at lanes by itself.
        CONTINUE WHEN queue NOT IN ('deliver', 'deliver_bulk');
        PERFORM outhook.wake(queue, notify);
    END LOOP;
    RETURN counts;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- put_one is fan_out for one event: the same rows by short statements, since setting up the set-based one took longer than
-- the inserts (290 µs an event instead of 170). shared: the queue of endpoints without a lane, since one event alone makes
-- no burst, however many endpoints it is for.
CREATE FUNCTION outhook.put_one(id uuid, at timestamptz, tenant text, event_type text, doc json, notify boolean, trace text,
    shared text)
RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    made integer;
    usual integer;
    bulk integer;
BEGIN
    INSERT INTO outhook.events (id, created_at, tenant_id, type, payload, traceparent)
    VALUES (id, at, tenant, event_type, doc, outhook.trace_or_null(trace));
    WITH f AS MATERIALIZED (
        SELECT e.id AS endpoint_id, nextval('outhook.river_job_id_seq') AS job_id,
            outhook.lane_queue(e.id, e.lane, e.status, shared) AS queue
        FROM outhook.endpoints AS e
        WHERE e.tenant_id = tenant AND e.deleted_at IS NULL AND e.status <> 'disabled'
            AND (e.event_types = '{}' OR e.event_types && outhook.type_patterns(event_type))
    ), d AS (
        INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, next_attempt_at)
        SELECT put_one.id, f.endpoint_id, f.job_id, at FROM f
    ), j AS (
        INSERT INTO outhook.river_job (id, kind, args, queue, max_attempts)
        SELECT f.job_id, 'deliver', jsonb_build_object('event_id', put_one.id, 'endpoint_id', f.endpoint_id), f.queue, 1000 FROM f
    )
    SELECT count(*), count(*) FILTER (WHERE f.queue = 'deliver'), count(*) FILTER (WHERE f.queue = 'deliver_bulk')
    INTO made, usual, bulk FROM f;
    IF usual > 0 THEN
        PERFORM outhook.wake('deliver', notify);
    END IF;
    IF bulk > 0 THEN
        PERFORM outhook.wake('deliver_bulk', notify);
    END IF;
    RETURN made;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- enqueue_many stores events in the caller's transaction: one row in, one row out, in the same order (index from 0).
-- Each event, its deliveries and their River jobs exist if and only if that transaction commits.
--
-- An idempotency key (NULL or '': none) that an earlier event of the tenant has taken makes the event a duplicate:
-- nothing is stored and event_id is the first event's. conflict is true if its type or payload differ from the first's.
-- notify: wake the workers even if another open transaction is about to.
-- traceparents: the trace of each event, in the form of W3C Trace Context (NULL: none), which its attempts continue. A
-- value of another form is ignored.
--
-- The setting outhook.enqueued, local to the transaction, counts what it has enqueued, up to 100: from there on it is a burst,
-- which has workers of its own, whatever it is made of (a loop, a trigger, calls of a few). Whoever sets it moves nothing but
-- his own events, and a value that is no count is none.
CREATE FUNCTION outhook.enqueue_many(
    tenant_ids text[], types text[], payloads text[], idempotency_keys text[] DEFAULT NULL, notify boolean DEFAULT false,
    traceparents text[] DEFAULT NULL)
RETURNS TABLE (index integer, event_id uuid, created_at timestamptz, duplicate boolean, conflict boolean, delivery_count integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    n CONSTANT integer := coalesce(cardinality(tenant_ids), 0);
    began CONSTANT timestamptz := clock_timestamp();
    counted CONSTANT text := current_setting('outhook.enqueued', true);
    earlier CONSTANT integer := CASE WHEN counted ~ '^[0-9]{1,3}$' THEN counted::integer ELSE 0 END;
    docs json[];
    ids uuid[] := '{}';
    owners uuid[];
    counts integer[];
    low uuid;
    high uuid;
BEGIN
    -- A burst may come event by event. A savepoint that is rolled back takes its count along, as it does its events.
    IF earlier < 100 THEN
        PERFORM set_config('outhook.enqueued', least(earlier + n, 100)::text, true);
    END IF;
    IF n = 1 AND cardinality(types) = 1 AND cardinality(payloads) = 1
        AND coalesce(cardinality(idempotency_keys), 1) = 1 AND coalesce(idempotency_keys[1], '') = ''
        AND coalesce(cardinality(traceparents), 1) = 1
        AND outhook.event_problem(tenant_ids[1], types[1], payloads[1], NULL) IS NULL THEN
        docs := outhook.parse_payloads(payloads);
        index := 0;
        event_id := outhook.uuid_v7(began);
        created_at := outhook.uuid_v7_time(event_id);
        duplicate := false;
        conflict := false;
        delivery_count := outhook.put_one(event_id, created_at, tenant_ids[1], types[1], docs[1], notify, traceparents[1],
            CASE WHEN earlier < 100 THEN 'deliver' ELSE 'deliver_bulk' END);
        RETURN NEXT;
        RETURN;
    END IF;
    PERFORM outhook.check_events(tenant_ids, types, payloads, idempotency_keys, traceparents);
    docs := outhook.parse_payloads(payloads);
    FOR i IN 0..n - 1 LOOP
        ids[i + 1] := outhook.uuid_v7(began, i);
    END LOOP;
    owners := ids;
    IF array_to_string(idempotency_keys, '') <> '' THEN
        owners := outhook.take_keys(tenant_ids, idempotency_keys, ids);
    END IF;
    counts := outhook.fan_out(ids, owners, tenant_ids, types, docs, notify, traceparents, earlier >= 100);

    IF owners = ids THEN
        RETURN QUERY SELECT (v.i - 1)::integer, v.id, outhook.uuid_v7_time(v.id), false, false, v.n
        FROM unnest(ids, counts) WITH ORDINALITY AS v (id, n, i) ORDER BY v.i;
        RETURN;
    END IF;
    -- The bounds prune the partitions, which ANY alone does not.
    SELECT (array_agg(o ORDER BY o))[1], (array_agg(o ORDER BY o DESC))[1] INTO low, high FROM unnest(owners) AS o;
    RETURN QUERY SELECT (v.i - 1)::integer, v.owner, outhook.uuid_v7_time(v.owner), v.id <> v.owner,
        v.id <> v.owner AND coalesce(e.type <> v.type OR e.payload::text <> v.payload, false),
        CASE WHEN v.id = v.owner THEN v.n ELSE coalesce(d.n, 0) END
    FROM unnest(ids, owners, types, payloads, counts) WITH ORDINALITY AS v (id, owner, type, payload, n, i)
    LEFT JOIN (SELECT s.id, s.type, s.payload FROM outhook.events AS s
        WHERE s.id = ANY (owners) AND s.id BETWEEN low AND high) AS e
        ON e.id = v.owner AND v.id <> v.owner
    LEFT JOIN (SELECT s.event_id AS id, count(*)::integer AS n FROM outhook.deliveries AS s
        WHERE s.event_id = ANY (owners) AND s.event_id BETWEEN low AND high
        GROUP BY s.event_id) AS d
        ON d.id = v.owner AND v.id <> v.owner
    ORDER BY v.i;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- enqueue stores one event in the caller's transaction and returns its id (the first event's, if the idempotency key
-- was taken before). The payload is stored and sent byte for byte. traceparent: see enqueue_many.
CREATE FUNCTION outhook.enqueue(tenant_id text, type text, payload text, idempotency_key text DEFAULT NULL,
    traceparent text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT e.event_id
        FROM outhook.enqueue_many(ARRAY[tenant_id], ARRAY[type], ARRAY[payload], ARRAY[idempotency_key], false,
            ARRAY[traceparent]) AS e);
END
$$;

-- The same for a payload that is json already (row_to_json, json_build_object), so that no cast is needed.
CREATE FUNCTION outhook.enqueue(tenant_id text, type text, payload json, idempotency_key text DEFAULT NULL,
    traceparent text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT e.event_id
        FROM outhook.enqueue_many(ARRAY[tenant_id], ARRAY[type], ARRAY[payload::text], ARRAY[idempotency_key], false,
            ARRAY[traceparent]) AS e);
END
$$;

-- The same for jsonb: what is sent is Postgres' own rendering of it.
CREATE FUNCTION outhook.enqueue(tenant_id text, type text, payload jsonb, idempotency_key text DEFAULT NULL,
    traceparent text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT e.event_id
        FROM outhook.enqueue_many(ARRAY[tenant_id], ARRAY[type], ARRAY[payload::text], ARRAY[idempotency_key], false,
            ARRAY[traceparent]) AS e);
END
$$;
-- +goose StatementEnd

REVOKE ALL ON FUNCTION outhook.type_patterns(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION outhook.json_too_deep(text, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION outhook.check_events(text[], text[], text[], text[], text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION outhook.parse_payloads(text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION outhook.take_keys(text[], text[], uuid[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION outhook.event_problem(text, text, text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION outhook.trace_or_null(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION outhook.wake(text, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION outhook.lane_queue(uuid, text, outhook.endpoint_status, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION outhook.put_one(uuid, timestamptz, text, text, json, boolean, text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION outhook.fan_out(uuid[], uuid[], text[], text[], json[], boolean, text[], boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION outhook.enqueue_many(text[], text[], text[], text[], boolean, text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION outhook.enqueue(text, text, text, text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION outhook.enqueue(text, text, json, text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION outhook.enqueue(text, text, jsonb, text, text) FROM PUBLIC;

-- +goose Down
DROP FUNCTION outhook.enqueue(text, text, jsonb, text, text);
DROP FUNCTION outhook.enqueue(text, text, json, text, text);
DROP FUNCTION outhook.enqueue(text, text, text, text, text);
DROP FUNCTION outhook.enqueue_many(text[], text[], text[], text[], boolean, text[]);
DROP FUNCTION outhook.put_one(uuid, timestamptz, text, text, json, boolean, text, text);
DROP FUNCTION outhook.fan_out(uuid[], uuid[], text[], text[], json[], boolean, text[], boolean);
DROP FUNCTION outhook.lane_queue(uuid, text, outhook.endpoint_status, text);
DROP FUNCTION outhook.take_keys(text[], text[], uuid[]);
DROP FUNCTION outhook.parse_payloads(text[]);
DROP FUNCTION outhook.check_events(text[], text[], text[], text[], text[]);
DROP FUNCTION outhook.event_problem(text, text, text, text);
DROP FUNCTION outhook.trace_or_null(text);
DROP FUNCTION outhook.wake(text, boolean);
DROP FUNCTION outhook.json_too_deep(text, integer);
DROP FUNCTION outhook.type_patterns(text);
