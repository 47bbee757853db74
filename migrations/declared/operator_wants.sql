-- operator_wants tells whether an endpoint of the operator tenant is subscribed to a type.
CREATE OR REPLACE FUNCTION outhook.operator_wants(type text) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name CONSTANT text COLLATE "C" := type;
BEGIN
    RETURN EXISTS (SELECT FROM outhook.endpoints AS e
        WHERE e.tenant_id = 'outhook.operator' AND e.deleted_at IS NULL AND e.status <> 'disabled'
            AND (e.event_types = '{}' OR e.event_types && outhook.type_patterns(name)));
END
$$;
