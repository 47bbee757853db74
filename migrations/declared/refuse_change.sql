-- refuse_change holds against everybody, also those whose role owns the table, until they switch the trigger off
-- (docs/security.md): no accident and no injected statement rewrites the past.
CREATE OR REPLACE FUNCTION outhook.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'outhook.% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;
