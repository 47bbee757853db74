-- Locks and time: creates empty objects only; instant.
--
-- Tenants, event types and keys are bytes: their columns have the collation "C", whatever the database's is. Ids are made by
-- outhook.uuid_v7 (declared), which the statements that insert them name.

-- +goose Up
CREATE TYPE outhook.endpoint_status AS ENUM ('enabled', 'paused', 'disabled');

-- An endpoint is a tenant's URL. Deleting one is soft: the row stays for reports.
CREATE TABLE outhook.endpoints (
    id                uuid NOT NULL,
    -- A label that the publisher chooses (a customer id). There is no table of tenants.
    tenant_id         text COLLATE "C" NOT NULL,
    -- May hold a credential in its path or query: never logged.
    url               text NOT NULL,
    description       text NOT NULL DEFAULT '',
    -- Empty: every event type. 'invoice.paid': that one. 'invoice.*': each type below invoice.
    event_types       text[] COLLATE "C" NOT NULL DEFAULT '{}',
    -- Extra request headers, name to value.
    headers           jsonb NOT NULL DEFAULT '{}',
    -- Extra request headers that are credentials: name to {"key_id": …, "sealed": …}, the value encrypted as secrets are,
    -- with the endpoint's id, 'header ' and the name as the associated data.
    secret_headers    jsonb NOT NULL DEFAULT '{}',
    timeout_ms        integer NOT NULL DEFAULT 15000,
    -- The delays between attempts in seconds. NULL: the server's schedule (OUTHOOK_RETRY_SCHEDULE).
    retry_schedule    integer[],
    -- How much longer a delay may become, as a fraction of it. NULL: the server's (OUTHOOK_RETRY_JITTER).
    retry_jitter      double precision,
    -- How many of its requests may be under way at the same time: in each worker process, or in all of them together while
    -- it has a lane.
    max_in_flight     integer NOT NULL DEFAULT 32,
    -- At most so many requests per rate_per, of which rate_burst may follow one another at once. NULL: no limit.
    rate_limit        integer,
    rate_per          text COLLATE "C" NOT NULL DEFAULT 'second',
    rate_burst        integer NOT NULL DEFAULT 1,
    -- Where its jobs wait. '': in the shared queues. 'slow', 'limited': in its own queue endpoint-<id>, its lane, from which
    -- the pacer takes them. 'bulk': as slow, but there are as many lanes as there may be, so in the queue of bursts.
    lane              text COLLATE "C" NOT NULL DEFAULT '',
    -- For people.
    lane_reason       text NOT NULL DEFAULT '',
    lane_changed_at   timestamptz NOT NULL DEFAULT now(),
    status            outhook.endpoint_status NOT NULL DEFAULT 'enabled',
    -- Why the status is what it is, for people: 'gone' (the endpoint answered 410), 'api', ...
    status_reason     text NOT NULL DEFAULT '',
    status_changed_at timestamptz NOT NULL DEFAULT now(),
    -- When it was disabled or deleted, while the pacer still cancels what was pending then. NULL: nothing is to be cancelled.
    cancel_since      timestamptz,
    metadata          jsonb NOT NULL DEFAULT '{}',
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    deleted_at        timestamptz,
    CONSTRAINT endpoints_pkey PRIMARY KEY (id),
    -- 1 s to 30 s, total: design limit below River's JobTimeout of 40 s.
    CONSTRAINT endpoints_timeout_ms_check CHECK (timeout_ms BETWEEN 1000 AND 30000),
    CONSTRAINT endpoints_max_in_flight_check CHECK (max_in_flight BETWEEN 1 AND 1000),
    CONSTRAINT endpoints_rate_limit_check CHECK (rate_limit BETWEEN 1 AND 10000),
    CONSTRAINT endpoints_rate_per_check CHECK (rate_per IN ('second', 'minute')),
    CONSTRAINT endpoints_rate_burst_check CHECK (rate_burst BETWEEN 1 AND 10000),
    CONSTRAINT endpoints_lane_check CHECK (lane IN ('', 'slow', 'limited', 'bulk')),
    CONSTRAINT endpoints_retry_schedule_check CHECK (cardinality(retry_schedule) <= 30),
    -- Refuses NaN too, which is greater than any number.
    CONSTRAINT endpoints_retry_jitter_check CHECK (retry_jitter BETWEEN 0 AND 1)
);

-- Fan-out looks endpoints up by tenant inside every enqueue; lists page by (tenant_id, id).
CREATE INDEX endpoints_tenant_id_idx ON outhook.endpoints (tenant_id, id) WHERE deleted_at IS NULL;

-- The few endpoints that have a lane: the pacer reads them again and again.
CREATE INDEX endpoints_lane_idx ON outhook.endpoints (id) WHERE lane <> '';

-- The few endpoints whose deliveries are being cancelled: the pacer looks for them each second.
CREATE INDEX endpoints_cancel_since_idx ON outhook.endpoints (id) WHERE cancel_since IS NOT NULL;

-- The signing secrets of an endpoint. During a rotation two are live and both sign.
CREATE TABLE outhook.endpoint_secrets (
    endpoint_id uuid NOT NULL,
    id          bigint GENERATED ALWAYS AS IDENTITY,
    -- Which key of OUTHOOK_ENCRYPTION_KEY sealed it: the first 8 hex digits of that key's SHA-256.
    key_id      text NOT NULL,
    -- AES-256-GCM: 12 bytes of nonce, then the sealed secret. The endpoint's id is the associated data.
    sealed      bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    -- The end of the rotation's overlap. NULL: the current secret.
    expires_at  timestamptz,
    CONSTRAINT endpoint_secrets_pkey PRIMARY KEY (endpoint_id, id),
    CONSTRAINT endpoint_secrets_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES outhook.endpoints (id)
);

-- What the workers saw of each endpoint lately. A table of its own, so that it can be written often without making
-- versions of the endpoints, which every enqueue reads. Each worker process adds up what it saw and writes it every few
-- seconds: never a row per delivery. An endpoint without a row has had no attempt.
CREATE TABLE outhook.endpoint_health (
    endpoint_id          uuid NOT NULL,
    -- Disabled is no state of this table: endpoints.status says that.
    state                text COLLATE "C" NOT NULL DEFAULT 'healthy',
    -- NULL: it never changed.
    state_changed_at     timestamptz,
    -- Failed attempts since the last success.
    consecutive_failures integer NOT NULL DEFAULT 0,
    -- The first failure since the last success. NULL: none.
    failing_since        timestamptz,
    last_success_at      timestamptz,
    last_failure_at      timestamptz,
    -- Of the last failure. NULL if no answer came.
    last_status_code     integer,
    -- The class of the last failure's error, like connection_refused. NULL if an answer came.
    last_error           text,
    -- When an endpoint that was disabled for failing is tried again. NULL: never.
    probe_at             timestamptz,
    -- Probes since it was disabled: the wait doubles with each.
    probe_count          integer NOT NULL DEFAULT 0,
    CONSTRAINT endpoint_health_pkey PRIMARY KEY (endpoint_id),
    CONSTRAINT endpoint_health_state_check CHECK (state IN ('healthy', 'failing')),
    CONSTRAINT endpoint_health_failing_since_check CHECK ((failing_since IS NULL) = (consecutive_failures = 0))
    -- Room on each page, so that the updates are HOT: no column but the key is in an index.
) WITH (fillfactor = 50);

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
DROP TABLE outhook.endpoint_health;
DROP TABLE outhook.endpoint_secrets;
DROP TABLE outhook.endpoints;
DROP TYPE outhook.endpoint_status;
