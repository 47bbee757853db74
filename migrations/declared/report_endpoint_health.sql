CREATE OR REPLACE VIEW outhook.report_endpoint_health AS
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
