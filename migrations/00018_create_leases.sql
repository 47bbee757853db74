-- Locks and time: creates an empty table only; instant.

-- +goose Up
-- Who is alive and who may do what only one process may. A lease is a row, and not an advisory lock, since any login of
-- the database can take those. Its holder renews it each second, for 10 s, on the database's clock, and what it permits
-- checks it in the same transaction: a process that was frozen for longer can do nothing with it.
CREATE TABLE outhook.leases (
    -- What is leased.
    name   text PRIMARY KEY,
    -- The River client id of the process that has it.
    holder text NOT NULL,
    until  timestamptz NOT NULL,
    -- Since when it has had it without a gap.
    since  timestamptz NOT NULL DEFAULT clock_timestamp()
    -- Room on each page, so that the updates are HOT.
) WITH (fillfactor = 50);

-- +goose Down
DROP TABLE outhook.leases;
