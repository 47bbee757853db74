-- Locks and time: creates views only; instant.
--
-- The stable face for SQL: columns are added, never renamed or removed, within a major version. The views run with
-- their owner's rights, so a reporter needs SELECT on them and no right on any table. None shows a payload, a secret, a
-- custom header's value or more of a URL than its host, unless a receiver's answer repeats it.

-- +goose Up
CREATE VIEW outhook.report_events AS
SELECT e.id AS event_id, e.tenant_id, e.type, e.created_at, octet_length(e.payload::text) AS payload_bytes,
    (SELECT count(*) FROM outhook.deliveries AS d WHERE d.event_id = e.id) AS delivery_count
FROM outhook.events AS e;
COMMENT ON VIEW outhook.report_events IS
    'One row per event. delivery_count 0: nobody was subscribed when it was enqueued.';

CREATE VIEW outhook.report_deliveries AS
SELECT d.event_id, d.endpoint_id, e.tenant_id, e.type, e.created_at, d.state::text AS state, d.reason, d.attempt_count,
    d.try_count, d.next_attempt_at, d.completed_at,
    (extract(epoch FROM d.completed_at - e.created_at) * 1000)::bigint AS latency_ms
FROM outhook.deliveries AS d
JOIN outhook.events AS e ON e.id = d.event_id;
COMMENT ON VIEW outhook.report_deliveries IS
    'One row per delivery (event and endpoint). latency_ms: from the enqueue to the last outcome; NULL while pending.';

CREATE VIEW outhook.report_attempts AS
SELECT a.event_id, a.endpoint_id, a.number, n.tenant_id, substring(n.url FROM '(?i)^https?://(?:[^/?#]*@)?([^/?#@]+)') AS host, a.started_at,
    a.duration_ms, a.outcome::text AS outcome, a.status_code, a.error, a.trigger::text AS trigger, a.remote_addr,
    a.response_headers, a.response_body, a.response_truncated
FROM outhook.delivery_attempts AS a
JOIN outhook.endpoints AS n ON n.id = a.endpoint_id;
COMMENT ON VIEW outhook.report_attempts IS
    'One row per HTTP request. outcome unknown: the worker died, so the request may have left.';

CREATE VIEW outhook.report_endpoint_health AS
WITH attempts AS (
    SELECT a.endpoint_id, (a.started_at AT TIME ZONE 'UTC')::date AS day, count(*) AS attempt_count,
        count(*) FILTER (WHERE a.outcome = 'succeeded') AS succeeded_count,
        percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY a.duration_ms) AS duration_ms,
        max(a.started_at) FILTER (WHERE a.outcome = 'succeeded') AS last_success_at
    FROM outhook.delivery_attempts AS a
    GROUP BY 1, 2
)
SELECT n.id AS endpoint_id, n.tenant_id, substring(n.url FROM '(?i)^https?://(?:[^/?#]*@)?([^/?#@]+)') AS host, n.status::text AS status,
    n.status_reason, a.day, a.attempt_count, a.succeeded_count,
    round(a.succeeded_count::numeric / a.attempt_count, 4) AS success_rate,
    round(a.duration_ms[1]::numeric, 1) AS duration_ms_p50, round(a.duration_ms[2]::numeric, 1) AS duration_ms_p95,
    round(a.duration_ms[3]::numeric, 1) AS duration_ms_p99,
    a.last_success_at,
    (SELECT count(*) FROM outhook.deliveries AS d WHERE d.endpoint_id = n.id AND d.state = 'pending') AS pending_count
FROM outhook.endpoints AS n
LEFT JOIN attempts AS a ON a.endpoint_id = n.id
WHERE n.deleted_at IS NULL OR a.day IS NOT NULL;
COMMENT ON VIEW outhook.report_endpoint_health IS
    'One row per endpoint and day (UTC) of attempts; one with day NULL if there were none. pending_count: deliveries that wait now.';

CREATE VIEW outhook.report_retries AS
SELECT d.event_id, d.endpoint_id, e.tenant_id, e.type, d.try_count, d.attempt_count, d.next_attempt_at,
    a.outcome::text AS last_outcome, a.status_code AS last_status_code, a.error AS last_error, a.started_at AS last_attempt_at
FROM outhook.deliveries AS d
JOIN outhook.events AS e ON e.id = d.event_id
LEFT JOIN outhook.delivery_attempts AS a
    ON a.event_id = d.event_id AND a.endpoint_id = d.endpoint_id AND a.number = d.attempt_count
WHERE d.state = 'pending' AND d.try_count > 0;
COMMENT ON VIEW outhook.report_retries IS
    'One row per delivery that has failed and will be attempted again at next_attempt_at.';

-- Two group roles. Roles belong to the whole cluster: another database may have made them already, and a migration
-- user without CREATEROLE can't make them (docs/operations.md has the grants to run by hand).
-- +goose StatementBegin
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['outhook_publisher', 'outhook_reporter'] LOOP
        CONTINUE WHEN to_regrole(name) IS NOT NULL;
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role % was not created: this user has no CREATEROLE; see docs/operations.md', name;
        END;
    END LOOP;
    IF to_regrole('outhook_publisher') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA outhook TO outhook_publisher;
        GRANT EXECUTE ON FUNCTION outhook.enqueue_many(text[], text[], text[], text[], boolean, text[]),
            outhook.enqueue(text, text, text, text, text), outhook.enqueue(text, text, json, text, text),
            outhook.enqueue(text, text, jsonb, text, text) TO outhook_publisher;
    END IF;
    IF to_regrole('outhook_reporter') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA outhook TO outhook_reporter;
        GRANT SELECT ON outhook.report_events, outhook.report_deliveries, outhook.report_attempts,
            outhook.report_endpoint_health, outhook.report_retries TO outhook_reporter;
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- Roles are revoked from, never dropped: another database of the cluster may use them.
-- +goose StatementBegin
DO $$
BEGIN
    IF to_regrole('outhook_publisher') IS NOT NULL THEN
        REVOKE ALL ON ALL FUNCTIONS IN SCHEMA outhook FROM outhook_publisher;
        REVOKE USAGE ON SCHEMA outhook FROM outhook_publisher;
    END IF;
    IF to_regrole('outhook_reporter') IS NOT NULL THEN
        REVOKE ALL ON ALL TABLES IN SCHEMA outhook FROM outhook_reporter;
        REVOKE USAGE ON SCHEMA outhook FROM outhook_reporter;
    END IF;
END
$$;
-- +goose StatementEnd
DROP VIEW outhook.report_retries;
DROP VIEW outhook.report_endpoint_health;
DROP VIEW outhook.report_attempts;
DROP VIEW outhook.report_deliveries;
DROP VIEW outhook.report_events;
