-- Queries on deliveries. Each that takes ids also takes the group's smallest and greatest event id, low and high: the
-- bounds let the planner prune partitions, which a list of ids does not.
--
-- LoadDeliveries and SettleRuns have literal bounds instead, below and above every id. pg.Day puts those of one day in
-- their place: the plan that is kept then knows one partition of each table, and not all that there are, each of which
-- would be locked at every execution.

-- name: LoadDeliveries :many
-- All that the deliver workers need of a group of jobs, in one query. A delivery that is gone has no row. Endpoints,
-- secrets and pauses are read with each group, so that a rotation, a new URL or a pause holds at once. Secrets: newest first.
-- The payload as text: pgx decodes json into json.RawMessage through encoding/json, which drops the white space around it.
-- Empty: it is gone.
-- LATERAL with OFFSET 0 makes the planner look each row up by its key: with few statistics it takes the bounds for a
-- narrow range and would scan all that lies between them (measured: 9.8 ms a group instead of 0.5).
WITH n AS MATERIALIZED (
    SELECT v.id, v.url, v.headers, v.secret_headers, v.timeout_ms, v.retry_schedule, v.retry_jitter, v.max_in_flight, v.lane,
        v.status, v.deleted_at, v.format,
        EXISTS (SELECT FROM outhook.pauses AS p WHERE p.tenant_id = v.tenant_id AND p.resumed_at IS NULL) AS tenant_paused,
        (SELECT array_agg(s.key_id ORDER BY s.id DESC) FROM outhook.endpoint_secrets AS s
            WHERE s.endpoint_id = v.id AND (s.expires_at IS NULL OR s.expires_at > now())) AS secret_key_ids,
        (SELECT array_agg(s.sealed ORDER BY s.id DESC) FROM outhook.endpoint_secrets AS s
            WHERE s.endpoint_id = v.id AND (s.expires_at IS NULL OR s.expires_at > now())) AS sealed_secrets
    FROM outhook.endpoints AS v WHERE v.id = ANY (@endpoint_ids::uuid[])
)
SELECT d.event_id, d.endpoint_id, k.job_id::bigint AS loaded_job_id, d.job_id, d.state, d.attempt_count, d.try_count,
    e.tenant_id, e.type, coalesce(e.payload::text, '')::text AS payload, e.traceparent, e.headers AS event_headers,
    e.created_at, e.deliver_at, (e.withdrawn_at IS NOT NULL)::boolean AS withdrawn, n.format, n.url, n.headers, n.secret_headers, n.timeout_ms, n.retry_schedule, n.retry_jitter, n.max_in_flight, n.lane, n.status,
    n.tenant_paused::boolean AS tenant_paused, (n.deleted_at IS NOT NULL)::boolean AS deleted,
    coalesce(j.attempt, 0)::integer AS job_attempt, coalesce(j.attempted_at, 'epoch')::timestamptz AS job_attempted_at,
    (j.state IS NOT DISTINCT FROM 'running' AND NOT j.metadata ? 'cancel_attempted_at')::boolean AS job_running,
    coalesce(n.secret_key_ids, '{}')::text[] AS secret_key_ids, coalesce(n.sealed_secrets, '{}')::bytea[] AS sealed_secrets,
    clock_timestamp()::timestamptz AS database_time
FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@endpoint_ids::uuid[]) AS endpoint_id,
        unnest(@job_ids::bigint[]) AS job_id) AS k
JOIN n ON n.id = k.endpoint_id
CROSS JOIN LATERAL (SELECT s.* FROM outhook.deliveries AS s WHERE s.event_id = k.event_id
    AND s.endpoint_id = k.endpoint_id AND s.event_id >= '00000000-0000-0000-0000-000000000000' AND s.event_id < 'ffffffff-ffff-ffff-ffff-ffffffffffff' OFFSET 0) AS d
CROSS JOIN LATERAL (SELECT s.* FROM outhook.events AS s WHERE s.id = k.event_id
    AND s.id >= '00000000-0000-0000-0000-000000000000' AND s.id < 'ffffffff-ffff-ffff-ffff-ffffffffffff' OFFSET 0) AS e
LEFT JOIN LATERAL (SELECT s.attempt, s.attempted_at, s.state, s.metadata FROM outhook.river_job AS s WHERE s.id = k.job_id OFFSET 0) AS j ON true;

-- name: SettleRuns :many
-- Ends a group of runs, in one statement and so in one transaction: the attempts, what they mean for their deliveries,
-- and the jobs. No two rows of one call may have the same delivery. Returns those that were settled (i counts from 1),
-- and whether a person's order to cancel the job has overruled what it was to do next; a row whose delivery or job
-- somebody has locked is left out, so that nobody waits for it.
--
-- ending: 'done' with the delivery, which ends the job in any live state, so that a live job of a settled delivery can
-- only be a person's order (River UI's Retry). One that another run works by now is marked, as CancelJobs does: it ends with
-- that run's outcome, or whoever rescues it notes its request. 'wait' for the next attempt at at; 'back' if no request left: the run's
-- number is free again; 'aside': the same, because the job is in the wrong queue or its endpoint is busy. All but a
-- 'done' with an attempt change the job only if the run is its current one (attempt and attempted_at): a repeated call
-- must not act on another. outcome '': there was no request. died: the run panicked, which counts like a worker's death.
-- late: what gives the run back, if trouble of ours does, else ''; its job notes that, and since when it is due, which its
-- scheduled_at no longer says. In a lane or a burst, where many may stand in line, a job that is given back waits as scheduled,
-- and gets its place back when it is woken (WakeJobs).
--
-- An attempt replaces an 'unknown' row of its number and nothing else; if it is in the log already, the call is a
-- repetition and changes nothing. Numbers below it that have no row are runs whose worker died. The delivery's INSERT
-- finds its row; if somebody has deleted it, an attempt brings it back. ON CONFLICT is the one form of UPDATE that looks
-- each row up by its key, whatever the statistics say (a joined UPDATE was planned as a scan of all between the smallest
-- and the greatest id; measured: 89 µs a row, not 15).
WITH r AS (
    SELECT generate_subscripts(@job_ids::bigint[], 1) AS i, unnest(@event_ids::uuid[]) AS event_id,
        unnest(@endpoint_ids::uuid[]) AS endpoint_id, unnest(@job_ids::bigint[]) AS job_id,
        unnest(@job_attempts::integer[]) AS job_attempt, unnest(@attempted_ats::timestamptz[]) AS attempted_at,
        unnest(@numbers::integer[]) AS number, unnest(@endings::text[]) AS ending, unnest(@states::text[]) AS state,
        unnest(@reasons::text[]) AS reason, unnest(@ended_as::text[]) AS ended_as, unnest(@ats::timestamptz[]) AS at,
        unnest(@failures::integer[]) AS failures, unnest(@reopened::boolean[]) AS reopened,
        unnest(@dropped::boolean[]) AS dropped, unnest(@died::boolean[]) AS died, unnest(@late::text[]) AS late,
        unnest(@job_errors::text[]) AS job_error,
        unnest(@status_codes::integer[]) AS status_code, unnest(@started_ats::timestamptz[]) AS started_at,
        unnest(@durations_ms::integer[]) AS duration_ms, unnest(@outcomes::text[]) AS outcome,
        unnest(@triggers::text[]) AS trigger, unnest(@responses_truncated::boolean[]) AS response_truncated,
        unnest(@errors::text[]) AS error, unnest(@remote_addrs::text[]) AS remote_addr,
        unnest(@request_headers::text[]) AS request_headers, unnest(@response_headers::text[]) AS response_headers,
        unnest(@response_bodies::text[]) AS response_body, unnest(@dns_us::integer[]) AS dns_us,
        unnest(@connect_us::integer[]) AS connect_us, unnest(@tls_us::integer[]) AS tls_us,
        unnest(@first_byte_us::integer[]) AS first_byte_us
), jobs AS MATERIALIZED (
    -- By the order the planner takes the index on the id alone: with few jobs, one whose last column it is looks as good.
    SELECT s.id, s.state, s.attempt, s.attempted_at, s.queue, s.metadata ? 'cancel_attempted_at' AS to_cancel
    FROM outhook.river_job AS s WHERE s.id = ANY (@job_ids::bigint[]) ORDER BY s.id FOR NO KEY UPDATE SKIP LOCKED
), existing AS MATERIALIZED (
    -- kind is in no index, so none is read as a whole.
    SELECT s.id, s.kind FROM outhook.river_job AS s WHERE s.id = ANY (@job_ids::bigint[]) ORDER BY s.id
), k AS MATERIALIZED (
    SELECT r.*, d.event_id IS NOT NULL OR r.outcome <> '' AS recorded, d.attempt_count < r.number IS TRUE AS fresh, coalesce(d.job_id = r.job_id, true) AS owns,
        coalesce(d.job_id, r.job_id) AS owner, coalesce(d.state, 'pending') AS was, d.reason AS was_reason,
        coalesce(d.attempt_count, 0) AS attempt_count, coalesce(d.try_count, 0) AS try_count, d.next_attempt_at, d.completed_at,
        j.state IN ('running', 'available', 'retryable', 'scheduled', 'pending') AS live, n.queue,
        coalesce(j.attempt = r.job_attempt AND j.attempted_at = r.attempted_at, false) AS same,
        coalesce(j.attempt = r.job_attempt AND j.attempted_at = r.attempted_at AND j.state = 'running', false) AS current,
        coalesce(j.to_cancel AND r.ending <> 'done' AND j.attempt = r.job_attempt AND j.attempted_at = r.attempted_at
            AND j.state = 'running', false) AS cancelled,
        coalesce(j.state = 'running' AND NOT (j.attempt = r.job_attempt AND j.attempted_at = r.attempted_at), false) AS overtaken
    FROM r
    LEFT JOIN LATERAL (SELECT s.* FROM outhook.deliveries AS s WHERE s.event_id = r.event_id
        AND s.endpoint_id = r.endpoint_id AND s.event_id >= '00000000-0000-0000-0000-000000000000' AND s.event_id < 'ffffffff-ffff-ffff-ffff-ffffffffffff'
        FOR NO KEY UPDATE SKIP LOCKED) AS d ON true
    LEFT JOIN jobs AS j ON j.id = r.job_id
    LEFT JOIN LATERAL (SELECT outhook.lane_queue(s.id, s.tenant_id, s.lane, CASE
            WHEN EXISTS (SELECT FROM outhook.pauses AS p WHERE p.tenant_id = s.tenant_id AND p.resumed_at IS NULL) THEN 'paused'
            ELSE s.status END, CASE
            WHEN j.queue LIKE 'bulk-%' OR j.queue = 'deliver_bulk' THEN outhook.bulk_queue(s.tenant_id) ELSE 'deliver' END) AS queue
        FROM outhook.endpoints AS s WHERE s.id = r.endpoint_id AND r.ending <> 'done' OFFSET 0) AS n ON true
    -- Of what is not locked only what does not exist. The count keeps the planner from hashing all rows there are.
    WHERE (d.event_id IS NOT NULL OR (SELECT count(*) FROM outhook.deliveries AS s WHERE s.event_id = r.event_id
            AND s.endpoint_id = r.endpoint_id AND s.event_id >= '00000000-0000-0000-0000-000000000000' AND s.event_id < 'ffffffff-ffff-ffff-ffff-ffffffffffff') = 0)
        AND (j.id IS NOT NULL OR r.job_id NOT IN (SELECT x.id FROM existing AS x))
), a AS NOT MATERIALIZED (
    SELECT k.event_id, k.endpoint_id, k.number, nullif(k.status_code, 0) AS status_code, k.started_at,
        CASE WHEN k.duration_ms >= 0 THEN k.duration_ms END AS duration_ms, k.outcome::outhook.attempt_outcome AS outcome,
        k.trigger::outhook.attempt_trigger AS trigger, k.response_truncated, nullif(k.error, '') AS error,
        nullif(k.remote_addr, '') AS remote_addr, nullif(k.request_headers, '')::jsonb AS request_headers,
        nullif(k.response_headers, '')::jsonb AS response_headers, nullif(k.response_body, '') AS response_body,
        nullif(k.dns_us, 0) AS dns_us, nullif(k.connect_us, 0) AS connect_us, nullif(k.tls_us, 0) AS tls_us,
        nullif(k.first_byte_us, 0) AS first_byte_us, k.fresh
    FROM k WHERE k.outcome <> ''
), added AS (
    -- What looks for a row of the number costs a fifth of the statement, and 60 bytes of WAL.
    INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, status_code, started_at, duration_ms, outcome,
        trigger, response_truncated, error, remote_addr, request_headers, response_headers, response_body, dns_us, connect_us, tls_us,
        first_byte_us)
    SELECT a.event_id, a.endpoint_id, a.number, a.status_code, a.started_at, a.duration_ms, a.outcome,
        a.trigger, a.response_truncated, a.error, a.remote_addr, a.request_headers, a.response_headers, a.response_body, a.dns_us,
        a.connect_us, a.tls_us, a.first_byte_us
    FROM a WHERE a.fresh
), repeated AS (
    INSERT INTO outhook.delivery_attempts AS t (event_id, endpoint_id, number, status_code, started_at, duration_ms, outcome,
        trigger, response_truncated, error, remote_addr, request_headers, response_headers, response_body, dns_us, connect_us, tls_us,
        first_byte_us)
    SELECT a.event_id, a.endpoint_id, a.number, a.status_code, a.started_at, a.duration_ms, a.outcome,
        a.trigger, a.response_truncated, a.error, a.remote_addr, a.request_headers, a.response_headers, a.response_body, a.dns_us,
        a.connect_us, a.tls_us, a.first_byte_us
    FROM a WHERE NOT a.fresh
    ON CONFLICT (event_id, endpoint_id, number) DO UPDATE SET
        status_code = excluded.status_code, started_at = excluded.started_at, duration_ms = excluded.duration_ms,
        outcome = excluded.outcome, trigger = excluded.trigger, response_truncated = excluded.response_truncated,
        error = excluded.error, remote_addr = excluded.remote_addr, request_headers = excluded.request_headers,
        response_headers = excluded.response_headers, response_body = excluded.response_body, dns_us = excluded.dns_us,
        connect_us = excluded.connect_us, tls_us = excluded.tls_us, first_byte_us = excluded.first_byte_us
    WHERE t.outcome = 'unknown' AND excluded.outcome <> 'unknown'
    RETURNING t.event_id, t.endpoint_id
), gaps AS (
    INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome, error)
    SELECT k.event_id, k.endpoint_id, g.number, k.started_at, 'unknown', 'worker_died: the outcome was never recorded'
    FROM k CROSS JOIN LATERAL generate_series(k.attempt_count + 1, k.number - 1) AS g (number)
    WHERE k.recorded AND (k.ending IN ('done', 'wait') OR k.cancelled)
    ON CONFLICT (event_id, endpoint_id, number) DO NOTHING
), e AS (
    -- Without the texts.
    SELECT k.i, k.event_id, k.endpoint_id, k.job_id, k.job_attempt, k.number, k.ending, k.state, k.reason, k.ended_as, k.at,
        k.failures, k.reopened, k.dropped, k.died, k.late, k.job_error, k.outcome, k.recorded, k.owns, k.owner, k.was, k.was_reason,
        k.attempt_count, k.try_count, k.next_attempt_at, k.completed_at, k.live, k.queue, k.same, k.current, k.cancelled, k.overtaken,
        CASE WHEN k.outcome = '' THEN k.current
        ELSE (k.current OR k.ending = 'done')
            AND (k.fresh OR (k.event_id, k.endpoint_id) IN (SELECT t.event_id, t.endpoint_id FROM repeated AS t)) END AS ends
    FROM k
), m AS MATERIALIZED (
    SELECT e.*, e.queue LIKE 'endpoint-%' OR e.queue LIKE 'bulk-%' AS line, e.same AND e.outcome = '' AS unsent, e.ends AND e.live AND NOT e.overtaken AS moves,
        e.ends AND e.overtaken AS marks,
        e.ends AND e.owns AND (e.was = 'pending' OR (e.reopened AND e.outcome <> '')
            OR (e.was = 'failed' AND e.state = 'succeeded')) AS applies,
        CASE WHEN e.cancelled THEN 'cancelled' ELSE e.state END::outhook.delivery_state AS becomes
    FROM e
), recorded AS (
    INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, attempt_count, state, reason, try_count, next_attempt_at,
        completed_at)
    SELECT m.event_id, m.endpoint_id, m.owner,
        greatest(m.attempt_count, CASE WHEN m.outcome = '' THEN m.number - 1 ELSE m.number END),
        CASE WHEN m.applies THEN m.becomes ELSE m.was END,
        CASE WHEN NOT m.applies THEN m.was_reason WHEN m.cancelled THEN 'operator' ELSE nullif(m.reason, '') END,
        CASE WHEN NOT m.applies THEN m.try_count WHEN m.reopened AND m.was <> 'pending' THEN m.failures
            ELSE m.try_count + m.failures END,
        CASE WHEN NOT m.applies THEN m.next_attempt_at WHEN m.becomes = 'pending' THEN m.at END,
        CASE WHEN NOT m.applies THEN m.completed_at WHEN m.cancelled THEN now() WHEN m.becomes <> 'pending' THEN m.at END
    FROM m WHERE m.recorded AND (m.ending IN ('done', 'wait') OR m.cancelled)
    ON CONFLICT (event_id, endpoint_id) DO UPDATE SET attempt_count = excluded.attempt_count, state = excluded.state,
        reason = excluded.reason, try_count = excluded.try_count, next_attempt_at = excluded.next_attempt_at,
        completed_at = excluded.completed_at
), deleted AS (
    DELETE FROM outhook.river_job AS j
    WHERE j.id = ANY (ARRAY(SELECT m.job_id FROM m WHERE m.dropped AND m.current AND m.ends))
), ended AS (
    UPDATE outhook.river_job AS j SET attempt = j.attempt - m.unsent::integer,
        state = CASE WHEN NOT m.moves THEN j.state::text WHEN m.cancelled THEN 'cancelled'
            WHEN m.ending = 'done' THEN m.ended_as
            WHEN m.at < now() + interval '5 s' AND (m.ending <> 'back' OR m.line IS NOT TRUE) THEN 'available'
            WHEN m.ending = 'wait' THEN 'retryable' ELSE 'scheduled' END::outhook.river_job_state,
        finalized_at = CASE WHEN m.moves AND (m.cancelled OR m.ending = 'done') THEN now() ELSE j.finalized_at END,
        queue = CASE WHEN m.moves AND NOT m.cancelled THEN coalesce(m.queue, j.queue) ELSE j.queue END,
        scheduled_at = CASE WHEN NOT m.moves OR m.cancelled OR m.ending = 'done' THEN j.scheduled_at
            WHEN m.ending <> 'aside' THEN m.at
            WHEN m.queue LIKE 'bulk-%' THEN now() + make_interval(secs => 2 + random() * 8)
            WHEN m.queue = 'deliver' THEN now() + interval '1 s' ELSE j.scheduled_at END,
        errors = CASE WHEN m.moves AND m.job_error <> '' THEN array_append(j.errors,
            jsonb_build_object('at', now(), 'attempt', m.job_attempt, 'error', m.job_error, 'trace', '')) ELSE j.errors END,
        metadata = CASE WHEN NOT m.ends THEN j.metadata
            WHEN m.marks THEN j.metadata || jsonb_build_object('cancel_attempted_at', now())
            WHEN m.died THEN (j.metadata - '{due,late,place}'::text[]) || jsonb_build_object('rescues', coalesce((j.metadata ->> 'rescues')::integer, 0) + 1,
                'begun', coalesce((j.metadata ->> 'begun')::integer, 0) + 1)
            WHEN m.ending = 'back' THEN (j.metadata - '{release,due,late,place}'::text[])
                || jsonb_build_object('snoozes', coalesce((j.metadata ->> 'snoozes')::bigint, 0) + 1)
            WHEN m.ending = 'aside' THEN j.metadata - '{release,due,late,place}'::text[]
            ELSE j.metadata - '{release,rescues,begun,due,late,place}'::text[] END
            || CASE WHEN m.ends AND m.late <> '' AND m.ending = 'back' THEN jsonb_build_object('late', m.late, 'due', coalesce(
                (extract(epoch FROM m.next_attempt_at) * 1000000)::bigint::text, j.metadata ->> 'due',
                (extract(epoch FROM j.scheduled_at) * 1000000)::bigint::text)) ELSE '{}' END
            || CASE WHEN m.ends AND m.line AND m.ending = 'back'
                THEN jsonb_build_object('place', (extract(epoch FROM j.scheduled_at) * 1000000)::bigint::text) ELSE '{}' END
    FROM m
    WHERE j.id = m.job_id AND NOT (m.dropped AND m.current AND m.ends) AND (m.moves OR m.marks OR m.unsent)
        AND j.id = ANY (ARRAY(SELECT x.job_id FROM m AS x WHERE NOT (x.dropped AND x.current AND x.ends)))
)
SELECT m.i::integer AS i, m.cancelled::boolean AS cancelled FROM m;

-- name: GetDelivery :one
SELECT d.event_id, d.endpoint_id, n.tenant_id, e.type, e.created_at, d.state, d.reason, d.attempt_count, d.try_count,
    d.next_attempt_at, d.completed_at
FROM outhook.deliveries AS d
JOIN outhook.events AS e ON e.id = d.event_id
JOIN outhook.endpoints AS n ON n.id = d.endpoint_id
WHERE d.event_id = @event_id AND d.endpoint_id = @endpoint_id;

-- name: ListEventDeliveries :many
SELECT d.event_id, d.endpoint_id, n.tenant_id, e.type, e.created_at, d.state, d.reason, d.attempt_count, d.try_count,
    d.next_attempt_at, d.completed_at
FROM outhook.deliveries AS d
JOIN outhook.events AS e ON e.id = d.event_id
JOIN outhook.endpoints AS n ON n.id = d.endpoint_id
WHERE d.event_id = @event_id
ORDER BY d.endpoint_id;

-- name: ListDeliveries :many
-- Of the next scan_rows deliveries from low to before high, of all or of an endpoint, if it is the tenant's: those that match,
-- and the last of the scan_rows, as in ListEvents. outcomes and status_code are those of the last attempt. What has another
-- state or reason is looked at no further, so its event is not looked up.
SELECT m.event_id, m.endpoint_id, coalesce(m.tenant_id, '')::text AS tenant_id, coalesce(m.type, '')::text AS type,
    coalesce(m.created_at, 'epoch')::timestamptz AS created_at, m.state, m.reason, m.attempt_count, m.try_count, m.next_attempt_at, m.completed_at,
    m.matches::boolean AS matches, (m.n = @scan_rows::integer)::boolean AS is_last
FROM (SELECT w.*, e.tenant_id, e.type, e.created_at, e.type IS NOT NULL
        AND (sqlc.narg('type')::text IS NULL OR e.type = sqlc.narg('type'))
        AND (sqlc.narg('type_prefix')::text IS NULL OR starts_with(e.type, sqlc.narg('type_prefix')))
        AND (cardinality(@outcomes::text[]) = 0 OR a.outcome IS NOT NULL AND a.outcome::text = ANY (@outcomes::text[]))
        AND (sqlc.narg('status_code')::integer IS NULL OR a.status_code IS NOT DISTINCT FROM sqlc.narg('status_code')) AS matches
    FROM (SELECT d.event_id, d.endpoint_id, d.state, d.reason, d.attempt_count, d.try_count, d.next_attempt_at, d.completed_at,
            (sqlc.narg('state')::text IS NULL OR d.state::text = sqlc.narg('state'))
                AND (sqlc.narg('reason')::text IS NULL OR d.reason IS NOT DISTINCT FROM sqlc.narg('reason')) AS wanted,
            row_number() OVER (ORDER BY CASE WHEN @ascending::boolean THEN d.event_id END, CASE WHEN @ascending THEN d.endpoint_id END,
            CASE WHEN NOT @ascending THEN d.event_id END DESC, CASE WHEN NOT @ascending THEN d.endpoint_id END DESC) AS n
        FROM outhook.deliveries AS d
        WHERE d.event_id >= @low::uuid AND d.event_id < @high::uuid
            AND (sqlc.narg('tenant_id')::text IS NULL OR EXISTS (SELECT FROM outhook.endpoints AS n
                WHERE n.id = sqlc.narg('endpoint_id') AND n.tenant_id = sqlc.narg('tenant_id')))
            AND (sqlc.narg('endpoint_id')::uuid IS NULL OR d.endpoint_id = sqlc.narg('endpoint_id'))
            AND (sqlc.narg('event_id')::uuid IS NULL OR d.event_id = sqlc.narg('event_id'))
            AND (sqlc.narg('since')::timestamptz IS NULL OR d.event_id >= outhook.uuid_v7_floor(sqlc.narg('since')))
            AND (sqlc.narg('until')::timestamptz IS NULL OR d.event_id < outhook.uuid_v7_floor(sqlc.narg('until')))
            AND (sqlc.narg('cursor_event_id')::uuid IS NULL OR CASE WHEN @ascending::boolean
                THEN (d.event_id, d.endpoint_id) > (sqlc.narg('cursor_event_id'), sqlc.narg('cursor_endpoint_id')::uuid)
                ELSE (d.event_id, d.endpoint_id) < (sqlc.narg('cursor_event_id'), sqlc.narg('cursor_endpoint_id')) END)
        ORDER BY CASE WHEN @ascending THEN d.event_id END, CASE WHEN @ascending THEN d.endpoint_id END,
            CASE WHEN NOT @ascending THEN d.event_id END DESC, CASE WHEN NOT @ascending THEN d.endpoint_id END DESC
        LIMIT @scan_rows) AS w
LEFT JOIN LATERAL (SELECT v.tenant_id, v.type, v.created_at FROM outhook.events AS v
    WHERE w.wanted AND v.id = w.event_id AND v.id >= @low AND v.id < @high OFFSET 0) AS e ON true
LEFT JOIN LATERAL (SELECT v.outcome, v.status_code FROM outhook.delivery_attempts AS v
    WHERE w.wanted AND v.event_id = w.event_id AND v.endpoint_id = w.endpoint_id AND v.number = w.attempt_count
        AND v.event_id >= @low AND v.event_id < @high
        AND (cardinality(@outcomes::text[]) > 0 OR sqlc.narg('status_code')::integer IS NOT NULL) OFFSET 0) AS a ON true) AS m
WHERE m.matches OR m.n = @scan_rows::integer
ORDER BY CASE WHEN @ascending THEN m.event_id END, CASE WHEN @ascending THEN m.endpoint_id END,
    CASE WHEN NOT @ascending THEN m.event_id END DESC, CASE WHEN NOT @ascending THEN m.endpoint_id END DESC
LIMIT @max_rows;

-- name: ListTenantDeliveries :many
-- The same of a tenant's deliveries, by its events, whose index has this order. An event without deliveries counts as a row,
-- and is not shown. scan_events is one more than scan_rows: there is the one that the cursor is in.
SELECT m.event_id, m.endpoint_id, m.tenant_id, m.type, m.created_at, m.state, m.reason, m.attempt_count, m.try_count,
    m.next_attempt_at, m.completed_at, m.matches::boolean AS matches, (m.n = @scan_rows::integer)::boolean AS is_last
FROM (SELECT w.*, w.is_delivery AND (sqlc.narg('state')::text IS NULL OR w.state::text = sqlc.narg('state'))
        AND (sqlc.narg('reason')::text IS NULL OR w.reason IS NOT DISTINCT FROM sqlc.narg('reason'))
        AND (sqlc.narg('type')::text IS NULL OR w.type = sqlc.narg('type'))
        AND (sqlc.narg('type_prefix')::text IS NULL OR starts_with(w.type, sqlc.narg('type_prefix')))
        AND (cardinality(@outcomes::text[]) = 0 OR a.outcome IS NOT NULL AND a.outcome::text = ANY (@outcomes::text[]))
        AND (sqlc.narg('status_code')::integer IS NULL OR a.status_code IS NOT DISTINCT FROM sqlc.narg('status_code')) AS matches
    FROM (SELECT e.id AS event_id,
            coalesce(d.endpoint_id, CASE WHEN @ascending::boolean THEN 'ffffffff-ffff-ffff-ffff-ffffffffffff'
                ELSE '00000000-0000-0000-0000-000000000000' END::uuid)::uuid AS endpoint_id,
            e.tenant_id, e.type, e.created_at, coalesce(d.state, 'pending') AS state, d.reason,
            coalesce(d.attempt_count, 0)::integer AS attempt_count, coalesce(d.try_count, 0)::integer AS try_count,
            d.next_attempt_at, d.completed_at, d.endpoint_id IS NOT NULL AS is_delivery,
            row_number() OVER (ORDER BY CASE WHEN @ascending THEN e.id END, CASE WHEN @ascending THEN d.endpoint_id END,
            CASE WHEN NOT @ascending THEN e.id END DESC, CASE WHEN NOT @ascending THEN d.endpoint_id END DESC) AS n
        FROM (SELECT v.id, v.tenant_id, v.type, v.created_at FROM outhook.events AS v
            WHERE v.tenant_id = @tenant_id::text AND v.id >= @low::uuid AND v.id < @high::uuid
                AND (sqlc.narg('event_id')::uuid IS NULL OR v.id = sqlc.narg('event_id'))
                AND (sqlc.narg('since')::timestamptz IS NULL OR v.id >= outhook.uuid_v7_floor(sqlc.narg('since')))
                AND (sqlc.narg('until')::timestamptz IS NULL OR v.id < outhook.uuid_v7_floor(sqlc.narg('until')))
                AND (sqlc.narg('cursor_event_id')::uuid IS NULL OR CASE WHEN @ascending
                    THEN v.id >= sqlc.narg('cursor_event_id') ELSE v.id <= sqlc.narg('cursor_event_id') END)
            ORDER BY CASE WHEN @ascending THEN v.id END, CASE WHEN NOT @ascending THEN v.id END DESC
            LIMIT @scan_events) AS e
        LEFT JOIN LATERAL (SELECT x.* FROM outhook.deliveries AS x
            WHERE x.event_id = e.id AND x.event_id >= @low AND x.event_id < @high OFFSET 0) AS d ON true
        WHERE (sqlc.narg('cursor_event_id') IS NULL OR CASE WHEN @ascending
            THEN (e.id, coalesce(d.endpoint_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')) > (sqlc.narg('cursor_event_id'), sqlc.narg('cursor_endpoint_id')::uuid)
            ELSE (e.id, coalesce(d.endpoint_id, '00000000-0000-0000-0000-000000000000')) < (sqlc.narg('cursor_event_id'), sqlc.narg('cursor_endpoint_id')) END)
        ORDER BY CASE WHEN @ascending THEN e.id END, CASE WHEN @ascending THEN d.endpoint_id END,
            CASE WHEN NOT @ascending THEN e.id END DESC, CASE WHEN NOT @ascending THEN d.endpoint_id END DESC
        LIMIT @scan_rows) AS w
LEFT JOIN LATERAL (SELECT v.outcome, v.status_code FROM outhook.delivery_attempts AS v
    WHERE v.event_id = w.event_id AND v.endpoint_id = w.endpoint_id AND v.number = w.attempt_count
        AND v.event_id >= @low AND v.event_id < @high
        AND (cardinality(@outcomes::text[]) > 0 OR sqlc.narg('status_code')::integer IS NOT NULL) OFFSET 0) AS a ON true) AS m
WHERE m.matches OR m.n = @scan_rows::integer
ORDER BY CASE WHEN @ascending THEN m.event_id END, CASE WHEN @ascending THEN m.endpoint_id END,
    CASE WHEN NOT @ascending THEN m.event_id END DESC, CASE WHEN NOT @ascending THEN m.endpoint_id END DESC
LIMIT @max_rows;

-- name: LockDelivery :one
-- line: what it is in line in, null if it is in none.
SELECT d.event_id, d.endpoint_id, d.job_id, d.state, d.attempt_count, n.status, (n.deleted_at IS NOT NULL)::boolean AS deleted,
    EXISTS (SELECT FROM outhook.events AS e WHERE e.id = @event_id AND e.payload IS NULL)::boolean AS payload_gone,
    EXISTS (SELECT FROM outhook.events AS e WHERE e.id = @event_id AND e.withdrawn_at IS NOT NULL)::boolean AS withdrawn,
    (CASE WHEN e.ordering_key IS NOT NULL OR n.ordered <> '' THEN outhook.line_key(n.id, e.ordering_key) END)::bytea AS line
FROM outhook.deliveries AS d
JOIN outhook.endpoints AS n ON n.id = d.endpoint_id
LEFT JOIN outhook.events AS e ON e.id = @event_id
WHERE d.event_id = @event_id AND d.endpoint_id = @endpoint_id
FOR UPDATE OF d;

-- name: LockDeliveries :many
-- Those of the given deliveries that there are, of a tenant or of any, in the order of their ids.
SELECT d.event_id, d.endpoint_id, d.job_id, d.state, n.tenant_id, n.status, (n.deleted_at IS NOT NULL)::boolean AS deleted,
    EXISTS (SELECT FROM outhook.events AS e WHERE e.id = d.event_id AND e.id BETWEEN @low::uuid AND @high::uuid
        AND e.payload IS NULL)::boolean AS payload_gone,
    EXISTS (SELECT FROM outhook.events AS e WHERE e.id = d.event_id AND e.id BETWEEN @low AND @high
        AND e.withdrawn_at IS NOT NULL)::boolean AS withdrawn
FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@endpoint_ids::uuid[]) AS endpoint_id) AS k
JOIN outhook.deliveries AS d ON d.event_id = k.event_id AND d.endpoint_id = k.endpoint_id
    AND d.event_id BETWEEN @low::uuid AND @high::uuid
JOIN outhook.endpoints AS n ON n.id = d.endpoint_id
WHERE sqlc.narg('tenant_id')::text IS NULL OR n.tenant_id = sqlc.narg('tenant_id')
ORDER BY d.event_id, d.endpoint_id
FOR UPDATE OF d;

-- name: ReplayDelivery :exec
UPDATE outhook.deliveries
SET state = 'pending', reason = NULL, try_count = 0, completed_at = NULL, next_attempt_at = @due_at::timestamptz, job_id = @job_id
WHERE event_id = @event_id AND endpoint_id = @endpoint_id;

-- name: HastenDeliveries :exec
UPDATE outhook.deliveries AS d SET next_attempt_at = now()
FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@endpoint_ids::uuid[]) AS endpoint_id) AS k
WHERE d.event_id = k.event_id AND d.endpoint_id = k.endpoint_id AND d.event_id BETWEEN @low::uuid AND @high::uuid;

-- name: HasPending :one
-- Whether an event has a pending delivery.
SELECT EXISTS (SELECT FROM outhook.deliveries AS d WHERE d.event_id = @event_id AND d.state = 'pending')::boolean AS pending;

-- name: CancelDelivery :exec
UPDATE outhook.deliveries
SET state = 'cancelled', reason = @reason, next_attempt_at = NULL, completed_at = now()
WHERE event_id = @event_id AND endpoint_id = @endpoint_id;

-- name: InsertTestEvent :one
-- Stores an event for one endpoint whatever its event types are, with its delivery and job: the test button.
WITH event_row AS (
    INSERT INTO outhook.events (id, created_at, tenant_id, type, payload, traceparent)
    SELECT v.id, outhook.uuid_v7_time(v.id), @tenant_id, @type, @payload, outhook.trace_or_null(@traceparent)
    FROM (SELECT outhook.uuid_v7() AS id) AS v
    RETURNING id, created_at
), delivery_row AS (
    INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, next_attempt_at)
    SELECT r.id, @endpoint_id, nextval('outhook.river_job_id_seq'), r.created_at FROM event_row AS r
    RETURNING event_id, endpoint_id, job_id
)
INSERT INTO outhook.river_job (id, kind, args, queue, max_attempts)
SELECT r.job_id, 'deliver', jsonb_build_object('event_id', r.event_id, 'endpoint_id', r.endpoint_id), 'deliver', 1000
FROM delivery_row AS r
RETURNING (args ->> 'event_id')::uuid AS event_id;
