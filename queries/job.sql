-- Queries on River's table, where River's own API can't take part in a set-based statement of ours.

-- name: FinishJobs :exec
-- Settles jobs in any live state, so that a live job of a settled delivery can only be a person's order (River UI's
-- Retry). River's own completion of the same job finds it no longer running and leaves it. The state is compared as text,
-- so that no index on it can be taken for a better way to find the jobs than their ids.
UPDATE outhook.river_job AS j SET state = k.state::outhook.river_job_state, finalized_at = now()
FROM (SELECT unnest(@job_ids::bigint[]) AS id, unnest(@states::text[]) AS state) AS k
WHERE j.id = k.id AND j.state::text IN ('running', 'available', 'retryable', 'scheduled', 'pending');

-- name: InsertReplayJob :one
-- base: the attempt number that the new job counts from.
INSERT INTO outhook.river_job (kind, args, queue, max_attempts)
VALUES ('deliver', jsonb_build_object('event_id', @event_id::uuid, 'endpoint_id', @endpoint_id::uuid, 'base', @base::integer),
    'deliver', 1000)
RETURNING id;

-- name: HastenJob :exec
UPDATE outhook.river_job SET state = 'available', scheduled_at = now()
WHERE id = @id AND state IN ('retryable', 'scheduled', 'available');

-- name: SetAsideJob :execrows
-- Moves the running job of a paused endpoint to the queue endpoint-<id>, which nobody works. The lock on the endpoint
-- makes it wait for, or be seen by, the change that enables the endpoint again and moves these jobs back.
WITH paused AS (
    SELECT n.id FROM outhook.endpoints AS n
    WHERE n.id = @endpoint_id AND n.status = 'paused' AND n.deleted_at IS NULL FOR SHARE
)
UPDATE outhook.river_job AS j SET queue = 'endpoint-' || p.id
FROM paused AS p
WHERE j.id = @job_id AND j.state = 'running';

-- name: ResumeEndpointJobs :execrows
UPDATE outhook.river_job SET queue = 'deliver' WHERE queue = 'endpoint-' || @endpoint_id::uuid
    AND state IN ('available', 'retryable', 'scheduled', 'running');

-- name: NotifyQueue :exec
SELECT pg_notify('outhook.river_insert', json_build_object('queue', @queue::text)::text);

-- name: GetDatabaseTime :one
SELECT clock_timestamp()::timestamptz;
