-- Queries on the endpoints' health. Whoever locks an endpoint and its health locks the endpoint first.

-- name: InsertEndpointHealth :many
-- Rows for those that have none yet, so that they can be locked. Returns those that are not deleted: the row of another may
-- be erased. It waits for nobody: an INSERT of a key that another transaction is inserting would, so who inserts holds the
-- endpoint.
WITH live AS (
    SELECT n.id FROM outhook.endpoints AS n WHERE n.id = ANY (@endpoint_ids::uuid[]) AND n.deleted_at IS NULL
), made AS (
    INSERT INTO outhook.endpoint_health (endpoint_id)
    SELECT n.id FROM outhook.endpoints AS n WHERE n.id = ANY (@endpoint_ids::uuid[]) AND n.deleted_at IS NULL
        AND NOT EXISTS (SELECT FROM outhook.endpoint_health AS h WHERE h.endpoint_id = n.id)
    FOR NO KEY UPDATE OF n SKIP LOCKED
    ON CONFLICT (endpoint_id) DO NOTHING
)
SELECT v.id FROM live AS v;

-- name: LockEndpointHealth :many
-- Those that nobody else holds: what a stranger, or a process that hangs, has locked must not hold up the others.
SELECT h.endpoint_id, h.state, h.state_changed_at, h.consecutive_failures, h.failing_since, h.last_success_at,
    h.last_failure_at, h.last_status_code, h.last_error, n.tenant_id, n.url, n.status, n.status_reason
FROM outhook.endpoint_health AS h
JOIN outhook.endpoints AS n ON n.id = h.endpoint_id
WHERE h.endpoint_id = ANY (@endpoint_ids::uuid[]) AND n.deleted_at IS NULL
FOR UPDATE OF h SKIP LOCKED;

-- name: LockFreeEndpoint :one
-- No row if it is deleted, or if somebody else holds it.
SELECT n.id FROM outhook.endpoints AS n WHERE n.id = @id AND n.deleted_at IS NULL FOR UPDATE SKIP LOCKED;

-- name: UpdateEndpointHealth :exec
-- 0, '' and the year 1, Go's zero time, stand for NULL.
UPDATE outhook.endpoint_health AS h SET state = k.state, consecutive_failures = k.consecutive_failures,
    state_changed_at = nullif(k.state_changed_at, '0001-01-01 00:00:00+00'),
    failing_since = nullif(k.failing_since, '0001-01-01 00:00:00+00'),
    last_success_at = nullif(k.last_success_at, '0001-01-01 00:00:00+00'),
    last_failure_at = nullif(k.last_failure_at, '0001-01-01 00:00:00+00'), last_status_code = nullif(k.last_status_code, 0), last_error = nullif(k.last_error, '')
FROM (SELECT unnest(@endpoint_ids::uuid[]) AS endpoint_id, unnest(@states::text[]) AS state,
        unnest(@state_changed_ats::timestamptz[]) AS state_changed_at,
        unnest(@consecutive_failures::integer[]) AS consecutive_failures,
        unnest(@failing_sinces::timestamptz[]) AS failing_since, unnest(@last_success_ats::timestamptz[]) AS last_success_at,
        unnest(@last_failure_ats::timestamptz[]) AS last_failure_at, unnest(@last_status_codes::integer[]) AS last_status_code,
        unnest(@last_errors::text[]) AS last_error) AS k
WHERE h.endpoint_id = k.endpoint_id;

-- name: ListEndpointHealth :many
SELECT * FROM outhook.endpoint_health WHERE endpoint_id = ANY (@endpoint_ids::uuid[]);

-- name: ListUnsettledHealth :many
-- Endpoints after one whose state is behind what was seen, because a state lasts for a while at least, or that have failed
-- for too long (disable_seconds: 0 is never) and could not be disabled yet.
SELECT h.endpoint_id FROM outhook.endpoint_health AS h
JOIN outhook.endpoints AS n ON n.id = h.endpoint_id AND n.deleted_at IS NULL AND n.status <> 'disabled'
WHERE h.endpoint_id > @after::uuid
    AND ((h.state = 'failing' AND h.consecutive_failures = 0)
        OR (h.state = 'healthy' AND h.consecutive_failures >= @failing_failures::integer)
        OR (@disable_seconds::float8 > 0 AND h.consecutive_failures >= @disable_failures::integer
            AND h.last_failure_at - h.failing_since >= make_interval(secs => @disable_seconds)))
ORDER BY h.endpoint_id LIMIT @max_rows;

-- name: ResetEndpointHealth :exec
-- For an endpoint that is enabled again: what was before does not count against it.
UPDATE outhook.endpoint_health SET state_changed_at = CASE WHEN state = 'failing' THEN now() ELSE state_changed_at END,
    state = 'healthy', consecutive_failures = 0, failing_since = NULL, probe_at = NULL, probe_count = 0
WHERE endpoint_id = @endpoint_id;

-- name: SetProbe :exec
-- NULL: no probe.
UPDATE outhook.endpoint_health SET probe_at = now() + make_interval(secs => sqlc.narg('seconds')::float8), probe_count = 0
WHERE endpoint_id = @endpoint_id;

-- name: TakeProbes :many
-- Up to max_rows endpoints whose probe is due, each of them once. The wait doubles with each probe, four times.
UPDATE outhook.endpoint_health AS h SET probe_count = k.probe_count,
    probe_at = now() + make_interval(secs => power(2, k.doublings) * @wait_seconds::float8)
FROM (SELECT s.endpoint_id, n.tenant_id, s.probe_count + 1 AS probe_count, least(s.probe_count + 1, 4) AS doublings
    FROM outhook.endpoint_health AS s
    JOIN outhook.endpoints AS n ON n.id = s.endpoint_id AND n.status = 'disabled' AND n.deleted_at IS NULL
    WHERE s.probe_at <= now() ORDER BY s.probe_at LIMIT @max_rows FOR UPDATE OF s SKIP LOCKED) AS k
WHERE h.endpoint_id = k.endpoint_id
RETURNING h.endpoint_id, k.tenant_id;

-- name: InsertProbe :exec
-- Stores a test event for a disabled endpoint, with its delivery and a job that may send it nevertheless.
WITH event_row AS (
    INSERT INTO outhook.events (id, created_at, tenant_id, type, payload)
    SELECT v.id, outhook.uuid_v7_time(v.id), @tenant_id, @type, @payload
    FROM (SELECT outhook.uuid_v7() AS id) AS v
    RETURNING id, created_at
), delivery_row AS (
    INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, next_attempt_at)
    SELECT r.id, @endpoint_id, nextval('outhook.river_job_id_seq'), r.created_at FROM event_row AS r
    RETURNING event_id, endpoint_id, job_id
)
INSERT INTO outhook.river_job (id, kind, args, queue, max_attempts)
SELECT r.job_id, 'deliver', jsonb_build_object('event_id', r.event_id, 'endpoint_id', r.endpoint_id, 'probe', true),
    'deliver', 1000
FROM delivery_row AS r;

-- name: EnableProbedEndpoint :one
-- Only one that was disabled for failing: a person's decision, and a 410, stay.
UPDATE outhook.endpoints SET status = 'enabled', status_reason = @reason, status_changed_at = now(), cancel_since = NULL,
    updated_at = greatest(now(), updated_at + interval '1 us')
WHERE id = @id AND status = 'disabled' AND status_reason LIKE 'failing%' AND deleted_at IS NULL
RETURNING *;

-- name: EnqueueOperational :one
SELECT outhook.enqueue_operational(@event_type::text, @payloads::text[])::integer AS count;

-- name: TellFailedDeliveries :one
SELECT outhook.tell_failed(@event_ids::uuid[], @endpoint_ids::uuid[], @job_ids::bigint[])::integer AS count;
