-- Queries of bursts. The jobs of a tenant's wait in a queue of its own, outhook.bulk_queue; those that somebody has put into
-- deliver_bulk itself wait there. The workers of deliver_bulk take from all of them, in turn (jobs/lane/turns.go). All are between
-- bulk and bull in any collation.

-- name: ListBulkQueues :many
-- Of the queues of bursts that have a job that is due, the next max_rows behind the given one, in a circle: the tenants' by their
-- names, then deliver_bulk, then the tenants' again, as far as the given one. The recursion skips from one queue to the next in
-- River's index (state, queue, priority, scheduled_at, id), however many jobs wait in them; of jobs whose time has not come it
-- reads those of queues in which nothing else waits. It makes two steps more than it has rows to find, since one is to
-- deliver_bulk, whatever is there, and the last one may be beyond the circle.
WITH RECURSIVE q AS (
    SELECT @after::text AS queue, 0 AS lap, 0 AS n, @after::text AS first, @max_rows::integer AS most
    UNION ALL
    SELECT coalesce(t.found, 'deliver_bulk'), t.lap + CASE WHEN t.found IS NULL THEN 1 ELSE 0 END, t.n + 1, t.first, t.most
    FROM (SELECT q.lap, q.n, q.first, q.most, (SELECT j.queue FROM outhook.river_job AS j
            WHERE j.state = 'available' AND j.queue > CASE q.queue WHEN 'deliver_bulk' THEN 'bulk' ELSE q.queue END AND j.queue < 'bull'
                AND j.queue LIKE 'bulk-%' AND j.scheduled_at <= coalesce(sqlc.narg('now')::timestamptz, now())
            ORDER BY j.queue, j.priority, j.scheduled_at, j.id LIMIT 1) AS found
        FROM q
        WHERE q.n < q.most + 2 AND (q.lap = 0
            OR (q.lap = 1 AND CASE q.queue WHEN 'deliver_bulk' THEN q.first <> 'deliver_bulk' ELSE q.queue < q.first END))) AS t
)
SELECT q.queue::text AS queue FROM q
WHERE q.n > 0 AND (q.lap = 0 OR (q.lap = 1 AND (q.queue <= q.first OR q.queue = 'deliver_bulk')))
    AND (q.queue <> 'deliver_bulk' OR EXISTS (SELECT FROM outhook.river_job AS j
        WHERE j.state = 'available' AND j.queue = 'deliver_bulk' AND j.scheduled_at <= coalesce(sqlc.narg('now')::timestamptz, now())))
ORDER BY q.n LIMIT @max_rows;

-- name: TakeJobs :many
-- What River's own JobGetAvailable does (riverpgxv5, river_job.sql), for several queues at once, of each as many as are wanted.
WITH locked AS MATERIALIZED (
    SELECT d.id FROM (SELECT unnest(@queues::text[]) AS queue, unnest(@counts::integer[]) AS n) AS t
    CROSS JOIN LATERAL (SELECT j.id FROM outhook.river_job AS j
        WHERE j.state = 'available' AND j.queue = t.queue AND (sqlc.narg('kinds')::text[] IS NULL OR j.kind = ANY (sqlc.narg('kinds')::text[]))
            AND j.scheduled_at <= coalesce(sqlc.narg('now')::timestamptz, now())
        ORDER BY j.priority, j.scheduled_at, j.id LIMIT t.n FOR UPDATE SKIP LOCKED) AS d
)
UPDATE outhook.river_job AS j SET state = 'running', attempt = j.attempt + 1,
    attempted_at = coalesce(sqlc.narg('now')::timestamptz, now()),
    attempted_by = array_append(CASE WHEN array_length(j.attempted_by, 1) >= @max_attempted_by::integer
        THEN j.attempted_by[array_length(j.attempted_by, 1) + 2 - @max_attempted_by:] ELSE j.attempted_by END, @attempted_by::text)
FROM locked WHERE j.id = locked.id
RETURNING j.*;

-- name: CountWaitingBursts :one
-- What waits in the queues of bursts, of a tenant, NULL: of all, up to max_rows.
SELECT count(*) FROM (SELECT FROM outhook.river_job AS j
    WHERE j.state = 'available' AND j.queue >= coalesce(outhook.bulk_queue(sqlc.narg('tenant_id')::text), 'bulk')
        AND j.queue <= coalesce(outhook.bulk_queue(sqlc.narg('tenant_id')), 'bull') LIMIT @max_rows) AS w;
