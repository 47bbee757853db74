-- event_problem returns what is wrong with an event, or NULL. One expression, so that the planner puts it into its callers.
CREATE OR REPLACE FUNCTION outhook.event_problem(tenant_id text, type text, payload text, idempotency_key text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN tenant_id IS NULL OR tenant_id COLLATE "C" = '' THEN 'tenant_id is empty; give the label of the customer'
    WHEN octet_length(tenant_id) > 255 THEN 'tenant_id is longer than 255 bytes'
    WHEN tenant_id COLLATE "C" ~ '[\x01-\x1f\x7f]' THEN 'tenant_id contains a control character'
    WHEN tenant_id COLLATE "C" = 'outhook.operator' THEN 'tenant_id outhook.operator is reserved for operational events'
    WHEN type IS NULL OR type COLLATE "C" !~ '^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$'
        THEN 'type must be names of letters, digits and _ joined by dots, like invoice.paid'
    WHEN octet_length(type) > 255 THEN 'type is longer than 255 bytes'
    WHEN type COLLATE "C" LIKE 'outhook.%' THEN 'types that begin with outhook. are reserved'
    WHEN payload IS NULL THEN 'payload is missing; JSON null is the text null'
    WHEN octet_length(payload) > 262144 THEN 'payload is larger than 262144 bytes; send a link to large data instead'
    WHEN octet_length(idempotency_key) > 255 THEN 'idempotency_key is longer than 255 bytes'
    WHEN idempotency_key COLLATE "C" ~ '[\x01-\x1f\x7f]' THEN 'idempotency_key contains a control character'
END;
