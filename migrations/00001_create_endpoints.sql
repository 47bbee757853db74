-- Locks and time: creates empty objects only; instant.

-- +goose Up
-- Each is one SQL expression, which the planner puts into the query that calls it: no call at all. That needs a function
-- that is no more than STABLE where the expression is, and not STRICT.
-- +goose StatementBegin
-- uuid_v7 makes a UUIDv7 (RFC 9562, section 5.7) on the database's clock: 48 bits of Unix milliseconds, then 12 bits
-- that hold the fraction of the millisecond (method 3 of section 6.2: 1/4096 ms, about 0.24 µs), then 62 random bits.
-- ticks moves the time forward by that many 1/4096 ms, so that ids made in one call keep their order.
CREATE FUNCTION outhook.uuid_v7(at timestamptz DEFAULT clock_timestamp(), ticks integer DEFAULT 0) RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN encode(overlay(uuid_send(gen_random_uuid()) PLACING int8send(
        ((floor(extract(epoch FROM at) * 4096000)::bigint + ticks) >> 12 << 16) | 28672
        | ((floor(extract(epoch FROM at) * 4096000)::bigint + ticks) & 4095)) FROM 1 FOR 8), 'hex')::uuid;
-- +goose StatementEnd

-- +goose StatementBegin
-- uuid_v7_time returns the time inside a UUIDv7 that uuid_v7 made, to the microsecond (rounded down).
CREATE FUNCTION outhook.uuid_v7_time(id uuid) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN 'epoch'::timestamptz + (('x' || encode(substring(uuid_send(id) FROM 1 FOR 6), 'hex'))::bit(48)::bigint * 1000
    + ((('x' || encode(substring(uuid_send(id) FROM 7 FOR 2), 'hex'))::bit(16)::integer & 4095) * 1000 >> 12))
    * interval '1 microsecond';
-- +goose StatementEnd

-- +goose StatementBegin
-- uuid_v7_floor returns the smallest id of a time: every UUIDv7 made at that time or later is greater. Lists by time
-- and partition bounds use it, so that the planner can prune partitions.
CREATE FUNCTION outhook.uuid_v7_floor(at timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (encode(int8send((floor(extract(epoch FROM at) * 4096000)::bigint >> 12 << 16) | 28672
        | (floor(extract(epoch FROM at) * 4096000)::bigint & 4095)), 'hex') || '0000000000000000')::uuid;
-- +goose StatementEnd

CREATE TYPE outhook.endpoint_status AS ENUM ('enabled', 'paused', 'disabled');

-- An endpoint is a tenant's URL. Deleting one is soft: the row stays for reports.
CREATE TABLE outhook.endpoints (
    id                uuid NOT NULL DEFAULT outhook.uuid_v7(),
    -- A label that the publisher chooses (a customer id). There is no table of tenants.
    tenant_id         text NOT NULL,
    -- May hold a credential in its path or query: never logged.
    url               text NOT NULL,
    description       text NOT NULL DEFAULT '',
    -- Empty: every event type. 'invoice.paid': that one. 'invoice.*': each type below invoice.
    event_types       text[] NOT NULL DEFAULT '{}',
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
    rate_per          text NOT NULL DEFAULT 'second',
    rate_burst        integer NOT NULL DEFAULT 1,
    -- Where its jobs wait. '': in the shared queues. 'slow', 'limited': in its own queue endpoint-<id>, its lane, from which
    -- the pacer takes them. 'bulk': as slow, but there are as many lanes as there may be, so in the queue of bursts.
    lane              text NOT NULL DEFAULT '',
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

-- +goose Down
DROP TABLE outhook.endpoint_secrets;
DROP TABLE outhook.endpoints;
DROP TYPE outhook.endpoint_status;
DROP FUNCTION outhook.uuid_v7_floor(timestamptz);
DROP FUNCTION outhook.uuid_v7_time(uuid);
DROP FUNCTION outhook.uuid_v7(timestamptz, integer);
