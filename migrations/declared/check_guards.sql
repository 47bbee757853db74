-- check_guards raises 22023 for the first event whose payload its type's guard is not true of. A payload that jsonb refuses passes:
-- what Postgres can't look into must not abort a publisher. No message repeats a value.
CREATE OR REPLACE FUNCTION outhook.check_guards(types text[], docs json[]) RETURNS void
LANGUAGE plpgsql STABLE AS $$
DECLARE
    names CONSTANT text[] COLLATE "C" := types;
    broken record;
BEGIN
    SELECT d.i - 1 AS index, d.name, d.version INTO broken FROM (
        SELECT v.i, t.name, t.version, t.guard, outhook.event_document('', v.name, v.doc) AS document
        FROM unnest(names, docs) WITH ORDINALITY AS v (name, doc, i)
        JOIN outhook.event_types AS t ON t.name = v.name AND t.guard IS NOT NULL
        OFFSET 0
    ) AS d
    WHERE d.document IS NOT NULL AND jsonb_path_match(d.document, d.guard, '{}', true) IS NOT TRUE
    ORDER BY d.i LIMIT 1;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'event %: payload breaks the guard of %, which is made of version % of its schema', broken.index, broken.name, broken.version
            USING ERRCODE = '22023', HINT = 'The catalogue says to guard this event type (outhook catalog show).';
    END IF;
END
$$;
