-- Locks and time: ACCESS EXCLUSIVE on delivery_attempts and its partitions, for a moment: no row is touched. Whoever is reading
-- attempts at that moment, as a report or pg_dump, is waited for, and workers that record would wait behind it: so the lock is
-- waited for 2 s at most, then they go first for 3 s, and so on until it is there. Workers of the version before name the columns
-- that they write, and go on.

-- +goose Up
-- +goose StatementBegin
DO $$
BEGIN
    PERFORM set_config('lock_timeout', '2000', true);
    LOOP
        BEGIN
            LOCK TABLE outhook.delivery_attempts IN ACCESS EXCLUSIVE MODE;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(3);
        END;
    END LOOP;
END
$$;
-- +goose StatementEnd

-- How long the phases of a request took, in microseconds: in milliseconds a connection within a data centre took none. NULL: there
-- was no such phase, since a connection was there or the URL has an address, or it did not end.
ALTER TABLE outhook.delivery_attempts
    -- Until the name's addresses were found.
    ADD COLUMN dns_us integer,
    -- Until one of them answered.
    ADD COLUMN connect_us integer,
    ADD COLUMN tls_us integer,
    -- From the end of the request to the first byte of the answer: the receiver's own time, and a way there and back.
    ADD COLUMN first_byte_us integer;

-- +goose Down
ALTER TABLE outhook.delivery_attempts DROP COLUMN dns_us, DROP COLUMN connect_us, DROP COLUMN tls_us,
    DROP COLUMN first_byte_us;
