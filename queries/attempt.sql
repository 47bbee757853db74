-- name: InsertUnknownAttempts :exec
-- Fills the numbers between the log's highest and each given number: runs whose worker died, so that nobody knows
-- whether their request left. Their time is that of the run that found them.
INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome, error)
SELECT d.event_id, d.endpoint_id, g.number, k.started_at, 'unknown', 'worker_died: the outcome was never recorded'
FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@endpoint_ids::uuid[]) AS endpoint_id,
        unnest(@numbers::integer[]) AS number, unnest(@started_ats::timestamptz[]) AS started_at) AS k
JOIN outhook.deliveries AS d ON d.event_id = k.event_id AND d.endpoint_id = k.endpoint_id
    AND d.event_id BETWEEN @low::uuid AND @high::uuid
CROSS JOIN LATERAL generate_series(d.attempt_count + 1, k.number - 1) AS g (number)
ON CONFLICT (event_id, endpoint_id, number) DO NOTHING;

-- name: ListEventAttempts :many
-- The next max_rows attempts of an event, or of one of its deliveries, by their time, after a position.
SELECT * FROM outhook.delivery_attempts AS a
WHERE a.event_id = @event_id
    AND (sqlc.narg('endpoint_id')::uuid IS NULL OR a.endpoint_id = sqlc.narg('endpoint_id'))
    AND (cardinality(@outcomes::text[]) = 0 OR a.outcome::text = ANY (@outcomes::text[]))
    AND (sqlc.narg('status_code')::integer IS NULL OR a.status_code = sqlc.narg('status_code'))
    AND (sqlc.narg('after_started_at')::timestamptz IS NULL OR CASE WHEN @ascending::boolean
        THEN (a.started_at, a.endpoint_id, a.number)
            > (sqlc.narg('after_started_at'), sqlc.narg('after_endpoint_id')::uuid, sqlc.narg('after_number')::integer)
        ELSE (a.started_at, a.endpoint_id, a.number)
            < (sqlc.narg('after_started_at'), sqlc.narg('after_endpoint_id'), sqlc.narg('after_number')) END)
ORDER BY CASE WHEN @ascending THEN a.started_at END, CASE WHEN @ascending THEN a.endpoint_id END, CASE WHEN @ascending THEN a.number END,
    CASE WHEN NOT @ascending THEN a.started_at END DESC, CASE WHEN NOT @ascending THEN a.endpoint_id END DESC,
    CASE WHEN NOT @ascending THEN a.number END DESC
LIMIT @max_rows;

-- name: GetFirstAttempt :one
SELECT * FROM outhook.delivery_attempts WHERE event_id = @event_id AND endpoint_id = @endpoint_id AND number = 1;
