-- deliver_at_problem returns what is wrong with when an event is to be delivered, or NULL. What is past is at once. 30 days: as
-- long as the log is kept unless something else is said.
CREATE OR REPLACE FUNCTION outhook.deliver_at_problem(deliver_at timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN deliver_at > clock_timestamp() + interval '30 days' THEN 'deliver_at must be at most 30 days ahead' END;
