-- Locks and time: SHARE on event_keys while its index is made, so events with a key wait, about 1 s for a million of them.
-- Processes of the version before go on with it.

-- +goose Up
-- The key of an event, for reports; whoever does not ask for it does not pay, since the planner leaves out a join that
-- finds one row at most.
CREATE UNIQUE INDEX event_keys_event_id_idx ON outhook.event_keys (event_id);

-- +goose Down
DROP INDEX outhook.event_keys_event_id_idx;
