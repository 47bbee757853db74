-- lane_queue returns the queue of an endpoint's new jobs: its own if it has a lane or is paused; its tenant's of bursts if there
-- are as many lanes as there may be; else the shared one. A transaction that reads this and commits after the lane has closed
-- leaves its jobs there; the pacer brings them back.
CREATE OR REPLACE FUNCTION outhook.lane_queue(id uuid, tenant_id text, lane text, status outhook.endpoint_status, shared text) RETURNS text
LANGUAGE sql STABLE
RETURN CASE WHEN lane COLLATE "C" = '' AND status = 'enabled' THEN shared COLLATE "C"
    WHEN lane COLLATE "C" = 'bulk' AND status = 'enabled' THEN outhook.bulk_queue(tenant_id) COLLATE "C"
    ELSE 'endpoint-' || id END;

-- The same as workers of before migration 115 call it, which take bursts from deliver_bulk alone.
CREATE OR REPLACE FUNCTION outhook.lane_queue(id uuid, lane text, status outhook.endpoint_status, shared text) RETURNS text
LANGUAGE sql STABLE
RETURN CASE WHEN lane COLLATE "C" = '' AND status = 'enabled' THEN shared COLLATE "C"
    WHEN lane COLLATE "C" = 'bulk' AND status = 'enabled' THEN 'deliver_bulk'
    ELSE 'endpoint-' || id END;
