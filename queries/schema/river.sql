-- What sqlc must know of objects that no goose SQL file creates: the schema and River's tables (River v0.51.1, version
-- 8). Never run against a database.

CREATE SCHEMA outhook;

CREATE TYPE outhook.river_job_state AS ENUM
    ('available', 'cancelled', 'completed', 'discarded', 'pending', 'retryable', 'running', 'scheduled');

CREATE TABLE outhook.river_job (
    id           bigserial PRIMARY KEY,
    state        outhook.river_job_state NOT NULL DEFAULT 'available',
    attempt      smallint NOT NULL DEFAULT 0,
    max_attempts smallint NOT NULL DEFAULT 25,
    attempted_at timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    finalized_at timestamptz,
    scheduled_at timestamptz NOT NULL DEFAULT now(),
    priority     smallint NOT NULL DEFAULT 1,
    args         jsonb NOT NULL DEFAULT '{}',
    attempted_by text[],
    errors       jsonb[],
    kind         text NOT NULL,
    metadata     jsonb NOT NULL DEFAULT '{}',
    queue        text NOT NULL DEFAULT 'default',
    tags         varchar(255)[] NOT NULL DEFAULT '{}',
    unique_key   bytea,
    unique_states bit(8)
);

CREATE INDEX river_job_args_index ON outhook.river_job USING gin (args);
CREATE INDEX river_job_metadata_index ON outhook.river_job USING gin (metadata);

CREATE TABLE outhook.river_queue (
    name       text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    metadata   jsonb NOT NULL DEFAULT '{}',
    paused_at  timestamptz,
    updated_at timestamptz NOT NULL
);

CREATE FUNCTION outhook.river_job_state_in_bitmask(bitmask bit(8), state outhook.river_job_state) RETURNS boolean
LANGUAGE sql AS $$ SELECT true $$;
