-- key_conflict refuses an event whose idempotency key belongs to an event of another type or payload, for the enqueue
-- functions, which return an id and so can't tell it otherwise. Its message has neither key nor payload.
CREATE OR REPLACE FUNCTION outhook.key_conflict(first_event uuid) RETURNS uuid
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the idempotency key belongs to another event of the tenant, with another type or payload'
        USING ERRCODE = 'OH002', DETAIL = pg_catalog.format('The first event with this key is %s.', first_event),
            HINT = 'A key names one change, so make it of the id of the change, or leave it out.';
END
$$;
