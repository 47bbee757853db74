-- The roles of compose.yaml, as docs/operations.md has them. The image runs this once, as the superuser, when the volume is
-- new; for a database that exists: psql -d outhook -f roles.sql, with the three passwords in the environment.
\set ON_ERROR_STOP on
\getenv owner_password POSTGRES_OWNER_PASSWORD
\getenv api_password POSTGRES_API_PASSWORD
\getenv worker_password POSTGRES_WORKER_PASSWORD

-- No password gets into the server's log.
SET log_statement = none;
SET log_min_duration_statement = -1;
SET log_min_error_statement = panic;

-- What may be done, and by whom: outhook migrate up gives these their rights.
CREATE ROLE outhook_publisher NOLOGIN;
CREATE ROLE outhook_reporter NOLOGIN;
CREATE ROLE outhook_server NOLOGIN;

-- Owns the schema: migrates, and removes old partitions.
CREATE ROLE outhook_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE outhook_api LOGIN PASSWORD :'api_password' IN ROLE outhook_server;
CREATE ROLE outhook_worker LOGIN PASSWORD :'worker_password' IN ROLE outhook_server;

-- Nobody else connects, to no database of this server.
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO outhook_owner, outhook_publisher, outhook_reporter, outhook_server;
GRANT CREATE ON DATABASE :"DBNAME" TO outhook_owner;
