CREATE OR REPLACE VIEW outhook.report_usage AS
SELECT h.hour, h.tenant_id, h.type, h.events, h.deliveries, h.attempts, h.payload_bytes,
    coalesce(c.counted_at >= h.hour + interval '24 hours', false) AS is_final
FROM outhook.usage_hours AS h
LEFT JOIN outhook.usage_counts AS c ON c.hour = h.hour;
COMMENT ON VIEW outhook.report_usage IS
    'One row per hour, tenant and event type: events enqueued in the hour, their deliveries and payload bytes; attempts that began in it. is_final: a day later.';
