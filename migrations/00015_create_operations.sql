-- Locks and time: creates an empty table; SHARE on deliveries, which stops enqueues while the index is built: about a
-- second per million failed and cancelled deliveries.

-- +goose Up
-- An operation is an order to replay many deliveries, carried out in the background, chunk by chunk. A chunk and the
-- operation's position commit together, so a crash loses and repeats nothing.
CREATE TABLE outhook.operations (
    id                  uuid NOT NULL DEFAULT outhook.uuid_v7(),
    -- recover: an endpoint's failed and endpoint-cancelled deliveries. replay: whatever the filter says.
    kind                text NOT NULL,
    state               text NOT NULL DEFAULT 'running',
    -- The filter. NULL and {}: any.
    tenant_id           text,
    endpoint_id         uuid,
    event_types         text[] NOT NULL DEFAULT '{}',
    states              text[] NOT NULL,
    -- Whether, of a recover, deliveries are made for the events that were enqueued while the endpoint got none.
    missed              boolean NOT NULL DEFAULT false,
    -- When the deliveries were settled: from since on, and before until. By the time of the event, those that were
    -- committed late would be missed.
    since               timestamptz NOT NULL,
    until               timestamptz NOT NULL,
    -- What it is at: deliveries that have ended, then events that were missed.
    phase               text NOT NULL DEFAULT 'ended',
    -- All is looked through again until a pass began long enough after until that nothing settled before it can appear.
    pass_began_at       timestamptz,
    -- The last delivery that was looked at in this pass.
    cursor_completed_at timestamptz,
    cursor_event_id     uuid,
    cursor_endpoint_id  uuid,
    -- How many matched in the beginning. NULL: not counted (yet).
    total_count         bigint,
    replayed_count      bigint NOT NULL DEFAULT 0,
    -- Matched, but the endpoint is disabled or deleted.
    skipped_count       bigint NOT NULL DEFAULT 0,
    -- What the last chunk that failed said. NULL once one has succeeded.
    last_error          text,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    -- When it was completed or cancelled.
    completed_at        timestamptz,
    CONSTRAINT operations_pkey PRIMARY KEY (id),
    CONSTRAINT operations_kind_check CHECK (kind IN ('recover', 'replay')),
    CONSTRAINT operations_state_check CHECK (state IN ('running', 'paused', 'completed', 'cancelled')),
    CONSTRAINT operations_phase_check CHECK (phase IN ('ended', 'missed')),
    CONSTRAINT operations_completed_at_check CHECK ((state IN ('completed', 'cancelled')) = (completed_at IS NOT NULL))
);

-- One recover of an endpoint at a time: a second click finds the first.
CREATE UNIQUE INDEX operations_recover_key ON outhook.operations (endpoint_id)
    WHERE kind = 'recover' AND state IN ('running', 'paused');

-- What operations look through, whatever the size of the log. A delivery that succeeds is not in it and pays nothing.
CREATE INDEX deliveries_ended_idx ON outhook.deliveries (completed_at, event_id, endpoint_id)
    WHERE state IN ('failed', 'cancelled');

-- +goose Down
DROP INDEX outhook.deliveries_ended_idx;
DROP TABLE outhook.operations;
