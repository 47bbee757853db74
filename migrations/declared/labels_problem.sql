-- labels_problem returns what is wrong with an event's labels, in the text form of a text[] ('' is none), or NULL. One expression,
-- so that the planner puts it into its callers. An unquoted NULL is no label.
CREATE OR REPLACE FUNCTION outhook.labels_problem(labels text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
    WHEN labels = '' THEN NULL
    WHEN octet_length(labels) > 1024 OR labels COLLATE "C"
        !~ '^\{(([A-Za-z0-9_.:-]{1,64}|"[A-Za-z0-9_.:-]{1,64}")(,([A-Za-z0-9_.:-]{1,64}|"[A-Za-z0-9_.:-]{1,64}"))*)?\}$'
        THEN 'labels must be at most 10 names of letters, digits and _ . : -, each of at most 64 bytes'
    WHEN cardinality(labels::text[]) > 10 OR array_position(labels::text[], NULL) IS NOT NULL
        THEN 'labels must be at most 10 names of letters, digits and _ . : -, each of at most 64 bytes'
END;
