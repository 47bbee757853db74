-- ordering_problem returns what is wrong with an event's ordering key, or NULL.
CREATE OR REPLACE FUNCTION outhook.ordering_problem(ordering_key text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN octet_length(ordering_key) > 255 THEN 'ordering_key is longer than 255 bytes'
    WHEN ordering_key COLLATE "C" ~ '[\x01-\x1f\x7f]' THEN 'ordering_key contains a control character'
END;
