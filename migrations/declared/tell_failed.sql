-- tell_failed enqueues outhook.delivery.failed for those of the deliveries that failed with the given jobs: one statement
-- for all, and next to nothing if nobody is subscribed. Events of reserved types are nobody's news: neither tests nor
-- operational events, so there is no loop. The attempt's number is part of the key, so that the same failure is told once.
-- Its statements are planned with the values that they have, since a plan for any values locks every day's partitions.
CREATE OR REPLACE FUNCTION outhook.tell_failed(event_ids uuid[], endpoint_ids uuid[], job_ids bigint[]) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
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
