-- What the three group roles may do. Each `outhook migrate up` gives what is missing of this, and takes from them and from
-- PUBLIC what is not here; the owner's rights and those of roles of your own are left alone. A role that does not exist is
-- left out. A new object's rights are given here and nowhere else (a test compares them with all there are).

GRANT USAGE ON SCHEMA outhook TO outhook_publisher, outhook_reporter, outhook_server;

-- Whoever enqueues needs no right on any table.
GRANT EXECUTE ON FUNCTION
    outhook.enqueue_many(text[], text[], text[], text[], boolean, text[], text[], text[], timestamptz[], text[]),
    outhook.enqueue(text, text, text, text, text, text[], jsonb, timestamptz, text),
    outhook.enqueue(text, text, json, text, text),
    outhook.enqueue(text, text, jsonb, text, text),
    outhook.enqueue(bigint, text, text, text, text),
    outhook.enqueue(bigint, text, json, text, text),
    outhook.enqueue(bigint, text, jsonb, text, text),
    outhook.enqueue(uuid, text, text, text, text),
    outhook.enqueue(uuid, text, json, text, text),
    outhook.enqueue(uuid, text, jsonb, text, text),
    outhook.enqueue_event(text, text, json, text, text, text[], jsonb, timestamptz, text),
    outhook.cancel_event(text, text, uuid),
    outhook.key_conflict(uuid),
    outhook.enqueued_here()
TO outhook_publisher, outhook_server;

-- The reports run with their owner's rights.
GRANT SELECT ON TABLE
    outhook.report_attempts,
    outhook.report_audit,
    outhook.report_deliveries,
    outhook.report_endpoint_health,
    outhook.report_endpoints,
    outhook.report_events,
    outhook.report_retries,
    outhook.report_usage
TO outhook_reporter, outhook_server;

-- From here on: what `outhook serve` needs and no more.

-- create_partitions and check_sequences run with their owner's rights: they make partitions of the log tables, and move
-- sequences forward, and nothing else.
GRANT EXECUTE ON FUNCTION
    outhook.create_partitions(date, date),
    outhook.check_sequences(boolean),
    outhook.note_lost_run(uuid, uuid, bigint, integer, boolean),
    outhook.wake(text, boolean),
    outhook.uuid_v7(timestamptz, integer),
    outhook.uuid_v7_time(uuid),
    outhook.uuid_v7_floor(timestamptz),
    outhook.rfc3339(timestamptz),
    outhook.trace_or_null(text),
    outhook.type_patterns(text),
    outhook.event_document(text, text, json),
    outhook.endpoint_wants(text[], text[], jsonpath, jsonb, text[], text[]),
    outhook.fan_out_sizes(text[], text[], json[], text[]),
    outhook.bulk_queue(text),
    outhook.lane_queue(uuid, text, outhook.endpoint_status, text),
    outhook.lane_queue(uuid, text, text, outhook.endpoint_status, text),
    outhook.line_key(uuid, text),
    outhook.release_lines(bytea[]),
    outhook.operator_wants(text),
    outhook.enqueue_operational(text, text[], text[]),
    outhook.tell_failed(uuid[], uuid[], bigint[]),
    outhook.river_job_state_in_bitmask(bit, outhook.river_job_state)
TO outhook_server;

-- What was published is erased with its tenant and otherwise never changed, and no row of the log is deleted: old partitions
-- are dropped, by the owner.
GRANT SELECT, INSERT ON TABLE outhook.events TO outhook_server;
GRANT UPDATE (payload, traceparent, labels, headers, ordering_key) ON TABLE outhook.events TO outhook_server;
GRANT SELECT, UPDATE, DELETE ON TABLE outhook.event_keys TO outhook_server;
GRANT SELECT, INSERT, UPDATE ON TABLE outhook.deliveries, outhook.delivery_attempts, outhook.tenant_erasures TO outhook_server;

-- Deleting an endpoint is soft; its secrets are erased.
GRANT SELECT, INSERT, UPDATE ON TABLE outhook.endpoints, outhook.lanes, outhook.pauses TO outhook_server;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE
    outhook.api_keys, outhook.endpoint_secrets, outhook.endpoint_health, outhook.leases, outhook.lines, outhook.operations, outhook.stored_answers,
    outhook.tenants
TO outhook_server;

-- What is folded is deleted.
GRANT SELECT, INSERT, DELETE ON TABLE outhook.rollups TO outhook_server;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE outhook.usage_hours, outhook.usage_counts TO outhook_server;

-- The catalogue: versions go with their type alone.
GRANT SELECT, UPDATE ON TABLE outhook.catalogs TO outhook_server;
GRANT SELECT, INSERT, UPDATE ON TABLE outhook.event_type_versions TO outhook_server;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE outhook.event_types, outhook.event_type_samples TO outhook_server;

-- Append-only.
GRANT SELECT, INSERT ON TABLE outhook.audit_entries TO outhook_server;

-- Written by triggers alone, with their owner's rights, and erased with their tenant.
GRANT SELECT, DELETE ON TABLE outhook.endpoint_revisions TO outhook_server;

-- River.
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE
    outhook.river_job, outhook.river_leader, outhook.river_queue, outhook.river_notification
TO outhook_server;
GRANT USAGE, SELECT ON SEQUENCE outhook.river_job_id_seq, outhook.river_notification_id_seq TO outhook_server;
GRANT SELECT ON TABLE outhook.river_migration, outhook.goose_db_version TO outhook_server;
