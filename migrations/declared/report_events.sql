CREATE OR REPLACE VIEW outhook.report_events AS
SELECT e.id AS event_id, e.tenant_id, e.type, e.created_at, octet_length(e.payload::text) AS payload_bytes,
    (SELECT count(*) FROM outhook.deliveries AS d WHERE d.event_id = e.id) AS delivery_count, k.idempotency_key, e.labels,
    e.deliver_at, e.withdrawn_at
FROM outhook.events AS e
LEFT JOIN outhook.event_keys AS k ON k.event_id = e.id AND k.tenant_id = e.tenant_id;
COMMENT ON VIEW outhook.report_events IS
    'One row per event. delivery_count 0: nobody was subscribed when it was enqueued. idempotency_key, labels NULL: it has none. deliver_at NULL: at once.';
