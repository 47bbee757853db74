-- Locks and time: creates an empty table, functions and a view; instant.

-- +goose Up
-- What the workers saw of each endpoint lately. A table of its own, so that it can be written often without making
-- versions of the endpoints, which every enqueue reads. Each worker process adds up what it saw and writes it every few
-- seconds: never a row per delivery. An endpoint without a row has had no attempt.
CREATE TABLE outhook.endpoint_health (
    endpoint_id          uuid NOT NULL,
    -- Disabled is no state of this table: endpoints.status says that.
    state                text NOT NULL DEFAULT 'healthy',
    -- NULL: it never changed.
    state_changed_at     timestamptz,
    -- Failed attempts since the last success.
    consecutive_failures integer NOT NULL DEFAULT 0,
    -- The first failure since the last success. NULL: none.
    failing_since        timestamptz,
    last_success_at      timestamptz,
    last_failure_at      timestamptz,
    -- Of the last failure. NULL if no answer came.
    last_status_code     integer,
    -- The class of the last failure's error, like connection_refused. NULL if an answer came.
    last_error           text,
    -- When an endpoint that was disabled for failing is tried again. NULL: never.
    probe_at             timestamptz,
    -- Probes since it was disabled: the wait doubles with each.
    probe_count          integer NOT NULL DEFAULT 0,
    CONSTRAINT endpoint_health_pkey PRIMARY KEY (endpoint_id),
    CONSTRAINT endpoint_health_state_check CHECK (state IN ('healthy', 'failing')),
    CONSTRAINT endpoint_health_failing_since_check CHECK ((failing_since IS NULL) = (consecutive_failures = 0))
    -- Room on each page, so that the updates are HOT: no column but the key is in an index.
) WITH (fillfactor = 50);

-- +goose StatementBegin
-- operator_wants tells whether an endpoint of the operator tenant is subscribed to a type.
CREATE FUNCTION outhook.operator_wants(type text) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM outhook.endpoints AS e
        WHERE e.tenant_id = 'outhook.operator' AND e.deleted_at IS NULL AND e.status <> 'disabled'
            AND (e.event_types = '{}' OR e.event_types && outhook.type_patterns(type)));
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- enqueue_operational stores operational events of one type for the operator tenant, if somebody is subscribed, and
-- returns how many. An idempotency key that was taken before makes its event none.
CREATE FUNCTION outhook.enqueue_operational(event_type text, payloads text[], idempotency_keys text[] DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    n CONSTANT integer := coalesce(cardinality(payloads), 0);
    began CONSTANT timestamptz := clock_timestamp();
    tenants CONSTANT text[] := array_fill('outhook.operator'::text, ARRAY[n]);
    ids uuid[];
    owners uuid[];
BEGIN
    IF n = 0 OR NOT outhook.operator_wants(event_type) THEN
        RETURN 0;
    END IF;
    SELECT array_agg(outhook.uuid_v7(began, i) ORDER BY i) INTO ids FROM generate_series(0, n - 1) AS i;
    owners := ids;
    IF idempotency_keys IS NOT NULL THEN
        owners := outhook.take_keys(tenants, idempotency_keys, ids);
    END IF;
    PERFORM outhook.fan_out(ids, owners, tenants, array_fill(event_type, ARRAY[n]), payloads::json[], false, NULL);
    RETURN (SELECT count(*) FROM unnest(ids, owners) AS v (id, owner) WHERE v.id = v.owner);
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- rfc3339 is a time as JSON has it.
CREATE FUNCTION outhook.rfc3339(at timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
-- +goose StatementEnd

-- +goose StatementBegin
-- tell_failed enqueues outhook.delivery.failed for those of the deliveries that failed with the given jobs: one statement
-- for all, and next to nothing if nobody is subscribed. Events of reserved types are nobody's news: neither tests nor
-- operational events, so there is no loop. The attempt's number is part of the key, so that the same failure is told once.
CREATE FUNCTION outhook.tell_failed(event_ids uuid[], endpoint_ids uuid[], job_ids bigint[]) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    payloads text[];
    keys text[];
    low uuid;
    high uuid;
BEGIN
    IF NOT outhook.operator_wants('outhook.delivery.failed') THEN
        RETURN 0;
    END IF;
    -- The bounds prune the partitions.
    SELECT (array_agg(o ORDER BY o))[1], (array_agg(o ORDER BY o DESC))[1] INTO low, high FROM unnest(event_ids) AS o;
    SELECT array_agg(json_build_object('type', 'outhook.delivery.failed', 'timestamp', outhook.rfc3339(clock_timestamp()),
            'data', json_build_object('event_id', d.event_id, 'endpoint_id', d.endpoint_id, 'tenant_id', e.tenant_id,
                'event_type', e.type, 'created_at', outhook.rfc3339(e.created_at), 'failed_at', outhook.rfc3339(d.completed_at),
                'reason', d.reason, 'attempt_count', d.attempt_count, 'last_outcome', a.outcome,
                'last_status_code', a.status_code))::text ORDER BY d.event_id, d.endpoint_id),
        array_agg(format('failed/%s/%s/%s', d.event_id, d.endpoint_id, d.attempt_count) ORDER BY d.event_id, d.endpoint_id)
    INTO payloads, keys
    FROM unnest(event_ids, endpoint_ids, job_ids) AS k (event_id, endpoint_id, job_id)
    CROSS JOIN LATERAL (SELECT s.* FROM outhook.deliveries AS s WHERE s.event_id = k.event_id
        AND s.endpoint_id = k.endpoint_id AND s.event_id BETWEEN low AND high OFFSET 0) AS d
    CROSS JOIN LATERAL (SELECT s.tenant_id, s.type, s.created_at FROM outhook.events AS s WHERE s.id = k.event_id
        AND s.id BETWEEN low AND high OFFSET 0) AS e
    LEFT JOIN LATERAL (SELECT s.outcome, s.status_code FROM outhook.delivery_attempts AS s WHERE s.event_id = d.event_id
        AND s.endpoint_id = d.endpoint_id AND s.number = d.attempt_count AND s.event_id BETWEEN low AND high OFFSET 0) AS a ON true
    WHERE d.state = 'failed' AND d.job_id = k.job_id AND e.type NOT LIKE 'outhook.%';
    RETURN outhook.enqueue_operational('outhook.delivery.failed', payloads, keys);
END
$$;
-- +goose StatementEnd

REVOKE ALL ON FUNCTION outhook.operator_wants(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION outhook.enqueue_operational(text, text[], text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION outhook.rfc3339(timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION outhook.tell_failed(uuid[], uuid[], bigint[]) FROM PUBLIC;

CREATE VIEW outhook.report_endpoints AS
SELECT n.id AS endpoint_id, n.tenant_id, substring(n.url FROM '(?i)^https?://(?:[^/?#]*@)?([^/?#@]+)') AS host,
    n.event_types, n.status::text AS status, n.status_reason, n.status_changed_at,
    CASE WHEN n.status = 'disabled' THEN 'disabled' ELSE coalesce(h.state, 'healthy') END AS health,
    coalesce(h.consecutive_failures, 0) AS consecutive_failures, h.failing_since, h.last_success_at, h.last_failure_at,
    h.last_status_code, h.last_error, h.probe_at, n.created_at
FROM outhook.endpoints AS n
LEFT JOIN outhook.endpoint_health AS h ON h.endpoint_id = n.id
WHERE n.deleted_at IS NULL;
COMMENT ON VIEW outhook.report_endpoints IS
    'One row per endpoint that is not deleted, with its health: healthy, failing or disabled, as of some seconds ago.';

-- +goose StatementBegin
DO $$
BEGIN
    IF to_regrole('outhook_reporter') IS NOT NULL THEN
        GRANT SELECT ON outhook.report_endpoints TO outhook_reporter;
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP VIEW outhook.report_endpoints;
DROP FUNCTION outhook.tell_failed(uuid[], uuid[], bigint[]);
DROP FUNCTION outhook.rfc3339(timestamptz);
DROP FUNCTION outhook.enqueue_operational(text, text[], text[]);
DROP FUNCTION outhook.operator_wants(text);
DROP TABLE outhook.endpoint_health;
