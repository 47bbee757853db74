-- lock_order waits for whoever has enqueued with one of these ordering keys of these tenants and has not ended, and keeps others
-- waiting until this transaction ends: what is drawn after it is in the order of the commits. NULL and '' are no key. One key may
-- wait for another's, since they share 1,024 rows; these are locked in one order, so that no two calls can wait for each other.
-- A row that is not there, as where the schema was restored without its rows, is made.
CREATE OR REPLACE FUNCTION outhook.lock_order(tenant_ids text[], ordering_keys text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    tenants CONSTANT text[] COLLATE "C" := tenant_ids;
    keys CONSTANT text[] COLLATE "C" := ordering_keys;
    slots CONSTANT smallint[] := ARRAY(SELECT DISTINCT (hashtextextended(v.key, hashtextextended(v.tenant, 0)) & 1023)::smallint
        FROM unnest(tenants, keys) AS v (tenant, key) WHERE v.key <> '');
BEGIN
    IF (SELECT count(*) FROM outhook.order_slots AS s WHERE s.slot = ANY (slots)) < cardinality(slots) THEN
        INSERT INTO outhook.order_slots (slot) SELECT u.slot FROM unnest(slots) AS u (slot) ORDER BY u.slot ON CONFLICT DO NOTHING;
    END IF;
    PERFORM FROM outhook.order_slots AS s WHERE s.slot = ANY (slots) ORDER BY s.slot FOR NO KEY UPDATE;
END
$$;
