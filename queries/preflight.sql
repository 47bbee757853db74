-- Queries of `outhook doctor --production`: they read the catalog and the server's settings.

-- name: InspectLogin :one
-- Who this login is, and how many connections there may be: room without those reserved for superusers, role_limit and
-- database_limit below 0 for none. pid is the server process's, which a pooler tells its clients otherwise.
SELECT r.rolname::text AS role, coalesce(r.rolsuper, false)::boolean AS superuser, (r.rolbypassrls OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication)::boolean AS powerful,
    coalesce((SELECT pg_has_role(n.nspowner, 'MEMBER') FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'outhook'), false)::boolean AS owns,
    coalesce((SELECT pg_has_role(g.oid, 'USAGE') FROM pg_catalog.pg_roles AS g WHERE g.rolname = 'outhook_server'), false)::boolean AS serves,
    coalesce(pg_has_role('pg_read_all_stats', 'USAGE'), false)::boolean AS sees_all,
    current_setting('server_version_num')::integer AS version_number, current_setting('server_version')::text AS version,
    pg_backend_pid()::integer AS pid, current_setting('transaction_read_only')::boolean AS read_only,
    (current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
        - coalesce(current_setting('reserved_connections', true), '0')::integer)::integer AS room,
    (SELECT count(*) FROM pg_catalog.pg_stat_activity AS a WHERE a.backend_type = 'client backend')::integer AS used,
    r.rolconnlimit::integer AS role_limit, d.datconnlimit::integer AS database_limit
FROM pg_catalog.pg_roles AS r, pg_catalog.pg_database AS d
WHERE r.rolname = session_user AND d.datname = current_database();

-- name: ListSettings :many
-- What sessions of this login begin with, before they state anything themselves.
SELECT s.name::text AS name, coalesce(s.reset_val, '')::text AS value FROM pg_catalog.pg_settings AS s WHERE s.name = ANY (@names::text[]);
