-- Locks and time: creates empty tables only; instant. Processes of the version before know nothing of them: what they deliver is in
-- the log and in the usage, and not in the rollups.

-- +goose Up
-- What happened, added up, so that no chart reads the log. Rows are inserted and never updated, since a row of 1,000 endpoints costs
-- 2.5 ms to insert and 321 to merge: whoever reads adds them up. Each process inserts about one a minute for what it saw of an endpoint,
-- of a tenant and of all; later the rows of five minutes and then of an hour become one (package jobs/rollup). A worker that dies
-- takes its last minute along, so they are for charts and not for bills.
--
-- Not partitioned: most rows leave within hours, by the folding, and what stays is 24 rows a day and endpoint.
CREATE TABLE outhook.rollups (
    -- Nil, 00000000-0000-0000-0000-000000000000: all endpoints of the tenant.
    endpoint_id   uuid NOT NULL,
    -- '': all tenants.
    tenant_id     text COLLATE "C" NOT NULL,
    -- From at on, for so many seconds: 60, 300 or 3600.
    at            timestamptz NOT NULL,
    seconds       integer NOT NULL,
    -- Tells the rows of one time apart: drawn at random. 0: the row that counts events.
    part          integer NOT NULL,
    -- Events that were enqueued; never of a single endpoint. From here on NULL stands for none.
    events        bigint,
    -- Attempts that ended, by outcome.
    succeeded     integer,
    rejected      integer,
    timed_out     integer,
    unreachable   integer,
    blocked       integer,
    unknown       integer,
    -- Deliveries that ended.
    delivered     integer,
    failed        integer,
    cancelled     integer,
    -- How many first attempts ended how long after the enqueue, and how long attempts took: 24 numbers, as package
    -- internal/bucket has them. NULL, and not 0, for none, which takes no space.
    first_latency integer[],
    duration      integer[],
    CONSTRAINT rollups_pkey PRIMARY KEY (endpoint_id, tenant_id, at, seconds, part)
    -- What is folded is deleted: its space is to be used again soon.
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05);

-- What is to be folded, and what is older than the retention.
CREATE INDEX rollups_at_idx ON outhook.rollups (seconds, at);

-- What a tenant has used in an hour, for bills: counted from the log once the hour is over, and again until a day later for what was
-- committed late; final then (package jobs/usage).
CREATE TABLE outhook.usage_hours (
    hour          timestamptz NOT NULL,
    tenant_id     text COLLATE "C" NOT NULL,
    type          text COLLATE "C" NOT NULL,
    -- Events that were enqueued in the hour, their deliveries, and the bytes of their payloads.
    events        bigint NOT NULL,
    deliveries    bigint NOT NULL,
    payload_bytes bigint NOT NULL,
    -- Attempts that began in the hour, at events of whatever age.
    attempts      bigint NOT NULL,
    CONSTRAINT usage_hours_pkey PRIMARY KEY (hour, tenant_id, type)
);

-- A tenant's own, and what goes with a tenant that is erased.
CREATE INDEX usage_hours_tenant_id_idx ON outhook.usage_hours (tenant_id, hour);

-- The hours that were counted, those without any event too.
CREATE TABLE outhook.usage_counts (
    hour       timestamptz NOT NULL,
    counted_at timestamptz NOT NULL,
    CONSTRAINT usage_counts_pkey PRIMARY KEY (hour)
);

-- +goose Down
DROP TABLE outhook.usage_counts;
DROP TABLE outhook.usage_hours;
DROP TABLE outhook.rollups;
