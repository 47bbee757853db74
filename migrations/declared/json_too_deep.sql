-- json_too_deep says whether a valid JSON text nests deeper than max levels. It drops the strings, keeps the brackets
-- and strips one level of innermost pairs in each round. The body is read under the caller's settings, so what has a
-- backslash is an E'' literal, which means the same under each.
CREATE OR REPLACE FUNCTION outhook.json_too_deep(doc text, max integer) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    brackets text COLLATE "C" := translate(
        regexp_replace(regexp_replace(doc COLLATE "C", E'"(?:[^"\\\\]|\\\\.)*"', '', 'g'), '[^][{}]+', '', 'g'), '{}', '[]');
BEGIN
    FOR level IN 1..max LOOP
        EXIT WHEN brackets = '';
        brackets := replace(brackets, '[]', '');
    END LOOP;
    RETURN brackets <> '';
END
$$;
