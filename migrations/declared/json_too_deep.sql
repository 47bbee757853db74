-- json_too_deep says whether a valid JSON text nests deeper than max levels. It drops the strings, keeps the brackets and
-- strips the innermost pairs, a level in each round. One round a level takes 200 ms for a quarter of a MiB; so after eight,
-- which leave few runs of opening and closing brackets of any text, it adds these up. The body is read under the caller's
-- settings, so what has a backslash is an E'' literal, which means the same under each.
CREATE OR REPLACE FUNCTION outhook.json_too_deep(doc text, max integer) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    stripped CONSTANT integer := least(max, 8);
    brackets text COLLATE "C" := translate(
        regexp_replace(regexp_replace(doc COLLATE "C", E'"(?:[^"\\\\]|\\\\.)*"', '', 'g'), '[^][{}]+', '', 'g'), '{}', '[]');
BEGIN
    FOR level IN 1..stripped LOOP
        EXIT WHEN brackets = '';
        brackets := replace(brackets, '[]', '');
    END LOOP;

    RETURN brackets <> '' AND max - stripped < (SELECT max(d.opened + d.depth) FROM (
        SELECT r.opened, coalesce(sum(2 * r.opened - length(r.run))
            OVER (ORDER BY r.i ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS depth
        FROM (SELECT s.run, s.i, strpos(s.run, ']') - 1 AS opened
            FROM string_to_table(replace(brackets, '][', '] ['), ' ') WITH ORDINALITY AS s (run, i)) AS r) AS d);
END
$$;
