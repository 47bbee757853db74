-- cancel_event takes back an event that is to be delivered later, in the caller's transaction: its pending deliveries are cancelled,
-- and it is never delivered again. It is named by its idempotency key, or by its id. One row: the event's id, whether it is taken
-- back, whether it was before, and how many deliveries were cancelled now; none if the tenant has no such event. If the event is not
-- for later, or its time has come, withdrawn is false and nothing is changed: whoever is too late keeps his transaction.
--
-- The jobs are locked before the time is looked at. So whoever makes one available, at its time or after it, finds it locked, or has
-- done so before: then it is too late. What is taken back has not left, however late that is committed.
--
-- A delivery that is locked is being recorded or ordered at this moment; the worker that loads it next cancels it. The retention
-- moves rows of events: one that was moved while this waited for it is looked for again.
CREATE OR REPLACE FUNCTION outhook.cancel_event(tenant_id text, idempotency_key text DEFAULT NULL, event_id uuid DEFAULT NULL)
RETURNS TABLE (id uuid, withdrawn boolean, repeated boolean, cancelled integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
    owner CONSTANT text COLLATE "C" := tenant_id;
    key CONSTANT text COLLATE "C" := idempotency_key;
    named uuid := event_id;
    later boolean;
    pending uuid[];
    waiting bigint[];
BEGIN
    IF coalesce(owner, '') = '' OR (coalesce(key, '') = '') = (named IS NULL) THEN
        RAISE EXCEPTION 'an event is cancelled by its tenant and either its idempotency key or its id' USING ERRCODE = '22023';
    END IF;
    IF named IS NULL THEN
        named := (SELECT k.event_id FROM outhook.event_keys AS k WHERE k.tenant_id = owner AND k.idempotency_key = key
            ORDER BY k.event_id DESC LIMIT 1);
    END IF;

    withdrawn := false;
    LOOP
        SELECT e.withdrawn_at IS NOT NULL, coalesce(e.deliver_at > clock_timestamp(), false) INTO repeated, later
        FROM outhook.events AS e WHERE e.id = named AND e.tenant_id = owner;
        IF NOT FOUND THEN
            RETURN;
        END IF;
        EXIT WHEN NOT repeated AND NOT later;

        SELECT array_agg(k.endpoint_id), array_agg(k.job_id) INTO pending, waiting FROM (
            SELECT p.endpoint_id, p.job_id FROM outhook.deliveries AS p
            WHERE p.event_id = named AND p.state = 'pending' FOR UPDATE SKIP LOCKED) AS k;
        PERFORM j.id FROM outhook.river_job AS j WHERE j.id = ANY (waiting) ORDER BY j.id FOR UPDATE;
        EXIT WHEN repeated;

        UPDATE outhook.events AS e SET withdrawn_at = clock_timestamp()
        WHERE e.id = named AND e.tenant_id = owner AND e.withdrawn_at IS NULL AND e.deliver_at > clock_timestamp();
        withdrawn := FOUND;
        EXIT WHEN withdrawn;
    END LOOP;

    id := named;
    withdrawn := withdrawn OR repeated;
    cancelled := 0;
    IF withdrawn AND pending IS NOT NULL THEN
        UPDATE outhook.deliveries AS d
        SET state = 'cancelled', reason = 'withdrawn', next_attempt_at = NULL, completed_at = clock_timestamp()
        WHERE d.event_id = named AND d.endpoint_id = ANY (pending);
        cancelled := cardinality(pending);

        -- As the query CancelJobs.
        UPDATE outhook.river_job AS j SET
            state = CASE j.state::text WHEN 'running' THEN j.state ELSE 'cancelled' END,
            finalized_at = CASE j.state::text WHEN 'running' THEN NULL ELSE now() END,
            metadata = CASE j.state::text WHEN 'running' THEN j.metadata || jsonb_build_object('cancel_attempted_at', now()) ELSE j.metadata END
        WHERE j.id = ANY (waiting) AND j.state::text IN ('running', 'available', 'retryable', 'scheduled', 'pending');
    END IF;
    RETURN NEXT;
END
$$;
