-- Queries on the partitions of the log tables. DETACH CONCURRENTLY can't be in here: it is no query.

-- name: GetDay :one
-- Today (UTC) on the database's clock.
SELECT ((now() AT TIME ZONE 'UTC')::date)::date AS day;

-- name: CreatePartitions :one
SELECT outhook.create_partitions(@day::date, @day::date)::integer AS made;

-- name: ListPartitions :many
-- The partitions of a log table and the tables that were detached but not dropped, oldest first.
SELECT c.relname::text AS name, (i.inhrelid IS NOT NULL)::boolean AS attached,
    coalesce(i.inhdetachpending, false)::boolean AS detach_pending
FROM pg_catalog.pg_class AS c
LEFT JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = c.oid
WHERE c.relnamespace = 'outhook'::regnamespace AND c.relkind = 'r' AND c.relname ~ ('^' || @parent::text || '_p[0-9]{8}$')
ORDER BY c.relname;

-- name: SummarizeTimes :exec
-- Enters into the BRIN indexes of a partition what they lack.
SELECT brin_summarize_new_values(i.indexrelid) FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_am AS m ON m.oid = c.relam AND m.amname = 'brin'
WHERE i.indrelid = to_regclass('outhook.' || @partition::text);

-- name: OwnsSchema :one
-- Whether this user may do what only the owner of the tables may.
SELECT pg_has_role(c.relowner, 'USAGE')::boolean AS owns FROM pg_catalog.pg_class AS c WHERE c.oid = 'outhook.river_job'::regclass;
