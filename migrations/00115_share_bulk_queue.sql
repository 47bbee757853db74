-- Locks and time: none; instant. It stands for functions that are declared: outhook.enqueue_many and its kind put the bursts of
-- each tenant into a queue of its own, bulk-<hash>, which the workers of this version take from in turn. Workers of the version
-- before do not: their pacer finds such queues stranded and moves what waits there to deliver_bulk, within seconds.

-- +goose Up
SELECT 1;

-- +goose Down
-- What waits, and what a worker may give back, goes where it is worked.
UPDATE outhook.river_job SET queue = 'deliver_bulk'
WHERE queue LIKE 'bulk-%' AND state IN ('available', 'running', 'retryable', 'scheduled', 'pending');
