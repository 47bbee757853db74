-- Locks and time: creates an empty table only; instant. Workers of the version before know no pause of a tenant: they go on
-- delivering, and so does what waits while one of them paces. A pause of everything holds in them as well, since it is River's.

-- +goose Up
-- Who has paused deliveries, and why: all of them, or a tenant's. Enqueue does not read it.
CREATE TABLE outhook.pauses (
    -- '': of all tenants. Then the queues of deliveries in river_queue whose paused_at is this row's are paused by it, and
    -- nothing else is: River UI may have resumed one, and what a person paused there before stays so.
    tenant_id  text COLLATE "C" NOT NULL,
    paused_at  timestamptz NOT NULL DEFAULT now(),
    -- As in the audit trail.
    paused_by  text NOT NULL,
    reason     text NOT NULL,
    -- NULL: it holds. What waited needs a moment to get back to the queues that are worked.
    resumed_at timestamptz,
    CONSTRAINT pauses_pkey PRIMARY KEY (tenant_id)
);

-- +goose Down
DROP TABLE outhook.pauses;
