-- first_events tells of the duplicates among events what their key's owner, the first event, is: whether its type or payload
-- differ (NULL if it is gone) and how many deliveries it has. i counts from 1.
--
-- It asks day by day, in statements that are planned with the day's bounds: a plan for any bounds locks every day's
-- partitions, and a batch may have duplicates of today and of last year.
CREATE OR REPLACE FUNCTION outhook.first_events(ids uuid[], owners uuid[], types text[], payloads text[])
RETURNS TABLE (i bigint, differs boolean, delivery_count integer)
LANGUAGE plpgsql AS $$
DECLARE
    names CONSTANT text[] COLLATE "C" := types;
    texts CONSTANT text[] COLLATE "C" := payloads;
    day date;
BEGIN
    FOR day IN SELECT DISTINCT (outhook.uuid_v7_time(v.owner) AT TIME ZONE 'UTC')::date
        FROM unnest(ids, owners) AS v (id, owner) WHERE v.id <> v.owner
    LOOP
        RETURN QUERY EXECUTE 'SELECT v.i, e.type <> v.type OR e.payload::text <> v.payload COLLATE "C",
                (SELECT count(*) FROM outhook.deliveries AS d WHERE d.event_id = e.id AND d.event_id >= $5 AND d.event_id < $6)::integer
            FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS v (id, owner, type, payload, i)
            JOIN outhook.events AS e ON e.id = v.owner AND e.id >= $5 AND e.id < $6
            WHERE v.id <> v.owner'
            USING ids, owners, names, texts,
                outhook.uuid_v7_floor(day::timestamp AT TIME ZONE 'UTC'), outhook.uuid_v7_floor((day + 1)::timestamp AT TIME ZONE 'UTC');
    END LOOP;
END
$$;
