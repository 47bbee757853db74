-- Locks and time: ACCESS EXCLUSIVE on endpoints and endpoint_revisions, for a moment: no row is touched. Whoever has enqueued and
-- has not committed is waited for, and who enqueues would wait behind it: so the lock is waited for half a second at most, then
-- they go first for 3 s, and so on until it is there. Processes of the version before name the columns that they write, and go on;
-- they set no filter, and what they enqueue goes by those that there are.

-- +goose Up
-- +goose StatementBegin
DO $$
BEGIN
    PERFORM set_config('lock_timeout', '500', true);
    LOOP
        BEGIN
            LOCK TABLE outhook.endpoints, outhook.endpoint_revisions IN ACCESS EXCLUSIVE MODE;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(3);
        END;
    END LOOP;
END
$$;
-- +goose StatementEnd

-- Which events it gets, of those that it is subscribed to. NULL: all.
ALTER TABLE outhook.endpoints
    -- As people write it (docs/filters.md).
    ADD COLUMN filter json,
    -- The same as Postgres evaluates it, compiled by internal/filter: true or false of each event's document.
    ADD COLUMN filter_path jsonpath,
    -- Each enqueue reads it with the row: it stays there, and the other goes elsewhere if both are large.
    ALTER COLUMN filter_path SET STORAGE MAIN;

-- As the endpoint's.
ALTER TABLE outhook.endpoint_revisions
    ADD COLUMN filter json,
    ADD COLUMN filter_path jsonpath;

-- +goose Down
ALTER TABLE outhook.endpoint_revisions DROP COLUMN filter_path, DROP COLUMN filter;
ALTER TABLE outhook.endpoints DROP COLUMN filter_path, DROP COLUMN filter;
