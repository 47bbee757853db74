-- enqueue_operational stores operational events of one type for the operator tenant, if somebody is subscribed, and
-- returns how many. An idempotency key that was taken before makes its event none.
CREATE OR REPLACE FUNCTION outhook.enqueue_operational(event_type text, payloads text[], idempotency_keys text[] DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name CONSTANT text COLLATE "C" := event_type;
    texts CONSTANT text[] COLLATE "C" := payloads;
    keys CONSTANT text[] COLLATE "C" := idempotency_keys;
    n CONSTANT integer := coalesce(cardinality(texts), 0);
    began CONSTANT timestamptz := clock_timestamp();
    tenants CONSTANT text[] COLLATE "C" := array_fill('outhook.operator'::text, ARRAY[n]);
    ids uuid[];
    owners uuid[];
BEGIN
    IF n = 0 OR NOT outhook.operator_wants(name) THEN
        RETURN 0;
    END IF;
    SELECT array_agg(outhook.uuid_v7(began, i) ORDER BY i) INTO ids FROM generate_series(0, n - 1) AS i;
    owners := ids;
    IF keys IS NOT NULL THEN
        owners := outhook.take_keys(tenants, keys, ids);
    END IF;
    PERFORM outhook.fan_out(ids, owners, tenants, array_fill(name, ARRAY[n]), texts::json[], false, NULL);
    RETURN (SELECT count(*) FROM unnest(ids, owners) AS v (id, owner) WHERE v.id = v.owner);
END
$$;
