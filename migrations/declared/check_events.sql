-- check_events raises 22023 or 54000 for the first event that breaks a rule that can be seen without parsing its
-- payload. No message repeats a value: it may be a secret.
CREATE OR REPLACE FUNCTION outhook.check_events(
    tenant_ids text[], types text[], payloads text[], idempotency_keys text[], traceparents text[])
RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    tenants CONSTANT text[] COLLATE "C" := tenant_ids;
    names CONSTANT text[] COLLATE "C" := types;
    texts CONSTANT text[] COLLATE "C" := payloads;
    keys CONSTANT text[] COLLATE "C" := idempotency_keys;
    traces CONSTANT text[] COLLATE "C" := traceparents;
    n CONSTANT integer := coalesce(cardinality(tenants), 0);
    bad record;
BEGIN
    IF coalesce(cardinality(names), 0) <> n OR coalesce(cardinality(texts), 0) <> n
        OR (keys IS NOT NULL AND cardinality(keys) <> n) OR (traces IS NOT NULL AND cardinality(traces) <> n) THEN
        RAISE EXCEPTION 'the arrays of an enqueue_many call must have the same length' USING ERRCODE = '22023';
    END IF;
    IF greatest(array_ndims(tenants), array_ndims(names), array_ndims(texts), array_ndims(keys), array_ndims(traces)) > 1 THEN
        RAISE EXCEPTION 'the arrays of an enqueue_many call must have one dimension' USING ERRCODE = '22023';
    END IF;
    SELECT c.i - 1 AS index, c.problem, c.problem LIKE 'payload is larger%' AS large INTO bad FROM (
        SELECT v.i, outhook.event_problem(v.tenant, v.type, v.payload, v.key) AS problem
        FROM unnest(tenants, names, texts, keys) WITH ORDINALITY AS v (tenant, type, payload, key, i)
    ) AS c WHERE c.problem IS NOT NULL ORDER BY c.i LIMIT 1;
    IF bad IS NOT NULL THEN
        RAISE EXCEPTION 'event %: %', bad.index, bad.problem
            USING ERRCODE = CASE WHEN bad.large THEN '54000' ELSE '22023' END;
    END IF;
END
$$;
