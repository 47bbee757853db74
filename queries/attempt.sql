-- name: InsertNewAttempts :exec
-- InsertAttempts for rows of which none is there, as nearly always; one that is fails the call. What looks for them costs
-- a fifth of the statement, and 60 bytes of WAL a row.
INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, status_code, started_at, duration_ms, outcome,
    trigger, response_truncated, error, remote_addr, request_headers, response_headers, response_body)
SELECT a.event_id, a.endpoint_id, a.number, nullif(a.status_code, 0), a.started_at,
    CASE WHEN a.duration_ms >= 0 THEN a.duration_ms END, a.outcome::outhook.attempt_outcome,
    a.trigger::outhook.attempt_trigger, a.response_truncated, nullif(a.error, ''), nullif(a.remote_addr, ''),
    nullif(a.request_headers, '')::jsonb, nullif(a.response_headers, '')::jsonb, nullif(a.response_body, '')
FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@endpoint_ids::uuid[]) AS endpoint_id,
        unnest(@numbers::integer[]) AS number, unnest(@status_codes::integer[]) AS status_code,
        unnest(@started_ats::timestamptz[]) AS started_at, unnest(@durations_ms::integer[]) AS duration_ms,
        unnest(@outcomes::text[]) AS outcome, unnest(@triggers::text[]) AS trigger,
        unnest(@responses_truncated::boolean[]) AS response_truncated, unnest(@errors::text[]) AS error,
        unnest(@remote_addrs::text[]) AS remote_addr, unnest(@request_headers::text[]) AS request_headers,
        unnest(@response_headers::text[]) AS response_headers, unnest(@response_bodies::text[]) AS response_body) AS a;

-- name: InsertAttempts :exec
-- Idempotent by the primary key: a real outcome replaces an 'unknown' row, nothing replaces a real outcome. No two rows
-- of one call may have the same key. 0 and '' stand for NULL; duration_ms below 0 too.
INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, status_code, started_at, duration_ms, outcome,
    trigger, response_truncated, error, remote_addr, request_headers, response_headers, response_body)
SELECT a.event_id, a.endpoint_id, a.number, nullif(a.status_code, 0), a.started_at,
    CASE WHEN a.duration_ms >= 0 THEN a.duration_ms END, a.outcome::outhook.attempt_outcome,
    a.trigger::outhook.attempt_trigger, a.response_truncated, nullif(a.error, ''), nullif(a.remote_addr, ''),
    nullif(a.request_headers, '')::jsonb, nullif(a.response_headers, '')::jsonb, nullif(a.response_body, '')
FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@endpoint_ids::uuid[]) AS endpoint_id,
        unnest(@numbers::integer[]) AS number, unnest(@status_codes::integer[]) AS status_code,
        unnest(@started_ats::timestamptz[]) AS started_at, unnest(@durations_ms::integer[]) AS duration_ms,
        unnest(@outcomes::text[]) AS outcome, unnest(@triggers::text[]) AS trigger,
        unnest(@responses_truncated::boolean[]) AS response_truncated, unnest(@errors::text[]) AS error,
        unnest(@remote_addrs::text[]) AS remote_addr, unnest(@request_headers::text[]) AS request_headers,
        unnest(@response_headers::text[]) AS response_headers, unnest(@response_bodies::text[]) AS response_body) AS a
ON CONFLICT (event_id, endpoint_id, number) DO UPDATE SET
    status_code = excluded.status_code, started_at = excluded.started_at, duration_ms = excluded.duration_ms,
    outcome = excluded.outcome, trigger = excluded.trigger, response_truncated = excluded.response_truncated,
    error = excluded.error, remote_addr = excluded.remote_addr, request_headers = excluded.request_headers,
    response_headers = excluded.response_headers, response_body = excluded.response_body
WHERE delivery_attempts.outcome = 'unknown' AND excluded.outcome <> 'unknown';

-- name: LockAttemptedDeliveries :exec
-- Waits for transactions that are recording attempts of these deliveries.
SELECT FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@endpoint_ids::uuid[]) AS endpoint_id) AS k
JOIN outhook.deliveries AS d ON d.event_id = k.event_id AND d.endpoint_id = k.endpoint_id
    AND d.event_id BETWEEN @low::uuid AND @high::uuid
ORDER BY d.event_id, d.endpoint_id FOR UPDATE OF d;

-- name: ListRecordedAttempts :many
-- Those of some attempts whose outcome is in the log.
SELECT a.event_id, a.endpoint_id, a.number
FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@endpoint_ids::uuid[]) AS endpoint_id,
        unnest(@numbers::integer[]) AS number) AS k
JOIN outhook.delivery_attempts AS a ON a.event_id = k.event_id AND a.endpoint_id = k.endpoint_id AND a.number = k.number
    AND a.event_id BETWEEN @low::uuid AND @high::uuid
WHERE a.outcome <> 'unknown';

-- name: InsertUnknownAttempts :exec
-- Fills the numbers between the log's highest and each given number: runs whose worker died, so that nobody knows
-- whether their request left. Their time is that of the run that found them.
INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome, error)
SELECT d.event_id, d.endpoint_id, g.number, k.started_at, 'unknown', 'worker_died: the outcome was never recorded'
FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@endpoint_ids::uuid[]) AS endpoint_id,
        unnest(@numbers::integer[]) AS number, unnest(@started_ats::timestamptz[]) AS started_at) AS k
JOIN outhook.deliveries AS d ON d.event_id = k.event_id AND d.endpoint_id = k.endpoint_id
    AND d.event_id BETWEEN @low::uuid AND @high::uuid
CROSS JOIN LATERAL generate_series(d.attempt_count + 1, k.number - 1) AS g (number)
ON CONFLICT (event_id, endpoint_id, number) DO NOTHING;

-- name: ListEventAttempts :many
SELECT * FROM outhook.delivery_attempts WHERE event_id = @event_id ORDER BY started_at, endpoint_id, number;

-- name: GetFirstAttempt :one
SELECT * FROM outhook.delivery_attempts WHERE event_id = @event_id AND endpoint_id = @endpoint_id AND number = 1;
