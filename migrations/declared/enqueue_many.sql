-- enqueue_many stores events in the caller's transaction: one row in, one row out, in the same order (index from 0).
-- Each event, its deliveries and their River jobs exist if and only if that transaction commits.
--
-- An idempotency key (NULL or '': none) that an earlier event of the tenant has taken makes the event a duplicate:
-- nothing is stored and event_id is the first event's. conflict is true if its type or payload differ from the first's: the
-- row's event is lost unless the caller does something about it, and the others are stored. (enqueue raises OH002.)
-- notify: wake the workers even if another open transaction is about to.
-- traceparents: the trace of each event, in the form of W3C Trace Context (NULL: none), which its attempts continue. Behind it,
-- or alone, may stand how many webhooks led to the event, as the header outhook-depth of the one that did has it: ;depth=2. A
-- value of another form is ignored.
-- labels: of each event those by which endpoints with labels choose, in the text form of a text[] (NULL, '' or {}: none).
-- headers: of each event those that all requests have, a JSON object of texts (NULL or '': none). What they may be is checked:
-- labels_problem, headers_problem.
-- deliver_ats: when each event is to be delivered (NULL, or a time that is past: at once), at most 30 days ahead.
-- ordering_keys: of each event the one with which it goes in line (NULL or '': none): each endpoint gets the events of a tenant
-- with the same key one at a time, in the order of their ids, which is that of the commits. A call with one waits for the
-- transactions that have enqueued with it and have not ended (lock_order).
--
-- The setting outhook.enqueued, local to the transaction, counts what it has enqueued, up to 100: from there on it is a burst,
-- which has workers of its own, whatever it is made of (a loop, a trigger, calls of a few). Whoever sets it moves nothing but
-- his own events, and a value that is no count is none.
--
-- The setting outhook.max_deliveries is the most that events of one call may have together (SQLSTATE OH001 for more, with nothing
-- stored); a value that is no count is none. The REST API sets it: there, one's work is in others' way.
--
-- Where the caller has switched off what plans are made of (enable_sort, enable_nestloop), they look so dear that they would be
-- compiled, each time, for a second: hence jit = off.
--
-- Tenants, types and keys are bytes, whatever the collation of the columns that the caller takes them from; an array may begin
-- at any number.
CREATE OR REPLACE FUNCTION outhook.enqueue_many(
    tenant_ids text[], types text[], payloads text[], idempotency_keys text[] DEFAULT NULL, notify boolean DEFAULT false,
    traceparents text[] DEFAULT NULL, labels text[] DEFAULT NULL, headers text[] DEFAULT NULL,
    deliver_ats timestamptz[] DEFAULT NULL, ordering_keys text[] DEFAULT NULL)
RETURNS TABLE (index integer, event_id uuid, created_at timestamptz, duplicate boolean, conflict boolean, delivery_count integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    tenants CONSTANT text[] COLLATE "C" := tenant_ids[:];
    names CONSTANT text[] COLLATE "C" := types[:];
    texts CONSTANT text[] COLLATE "C" := payloads[:];
    keys CONSTANT text[] COLLATE "C" := idempotency_keys[:];
    traces CONSTANT text[] COLLATE "C" := traceparents[:];
    marks CONSTANT text[] COLLATE "C" := labels[:];
    heads CONSTANT text[] COLLATE "C" := headers[:];
    dues CONSTANT timestamptz[] := deliver_ats[:];
    orders CONSTANT text[] COLLATE "C" := ordering_keys[:];
    n CONSTANT integer := coalesce(cardinality(tenants), 0);
    began timestamptz := clock_timestamp();
    counted CONSTANT text COLLATE "C" := current_setting('outhook.enqueued', true);
    most CONSTANT text COLLATE "C" := current_setting('outhook.max_deliveries', true);
    earlier CONSTANT integer := CASE WHEN counted ~ '^[0-9]{1,3}$' THEN counted::integer ELSE 0 END;
    docs json[];
    ids uuid[] := '{}';
    owners uuid[];
    counts integer[];
    large boolean := false;
BEGIN
    -- A burst may come event by event. A savepoint that is rolled back takes its count along, as it does its events.
    IF earlier < 100 THEN
        PERFORM set_config('outhook.enqueued', least(earlier + n, 100)::text, true);
    END IF;
    IF n = 1 AND cardinality(names) = 1 AND cardinality(texts) = 1
        AND coalesce(cardinality(keys), 1) = 1 AND coalesce(keys[1], '') = '' AND coalesce(array_ndims(keys), 1) = 1
        AND coalesce(cardinality(traces), 1) = 1 AND coalesce(array_ndims(traces), 1) = 1
        AND outhook.event_problem(tenants[1], names[1], texts[1], NULL) IS NULL
        AND (marks IS NULL AND heads IS NULL OR coalesce(cardinality(marks), 1) = 1 AND coalesce(array_ndims(marks), 1) = 1
            AND coalesce(cardinality(heads), 1) = 1 AND coalesce(array_ndims(heads), 1) = 1
            AND outhook.labels_problem(marks[1]) IS NULL AND outhook.headers_problem(heads[1]) IS NULL)
        AND (dues IS NULL OR cardinality(dues) = 1 AND array_ndims(dues) = 1 AND outhook.deliver_at_problem(dues[1]) IS NULL)
        AND (orders IS NULL OR cardinality(orders) = 1 AND array_ndims(orders) = 1 AND outhook.ordering_problem(orders[1]) IS NULL) THEN
        docs := outhook.parse_payloads(texts);
        IF orders[1] <> '' THEN
            PERFORM outhook.lock_order(tenants, orders);
            began := clock_timestamp();
        END IF;
        index := 0;
        event_id := outhook.uuid_v7(began);
        created_at := outhook.uuid_v7_time(event_id);
        duplicate := false;
        conflict := false;
        delivery_count := outhook.put_one(event_id, created_at, tenants[1], names[1], docs[1], notify, traces[1],
            CASE WHEN earlier < 100 THEN 'deliver' ELSE outhook.bulk_queue(tenants[1]) END, marks[1], heads[1], dues[1],
            nullif(orders[1], ''));
        RETURN NEXT;
        RETURN;
    END IF;
    PERFORM outhook.check_events(tenants, names, texts, keys, traces, marks, heads, dues, orders);
    IF most ~ '^[0-9]{1,9}$' THEN
        large := (SELECT sum(s.n) FROM unnest(outhook.fan_out_sizes(tenants, names)) AS s (n)) > most::integer;
    END IF;
    docs := outhook.parse_payloads(texts);
    -- What labels and filters leave out is told apart only where it matters.
    IF large AND (SELECT sum(s.n) FROM unnest(outhook.fan_out_sizes(tenants, names, docs, marks)) AS s (n)) > most::integer THEN
        RAISE EXCEPTION 'the events have more than % deliveries', most USING ERRCODE = 'OH001';
    END IF;
    IF EXISTS (SELECT FROM outhook.event_types AS t WHERE t.name = ANY (names) AND t.guard IS NOT NULL) THEN
        PERFORM outhook.check_guards(names, docs);
    END IF;
    IF array_to_string(orders, '') <> '' THEN
        PERFORM outhook.lock_order(tenants, orders);
        began := clock_timestamp();
    END IF;
    FOR i IN 0..n - 1 LOOP
        ids[i + 1] := outhook.uuid_v7(began, i);
    END LOOP;
    owners := ids;
    IF array_to_string(keys, '') <> '' THEN
        owners := outhook.take_keys(tenants, keys, ids);
    END IF;
    counts := outhook.fan_out(ids, owners, tenants, names, docs, notify, traces, earlier >= 100, marks, heads, dues, orders);

    IF owners = ids THEN
        RETURN QUERY SELECT (v.i - 1)::integer, v.id, outhook.uuid_v7_time(v.id), false, false, v.n
        FROM unnest(ids, counts) WITH ORDINALITY AS v (id, n, i) ORDER BY v.i;
        RETURN;
    END IF;
    RETURN QUERY SELECT (v.i - 1)::integer, v.owner, outhook.uuid_v7_time(v.owner), v.id <> v.owner,
        v.id <> v.owner AND coalesce(f.differs, false), CASE WHEN v.id = v.owner THEN v.n ELSE coalesce(f.delivery_count, 0) END
    FROM unnest(ids, owners, counts) WITH ORDINALITY AS v (id, owner, n, i)
    LEFT JOIN outhook.first_events(ids, owners, names, texts) AS f ON f.i = v.i
    ORDER BY v.i;
END
$$;
