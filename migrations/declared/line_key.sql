-- line_key names a line: what an endpoint gets one at a time, in the order of the events' ids. ordering_key: that of the events; NULL:
-- all that an ordered endpoint gets without one. It is river_job.unique_key of all jobs of the line, and in their queue's name.
CREATE OR REPLACE FUNCTION outhook.line_key(endpoint_id uuid, ordering_key text) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN substring(sha256(uuid_send(endpoint_id) || CASE WHEN ordering_key IS NULL THEN ''::bytea
    ELSE '\x2f'::bytea || convert_to(ordering_key, 'UTF8') END) FROM 1 FOR 16);
