-- What migrations.DownTo runs before it rolls everything back: else the roles could not be dropped. Roles are never dropped
-- here: another database of the cluster may use them.
DO $$
BEGIN
    IF to_regrole('outhook_server') IS NOT NULL AND to_regnamespace('outhook') IS NOT NULL THEN
        REVOKE ALL ON ALL TABLES IN SCHEMA outhook FROM outhook_server;
        REVOKE ALL ON ALL SEQUENCES IN SCHEMA outhook FROM outhook_server;
        REVOKE ALL ON ALL FUNCTIONS IN SCHEMA outhook FROM outhook_server;
        REVOKE ALL ON SCHEMA outhook FROM outhook_server;
    END IF;
END
$$;
