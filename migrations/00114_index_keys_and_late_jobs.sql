-- Locks and time: SHARE on each table while its index is made, so writes wait and reads do not. river_job is read once, about 1 s
-- for a million jobs; the other two are small. Processes of the version before go on with all three.

-- +goose Up
-- Which encryption keys are in use: each start asks for those that it lacks. Secrets are written when they are made, rotated
-- and encrypted anew, so the index costs no delivery anything.
CREATE INDEX endpoint_secrets_key_id_idx ON outhook.endpoint_secrets (key_id);

-- The same of secret headers, which few endpoints have: the key ids of an endpoint's, one for each header.
CREATE INDEX endpoints_header_keys_idx ON outhook.endpoints (jsonb_path_query_array(secret_headers, '$.*.key_id'))
    WHERE secret_headers <> '{}';

-- Jobs that trouble of ours has moved behind their time, by the time at which they were due (microseconds since 1970, in 16
-- digits): what has waited longest is the first of its queue. Nearly no job is in it.
CREATE INDEX river_job_late_idx ON outhook.river_job (queue, (metadata ->> 'due') COLLATE "C")
    WHERE metadata ? 'due' AND finalized_at IS NULL;

-- +goose Down
DROP INDEX outhook.river_job_late_idx;

DROP INDEX outhook.endpoints_header_keys_idx;

DROP INDEX outhook.endpoint_secrets_key_id_idx;
