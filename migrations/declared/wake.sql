-- wake notifies the workers of a queue. NOTIFY serialises commits, so of the transactions that are open at the same time
-- only one does, unless it must; its notification may come before another's commit, and then the workers' poll finds that.
--
-- A transaction that is to be prepared (two-phase commit) must not notify. It says so by SET LOCAL outhook.notify = off; the
-- poll finds its jobs 50 ms later at most.
CREATE OR REPLACE FUNCTION outhook.wake(queue text, always boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    name CONSTANT text COLLATE "C" := queue;
BEGIN
    IF lower(coalesce(current_setting('outhook.notify', true), '') COLLATE "C") IN ('off', 'false', 'no', '0') THEN
        RETURN;
    END IF;
    IF always OR pg_try_advisory_xact_lock(1869968488, hashtext(name)) THEN
        PERFORM pg_notify('outhook.river_insert', json_build_object('queue', name)::text);
    END IF;
END
$$;
