-- fan_out_sizes returns how many deliveries each of so many events would have, by a count of the endpoints that match: a
-- thousandth of what making them costs. What a filter would leave out is counted.
CREATE OR REPLACE FUNCTION outhook.fan_out_sizes(tenant_ids text[], types text[])
RETURNS integer[]
LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
DECLARE
    tenants CONSTANT text[] COLLATE "C" := tenant_ids;
    names CONSTANT text[] COLLATE "C" := types;
BEGIN
    RETURN (WITH input AS (
        SELECT v.* FROM unnest(tenants, names) WITH ORDINALITY AS v (tenant, type, i)
    ), sizes AS MATERIALIZED (
        SELECT k.tenant, k.type, (SELECT count(*) FROM outhook.endpoints AS n
            WHERE n.tenant_id = k.tenant AND n.deleted_at IS NULL AND n.status <> 'disabled'
                AND (n.event_types = '{}' OR n.event_types && outhook.type_patterns(k.type)))::integer AS n
        FROM (SELECT DISTINCT v.tenant, v.type FROM input AS v) AS k
    )
    SELECT array_agg(s.n ORDER BY v.i) FROM input AS v JOIN sizes AS s ON s.tenant = v.tenant AND s.type = v.type);
END
$$;
