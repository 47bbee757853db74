-- +goose Up
CREATE OR REPLACE VIEW outhook.report_events AS
SELECT e.id AS event_id, e.tenant_id, e.type, e.created_at, octet_length(e.payload::text) AS payload_bytes,
    (SELECT count(*) FROM outhook.deliveries AS d WHERE d.event_id = e.id) AS delivery_count
FROM outhook.events AS e;
COMMENT ON VIEW outhook.report_events IS
    'One row per event. delivery_count 0: nobody was subscribed when it was enqueued.';
