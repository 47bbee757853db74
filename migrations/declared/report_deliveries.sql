CREATE OR REPLACE VIEW outhook.report_deliveries AS
SELECT d.event_id, d.endpoint_id, e.tenant_id, e.type, e.created_at, d.state::text AS state, d.reason, d.attempt_count,
    d.try_count, d.next_attempt_at, d.completed_at,
    (extract(epoch FROM d.completed_at - coalesce(e.deliver_at, e.created_at)) * 1000)::bigint AS latency_ms
FROM outhook.deliveries AS d
JOIN outhook.events AS e ON e.id = d.event_id;
COMMENT ON VIEW outhook.report_deliveries IS
    'One row per delivery (event and endpoint). latency_ms: from the enqueue, or deliver_at, to the last outcome; NULL while pending.';
