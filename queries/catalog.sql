-- Queries of the catalogue of event types.

-- name: GetCatalog :one
SELECT c.frame, c.revision, c.updated_at FROM outhook.catalogs AS c;

-- name: GetCatalogRevision :one
SELECT c.revision FROM outhook.catalogs AS c;

-- name: LockCatalog :one
-- Before any change of it: one after the other, each is a change of the whole.
SELECT c.frame, c.revision, c.updated_at FROM outhook.catalogs AS c FOR UPDATE;

-- name: ChangeCatalog :exec
-- Without a frame it keeps the one that it has.
UPDATE outhook.catalogs SET frame = coalesce(sqlc.narg('frame')::json, frame), revision = revision + 1, updated_at = now();

-- name: ListEventTypes :many
-- Without what their documents say.
SELECT t.id, t.name, t.title, t.description, t.group_name, t.visibility, t.flags, t.state, t.enforce, t.version, t.created_at, t.updated_at,
    coalesce(s.checked, 0)::bigint AS checked, coalesce(s.violations, 0)::bigint AS violations, s.seen_at
FROM outhook.event_types AS t
LEFT JOIN outhook.event_type_samples AS s ON s.type = t.name AND s.version = t.version
WHERE (sqlc.narg('state')::text IS NULL OR t.state = sqlc.narg('state'))
    AND (sqlc.narg('group_name')::text IS NULL OR t.group_name = sqlc.narg('group_name'))
    AND (NOT @only_public::boolean OR t.visibility = 'public' AND t.state <> 'archived')
    AND (sqlc.narg('cursor')::uuid IS NULL OR CASE WHEN @ascending::boolean THEN t.id > sqlc.narg('cursor') ELSE t.id < sqlc.narg('cursor') END)
ORDER BY CASE WHEN @ascending THEN t.id END, CASE WHEN NOT @ascending THEN t.id END DESC
LIMIT @max_rows;

-- name: GetEventType :one
SELECT t.*, v.schema, v.examples FROM outhook.event_types AS t
JOIN outhook.event_type_versions AS v ON v.event_type_id = t.id AND v.version = t.version
WHERE t.name = @name;

-- name: LockEventType :one
-- With its newest schema.
SELECT t.*, v.schema FROM outhook.event_types AS t
JOIN outhook.event_type_versions AS v ON v.event_type_id = t.id AND v.version = t.version
WHERE t.name = @name
FOR UPDATE OF t;

-- name: ListCatalogTypes :many
-- Those of a document, with what it says of them; without names all that are not archived.
SELECT t.*, v.schema, v.examples FROM outhook.event_types AS t
JOIN outhook.event_type_versions AS v ON v.event_type_id = t.id AND v.version = t.version
WHERE CASE WHEN cardinality(@names::text[]) > 0 THEN t.name = ANY (@names) ELSE t.state <> 'archived' END
    AND (NOT @only_public::boolean OR t.visibility = 'public')
ORDER BY t.name;

-- name: ListSchemas :many
-- Those that payloads are held against, of types whose enforcement is one of some.
SELECT t.name, t.version, t.enforce, v.schema FROM outhook.event_types AS t
JOIN outhook.event_type_versions AS v ON v.event_type_id = t.id AND v.version = t.version
WHERE t.state <> 'archived' AND t.enforce = ANY (@enforce::text[]);

-- name: ListSchemasOf :many
-- Of those of some types that are in the catalogue.
SELECT t.name, t.version, t.enforce, v.schema FROM outhook.event_types AS t
JOIN outhook.event_type_versions AS v ON v.event_type_id = t.id AND v.version = t.version
WHERE t.state <> 'archived' AND t.name = ANY (@names::text[]);

-- name: ListTypeNames :many
SELECT t.name FROM outhook.event_types AS t WHERE t.state <> 'archived' ORDER BY t.name;

-- name: MeasureCatalog :one
-- How many types there are, archived or not, and how many bytes they take.
SELECT count(*) AS types, coalesce(sum(octet_length(t.item::text) + octet_length(t.components::text)), 0)::bigint AS bytes
FROM outhook.event_types AS t;

-- name: InsertEventType :one
INSERT INTO outhook.event_types (id, name, title, description, group_name, visibility, flags, state, version, webhook, item, components)
VALUES (outhook.uuid_v7(), @name, @title, @description, @group_name, @visibility, @flags, @state, @version, @webhook, @item, @components)
RETURNING *;

-- name: UpdateEventType :one
UPDATE outhook.event_types SET title = @title, description = @description, group_name = @group_name, visibility = @visibility,
    flags = @flags, state = @state, enforce = @enforce, guard = sqlc.narg('guard'), version = @version, webhook = @webhook, item = @item, components = @components,
    updated_at = greatest(now(), updated_at + interval '1 us')
WHERE id = @id
RETURNING *;

-- name: DeleteEventType :exec
-- With its versions, and what samples of it showed.
WITH s AS (DELETE FROM outhook.event_type_samples WHERE type = @name)
DELETE FROM outhook.event_types WHERE name = @name;

-- name: InsertEventTypeVersion :exec
INSERT INTO outhook.event_type_versions (event_type_id, version, schema, examples, breaking, note)
VALUES (@event_type_id, @version, @schema, @examples, @breaking, @note);

-- name: SetExamples :exec
-- Those of the newest version, whose schema is the same.
UPDATE outhook.event_type_versions SET examples = @examples WHERE event_type_id = @event_type_id AND version = @version;

-- name: ListEventTypeVersions :many
-- Newest first.
SELECT v.version, v.breaking, v.note, v.created_at FROM outhook.event_type_versions AS v
WHERE v.event_type_id = @event_type_id
ORDER BY v.version DESC
LIMIT @max_rows;

-- name: GetEventTypeVersion :one
SELECT t.id, t.visibility, t.state, v.version, v.schema, v.examples, v.breaking, v.note, v.created_at, b.schema AS before
FROM outhook.event_types AS t
JOIN outhook.event_type_versions AS v ON v.event_type_id = t.id AND v.version = @version
LEFT JOIN outhook.event_type_versions AS b ON b.event_type_id = t.id AND b.version = v.version - 1
WHERE t.name = @name;

-- name: GetEventTypeSample :one
SELECT * FROM outhook.event_type_samples WHERE type = @type;

-- name: ListUndescribedTypes :many
-- Those that were seen in samples and are not in the catalogue, last seen first.
SELECT s.type, s.since, s.checked, s.seen_at FROM outhook.event_type_samples AS s
WHERE NOT EXISTS (SELECT FROM outhook.event_types AS t WHERE t.name = s.type AND t.state <> 'archived')
ORDER BY s.seen_at DESC, s.type
LIMIT @max_rows;

-- name: CountSubscribers :one
-- How many endpoints get events of a type, unless they have filters: at most as many as asked for.
SELECT count(*) FROM (
    SELECT FROM outhook.endpoints AS n
    WHERE n.deleted_at IS NULL AND n.status <> 'disabled' AND outhook.endpoint_wants(n.event_types, (SELECT outhook.type_patterns(@type)), NULL, NULL)
        AND (sqlc.narg('tenant_id')::text IS NULL OR n.tenant_id = sqlc.narg('tenant_id'))
    LIMIT @max_rows
) AS n;

-- name: SampleEvents :many
-- Of the events from each of some ids on to before the next one, the first few; of each type so many at most. With their payloads,
-- unless these are gone.
WITH s AS MATERIALIZED (
    SELECT e.id, e.type FROM (SELECT unnest(@lows::uuid[]) AS low, unnest(@highs::uuid[]) AS high) AS r
    CROSS JOIN LATERAL (
        SELECT v.id, v.type FROM outhook.events AS v WHERE v.id >= r.low AND v.id < r.high ORDER BY v.id LIMIT @rows_each
    ) AS e
), n AS MATERIALIZED (
    SELECT s.id, s.type, row_number() OVER (PARTITION BY s.type ORDER BY md5(s.id::text)) AS nth FROM s
)
SELECT e.id, e.type, e.payload FROM n AS p
JOIN outhook.events AS e ON e.id = p.id AND e.id >= @low::uuid AND e.id < @high::uuid
WHERE p.nth <= @per_type::bigint AND e.payload IS NOT NULL AND p.type NOT LIKE 'outhook.%'
LIMIT @max_rows;

-- name: DeleteOldSamples :exec
DELETE FROM outhook.event_type_samples WHERE seen_at < now() - interval '30 days';

-- name: CountSamples :exec
-- Adds what a sample showed, a row a type in the order of their names. Of types that are not described at most max_types are kept.
INSERT INTO outhook.event_type_samples AS s (type, version, checked, violations, seen_at, event_id, pointer, problem)
SELECT r.type, r.version, r.checked, r.violations, now(), r.event_id, r.pointer, r.problem
FROM (SELECT unnest(@types::text[]) AS type, generate_subscripts(@types::text[], 1) AS nth, nullif(unnest(@versions::integer[]), 0) AS version, unnest(@checked::bigint[]) AS checked,
        unnest(@violations::bigint[]) AS violations, nullif(unnest(@event_ids::uuid[]), '00000000-0000-0000-0000-000000000000') AS event_id,
        unnest(@pointers::text[]) AS pointer, unnest(@problems::text[]) AS problem) AS r
WHERE r.version IS NOT NULL OR EXISTS (SELECT FROM outhook.event_type_samples AS k WHERE k.type = r.type)
    OR (SELECT count(*) FROM outhook.event_type_samples AS k WHERE k.version IS NULL) + r.nth <= @max_types::bigint
ORDER BY r.type
ON CONFLICT (type) DO UPDATE SET
    version = excluded.version, seen_at = excluded.seen_at,
    since = CASE WHEN s.version IS DISTINCT FROM excluded.version THEN excluded.since ELSE s.since END,
    checked = CASE WHEN s.version IS DISTINCT FROM excluded.version THEN 0 ELSE s.checked END + excluded.checked,
    violations = CASE WHEN s.version IS DISTINCT FROM excluded.version THEN 0 ELSE s.violations END + excluded.violations,
    event_id = CASE WHEN excluded.event_id IS NOT NULL OR s.version IS DISTINCT FROM excluded.version THEN excluded.event_id ELSE s.event_id END,
    pointer = CASE WHEN excluded.event_id IS NOT NULL OR s.version IS DISTINCT FROM excluded.version THEN excluded.pointer ELSE s.pointer END,
    problem = CASE WHEN excluded.event_id IS NOT NULL OR s.version IS DISTINCT FROM excluded.version THEN excluded.problem ELSE s.problem END;
