-- move_events writes the events in a range of pages of a day's partition (last excluded) anew, without their payloads
-- and headers unless a delivery is pending, and returns how many payloads that erased. An UPDATE would leave each row in its page; a
-- new row goes where there is room, so that the end of the table becomes free and VACUUM can give it back.
CREATE OR REPLACE FUNCTION outhook.move_events(partition text, first bigint, last bigint) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name CONSTANT text COLLATE "C" := partition;
    erased integer;
    columns text;
BEGIN
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO columns FROM pg_attribute AS a
    WHERE a.attrelid = to_regclass('outhook.' || quote_ident(name)) AND a.attnum > 0 AND NOT a.attisdropped AND a.attname NOT IN ('payload', 'headers');
    EXECUTE format('WITH gone AS (
            DELETE FROM outhook.%1$I AS e WHERE e.ctid >= %3$L::tid AND e.ctid < %4$L::tid
            RETURNING %5$s, e.headers, e.payload IS NOT NULL AS had_payload, CASE WHEN EXISTS (SELECT FROM outhook.%2$I AS d
                WHERE d.event_id = e.id AND d.state = ''pending'') THEN e.payload END AS payload
        ), moved AS (
            INSERT INTO outhook.%1$I (%5$s, headers, payload)
            SELECT %5$s, CASE WHEN g.payload IS NOT NULL THEN g.headers END, g.payload FROM gone AS g
        )
        SELECT count(*) FROM gone AS g WHERE g.had_payload AND g.payload IS NULL',
        name, replace(name, 'events_p', 'deliveries_p'), format('(%s,0)', first), format('(%s,0)', last), columns)
    INTO erased;
    RETURN erased;
END
$$;
