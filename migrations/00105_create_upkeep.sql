-- Locks and time: creates empty tables only; instant.

-- +goose Up
-- An operation is an order to replay many deliveries, carried out in the background, chunk by chunk. A chunk and the
-- operation's position commit together, so a crash loses and repeats nothing.
CREATE TABLE outhook.operations (
    id                  uuid NOT NULL,
    -- recover: an endpoint's failed and endpoint-cancelled deliveries. replay: whatever the filter says.
    kind                text COLLATE "C" NOT NULL,
    state               text COLLATE "C" NOT NULL DEFAULT 'running',
    -- The filter. NULL and {}: any.
    tenant_id           text COLLATE "C",
    endpoint_id         uuid,
    event_types         text[] COLLATE "C" NOT NULL DEFAULT '{}',
    states              text[] COLLATE "C" NOT NULL,
    -- Whether, of a recover, deliveries are made for the events that were enqueued while the endpoint got none.
    missed              boolean NOT NULL DEFAULT false,
    -- When the deliveries were settled: from since on, and before until. By the time of the event, those that were
    -- committed late would be missed.
    since               timestamptz NOT NULL,
    until               timestamptz NOT NULL,
    -- What it is at: deliveries that have ended, then events that were missed.
    phase               text COLLATE "C" NOT NULL DEFAULT 'ended',
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

-- The orders to erase a tenant's data, and how far each is. The rows stay: they prove what was erased, and when.
CREATE TABLE outhook.tenant_erasures (
    id             uuid NOT NULL,
    tenant_id      text COLLATE "C" NOT NULL,
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

-- Where the retention stands with what takes more than one run. Few rows: the idempotency keys', and one for each day
-- whose payloads leave before its events.
CREATE TABLE outhook.retention_marks (
    -- 'event_keys', or a partition: 'events_p20261124'.
    name       text COLLATE "C" NOT NULL,
    -- The steps of a task follow each other (package jobs: retentionStep).
    step       integer NOT NULL DEFAULT 0,
    -- The page of the table from which the step goes on.
    page       bigint NOT NULL DEFAULT 0,
    -- The pages that the table had when the task began.
    pages      bigint NOT NULL DEFAULT 0,
    -- A step that must wait until nobody can see the rows before it any more: until no transaction as old as this is left.
    after_xid  bigint NOT NULL DEFAULT 0,
    -- The task is done for everything before this day.
    done_until date NOT NULL DEFAULT '1970-01-01',
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT retention_marks_pkey PRIMARY KEY (name)
);

-- Who is alive and who may do what only one process may. A lease is a row, and not an advisory lock, since any login of
-- the database can take those. Its holder renews it each second, for 10 s, on the database's clock, and what it permits
-- checks it in the same transaction: a process that was frozen for longer can do nothing with it.
CREATE TABLE outhook.leases (
    -- What is leased.
    name   text COLLATE "C" PRIMARY KEY,
    -- The River client id of the process that has it.
    holder text COLLATE "C" NOT NULL,
    until  timestamptz NOT NULL,
    -- Since when it has had it without a gap.
    since  timestamptz NOT NULL DEFAULT clock_timestamp()
    -- Room on each page, so that the updates are HOT.
) WITH (fillfactor = 50);

-- +goose Down
DROP TABLE outhook.leases;
DROP TABLE outhook.retention_marks;
DROP TABLE outhook.tenant_erasures;
DROP TABLE outhook.operations;
