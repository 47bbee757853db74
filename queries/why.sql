-- What explains: why a delivery is where it is.

-- name: ExplainDeliveries :many
-- What is known of the deliveries of an event, in the order of their endpoints. Whatever waits, each row is looked up by its
-- key; of the jobs before one in its queue up to max_ahead are counted, of a queue that many share in one go, of a line with the one that
-- is under way, which line_event and what follows are about. lease_since: of the
-- worker that runs it, null if that has no lease that holds. given_back: what its last run was given back for, '' if it was not.
-- queue_paused_at: of the queue from which workers take it, also while it waits in a lane.
-- pause_of and what follows: the pause of its tenant, else that of everything ('') if it has paused that queue, else null.
-- status_by and what follows: who gave the endpoint its status, null if nobody did through the API: the first entry that says so
-- since the change's transaction began. cancelled_by and what follows: who cancelled it, or did what did.
WITH h AS MATERIALIZED (
    SELECT s.queue, ARRAY(SELECT o.id FROM outhook.river_job AS o WHERE o.state = 'available' AND o.queue = s.queue
        ORDER BY o.priority, o.scheduled_at, o.id LIMIT @max_ahead::integer) AS ids
    FROM (SELECT DISTINCT o.queue FROM outhook.deliveries AS v JOIN outhook.river_job AS o ON o.id = v.job_id
        WHERE v.event_id = @event_id AND o.state = 'available' AND o.queue NOT LIKE 'endpoint-%'
            AND (sqlc.narg('endpoint_id')::uuid IS NULL OR v.endpoint_id = sqlc.narg('endpoint_id'))) AS s
), z AS MATERIALIZED (
    SELECT p.tenant_id, p.paused_at FROM outhook.pauses AS p
    WHERE p.tenant_id IN ('', (SELECT e.tenant_id FROM outhook.events AS e WHERE e.id = @event_id)) AND p.resumed_at IS NULL
)
SELECT d.event_id, d.endpoint_id, n.tenant_id, g.deliver_at, d.state, d.reason, d.attempt_count, d.try_count, d.next_attempt_at, d.completed_at,
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
    (CASE WHEN h.ids IS NOT NULL AND j.state = 'available' THEN coalesce(array_position(h.ids, j.id) - 1, @max_ahead)
        ELSE (SELECT count(*) FROM (SELECT FROM outhook.river_job AS o
            WHERE j.state IN ('available', 'pending') AND o.state = j.state AND o.queue = j.queue
                AND (o.priority, o.scheduled_at, o.id) < (j.priority, j.scheduled_at, j.id)
            LIMIT @max_ahead) AS b) END)::integer AS ahead,
    x.actor AS cancelled_by, x.key_tenant_id AS cancelled_by_tenant,
    g.ordering_key, coalesce(t.event_id, '00000000-0000-0000-0000-000000000000')::uuid AS line_event,
    coalesce(t.state, '')::text AS line_state, coalesce(t.scheduled_at, 'epoch')::timestamptz AS line_at
FROM outhook.deliveries AS d
JOIN outhook.endpoints AS n ON n.id = d.endpoint_id
LEFT JOIN outhook.events AS g ON g.id = @event_id AND g.id = d.event_id
LEFT JOIN outhook.lanes AS l ON l.endpoint_id = d.endpoint_id
LEFT JOIN outhook.river_job AS j ON j.id = d.job_id
LEFT JOIN LATERAL (SELECT CASE WHEN v.args ->> 'event_id' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (v.args ->> 'event_id')::uuid END AS event_id,
        v.state::text AS state, v.scheduled_at
    FROM outhook.river_job AS v
    WHERE j.state = 'pending' AND v.unique_key = j.unique_key AND v.unique_states IS NOT NULL
        AND outhook.river_job_state_in_bitmask(v.unique_states, v.state)
    LIMIT 1) AS t ON true
LEFT JOIN h ON h.queue = j.queue
LEFT JOIN outhook.delivery_attempts AS a ON a.event_id = @event_id::uuid AND a.event_id = d.event_id
    AND a.endpoint_id = d.endpoint_id AND a.number = d.attempt_count
LEFT JOIN outhook.leases AS w ON w.name = 'worker/' || j.attempted_by[array_upper(j.attempted_by, 1)] AND w.until >= now()
LEFT JOIN outhook.leases AS k ON k.name = 'workers'
LEFT JOIN outhook.river_queue AS q ON q.name = CASE WHEN j.queue LIKE 'bulk-%' THEN 'deliver_bulk' WHEN j.queue NOT LIKE 'endpoint-%' THEN j.queue
    WHEN n.lane = 'slow' THEN 'deliver_slow' WHEN n.lane = 'limited' THEN 'deliver_limited'
    WHEN n.lane = 'bulk' THEN 'deliver_bulk' ELSE 'deliver' END
LEFT JOIN outhook.pauses AS y ON y.tenant_id = (SELECT z.tenant_id FROM z
    WHERE z.tenant_id <> '' OR z.paused_at = q.paused_at ORDER BY z.tenant_id DESC LIMIT 1)
LEFT JOIN outhook.audit_entries AS u ON u.id = (SELECT e.id FROM outhook.audit_entries AS e
    WHERE e.object_id = n.id::text AND e.id >= outhook.uuid_v7_floor(n.status_changed_at)
        AND e.object_type = 'endpoint' AND e.detail ->> 'status' = n.status::text
    ORDER BY e.object_id, e.id LIMIT 1)
LEFT JOIN outhook.audit_entries AS x ON x.id = CASE WHEN d.state <> 'cancelled' THEN NULL
    WHEN d.reason IN ('endpoint_disabled', 'endpoint_deleted') THEN (SELECT e.id
        FROM (SELECT v.xid, v.at FROM outhook.endpoint_revisions AS v
            WHERE v.endpoint_id = d.endpoint_id AND v.id < outhook.uuid_v7_floor(d.completed_at + interval '1 ms')
                AND ('deleted' = ANY (v.changed) OR v.status = 'disabled' AND 'status' = ANY (v.changed))
            ORDER BY v.endpoint_id DESC, v.id DESC LIMIT 1) AS r
        JOIN outhook.audit_entries AS e ON e.object_id = d.endpoint_id::text AND e.xid = r.xid
            AND e.id >= outhook.uuid_v7_floor(r.at - interval '1 minute') AND e.id < outhook.uuid_v7_floor(r.at + interval '1 minute')
        ORDER BY e.object_id, e.id LIMIT 1)
    WHEN d.reason = 'operator' THEN (SELECT e.id FROM outhook.audit_entries AS e
        WHERE e.object_id = d.event_id || '/' || d.endpoint_id AND e.action = 'cancel-delivery'
        ORDER BY e.object_id DESC, e.id DESC LIMIT 1)
    WHEN d.reason = 'withdrawn' THEN (SELECT e.id FROM outhook.audit_entries AS e
        WHERE e.object_id = d.event_id::text AND e.action = 'cancel-event' ORDER BY e.object_id, e.id LIMIT 1)
    WHEN d.reason = 'payload_gone' THEN (SELECT e.id FROM outhook.audit_entries AS e
        WHERE e.object_id = d.event_id::text AND e.action = 'erase-payload' ORDER BY e.object_id, e.id LIMIT 1)
    WHEN d.reason = 'erased' THEN (SELECT e.id FROM outhook.audit_entries AS e
        WHERE e.object_id = n.tenant_id AND e.action = 'erase-tenant' AND e.id < outhook.uuid_v7_floor(d.completed_at)
        ORDER BY e.object_id DESC, e.id DESC LIMIT 1) END
WHERE d.event_id = @event_id AND (sqlc.narg('endpoint_id')::uuid IS NULL OR d.endpoint_id = sqlc.narg('endpoint_id'))
    AND (sqlc.narg('cursor')::uuid IS NULL OR d.endpoint_id > sqlc.narg('cursor'))
ORDER BY d.endpoint_id
LIMIT @max_rows;

-- name: ListFailures :many
-- What the attempts of an event's deliveries have failed by, each kind once with its count, of each delivery the last first.
SELECT m.endpoint_id, m.outcome::text AS outcome, coalesce(m.status_code, 0)::integer AS status_code, coalesce(m.error, '')::text AS error,
    count(*)::integer AS count
FROM outhook.delivery_attempts AS m
WHERE m.event_id = @event_id AND m.endpoint_id = ANY (@endpoint_ids::uuid[]) AND m.outcome <> 'succeeded'
GROUP BY 1, 2, 3, 4
ORDER BY 1, max(m.number) DESC;

-- name: GetEventHead :one
SELECT e.id, e.tenant_id, e.type, e.created_at, (e.payload IS NOT NULL)::boolean AS has_payload,
    coalesce(e.labels, '{}')::text[] AS labels
FROM outhook.events AS e WHERE e.id = @id;

-- name: ExplainMisses :many
-- What is known of the endpoints of an event's tenant that the event has no delivery for, in their order: those that there are,
-- and those that were deleted since @deleted_since; or the one that is asked for, whenever it was deleted. was_…: of the
-- revision that held when the event was enqueued. before_…: whether the one before that wanted the event; has_before: there
-- is one, looked for if the one that held wanted the event's type. first_…: of the
-- first one that is known, if none held then. was_subscribed: by its event types alone; was_labelled: by its labels; was_wanted: by
-- both and its filter, which is evaluated on the payload that is left; was_readable: there is one that it can look into. by: who gave the endpoint the status that it had then, or deleted it.
WITH b AS MATERIALIZED (
    SELECT outhook.event_document(e.tenant_id, e.type, e.payload) AS doc, e.withdrawn_at FROM outhook.events AS e WHERE e.id = @event_id::uuid
), c AS (
    SELECT n.id FROM outhook.endpoints AS n
    WHERE n.tenant_id = @tenant_id::text AND n.deleted_at IS NULL AND sqlc.narg('endpoint_id')::uuid IS NULL
        AND (sqlc.narg('cursor')::uuid IS NULL OR n.id > sqlc.narg('cursor'))
    UNION
    SELECT v.endpoint_id FROM outhook.endpoint_revisions AS v
    WHERE v.tenant_id = @tenant_id AND v.deleted AND v.at >= @deleted_since::timestamptz AND sqlc.narg('endpoint_id')::uuid IS NULL
        AND (sqlc.narg('cursor')::uuid IS NULL OR v.endpoint_id > sqlc.narg('cursor'))
    UNION ALL
    SELECT n.id FROM outhook.endpoints AS n
    WHERE n.id = sqlc.narg('endpoint_id')::uuid AND n.tenant_id = @tenant_id
        AND (sqlc.narg('cursor')::uuid IS NULL OR n.id > sqlc.narg('cursor'))
), k AS MATERIALIZED (
    SELECT c.id, p.list AS patterns FROM c, (SELECT outhook.type_patterns(@type::text) AS list) AS p
    WHERE NOT EXISTS (SELECT FROM outhook.deliveries AS d WHERE d.event_id = @event_id::uuid AND d.endpoint_id = c.id)
    ORDER BY c.id LIMIT @max_rows
)
SELECT n.id AS endpoint_id, n.tenant_id, n.created_at, n.deleted_at, (n.url = '')::boolean AS erased,
    (n.deleted_at IS NULL AND n.status <> 'disabled' AND (SELECT b.withdrawn_at FROM b) IS NULL AND outhook.endpoint_wants(n.event_types, k.patterns, n.filter_path,
        (SELECT b.doc FROM b), n.labels, @labels::text[]))::boolean AS wants_now,
    n.status, r.id AS was_id, r.at AS was_at, coalesce(r.first_known, false)::boolean AS was_first_known,
    coalesce(r.changed, '{}')::text[] AS was_changed, coalesce(r.event_types, '{}')::text[] AS was_event_types,
    coalesce(r.status::text, '')::text AS was_status, coalesce(r.status_reason, '')::text AS was_status_reason,
    r.status_changed_at AS was_status_changed_at, coalesce(r.deleted, false)::boolean AS was_deleted,
    coalesce(r.event_types = '{}' OR r.event_types && k.patterns, false)::boolean AS was_subscribed,
    coalesce(outhook.endpoint_wants(r.event_types, k.patterns, r.filter_path, (SELECT b.doc FROM b), r.labels, @labels), false)::boolean AS was_wanted,
    coalesce(r.labels = '{}' OR r.labels && @labels, false)::boolean AS was_labelled, coalesce(r.labels, '{}')::text[] AS was_labels,
    coalesce(r.filter::text, '')::text AS was_filter,
    (r.filter_path IS NULL OR (SELECT b.doc FROM b) IS NOT NULL)::boolean AS was_readable,
    (p.id IS NOT NULL)::boolean AS has_before,
    coalesce(p.status <> 'disabled' AND NOT p.deleted AND outhook.endpoint_wants(p.event_types, k.patterns, p.filter_path,
        (SELECT b.doc FROM b), p.labels, @labels), false)::boolean AS before_wanted,
    f.id AS first_id, f.at AS first_at, coalesce(f.first_known, false)::boolean AS first_known,
    coalesce(f.status::text, '')::text AS first_status, coalesce(f.status_reason, '')::text AS first_status_reason,
    f.status_changed_at AS first_status_changed_at,
    u.actor AS by, u.key_tenant_id AS by_tenant
FROM k
JOIN outhook.endpoints AS n ON n.id = k.id
LEFT JOIN outhook.endpoint_revisions AS r ON r.endpoint_id = k.id AND r.id = (SELECT v.id FROM outhook.endpoint_revisions AS v
    WHERE v.endpoint_id = k.id AND v.id <= @event_id::uuid ORDER BY v.endpoint_id DESC, v.id DESC LIMIT 1)
LEFT JOIN outhook.endpoint_revisions AS p ON p.endpoint_id = k.id AND p.id = (SELECT v.id FROM outhook.endpoint_revisions AS v
    WHERE v.endpoint_id = k.id AND v.id < r.id AND NOT r.deleted AND r.status <> 'disabled'
        AND (r.event_types = '{}' OR r.event_types && k.patterns)
    ORDER BY v.endpoint_id DESC, v.id DESC LIMIT 1)
LEFT JOIN outhook.endpoint_revisions AS f ON f.endpoint_id = k.id AND f.id = (SELECT v.id
    FROM outhook.endpoint_revisions AS v WHERE v.endpoint_id = k.id AND r.id IS NULL ORDER BY v.endpoint_id, v.id LIMIT 1)
LEFT JOIN outhook.audit_entries AS u ON u.id = CASE WHEN r.deleted OR r.status = 'disabled' THEN (SELECT e.id
    FROM (SELECT v.xid, v.at FROM outhook.endpoint_revisions AS v
        WHERE v.endpoint_id = k.id AND v.id <= r.id AND CASE WHEN r.deleted THEN 'deleted' ELSE 'status' END = ANY (v.changed)
        ORDER BY v.endpoint_id DESC, v.id DESC LIMIT 1) AS s
    JOIN outhook.audit_entries AS e ON e.object_id = k.id::text AND e.xid = s.xid
        AND e.id >= outhook.uuid_v7_floor(s.at - interval '1 minute') AND e.id < outhook.uuid_v7_floor(s.at + interval '1 minute')
    ORDER BY e.object_id, e.id LIMIT 1) END
ORDER BY k.id;

-- name: DescribeID :one
-- What is known of an id that is no event's, or of none that may be seen. kind: what else it is the id of, empty if of nothing that
-- the tenant may see.
SELECT coalesce((SELECT 'endpoint' FROM outhook.endpoints AS n WHERE n.id = @id::uuid
        AND (sqlc.narg('tenant_id')::text IS NULL OR n.tenant_id = sqlc.narg('tenant_id'))),
    (SELECT 'operation' FROM outhook.operations AS o WHERE o.id = @id
        AND (sqlc.narg('tenant_id')::text IS NULL OR o.tenant_id = sqlc.narg('tenant_id'))), '')::text AS kind,
    outhook.uuid_v7_time(@id)::timestamptz AS at, now()::timestamptz AS database_time;
