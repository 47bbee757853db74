-- Locks and time: ACCESS EXCLUSIVE on events with its partitions, endpoints and endpoint_revisions, for a moment, as 124: waited for
-- half a second at most, then others go first for 3 s. Processes of the version before do not know of lines: they release nothing, and
-- their reconcile takes what is in line for lost, and delivers it out of order. Nothing is in line before somebody asks for order.

-- +goose Up
-- +goose StatementBegin
DO $$
BEGIN
    PERFORM set_config('lock_timeout', '500', true);
    LOOP
        BEGIN
            LOCK TABLE outhook.events, outhook.endpoints, outhook.endpoint_revisions IN ACCESS EXCLUSIVE MODE;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(3);
        END;
    END LOOP;
END
$$;
-- +goose StatementEnd

-- Events with the same key reach each endpoint in the order of their ids. NULL, which takes no space: in any order.
ALTER TABLE outhook.events ADD COLUMN ordering_key text COLLATE "C";

-- Whether it gets its events one at a time, in the order of their ids, and what follows when a schedule is used up: '' it does not,
-- 'block' it is paused, 'skip' it goes on.
ALTER TABLE outhook.endpoints
    ADD COLUMN ordered text COLLATE "C" NOT NULL DEFAULT ''
        CONSTRAINT endpoints_ordered_known CHECK (ordered IN ('', 'block', 'skip'));

-- As the endpoint's.
ALTER TABLE outhook.endpoint_revisions ADD COLUMN ordered text COLLATE "C" NOT NULL DEFAULT '';

-- One row for some keys of all tenants: who enqueues with a key locks its row until the transaction ends, and draws the id then. The
-- rows are never written: who waits under REPEATABLE READ for one that is written is refused.
CREATE TABLE outhook.order_slots (
    slot smallint PRIMARY KEY
);
INSERT INTO outhook.order_slots SELECT generate_series(0, 1023);

-- What was released of a line (outhook.line_key) that has released anything. Written by releases alone, each time, and no index has
-- what changes: a release leaves its row in its page.
CREATE TABLE outhook.lines (
    key bytea PRIMARY KEY,
    -- The number of the last one that was released, which its receiver is told.
    sequence bigint NOT NULL DEFAULT 0,
    released_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- +goose Down
DROP TABLE outhook.lines;
DROP TABLE outhook.order_slots;
ALTER TABLE outhook.endpoint_revisions DROP COLUMN ordered;
ALTER TABLE outhook.endpoints DROP COLUMN ordered;
ALTER TABLE outhook.events DROP COLUMN ordering_key;
