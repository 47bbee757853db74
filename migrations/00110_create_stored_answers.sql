-- Locks and time: creates an empty table only; instant. Processes of the version before know nothing of it.

-- +goose Up
-- The answers to POST requests with an Idempotency-Key, each written in the transaction of its change: whoever repeats the
-- request within 24 hours is given the first answer again. A request under way holds its row.
CREATE TABLE outhook.stored_answers (
    -- HMAC-SHA-256 of the Idempotency-Key under the API key's hash: only whoever has both finds the row, and neither can be
    -- guessed from it.
    id         bytea NOT NULL,
    -- The API key in api_keys. NULL: the bootstrap key.
    api_key_id uuid,
    -- Whose objects the answer is about, and the tenant that the API key is bound to.
    tenant_ids text[] COLLATE "C" NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    -- The encryption key, and what it sealed with id as associated data: a hash of what was asked for, and the answer, which
    -- may hold a secret.
    key_id     text COLLATE "C" NOT NULL,
    sealed     bytea NOT NULL,
    CONSTRAINT stored_answers_pkey PRIMARY KEY (id)
);

-- What has expired.
CREATE INDEX stored_answers_created_at_idx ON outhook.stored_answers (created_at);

-- What goes with a key that is revoked, and with a tenant that is erased.
CREATE INDEX stored_answers_api_key_id_idx ON outhook.stored_answers (api_key_id) WHERE api_key_id IS NOT NULL;
CREATE INDEX stored_answers_tenant_ids_idx ON outhook.stored_answers USING gin (tenant_ids);

-- +goose Down
DROP TABLE outhook.stored_answers;
