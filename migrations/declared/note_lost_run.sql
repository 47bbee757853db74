-- note_lost_run writes what is missing in the log of a delivery up to the number of a run that was lost with its worker:
-- its request may have left. free is false if somebody has locked the delivery, whose run can't be rescued now. It returns
-- when the next attempt is due, null if none is, and does nothing for a job that is not the delivery's, unless it was
-- cancelled: a replay may have given the delivery another one since. It asks in statements that are planned with the two
-- ids, since a plan for any ids locks every day's partition.
CREATE OR REPLACE FUNCTION outhook.note_lost_run(event_id uuid, endpoint_id uuid, job_id bigint, number integer, cancelled boolean)
RETURNS TABLE (free boolean, next_attempt_at timestamptz)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_event_id uuid := event_id;
    v_endpoint_id uuid := endpoint_id;
    v_delivery record;
BEGIN
    EXECUTE 'SELECT d.attempt_count, d.job_id, CASE WHEN d.state = ''pending'' AND d.job_id = $3 THEN d.next_attempt_at END AS due
        FROM outhook.deliveries AS d WHERE d.event_id = $1 AND d.endpoint_id = $2 FOR NO KEY UPDATE SKIP LOCKED'
        INTO v_delivery USING v_event_id, v_endpoint_id, job_id;
    next_attempt_at := v_delivery.due;
    IF v_delivery.job_id IS NULL THEN
        EXECUTE 'SELECT NOT EXISTS (SELECT FROM outhook.deliveries AS d WHERE d.event_id = $1 AND d.endpoint_id = $2)'
            INTO free USING v_event_id, v_endpoint_id;
        RETURN NEXT;
        RETURN;
    END IF;

    free := true;
    IF v_delivery.attempt_count < number AND (v_delivery.job_id = job_id OR cancelled) THEN
        EXECUTE 'INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome, error)
            SELECT $1, $2, n, now(), ''unknown'', ''worker_died: the outcome was never recorded''
            FROM generate_series($3 + 1, $4) AS n
            ON CONFLICT (event_id, endpoint_id, number) DO NOTHING'
            USING v_event_id, v_endpoint_id, v_delivery.attempt_count, number;
        EXECUTE 'UPDATE outhook.deliveries AS d SET attempt_count = $3 WHERE d.event_id = $1 AND d.endpoint_id = $2'
            USING v_event_id, v_endpoint_id, number;
    END IF;
    RETURN NEXT;
END
$$;
