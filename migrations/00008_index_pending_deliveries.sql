-- Locks and time: SHARE on deliveries, which stops enqueues while the index is built; about a second per million
-- deliveries.

-- +goose Up
-- What is still owed, by the job that is to do it: reconcile and doctor look each of them up in river_job, whatever the
-- size of the log. It holds pending deliveries only, so it is as large as the backlog. Its price (docs/decisions.md): a
-- settle changes the state, so its update is no longer HOT; an attempt that fails is, as before.
CREATE INDEX deliveries_pending_job_id_idx ON outhook.deliveries (job_id) WHERE state = 'pending';

-- +goose Down
DROP INDEX outhook.deliveries_pending_job_id_idx;
