-- Locks and time: ACCESS EXCLUSIVE on river_job for an instant; the table is empty on a new installation.

-- +goose Up
-- Nothing in River or River UI queries these two GIN indexes, and they double what a job writes to the WAL
-- (measured: 4,485 to 2,023 bytes per job).
DROP INDEX outhook.river_job_args_index;
DROP INDEX outhook.river_job_metadata_index;
-- Outhook has a handful of kinds, nearly all jobs are of one: an index on it finds nothing, and each of a job's three
-- versions would add an entry.
DROP INDEX outhook.river_job_kind;

-- A queue's rows die young: vacuum by count, not by share of the table, and at full speed.
ALTER TABLE outhook.river_job SET (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 50000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0
);

-- What waits for its time, by that time: every worker process looks each second for what is due. It holds waiting jobs
-- only, so it costs the others nothing, and a look costs nothing whatever waits for later.
CREATE INDEX river_job_waiting_idx ON outhook.river_job (scheduled_at) WHERE state IN ('retryable', 'scheduled');

-- +goose Down
DROP INDEX outhook.river_job_waiting_idx;
ALTER TABLE outhook.river_job RESET (
    autovacuum_vacuum_scale_factor,
    autovacuum_vacuum_threshold,
    autovacuum_vacuum_insert_scale_factor,
    autovacuum_vacuum_insert_threshold,
    autovacuum_analyze_scale_factor,
    autovacuum_analyze_threshold,
    autovacuum_vacuum_cost_delay
);
CREATE INDEX river_job_kind ON outhook.river_job USING btree (kind);
CREATE INDEX river_job_args_index ON outhook.river_job USING gin (args);
CREATE INDEX river_job_metadata_index ON outhook.river_job USING gin (metadata);
