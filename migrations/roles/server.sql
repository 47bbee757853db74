-- The group role outhook_server: what `outhook serve` needs and no more. migrations.Up runs this after the last migration,
-- each time, so a new table's or function's rights are added here and nowhere else (a test compares them with all there
-- are). Everything that is not there, in a schema that was rolled back, is left out.
--
-- It changes the catalog's rows of the tables and takes no lock that anybody waits for.
DO $$
DECLARE
    grants constant text[][] := ARRAY[
        -- What was published is erased with its tenant and otherwise never changed, and no row of the log is deleted: old
        -- partitions are dropped, by the owner.
        ['SELECT, INSERT, UPDATE (payload, traceparent)', 'events'],
        ['SELECT, UPDATE, DELETE', 'event_keys'],
        ['SELECT, INSERT, UPDATE', 'tenant_erasures'],
        ['SELECT, INSERT, UPDATE', 'deliveries'],
        ['SELECT, INSERT, UPDATE', 'delivery_attempts'],
        -- Deleting an endpoint is soft; its secrets are erased.
        ['SELECT, INSERT, UPDATE', 'endpoints'],
        ['SELECT, INSERT, UPDATE, DELETE', 'endpoint_secrets'],
        ['SELECT, INSERT, UPDATE', 'api_keys'],
        ['SELECT, INSERT, UPDATE, DELETE', 'endpoint_health'],
        ['SELECT, INSERT, UPDATE', 'lanes'],
        ['SELECT, INSERT, UPDATE, DELETE', 'leases'],
        -- Append-only.
        ['SELECT, INSERT', 'audit_entries'],
        ['SELECT, INSERT, UPDATE, DELETE', 'operations'],
        -- River.
        ['SELECT, INSERT, UPDATE, DELETE', 'river_job'],
        ['SELECT, INSERT, UPDATE, DELETE', 'river_leader'],
        ['SELECT, INSERT, UPDATE, DELETE', 'river_queue'],
        ['SELECT, INSERT, UPDATE, DELETE', 'river_notification'],
        ['SELECT', 'river_migration'],
        ['USAGE, SELECT', 'river_job_id_seq'],
        ['USAGE, SELECT', 'river_notification_id_seq'],
        ['SELECT', 'goose_db_version']
    ];
    item text[];
    object record;
BEGIN
    IF to_regrole('outhook_server') IS NULL THEN
        BEGIN
            CREATE ROLE outhook_server NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role outhook_server was not created: this user has no CREATEROLE; see docs/operations.md';
                RETURN;
        END;
    END IF;
    GRANT USAGE ON SCHEMA outhook TO outhook_server;
    FOREACH item SLICE 1 IN ARRAY grants LOOP
        CONTINUE WHEN to_regclass('outhook.' || item[2]) IS NULL;
        EXECUTE format('GRANT %s ON %s outhook.%I TO outhook_server', item[1],
            CASE WHEN item[2] LIKE '%\_seq' THEN 'SEQUENCE' ELSE 'TABLE' END, item[2]);
    END LOOP;
    -- The reports, and each form of what enqueues. create_partitions runs with its owner's rights and makes partitions of
    -- the log tables and nothing else.
    FOR object IN
        SELECT format('SELECT ON %s', c.oid::regclass) AS may FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = 'outhook'::regnamespace AND c.relkind = 'v' AND c.relname LIKE 'report\_%'
        UNION ALL
        SELECT format('EXECUTE ON FUNCTION %s', p.oid::regprocedure) FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'outhook'::regnamespace AND p.proname IN ('enqueue', 'enqueue_many', 'create_partitions',
            'uuid_v7', 'uuid_v7_time', 'uuid_v7_floor',
            'trace_or_null', 'lane_queue', 'type_patterns', 'operator_wants', 'enqueue_operational', 'tell_failed', 'rfc3339', 'river_job_state_in_bitmask')
    LOOP
        EXECUTE format('GRANT %s TO outhook_server', object.may);
    END LOOP;
END
$$;
