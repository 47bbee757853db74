-- create_partitions makes the missing partitions of the three log tables for each day (UTC) from first to last, and
-- returns how many tables it made. LIKE and ATTACH, never PARTITION OF: ATTACH does not wait for open transactions that
-- have enqueued, and nobody waits for it. SECURITY DEFINER: only the owner of a table may attach a partition, and the server
-- need not be the owner. A partition is read through its table and has no rights of its own, whatever the owner's default
-- privileges are.
CREATE OR REPLACE FUNCTION outhook.create_partitions(first date, last date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made integer := 0;
    parent text;
    child text;
    day date;
    grantee oid;
BEGIN
    -- Dates and integers: a series of timestamps would depend on the session's time zone.
    FOR day IN SELECT first + i FROM generate_series(0, last - first) AS i LOOP
        FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'delivery_attempts'] LOOP
            child := parent || to_char(day, '"_p"YYYYMMDD');
            CONTINUE WHEN to_regclass('outhook.' || child) IS NOT NULL;
            -- One creator at a time: two would wait for each other's ATTACH anyway, and then fail. The lock is that of ATTACH,
            -- and not an advisory one, which any login can take.
            LOCK TABLE outhook.events IN SHARE UPDATE EXCLUSIVE MODE;
            CONTINUE WHEN to_regclass('outhook.' || child) IS NOT NULL;
            EXECUTE format('CREATE TABLE outhook.%I (LIKE outhook.%I INCLUDING ALL)', child, parent);
            FOR grantee IN SELECT DISTINCT a.grantee FROM pg_class AS c, aclexplode(c.relacl) AS a
                WHERE c.oid = to_regclass('outhook.' || child) AND a.grantee <> c.relowner LOOP
                EXECUTE format('REVOKE ALL ON TABLE outhook.%I FROM %s', child,
                    CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END);
            END LOOP;
            EXECUTE format('ALTER TABLE outhook.%I ATTACH PARTITION outhook.%I FOR VALUES FROM (%L) TO (%L)', parent, child,
                outhook.uuid_v7_floor(day::timestamp AT TIME ZONE 'UTC'),
                outhook.uuid_v7_floor((day + 1)::timestamp AT TIME ZONE 'UTC'));
            IF parent = 'delivery_attempts' THEN
                -- Else the index would know of the day's last fifth only what the next VACUUM tells it.
                EXECUTE format('ALTER INDEX outhook.%I SET (autosummarize = on)', child || '_started_at_idx');
            END IF;
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
