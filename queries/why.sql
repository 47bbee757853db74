-- What explains: why a delivery is where it is.

-- name: ExplainDeliveries :many
-- What is known of the deliveries of an event, in the order of their endpoints. Whatever waits, each row is looked up by its
-- key; of the jobs before one in its queue up to max_ahead are counted. lease_since: of the worker that runs it, null if
-- that has no lease that holds. given_back: what its last run was given back for, '' if it was not. queue_paused_at: of the
-- queue from which workers take it, also while it waits in a lane.
-- pause_of and what follows: the pause of its tenant, else that of everything ('') if it has paused that queue, else null.
-- status_by and what follows: who gave the endpoint its status, null if nobody did through the API: the
-- first entry that says so since the change's transaction began.
SELECT d.event_id, d.endpoint_id, n.tenant_id, d.state, d.reason, d.attempt_count, d.try_count, d.next_attempt_at, d.completed_at,
    now()::timestamptz AS database_time,
    coalesce(a.outcome::text, '')::text AS last_outcome, a.status_code AS last_status_code, coalesce(a.error, '')::text AS last_error,
    n.status, n.status_reason, n.status_changed_at, n.deleted_at, n.lane, n.lane_reason, n.lane_changed_at, n.max_in_flight,
    n.rate_limit, n.rate_per, n.retry_schedule, l.held_until, l.width,
    coalesce(j.state::text, '')::text AS job_state, coalesce(j.queue, '')::text AS queue, j.scheduled_at, j.attempted_at,
    coalesce(j.args ? 'probe', false)::boolean AS probe,
    (CASE WHEN jsonb_typeof(j.args -> 'base') = 'number' THEN (j.args ->> 'base')::integer ELSE 0 END + coalesce(j.attempt, 0))::integer AS number,
    (CASE WHEN jsonb_typeof(j.metadata -> 'rescues') = 'number' THEN least((j.metadata ->> 'rescues')::numeric, 1000) ELSE 0 END)::integer AS rescues,
    (CASE WHEN j.metadata ? 'due' THEN coalesce(j.metadata ->> 'late', '') ELSE '' END)::text AS given_back,
    coalesce(j.attempted_by[array_upper(j.attempted_by, 1)], '')::text AS worker, w.since AS lease_since,
    q.paused_at AS queue_paused_at, k.until AS watched_until,
    y.tenant_id AS pause_of, y.paused_at AS pause_at, y.paused_by AS pause_by, y.reason AS pause_reason,
    EXISTS (SELECT FROM outhook.leases AS v WHERE v.name LIKE 'worker/%' AND v.until >= now())::boolean AS live_workers,
    u.actor AS status_by, u.key_id AS status_by_key, u.key_tenant_id AS status_by_tenant,
    (SELECT count(*) FROM (SELECT FROM outhook.river_job AS o
        WHERE j.state = 'available' AND o.state = 'available' AND o.queue = j.queue
            AND (o.priority, o.scheduled_at, o.id) < (j.priority, j.scheduled_at, j.id)
        LIMIT @max_ahead) AS b)::integer AS ahead
FROM outhook.deliveries AS d
JOIN outhook.endpoints AS n ON n.id = d.endpoint_id
LEFT JOIN outhook.lanes AS l ON l.endpoint_id = d.endpoint_id
LEFT JOIN outhook.river_job AS j ON j.id = d.job_id
LEFT JOIN outhook.delivery_attempts AS a ON a.event_id = @event_id::uuid AND a.event_id = d.event_id
    AND a.endpoint_id = d.endpoint_id AND a.number = d.attempt_count
LEFT JOIN outhook.leases AS w ON w.name = 'worker/' || j.attempted_by[array_upper(j.attempted_by, 1)] AND w.until >= now()
LEFT JOIN outhook.leases AS k ON k.name = 'workers'
LEFT JOIN outhook.river_queue AS q ON q.name = CASE WHEN j.queue LIKE 'bulk-%' THEN 'deliver_bulk' WHEN j.queue NOT LIKE 'endpoint-%' THEN j.queue
    WHEN n.lane = 'slow' THEN 'deliver_slow' WHEN n.lane = 'limited' THEN 'deliver_limited'
    WHEN n.lane = 'bulk' THEN 'deliver_bulk' ELSE 'deliver' END
LEFT JOIN outhook.pauses AS y ON y.tenant_id = (SELECT p.tenant_id FROM outhook.pauses AS p
    WHERE p.tenant_id IN (n.tenant_id, '') AND p.resumed_at IS NULL AND (p.tenant_id <> '' OR p.paused_at = q.paused_at)
    ORDER BY p.tenant_id DESC LIMIT 1)
LEFT JOIN outhook.audit_entries AS u ON u.id = (SELECT e.id FROM outhook.audit_entries AS e
    WHERE e.object_id = n.id::text AND e.id >= outhook.uuid_v7_floor(n.status_changed_at)
        AND e.object_type = 'endpoint' AND e.detail ->> 'status' = n.status::text
    ORDER BY e.object_id, e.id LIMIT 1)
WHERE d.event_id = @event_id AND (sqlc.narg('endpoint_id')::uuid IS NULL OR d.endpoint_id = sqlc.narg('endpoint_id'))
    AND (sqlc.narg('cursor')::uuid IS NULL OR d.endpoint_id > sqlc.narg('cursor'))
ORDER BY d.endpoint_id
LIMIT @max_rows;
