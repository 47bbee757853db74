-- event_documents returns the event_document of each event whose tenant has a filter: NULL for the others, who share a call of
-- enqueue_many with those and pay nothing for them.
CREATE OR REPLACE FUNCTION outhook.event_documents(tenant_ids text[], types text[], docs json[]) RETURNS jsonb[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenants CONSTANT text[] COLLATE "C" := tenant_ids;
    names CONSTANT text[] COLLATE "C" := types;
BEGIN
    RETURN (SELECT array_agg(CASE WHEN EXISTS (SELECT FROM outhook.endpoints AS n
            WHERE n.tenant_id = v.tenant AND n.deleted_at IS NULL AND n.filter_path IS NOT NULL)
            THEN outhook.event_document(v.tenant, v.type, v.doc) END ORDER BY v.i)
        FROM unnest(tenants, names, docs) WITH ORDINALITY AS v (tenant, type, doc, i));
END
$$;
