CREATE OR REPLACE VIEW outhook.report_endpoints AS
SELECT n.id AS endpoint_id, n.tenant_id, substring(n.url FROM '(?i)^https?://(?:[^/?#]*@)?([^/?#@]+)') AS host,
    n.event_types, n.status::text AS status, n.status_reason, n.status_changed_at,
    CASE WHEN n.deleted_at IS NOT NULL THEN 'deleted' WHEN n.status = 'disabled' THEN 'disabled'
        ELSE coalesce(h.state, 'healthy') END AS health,
    coalesce(h.consecutive_failures, 0) AS consecutive_failures, h.failing_since, h.last_success_at, h.last_failure_at,
    h.last_status_code, h.last_error, h.probe_at, n.created_at, n.uid,
    n.description, n.deleted_at
FROM outhook.endpoints AS n
LEFT JOIN outhook.endpoint_health AS h ON h.endpoint_id = n.id;
COMMENT ON VIEW outhook.report_endpoints IS
    'One row per endpoint, deleted ones too, with its health: healthy, failing, disabled or deleted, as of some seconds ago.';
