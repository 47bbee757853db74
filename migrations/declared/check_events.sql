-- check_events raises 22023 or 54000 for the first event that breaks a rule that can be seen without parsing its
-- payload. No message repeats a value: it may be a secret.
CREATE OR REPLACE FUNCTION outhook.check_events(
    tenant_ids text[], types text[], payloads text[], idempotency_keys text[], traceparents text[], label_lists text[] DEFAULT NULL,
    header_texts text[] DEFAULT NULL, deliver_ats timestamptz[] DEFAULT NULL, ordering_keys text[] DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenants CONSTANT text[] COLLATE "C" := tenant_ids;
    names CONSTANT text[] COLLATE "C" := types;
    texts CONSTANT text[] COLLATE "C" := payloads;
    keys CONSTANT text[] COLLATE "C" := idempotency_keys;
    traces CONSTANT text[] COLLATE "C" := traceparents;
    marks CONSTANT text[] COLLATE "C" := label_lists;
    heads CONSTANT text[] COLLATE "C" := header_texts;
    orders CONSTANT text[] COLLATE "C" := ordering_keys;
    n CONSTANT integer := coalesce(cardinality(tenants), 0);
    bad record;
BEGIN
    IF coalesce(cardinality(names), 0) <> n OR coalesce(cardinality(texts), 0) <> n
        OR (keys IS NOT NULL AND cardinality(keys) <> n) OR (traces IS NOT NULL AND cardinality(traces) <> n)
        OR (marks IS NOT NULL AND cardinality(marks) <> n) OR (heads IS NOT NULL AND cardinality(heads) <> n)
        OR (deliver_ats IS NOT NULL AND cardinality(deliver_ats) <> n) OR (orders IS NOT NULL AND cardinality(orders) <> n) THEN
        RAISE EXCEPTION 'the arrays of an enqueue_many call must have the same length' USING ERRCODE = '22023';
    END IF;
    IF greatest(array_ndims(tenants), array_ndims(names), array_ndims(texts), array_ndims(keys), array_ndims(traces),
        array_ndims(marks), array_ndims(heads), array_ndims(deliver_ats), array_ndims(orders)) > 1 THEN
        RAISE EXCEPTION 'the arrays of an enqueue_many call must have one dimension' USING ERRCODE = '22023';
    END IF;
    SELECT c.i - 1 AS index, c.problem, c.problem LIKE 'payload is larger%' AS large INTO bad FROM (
        SELECT v.i, coalesce(outhook.event_problem(v.tenant, v.type, v.payload, v.key), outhook.labels_problem(v.mark),
            CASE WHEN v.head IS NOT NULL THEN outhook.headers_problem(v.head) END,
            CASE WHEN v.due IS NOT NULL THEN outhook.deliver_at_problem(v.due) END, outhook.ordering_problem(v.ordering)) AS problem
        FROM unnest(tenants, names, texts, keys, marks, heads, deliver_ats, orders)
            WITH ORDINALITY AS v (tenant, type, payload, key, mark, head, due, ordering, i)
    ) AS c WHERE c.problem IS NOT NULL ORDER BY c.i LIMIT 1;
    IF bad IS NOT NULL THEN
        RAISE EXCEPTION 'event %: %', bad.index, bad.problem
            USING ERRCODE = CASE WHEN bad.large THEN '54000' ELSE '22023' END;
    END IF;
END
$$;
