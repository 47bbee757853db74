-- type_patterns returns the values of endpoints.event_types that subscribe to an event type:
-- a.b.c gives {a.*, a.b.*, a.b.c}.
CREATE OR REPLACE FUNCTION outhook.type_patterns(type text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    patterns text[] COLLATE "C" := ARRAY[type];
    parts CONSTANT text[] COLLATE "C" := string_to_array(type COLLATE "C", '.');
    prefix text COLLATE "C" := '';
BEGIN
    FOR i IN 1..cardinality(parts) - 1 LOOP
        prefix := prefix || parts[i] || '.';
        patterns := patterns || (prefix || '*');
    END LOOP;
    RETURN patterns;
END
$$;
