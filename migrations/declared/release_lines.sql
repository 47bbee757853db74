-- release_lines releases the next delivery of each of some lines of which nothing is live: its job becomes available, in its endpoint's
-- queue, with the number that the receiver is told; or it waits for its time, if it was to be attempted later before it came in
-- line. Where an endpoint, or its tenant, is paused, nothing is released; where the endpoint has ended, whoever works the job cancels
-- its delivery, as all that nobody has cancelled before. Returns how many were released, by the queue whose workers take them.
--
-- Nobody waits: a line that another release holds is that one's, and a job that somebody has locked is for the next look. Who holds a
-- line looks at it in a new statement, which sees all that was committed before; the unique index on unique_key has the last word.
--
-- 100 of a tenant together are a burst, and go to its queue of bursts. The plans are kept, and go by an index, as the pacer's: the
-- statistics may be of a time with few jobs.
CREATE OR REPLACE FUNCTION outhook.release_lines(keys bytea[]) RETURNS TABLE (queue text, jobs integer)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    held bytea[];
BEGIN
    INSERT INTO outhook.lines (key)
    SELECT DISTINCT u.key FROM unnest(release_lines.keys) AS u (key)
    WHERE NOT EXISTS (SELECT FROM outhook.lines AS l WHERE l.key = u.key)
    ORDER BY u.key
    ON CONFLICT DO NOTHING;
    held := ARRAY(SELECT l.key FROM outhook.lines AS l WHERE l.key = ANY (release_lines.keys)
        ORDER BY l.key FOR NO KEY UPDATE SKIP LOCKED);

    RETURN QUERY
    WITH head AS MATERIALIZED (
        SELECT k.key, h.id, h.numbered, greatest(h.after, now()) AS at, n.id AS endpoint_id, n.tenant_id, n.lane, n.status, n.open,
            count(*) OVER (PARTITION BY n.tenant_id) >= 100 AS burst
        FROM unnest(held) AS k (key)
        CROSS JOIN LATERAL (SELECT j.id, j.scheduled_at, j.metadata ->> 'sequence' ~ '^[0-9]{1,18}$' IS TRUE AS numbered,
                CASE WHEN j.metadata ->> 'after' ~ '^[0-9]{16}$' THEN to_timestamp((j.metadata ->> 'after')::float8 / 1000000) END AS after,
                CASE WHEN j.args ->> 'endpoint_id' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (j.args ->> 'endpoint_id')::uuid END AS endpoint_id
            FROM outhook.river_job AS j
            -- A person may have inserted a job in a queue of this name.
            WHERE j.state = 'pending' AND j.queue = 'line-' || encode(k.key, 'hex') AND j.unique_key = k.key
            ORDER BY j.priority, j.scheduled_at, j.id LIMIT 1) AS h
        LEFT JOIN LATERAL (SELECT v.id, v.tenant_id, v.lane, v.status, v.status <> 'disabled' AND v.deleted_at IS NULL AS open,
                v.status = 'paused' OR EXISTS (SELECT FROM outhook.pauses AS p WHERE p.tenant_id = v.tenant_id AND p.resumed_at IS NULL) AS paused
            FROM outhook.endpoints AS v WHERE v.id = h.endpoint_id OFFSET 0) AS n ON true
        WHERE h.scheduled_at <= clock_timestamp() AND (n.open AND n.paused) IS NOT TRUE
            -- No join, so that it is a look into the index.
            AND (SELECT true FROM outhook.river_job AS l WHERE l.unique_key = k.key AND l.unique_states IS NOT NULL
                AND outhook.river_job_state_in_bitmask(l.unique_states, l.state) LIMIT 1) IS NULL
    ), free AS MATERIALIZED (
        -- As text, so that no index on the state can be taken for a better way than the ids.
        SELECT j.id FROM outhook.river_job AS j
        WHERE j.id = ANY (ARRAY(SELECT h.id FROM head AS h)) AND j.state::text = 'pending'
        ORDER BY j.id FOR NO KEY UPDATE SKIP LOCKED
    ), counted AS (
        UPDATE outhook.lines AS l SET sequence = l.sequence + CASE WHEN h.numbered THEN 0 ELSE 1 END, released_at = now()
        FROM head AS h WHERE l.key = h.key AND h.id IN (SELECT f.id FROM free AS f)
        RETURNING l.key, l.sequence
    ), released AS (
        UPDATE outhook.river_job AS j SET scheduled_at = h.at,
            state = CASE WHEN h.at > now() THEN 'scheduled' ELSE 'available' END::outhook.river_job_state,
            queue = CASE WHEN h.open THEN outhook.lane_queue(h.endpoint_id, h.tenant_id, h.lane, h.status,
                CASE WHEN h.burst THEN outhook.bulk_queue(h.tenant_id) ELSE 'deliver' END) ELSE 'deliver' END,
            metadata = (j.metadata - 'after') || CASE WHEN h.numbered THEN '{}' ELSE jsonb_build_object('sequence', c.sequence) END
        FROM head AS h JOIN counted AS c ON c.key = h.key
        WHERE j.id = h.id
        RETURNING CASE WHEN j.queue LIKE 'bulk-%' THEN 'deliver_bulk' ELSE j.queue END AS queue
    )
    SELECT r.queue, count(*)::integer FROM released AS r GROUP BY r.queue;
END
$$;
