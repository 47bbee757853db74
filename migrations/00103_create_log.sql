-- Locks and time: creates empty tables only; instant. What makes their partitions is declared (create_partitions), and runs
-- after it.
--
-- The three log tables are partitioned by the day inside the event's UUIDv7, without a DEFAULT partition, and have no
-- foreign keys: a referenced partition is slow to detach. outhook.enqueue_many keeps them whole.

-- +goose Up
CREATE TYPE outhook.delivery_state AS ENUM ('pending', 'succeeded', 'failed', 'cancelled');
CREATE TYPE outhook.attempt_outcome AS ENUM ('succeeded', 'rejected', 'timed_out', 'unreachable', 'blocked', 'unknown');
CREATE TYPE outhook.attempt_trigger AS ENUM ('scheduled', 'manual');

-- An event is one fact: a type and a payload, immutable.
CREATE TABLE outhook.events (
    id         uuid NOT NULL,
    -- The time inside the id, not the time of the commit.
    created_at timestamptz NOT NULL,
    tenant_id  text COLLATE "C" NOT NULL,
    type       text COLLATE "C" NOT NULL,
    -- json, not jsonb: it keeps the bytes as published, and these bytes are signed and sent.
    -- NULL: it is gone, by the payloads' own retention or because the tenant was erased.
    payload    json,
    -- The trace that the event belongs to, in the form of W3C Trace Context. NULL, which takes no space, if there is none.
    traceparent text,
    CONSTRAINT events_pkey PRIMARY KEY (id)
) PARTITION BY RANGE (id);

-- Lists by tenant, newest first.
CREATE INDEX events_tenant_id_idx ON outhook.events (tenant_id, id);

-- The publisher's idempotency keys, unique per tenant until the retention ends. Not partitioned: the uniqueness spans days.
CREATE TABLE outhook.event_keys (
    tenant_id       text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    event_id        uuid NOT NULL,
    created_at      timestamptz NOT NULL,
    CONSTRAINT event_keys_pkey PRIMARY KEY (tenant_id, idempotency_key)
);

-- A delivery is one event for one endpoint.
CREATE TABLE outhook.deliveries (
    event_id        uuid NOT NULL,
    endpoint_id     uuid NOT NULL,
    -- The one River job that may act on this delivery; a job with another id finishes without sending.
    job_id          bigint NOT NULL,
    -- When the next attempt is due. NULL once it is settled.
    next_attempt_at timestamptz,
    -- When it was settled. NULL while it is pending.
    completed_at    timestamptz,
    state           outhook.delivery_state NOT NULL DEFAULT 'pending',
    -- The highest attempt number in the log.
    attempt_count   integer NOT NULL DEFAULT 0,
    -- Known failures since the enqueue or the last replay: the position in the retry schedule.
    try_count       integer NOT NULL DEFAULT 0,
    -- Why it is failed or cancelled: 'exhausted', 'gone', 'api', 'endpoint_disabled', 'endpoint_deleted', ...
    reason          text,
    CONSTRAINT deliveries_pkey PRIMARY KEY (event_id, endpoint_id),
    CONSTRAINT deliveries_completed_at_check CHECK ((state = 'pending') = (completed_at IS NULL))
) PARTITION BY RANGE (event_id);

-- Lists and replays by endpoint. No index holds a column that an attempt changes, so its update can be HOT.
CREATE INDEX deliveries_endpoint_id_idx ON outhook.deliveries (endpoint_id, event_id);

-- What is still owed, by the job that is to do it: reconcile and doctor look each of them up in river_job, whatever the
-- size of the log. It holds pending deliveries only, so it is as large as the backlog. Its price (docs/decisions.md): a
-- settle changes the state, so its update is no longer HOT; an attempt that fails is, as before.
CREATE INDEX deliveries_pending_job_id_idx ON outhook.deliveries (job_id) WHERE state = 'pending';

-- What operations look through, whatever the size of the log. A delivery that succeeds is not in it and pays nothing.
CREATE INDEX deliveries_ended_idx ON outhook.deliveries (completed_at, event_id, endpoint_id)
    WHERE state IN ('failed', 'cancelled');

-- An attempt is one HTTP request of a delivery and its outcome.
CREATE TABLE outhook.delivery_attempts (
    event_id           uuid NOT NULL,
    endpoint_id        uuid NOT NULL,
    -- Counts from 1 without gaps; an attempt whose worker died has a row with the outcome 'unknown'.
    number             integer NOT NULL,
    -- NULL if no answer came.
    status_code        integer,
    -- On the database's clock; the seconds of it are the request's webhook-timestamp.
    started_at         timestamptz NOT NULL,
    -- NULL if the worker died.
    duration_ms        integer,
    outcome            outhook.attempt_outcome NOT NULL,
    trigger            outhook.attempt_trigger NOT NULL DEFAULT 'scheduled',
    -- True if the answer's body was longer than what is kept of it.
    response_truncated boolean NOT NULL DEFAULT false,
    -- A class and a short text: 'connection_refused: …'.
    error              text,
    -- The address that was connected to, ip:port.
    remote_addr        text,
    -- The headers that were sent; signatures and the values of custom headers are redacted.
    request_headers    jsonb,
    -- An allow-list of the answer's headers. The endpoint's credentials are redacted, also in the body.
    response_headers   jsonb,
    -- The beginning of the answer's body (1 KiB unless configured); bytes that are no UTF-8, and NUL, as U+FFFD.
    response_body      text,
    CONSTRAINT delivery_attempts_pkey PRIMARY KEY (event_id, endpoint_id, number)
) PARTITION BY RANGE (event_id);

-- Reports by time of attempt. BRIN, because it costs inserts almost nothing.
CREATE INDEX delivery_attempts_started_at_idx ON outhook.delivery_attempts USING brin (started_at);

-- +goose Down
DROP TABLE outhook.delivery_attempts;
DROP TABLE outhook.deliveries;
DROP TABLE outhook.event_keys;
DROP TABLE outhook.events;
DROP TYPE outhook.attempt_trigger;
DROP TYPE outhook.attempt_outcome;
DROP TYPE outhook.delivery_state;
