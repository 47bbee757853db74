-- check_sequences returns the sequences whose next value is in their column already, as after a logical replication, which
-- takes rows along and no sequences; with repair it sets them behind what is there. SECURITY DEFINER: who serves owns none.
CREATE OR REPLACE FUNCTION outhook.check_sequences(repair boolean DEFAULT false)
RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    s record;
    greatest_value bigint;
    behind text[] COLLATE "C" := '{}';
BEGIN
    FOR s IN SELECT q.oid::regclass AS name, a.attrelid::regclass AS of_table, a.attname AS of_column
        FROM pg_class AS q
        JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = q.oid AND d.deptype IN ('a', 'i')
            AND d.refclassid = 'pg_class'::regclass
        JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE q.relnamespace = 'outhook'::regnamespace AND q.relkind = 'S'
        ORDER BY q.relname
    LOOP
        -- The column first: whoever draws a value meanwhile only makes the sequence greater.
        EXECUTE format('SELECT coalesce(max(%I), 0) FROM %s', s.of_column, s.of_table) INTO greatest_value;
        IF s.of_table = 'outhook.river_job'::regclass THEN
            -- A delivery remembers its job, which is deleted a day after it has ended.
            greatest_value := greatest(greatest_value,
                (SELECT max(d.job_id) FROM outhook.deliveries AS d WHERE d.state = 'pending'),
                (SELECT max(n.job_id) FROM (SELECT d.job_id FROM outhook.deliveries AS d ORDER BY d.event_id DESC LIMIT 10000) AS n));
        END IF;
        CONTINUE WHEN coalesce(pg_sequence_last_value(s.name), 0) >= greatest_value;
        IF repair THEN
            PERFORM setval(s.name, greatest_value);
        END IF;
        behind := behind || s.name::text;
    END LOOP;
    RETURN behind;
END
$$;
