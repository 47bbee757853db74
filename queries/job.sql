-- Queries on River's table, where River's own API can't take part in a set-based statement of ours.

-- name: FinishJobs :exec
-- Settles jobs in any live state, so that a live job of a settled delivery can only be a person's order (River UI's
-- Retry). River's own completion of the same job finds it no longer running and leaves it. The ids stand alone, and the state
-- is compared as text, so that neither a join nor an index on it can be taken for a better way to find the jobs: with
-- statistics from a time with few jobs it would read all of them.
UPDATE outhook.river_job SET state = (@ended::text)::outhook.river_job_state, finalized_at = now()
WHERE id = ANY (@job_ids::bigint[]) AND state::text IN ('running', 'available', 'retryable', 'scheduled', 'pending');

-- name: DropJobs :execrows
-- Deletes jobs of succeeded deliveries at once, each unless a later run of it than the given one has been fetched: such a
-- run may be in the middle of its request, and a replay counts on from its number. A third of what it takes to settle them.
DELETE FROM outhook.river_job
WHERE id = ANY (@job_ids::bigint[]) AND attempt = @attempt::integer AND state::text = 'running';

-- name: InsertReplayJob :one
-- base, the number that the new job's attempts count from, is the highest that is in the log or that a run of the job
-- before it has taken: such a run may be in the middle of its request. That job must be finished already.
INSERT INTO outhook.river_job (kind, args, queue, max_attempts)
SELECT 'deliver', jsonb_build_object('event_id', @event_id::uuid, 'endpoint_id', @endpoint_id::uuid,
        'base', greatest(@attempt_count::integer, (SELECT coalesce((j.args ->> 'base')::integer, 0) + j.attempt
            FROM outhook.river_job AS j WHERE j.id = @previous_job_id::bigint))),
    'deliver', 1000
RETURNING id;

-- name: HastenJob :exec
UPDATE outhook.river_job SET state = 'available', scheduled_at = now()
WHERE id = @id AND state IN ('retryable', 'scheduled', 'available');

-- name: GiveBackJob :execrows
-- Ends a run of which nothing left: the job waits, and the run's number is free again. Only if the run is still the job's
-- current one, which River's snooze, by id and state alone, would not see: it would give back the number of another run.
-- A short wait is available at once, as River does it too: its scheduler looks every 5 s.
UPDATE outhook.river_job
SET state = CASE WHEN @delay_seconds::float8 < 5 THEN 'available' ELSE 'scheduled' END::outhook.river_job_state,
    attempt = attempt - 1, scheduled_at = now() + make_interval(secs => @delay_seconds::float8),
    metadata = metadata || jsonb_build_object('snoozes', coalesce((metadata ->> 'snoozes')::bigint, 0) + 1)
WHERE id = @job_id AND state = 'running' AND attempt = @attempt::integer;

-- name: ResumeEndpointJobs :execrows
-- Not those of an enabled endpoint that has a lane: they wait where they should.
UPDATE outhook.river_job AS j SET queue = 'deliver'
FROM outhook.endpoints AS n
WHERE n.id = @endpoint_id::uuid AND j.queue = 'endpoint-' || @endpoint_id::uuid
    AND j.state IN ('available', 'retryable', 'scheduled', 'running')
    AND (n.lane NOT IN ('slow', 'limited') OR n.status <> 'enabled' OR n.deleted_at IS NOT NULL);

-- name: NotifyQueue :exec
SELECT pg_notify('outhook.river_insert', json_build_object('queue', @queue::text)::text);

-- name: GetDatabaseTime :one
SELECT clock_timestamp()::timestamptz;

-- name: IsReadOnly :one
-- Whether nothing can be stored on this connection: a standby, or a primary that is being replaced.
SELECT current_setting('transaction_read_only')::boolean AS read_only;
