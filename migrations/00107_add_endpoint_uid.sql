-- Locks and time: the column is added at once, without touching a row. The index is built beside the workers, which go on:
-- it takes seconds for a million endpoints, and waits for transactions that began before it. A run that is broken off is
-- repeated.

-- +goose NO TRANSACTION
-- +goose Up

-- The tenant's own name of an endpoint, usable wherever its id is. NULL: none.
ALTER TABLE outhook.endpoints ADD COLUMN IF NOT EXISTS uid text COLLATE "C";

-- An index that is left of a run that was broken off is not valid.
DROP INDEX CONCURRENTLY IF EXISTS outhook.endpoints_uid_idx;

-- One endpoint that is not deleted has a uid. A deleted one's may be used again.
CREATE UNIQUE INDEX CONCURRENTLY endpoints_uid_idx ON outhook.endpoints (tenant_id, uid)
    WHERE uid IS NOT NULL AND deleted_at IS NULL;

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS outhook.endpoints_uid_idx;
ALTER TABLE outhook.endpoints DROP COLUMN IF EXISTS uid;
