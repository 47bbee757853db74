-- cancel_jobs_of cancels the live jobs of the deliveries that are pending in a partition of deliveries that has been
-- detached, and returns how many there are. It finds only what was replayed after the day's deliveries had expired.
CREATE OR REPLACE FUNCTION outhook.cancel_jobs_of(detached text) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name CONSTANT text COLLATE "C" := detached;
    job_ids bigint[];
BEGIN
    EXECUTE format('SELECT array_agg(d.job_id) FROM outhook.%I AS d WHERE d.state = ''pending''', name) INTO job_ids;
    UPDATE outhook.river_job AS j SET state = 'cancelled', finalized_at = now()
    WHERE j.id = ANY (job_ids) AND j.state::text IN ('running', 'available', 'retryable', 'scheduled', 'pending');
    RETURN coalesce(cardinality(job_ids), 0);
END
$$;
