-- Locks and time: none, milliseconds.

-- +goose Up
-- Worker processes whose lock is free although deliveries run in their name: who has been silent for 10 s is dead, and its
-- deliveries run elsewhere. The count is here and not in the workers that look, since those die too: while everything is
-- being killed none of them looks for 10 s on end. Empty nearly always.
CREATE TABLE outhook.silent_clients (
    -- The River client id.
    client_id text PRIMARY KEY,
    -- When somebody first saw the lock free since the client last took it, which deletes the row.
    since timestamptz NOT NULL,
    -- Since when somebody has looked again and again and the database has been up: the client could have taken its lock.
    seen_from timestamptz NOT NULL,
    -- When somebody last saw the lock free.
    seen_at timestamptz NOT NULL
);

-- +goose Down
DROP TABLE outhook.silent_clients;
