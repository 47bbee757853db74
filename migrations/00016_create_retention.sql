-- Locks and time: creates an empty table and a function; instant.

-- +goose Up
-- Where the retention stands with what takes more than one run. Few rows: the idempotency keys', and one for each day
-- whose payloads leave before its events.
CREATE TABLE outhook.retention_marks (
    -- 'event_keys', or a partition: 'events_p20261124'.
    name       text NOT NULL,
    -- The steps of a task follow each other (package jobs: retentionStep).
    step       integer NOT NULL DEFAULT 0,
    -- The page of the table from which the step goes on.
    page       bigint NOT NULL DEFAULT 0,
    -- The pages that the table had when the task began.
    pages      bigint NOT NULL DEFAULT 0,
    -- A step that must wait until nobody can see the rows before it any more: until no transaction as old as this is left.
    after_xid  bigint NOT NULL DEFAULT 0,
    -- The task is done for everything before this day.
    done_until date NOT NULL DEFAULT '1970-01-01',
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT retention_marks_pkey PRIMARY KEY (name)
);

-- +goose StatementBegin
-- cancel_jobs_of cancels the live jobs of the deliveries that are pending in a partition of deliveries that has been
-- detached, and returns how many there are. It finds only what was replayed after the day's deliveries had expired.
CREATE FUNCTION outhook.cancel_jobs_of(detached text) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    job_ids bigint[];
BEGIN
    EXECUTE format('SELECT array_agg(d.job_id) FROM outhook.%I AS d WHERE d.state = ''pending''', detached) INTO job_ids;
    UPDATE outhook.river_job AS j SET state = 'cancelled', finalized_at = now()
    WHERE j.id = ANY (job_ids) AND j.state::text IN ('running', 'available', 'retryable', 'scheduled', 'pending');
    RETURN coalesce(cardinality(job_ids), 0);
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- move_events writes the events in a range of pages of a day's partition (last excluded) anew, without their payloads
-- unless a delivery is pending, and returns how many payloads that erased. An UPDATE would leave each row in its page; a
-- new row goes where there is room, so that the end of the table becomes free and VACUUM can give it back.
CREATE FUNCTION outhook.move_events(partition text, first bigint, last bigint) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    erased integer;
    columns text;
BEGIN
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO columns FROM pg_attribute AS a
    WHERE a.attrelid = to_regclass('outhook.' || quote_ident(partition)) AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'payload';
    EXECUTE format('WITH gone AS (
            DELETE FROM outhook.%1$I AS e WHERE e.ctid >= %3$L::tid AND e.ctid < %4$L::tid
            RETURNING %5$s, e.payload IS NOT NULL AS had_payload, CASE WHEN EXISTS (SELECT FROM outhook.%2$I AS d
                WHERE d.event_id = e.id AND d.state = ''pending'') THEN e.payload END AS payload
        ), moved AS (
            INSERT INTO outhook.%1$I (%5$s, payload) SELECT %5$s, g.payload FROM gone AS g
        )
        SELECT count(*) FROM gone AS g WHERE g.had_payload AND g.payload IS NULL',
        partition, replace(partition, 'events_p', 'deliveries_p'), format('(%s,0)', first), format('(%s,0)', last), columns)
    INTO erased;
    RETURN erased;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION outhook.cancel_jobs_of(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION outhook.move_events(text, bigint, bigint) FROM PUBLIC;

-- +goose Down
DROP FUNCTION outhook.move_events(text, bigint, bigint);
DROP FUNCTION outhook.cancel_jobs_of(text);
DROP TABLE outhook.retention_marks;
