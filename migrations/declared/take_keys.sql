-- take_keys takes the idempotency keys for new_ids and returns, for each event, the id of the event that owns its key:
-- its own if it has no key or took it now, else the first event's. Keys are taken in one order (tenant, key, bytewise),
-- so two batches can't deadlock; a key that another open transaction has taken is waited for.
--
-- What was taken is what RETURNING says. To look for it would not do: the snapshot of REPEATABLE READ and SERIALIZABLE may
-- be older than the deletion of a key by the retention, and shows the deleted row beside the one in its place.
CREATE OR REPLACE FUNCTION outhook.take_keys(tenant_ids text[], idempotency_keys text[], new_ids uuid[]) RETURNS uuid[]
LANGUAGE plpgsql AS $$
DECLARE
    tenants CONSTANT text[] COLLATE "C" := tenant_ids;
    keys CONSTANT text[] COLLATE "C" := idempotency_keys;
    owners uuid[];
BEGIN
    LOOP
        WITH taken AS (
            INSERT INTO outhook.event_keys AS k (tenant_id, idempotency_key, event_id, created_at)
            SELECT DISTINCT ON (v.tenant, v.key) v.tenant, v.key, v.id, outhook.uuid_v7_time(v.id)
            FROM (SELECT u.tenant, u.key, u.id, u.i
                FROM unnest(tenants, keys, new_ids, owners) WITH ORDINALITY AS u (tenant, key, id, owner, i)
                WHERE u.key <> '' AND u.owner IS NULL) AS v
            ORDER BY v.tenant, v.key, v.i
            ON CONFLICT (tenant_id, idempotency_key) DO NOTHING
            RETURNING k.tenant_id, k.idempotency_key, k.event_id
        )
        SELECT array_agg(CASE WHEN v.key <> '' THEN coalesce(v.owner, t.event_id) ELSE v.id END ORDER BY v.i) INTO owners
        FROM unnest(tenants, keys, new_ids, owners) WITH ORDINALITY AS v (tenant, key, id, owner, i)
        LEFT JOIN taken AS t ON t.tenant_id = v.tenant AND t.idempotency_key = v.key;
        EXIT WHEN array_position(owners, NULL) IS NULL;

        -- The others were there. A new statement: under READ COMMITTED it sees the rows that the INSERT waited for. Of two,
        -- the newer one is this transaction's own, from an earlier call.
        SELECT array_agg(coalesce(v.owner, (SELECT k.event_id FROM outhook.event_keys AS k
            WHERE k.tenant_id = v.tenant AND k.idempotency_key = v.key ORDER BY k.event_id DESC LIMIT 1)) ORDER BY v.i) INTO owners
        FROM unnest(tenants, keys, owners) WITH ORDINALITY AS v (tenant, key, owner, i);

        -- A key can only be missing if it was deleted between the two statements: take it.
        EXIT WHEN array_position(owners, NULL) IS NULL;
    END LOOP;
    RETURN owners;
END
$$;
