-- headers_problem returns what is wrong with an event's headers, the text of a JSON object, or NULL. They go to each endpoint, so
-- they are those that mean nothing to what is in front of a receiver. No message repeats a value.
CREATE OR REPLACE FUNCTION outhook.headers_problem(headers text) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    given CONSTANT text COLLATE "C" := headers;
    doc jsonb;
BEGIN
    IF octet_length(given) > 2048 THEN
        RETURN 'headers are larger than 2048 bytes';
    END IF;
    IF coalesce(given, '') = '' THEN
        RETURN NULL;
    END IF;
    BEGIN
        doc := given::jsonb;
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        RETURN 'headers must be an object of texts';
    END;
    IF jsonb_typeof(doc) <> 'object' THEN
        RETURN 'headers must be an object of texts';
    END IF;
    RETURN (SELECT min(CASE
        WHEN h.key COLLATE "C" !~ '^(x-[a-z0-9-]{1,100}|baggage|tracestate)$'
            OR h.key COLLATE "C" ~ '^x-(forwarded|real-ip|original|rewrite|http-method|method)'
            THEN 'headers must have names in lower case that begin with x-, or be baggage or tracestate; and not those by which proxies '
                'tell of clients and paths, like x-forwarded-for'
        WHEN jsonb_typeof(h.value) <> 'string' OR h.value #>> '{}' !~ '^[!-~]([ -~]*[!-~])?$'
            THEN 'headers must have values of visible ASCII characters'
        END) FROM jsonb_each(doc) AS h);
END
$$;
