CREATE OR REPLACE VIEW outhook.report_attempts AS
SELECT a.event_id, a.endpoint_id, a.number, n.tenant_id, substring(n.url FROM '(?i)^https?://(?:[^/?#]*@)?([^/?#@]+)') AS host, a.started_at,
    a.duration_ms, a.outcome::text AS outcome, a.status_code, a.error, a.trigger::text AS trigger, a.remote_addr,
    a.response_headers, a.response_body, a.response_truncated, a.dns_us, a.connect_us, a.tls_us, a.first_byte_us
FROM outhook.delivery_attempts AS a
JOIN outhook.endpoints AS n ON n.id = a.endpoint_id;
COMMENT ON VIEW outhook.report_attempts IS
    'One row per HTTP request. outcome unknown: the worker died, so the request may have left. dns_us to first_byte_us: how long its phases took, in microseconds; NULL: there was none.';
