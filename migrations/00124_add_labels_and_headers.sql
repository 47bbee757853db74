-- Locks and time: ACCESS EXCLUSIVE on events with its partitions, endpoints and endpoint_revisions, for a moment: no row is touched.
-- Whoever has enqueued and has not committed is waited for, and who enqueues would wait behind it: so the locks are waited for half
-- a second at most, then they go first for 3 s, and so on until they are there. Processes of the version before name the columns
-- that they write, and go on; they send no headers of events, and none of CloudEvents.

-- +goose Up
-- +goose StatementBegin
DO $$
BEGIN
    PERFORM set_config('lock_timeout', '500', true);
    LOOP
        BEGIN
            LOCK TABLE outhook.events, outhook.endpoints, outhook.endpoint_revisions IN ACCESS EXCLUSIVE MODE;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(3);
        END;
    END LOOP;
END
$$;
-- +goose StatementEnd

ALTER TABLE outhook.events
    -- Whose endpoints with labels get it: those that have one of these. NULL, which takes no space, is none.
    ADD COLUMN labels text[] COLLATE "C",
    -- Extra request headers to all endpoints, name to value. NULL: none.
    ADD COLUMN headers jsonb,
    -- When its publisher wants it to be delivered. NULL: at once.
    ADD COLUMN deliver_at timestamptz,
    -- When its publisher took it back before that. NULL: it is to be delivered.
    ADD COLUMN withdrawn_at timestamptz;

ALTER TABLE outhook.endpoints
    -- It gets the events that have one of these. Empty: all events.
    ADD COLUMN labels text[] COLLATE "C" NOT NULL DEFAULT '{}',
    -- What its requests say of the event beside the payload: Outhook's own headers, with 'cloudevents' those of its binary mode, too.
    ADD COLUMN format text COLLATE "C" NOT NULL DEFAULT 'standard'
        CONSTRAINT endpoints_format_known CHECK (format IN ('standard', 'cloudevents'));

-- As the endpoint's.
ALTER TABLE outhook.endpoint_revisions
    ADD COLUMN labels text[] COLLATE "C" NOT NULL DEFAULT '{}';

-- +goose Down
ALTER TABLE outhook.endpoint_revisions DROP COLUMN labels;
ALTER TABLE outhook.endpoints DROP COLUMN format, DROP COLUMN labels;
ALTER TABLE outhook.events DROP COLUMN withdrawn_at, DROP COLUMN deliver_at, DROP COLUMN headers, DROP COLUMN labels;
