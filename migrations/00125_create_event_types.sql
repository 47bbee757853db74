-- Locks and time: creates tables and adds one row; nothing that is there is touched. Processes of the version before know nothing of
-- them, and validate nothing.

-- +goose Up
-- The document that the catalogue of event types was read of, without its webhooks: one row.
CREATE TABLE outhook.catalogs (
    id         boolean NOT NULL DEFAULT true,
    -- The OpenAPI document without webhooks, components and paths: its title, and what describes it. json, which keeps the order of
    -- members, here and below: people have put them into one that they like to read. NULL: none was read.
    frame      json,
    -- Goes up with each change of the catalogue: who keeps something of it in memory looks whether it is still the same.
    revision   bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT catalogs_pkey PRIMARY KEY (id),
    CONSTRAINT catalogs_id_check CHECK (id)
);

INSERT INTO outhook.catalogs DEFAULT VALUES;

-- What the team's code says of an event type. A type needs no row: events of any may be enqueued.
CREATE TABLE outhook.event_types (
    -- A UUIDv7: lists go by it.
    id          uuid NOT NULL,
    name        text COLLATE "C" NOT NULL,
    title       text NOT NULL,
    description text NOT NULL,
    group_name  text NOT NULL,
    -- Who it is shown to. It decides nothing about deliveries, and neither does the state.
    visibility  text NOT NULL,
    flags       text[] NOT NULL,
    state       text NOT NULL DEFAULT 'active',
    -- What becomes of a payload that breaks the schema: nothing, it is counted in samples, it is refused by the API, or whoever
    -- enqueues it fails, with the transaction.
    enforce     text NOT NULL DEFAULT 'warn',
    -- What the enqueue functions hold the event's document against, compiled from the schema by internal/catalog. NULL: nothing.
    guard       jsonpath,
    -- The number of its newest version.
    version     integer NOT NULL,
    -- What the document calls the webhook, its Path Item Object, and what that refers to, by kind and name: as they were written.
    webhook     text NOT NULL,
    item        json NOT NULL,
    components  json NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    -- Never the same twice: it is the ETag.
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT event_types_pkey PRIMARY KEY (id),
    CONSTRAINT event_types_name_key UNIQUE (name),
    CONSTRAINT event_types_visibility_check CHECK (visibility IN ('public', 'flagged', 'hidden')),
    CONSTRAINT event_types_state_check CHECK (state IN ('active', 'deprecated', 'archived')),
    CONSTRAINT event_types_enforce_check CHECK (enforce IN ('none', 'warn', 'reject', 'guard'))
);

-- Each enqueue looks here, and as a rule there is nothing.
CREATE INDEX event_types_guarded_idx ON outhook.event_types (name) WHERE guard IS NOT NULL;

-- What a type's payloads have been, and are: a row for each schema that it had. Never changed.
CREATE TABLE outhook.event_type_versions (
    event_type_id uuid NOT NULL,
    version       integer NOT NULL,
    -- JSON Schema 2020-12, which stands alone.
    schema        json NOT NULL,
    -- Payloads: a JSON array.
    examples      json NOT NULL,
    -- Whether receivers of the version before may have been broken by this one, and what whoever made it says.
    breaking      boolean NOT NULL,
    note          text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT event_type_versions_pkey PRIMARY KEY (event_type_id, version),
    CONSTRAINT event_type_versions_event_type_id_fkey FOREIGN KEY (event_type_id) REFERENCES outhook.event_types (id) ON DELETE CASCADE
);

-- What samples of the events showed, by their type: described or not. Nothing of a payload is in here.
CREATE TABLE outhook.event_type_samples (
    type       text COLLATE "C" NOT NULL,
    -- The version that the counts are of; they begin anew with the next. NULL: the type was not described.
    version    integer,
    -- Since when there were so many events in samples, and of them so many that broke the schema.
    since      timestamptz NOT NULL DEFAULT now(),
    checked    bigint NOT NULL DEFAULT 0,
    violations bigint NOT NULL DEFAULT 0,
    seen_at    timestamptz NOT NULL,
    -- The last event that broke it, where in its payload (a JSON pointer), and how.
    event_id   uuid,
    pointer    text NOT NULL DEFAULT '',
    problem    text NOT NULL DEFAULT '',
    CONSTRAINT event_type_samples_pkey PRIMARY KEY (type)
);

-- +goose Down
DROP TABLE outhook.event_type_samples;

DROP TABLE outhook.event_type_versions;

DROP TABLE outhook.event_types;

DROP TABLE outhook.catalogs;
