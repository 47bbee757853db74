-- trace_or_null returns a traceparent of W3C Trace Context, version 00, with or without ;depth=N behind it, or that alone, and
-- NULL for anything else: a broken tracer must not abort anybody's business transaction. N is how many webhooks in a row led
-- to the event. One expression, so that the planner puts it into its callers.
CREATE OR REPLACE FUNCTION outhook.trace_or_null(traceparent text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN traceparent COLLATE "C" ~ '^(?=.)(00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})?(;depth=[1-9][0-9]{0,2})?$'
    THEN traceparent END;
