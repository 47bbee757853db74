-- Locks and time: creates an empty table only; instant.

-- +goose Up
-- What the pacer keeps of an endpoint that has, or had, a lane (endpoints.lane). It is here so that a rate limit, a
-- Retry-After and the time that an endpoint must prove itself hold over a restart. One row is written per release of
-- jobs, not per delivery.
CREATE TABLE outhook.lanes (
    endpoint_id  uuid NOT NULL,
    -- When the next request may leave by the rate limit (the theoretical arrival time of GCRA).
    next_at      timestamptz NOT NULL DEFAULT 'epoch',
    -- Nothing leaves before: the endpoint asked for it (Retry-After), or answered 429, 502 or 504.
    held_until   timestamptz NOT NULL DEFAULT 'epoch',
    -- How many requests may be under way, at most endpoints.max_in_flight. Halved by 429, 502 and 504, and doubled again
    -- after 10 s without.
    width        integer NOT NULL DEFAULT 1000,
    width_at     timestamptz NOT NULL DEFAULT 'epoch',
    -- The last sign that the endpoint is slow.
    slow_at      timestamptz NOT NULL DEFAULT 'epoch',
    -- How long it must show no such sign before its lane closes. Doubled when a lane is opened again soon after it closed.
    prove_ms     integer NOT NULL DEFAULT 60000,
    opened_at    timestamptz NOT NULL DEFAULT now(),
    -- When the lane was closed. NULL while it is open.
    closed_at    timestamptz,
    CONSTRAINT lanes_pkey PRIMARY KEY (endpoint_id)
) WITH (fillfactor = 50);

-- +goose Down
DROP TABLE outhook.lanes;
