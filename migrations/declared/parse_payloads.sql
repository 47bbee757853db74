-- parse_payloads returns the payloads as json, byte for byte, and raises 22023 for the first that is not JSON or nests
-- deeper than 512 levels.
CREATE OR REPLACE FUNCTION outhook.parse_payloads(payloads text[]) RETURNS json[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    texts CONSTANT text[] COLLATE "C" := payloads;
    docs json[];
    deep integer;
BEGIN
    -- The inner block is a subtransaction that writes nothing, so it costs no transaction id.
    BEGIN
        docs := texts::json[];
    EXCEPTION WHEN data_exception OR statement_too_complex THEN
        FOR i IN 1..cardinality(texts) LOOP
            BEGIN
                PERFORM texts[i]::json;
            EXCEPTION
                WHEN data_exception THEN
                    RAISE EXCEPTION 'event %: payload is not valid JSON', i - 1 USING ERRCODE = '22023';
                WHEN statement_too_complex THEN
                    RAISE EXCEPTION 'event %: payload nests deeper than 512 levels', i - 1 USING ERRCODE = '22023';
            END;
        END LOOP;
    END;
    -- Counting the opening brackets is cheap and settles nearly every payload.
    SELECT v.i - 1 INTO deep FROM unnest(texts) WITH ORDINALITY AS v (doc, i)
    WHERE octet_length(v.doc) > 1024
        AND octet_length(v.doc) - octet_length(replace(replace(v.doc, '[', ''), '{', '')) > 512
        AND outhook.json_too_deep(v.doc, 512)
    ORDER BY v.i LIMIT 1;
    IF deep IS NOT NULL THEN
        RAISE EXCEPTION 'event %: payload nests deeper than 512 levels', deep USING ERRCODE = '22023';
    END IF;
    RETURN docs;
END
$$;
