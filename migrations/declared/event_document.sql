-- event_document returns what filters look into, or NULL if Postgres can't: json keeps what jsonb refuses (\u0000, half a surrogate
-- pair, 1e200000), and a filter must not abort a publisher's transaction. The text is parsed once, whole: to put a document
-- together of jsonb would copy the payload. STABLE, or the planner would make the document of each event that it plans for.
CREATE OR REPLACE FUNCTION outhook.event_document(tenant text, event_type text, payload json) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
DECLARE
    owner CONSTANT text COLLATE "C" := tenant;
    name CONSTANT text COLLATE "C" := event_type;
BEGIN
    RETURN CASE WHEN payload IS NOT NULL THEN
        format('{"type":%s,"tenant_id":%s,"data":%s}', to_json(name), to_json(owner), payload)::jsonb END;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END
$$;
