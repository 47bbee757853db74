-- Locks and time: the column is added at once, without touching a row. The index reads the endpoints once, a second for a
-- million, in which none is changed; what delivers and enqueues goes on. Each is a transaction of its own, so that the first
-- one's lock is not kept for the second; a run that is broken off is repeated.
--
-- Not concurrently: that waits for every transaction, also for that of a second process that waits for its turn to migrate,
-- which waits for this one.

-- +goose NO TRANSACTION
-- +goose Up

-- The tenant's own name of an endpoint, usable wherever its id is. NULL: none.
ALTER TABLE outhook.endpoints ADD COLUMN IF NOT EXISTS uid text COLLATE "C";

-- One endpoint that is not deleted has a uid. A deleted one's may be used again.
CREATE UNIQUE INDEX IF NOT EXISTS endpoints_uid_idx ON outhook.endpoints (tenant_id, uid)
    WHERE uid IS NOT NULL AND deleted_at IS NULL;

-- +goose Down
DROP INDEX IF EXISTS outhook.endpoints_uid_idx;
ALTER TABLE outhook.endpoints DROP COLUMN IF EXISTS uid;
