-- Locks and time: adds two columns without writing rows, and indexes a table with a row for each recover and replay of the
-- retention: a moment, in which none is ordered. Workers of before leave the columns alone.

-- +goose Up
-- When it had its last turn: tenants take turns. NULL: never.
ALTER TABLE outhook.operations ADD COLUMN served_at timestamptz;

-- Until then it has no turn: it waits for room in its endpoint's lane, for outcomes that are still being recorded, or
-- rests after trouble.
ALTER TABLE outhook.operations ADD COLUMN due_at timestamptz NOT NULL DEFAULT now();

-- Who is next, however many have ended.
CREATE INDEX operations_running_idx ON outhook.operations (id) WHERE state = 'running';

-- Whose turn was when.
CREATE INDEX operations_served_at_idx ON outhook.operations (served_at);

-- +goose Down
DROP INDEX outhook.operations_served_at_idx;

DROP INDEX outhook.operations_running_idx;

ALTER TABLE outhook.operations DROP COLUMN due_at, DROP COLUMN served_at;
