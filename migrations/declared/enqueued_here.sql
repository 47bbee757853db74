-- enqueued_here returns the events that the caller's own transaction has enqueued so far, in their order, and of nobody else
-- anything: for tests, in any language, of code that enqueues. A savepoint that was rolled back has taken its events along.
--
-- What is visible and written by a transaction that is in progress is one's own. The xmin of a row has no epoch, and that of a row
-- written behind a savepoint is a subtransaction's: greater than the transaction's own id, from which the epoch is reckoned. An own
-- event is no older than the transaction, which keeps all others' out of what is read; the statement is planned for that time, since
-- a plan for any would lock every day's partitions.
CREATE OR REPLACE FUNCTION outhook.enqueued_here()
RETURNS TABLE (event_id uuid, tenant_id text, type text, payload json, idempotency_key text, delivery_count integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
    own CONSTANT bigint := pg_current_xact_id_if_assigned()::text::bigint;
BEGIN
    IF own IS NULL THEN
        RETURN; -- it has written nothing
    END IF;
    RETURN QUERY EXECUTE 'SELECT e.id, e.tenant_id, e.type, e.payload, k.idempotency_key,
            (SELECT count(*) FROM outhook.deliveries AS d WHERE d.event_id = e.id AND d.event_id >= $2)::integer
        FROM (SELECT v.*, (v.xmin::text::bigint - $1 % 4294967296 + 4294967296) % 4294967296 AS later
            FROM outhook.events AS v WHERE v.id >= $2) AS e
        LEFT JOIN outhook.event_keys AS k ON k.tenant_id = e.tenant_id AND k.event_id = e.id
        WHERE CASE WHEN e.later < 2147483648 THEN pg_xact_status(($1 + e.later)::text::xid8) = ''in progress'' ELSE false END
            AND NOT starts_with(e.type COLLATE "C", ''outhook.'')
        ORDER BY e.id'
        USING own, outhook.uuid_v7_floor(now());
END
$$;
