CREATE OR REPLACE VIEW outhook.report_retries AS
SELECT d.event_id, d.endpoint_id, e.tenant_id, e.type, d.try_count, d.attempt_count, d.next_attempt_at,
    a.outcome::text AS last_outcome, a.status_code AS last_status_code, a.error AS last_error, a.started_at AS last_attempt_at
FROM outhook.deliveries AS d
JOIN outhook.events AS e ON e.id = d.event_id
LEFT JOIN outhook.delivery_attempts AS a
    ON a.event_id = d.event_id AND a.endpoint_id = d.endpoint_id AND a.number = d.attempt_count
WHERE d.state = 'pending' AND d.try_count > 0;
COMMENT ON VIEW outhook.report_retries IS
    'One row per delivery that has failed and will be attempted again at next_attempt_at.';
