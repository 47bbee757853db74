-- Locks and time: SHARE on river_job, which stops enqueues while the index is built; about a second per million jobs.

-- +goose Up
-- What waits for its time, by that time: every worker process looks each second for what is due. It holds waiting jobs
-- only, so it costs the others nothing, and a look costs nothing whatever waits for later.
CREATE INDEX river_job_waiting_idx ON outhook.river_job (scheduled_at) WHERE state IN ('retryable', 'scheduled');

-- +goose Down
DROP INDEX outhook.river_job_waiting_idx;
