-- Locks and time: creates an empty table; instant.

-- +goose Up
-- The orders to erase a tenant's data, and how far each is. The rows stay: they prove what was erased, and when.
CREATE TABLE outhook.tenant_erasures (
    id             uuid NOT NULL DEFAULT outhook.uuid_v7(),
    tenant_id      text NOT NULL,
    -- What was enqueued until then is erased.
    requested_at   timestamptz NOT NULL DEFAULT now(),
    -- When every request that was under way at the order has ended and is recorded: package jobs, rescueAfter.
    settled_at     timestamptz NOT NULL DEFAULT now() + interval '75 seconds',
    -- The order's own transaction. An older one that is still open may bring events that nobody can see yet.
    requested_xid  bigint NOT NULL,
    -- Everything is gone over twice: the second time for what open transactions and requests under way have left.
    pass           integer NOT NULL DEFAULT 1,
    -- The pass goes on after this event. NULL: it begins.
    last_event_id  uuid,
    endpoint_count bigint NOT NULL DEFAULT 0,
    -- Pending deliveries that were cancelled.
    delivery_count bigint NOT NULL DEFAULT 0,
    payload_count  bigint NOT NULL DEFAULT 0,
    attempt_count  bigint NOT NULL DEFAULT 0,
    key_count      bigint NOT NULL DEFAULT 0,
    completed_at   timestamptz,
    CONSTRAINT tenant_erasures_pkey PRIMARY KEY (id)
);

-- One at a time for each tenant: an order while another is being carried out starts that one anew.
CREATE UNIQUE INDEX tenant_erasures_tenant_id_idx ON outhook.tenant_erasures (tenant_id) WHERE completed_at IS NULL;

-- +goose Down
DROP TABLE outhook.tenant_erasures;
