-- Events, deliveries and attempts from @base on. Marked7 is in each value that no report may show.

INSERT INTO outhook.endpoints (id, tenant_id, url, headers, status, status_reason, deleted_at) VALUES
    ('00000000-0000-7000-8000-000000000001', 'acme', 'https://hooks.example.com/Marked7?token=Marked7#Marked7',
        '{"x-token": "Marked7"}', 'enabled', '', NULL),
    ('00000000-0000-7000-8000-000000000002', 'acme', 'http://user:Marked7@other.example.com:8080', '{}', 'paused', 'api', NULL),
    ('00000000-0000-7000-8000-000000000003', 'acme', 'HTTPS://[2001:db8::1]:8443?Marked7', '{}', 'disabled', 'gone', NULL),
    ('00000000-0000-7000-8000-000000000004', 'acme', 'https://deleted.example.com/', '{}', 'enabled', '', now()),
    ('00000000-0000-7000-8000-000000000005', 'umbrella', 'https://user:Marked7@was.used.example.com/Marked7', '{}', 'enabled', '', now());
UPDATE outhook.endpoints SET created_at = @base - interval '1 hour', status_changed_at = @base + interval '1 hour',
    deleted_at = CASE WHEN deleted_at IS NOT NULL THEN @base - interval '13 hours' END;
UPDATE outhook.endpoints SET description = 'billing', metadata = '{"Marked7": "Marked7"}',
    secret_headers = '{"authorization": {"key_id": "Marked7", "sealed": "Marked7"}}';
UPDATE outhook.endpoints SET uid = 'main' WHERE id = '00000000-0000-7000-8000-000000000001';
INSERT INTO outhook.endpoint_health (endpoint_id, state, consecutive_failures, failing_since, last_failure_at, last_status_code)
VALUES ('00000000-0000-7000-8000-000000000001', 'failing', 7, @base + interval '1 minute', @base + interval '2 minutes', 503);
INSERT INTO outhook.endpoint_secrets (endpoint_id, key_id, sealed)
VALUES ('00000000-0000-7000-8000-000000000001', 'Marked7', 'Marked7');
INSERT INTO outhook.api_keys (id, name, key_hash, scope) VALUES (outhook.uuid_v7(), 'Marked7', 'Marked7', 'admin');

INSERT INTO outhook.events (id, created_at, tenant_id, type, payload)
SELECT outhook.uuid_v7_floor(v.at), v.at, v.tenant_id, v.type, v.payload::json
FROM (VALUES
    (@base, 'lonely', 'nobody.asked', '"Marked7"'),
    (@base + interval '1 minute', 'acme', 'invoice.paid', '{"secret":"Marked7 €"}'),
    (@base + interval '2 minutes', 'acme', 'invoice.voided', '["Marked7"]'),
    (@base + interval '3 minutes', 'umbrella', 'invoice.sent', '["Marked7"]')
) AS v (at, tenant_id, type, payload);
INSERT INTO outhook.event_keys (tenant_id, idempotency_key, event_id, created_at)
SELECT tenant_id, 'order-17-paid', id, created_at FROM outhook.events WHERE type = 'invoice.paid';
INSERT INTO outhook.audit_entries (id, at, actor, action, tenant_id, object_type, object_id, detail, source_address)
SELECT outhook.uuid_v7(), @base, 'billing', 'replay-delivery', e.tenant_id, 'delivery', e.id || '/00000000-0000-7000-8000-000000000001',
    '{"now": false}'::jsonb, '192.0.2.7'::inet
FROM outhook.events AS e WHERE e.type = 'invoice.paid'
UNION ALL SELECT outhook.uuid_v7(), @base, 'billing', 'create-key', 'acme', 'key', '00000000-0000-7000-8000-000000000009', '{"name": "ci"}', NULL;

INSERT INTO outhook.deliveries
    (event_id, endpoint_id, job_id, state, reason, attempt_count, try_count, next_attempt_at, completed_at)
SELECT e.id, ('00000000-0000-7000-8000-00000000000' || v.endpoint)::uuid, row_number() OVER (), v.state::outhook.delivery_state,
    v.reason, v.attempt_count, v.try_count, v.next_attempt_at, v.completed_at
FROM (VALUES
    ('invoice.paid', 1, 'succeeded', NULL, 3, 2, NULL::timestamptz, @base + interval '241.5 s'),
    ('invoice.voided', 1, 'pending', NULL, 1, 1, @base + interval '180 s', NULL),
    ('invoice.voided', 2, 'pending', NULL, 0, 0, @base + interval '120 s', NULL),
    ('invoice.voided', 4, 'cancelled', 'endpoint_deleted', 0, 0, NULL, @base + interval '125 s'),
    ('invoice.sent', 2, 'failed', 'exhausted', 2, 1, NULL, @base + interval '240 s'),
    ('invoice.sent', 5, 'succeeded', NULL, 2, 1, NULL, @base + interval '241 s')
) AS v (type, endpoint, state, reason, attempt_count, try_count, next_attempt_at, completed_at)
JOIN outhook.events AS e ON e.type = v.type;

INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, duration_ms, outcome, status_code, error,
    trigger, remote_addr, request_headers, response_headers, response_body, response_truncated)
SELECT e.id, ('00000000-0000-7000-8000-00000000000' || v.endpoint)::uuid, v.number, v.started_at, v.duration_ms,
    v.outcome::outhook.attempt_outcome, v.status_code, v.error, v.trigger::outhook.attempt_trigger, v.remote_addr,
    '{"x-token": "Marked7"}', v.response_headers::jsonb, v.response_body, v.response_truncated
FROM (VALUES
    ('invoice.paid', 1, 1, @base + interval '60 s', 10, 'rejected', 500, 'status: 500', 'scheduled', '192.0.2.1:443',
        '{"retry-after": "5"}', 'sorry', true),
    ('invoice.paid', 1, 2, @base + interval '120 s', 20, 'timed_out', NULL, 'timeout: no answer', 'scheduled', NULL, NULL, NULL, false),
    ('invoice.paid', 1, 3, @base + interval '240 s', 30, 'succeeded', 204, NULL, 'scheduled', NULL, NULL, NULL, false),
    ('invoice.voided', 1, 1, @base + interval '120 s', 40, 'rejected', 503, 'status: 503', 'scheduled', NULL, NULL, NULL, false),
    ('invoice.sent', 2, 1, @base, 5, 'unreachable', NULL, 'connection_refused: no', 'scheduled', NULL, NULL, NULL, false),
    ('invoice.sent', 2, 2, @base + interval '240 s', NULL, 'unknown', NULL, 'worker_died: no', 'manual', NULL, NULL, NULL, false),
    ('invoice.sent', 5, 1, @base - interval '2 hours', 7, 'blocked', NULL, 'blocked: private', 'scheduled', NULL, NULL, NULL, false),
    ('invoice.sent', 5, 2, @base + interval '241 s', 9, 'succeeded', 200, NULL, 'scheduled', NULL, NULL, NULL, false)
) AS v (type, endpoint, number, started_at, duration_ms, outcome, status_code, error, trigger, remote_addr,
    response_headers, response_body, response_truncated)
JOIN outhook.events AS e ON e.type = v.type;
UPDATE outhook.delivery_attempts SET dns_us = 1200, connect_us = 340, tls_us = 9000, first_byte_us = 18000 WHERE number = 3;
INSERT INTO outhook.usage_hours (hour, tenant_id, type, events, deliveries, attempts, payload_bytes)
SELECT date_trunc('hour', @base, 'UTC'), v.* FROM (VALUES ('acme', 'invoice.paid', 2, 3, 5, 21), ('umbrella', 'invoice.sent', 1, 2, 4, 11)) AS v;
INSERT INTO outhook.usage_counts (hour, counted_at) SELECT date_trunc('hour', @base, 'UTC'), @base + interval '25 hours';
