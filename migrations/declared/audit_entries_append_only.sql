CREATE OR REPLACE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON outhook.audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION outhook.refuse_change();
