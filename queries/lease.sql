-- Queries of leases: see outhook.leases. until is the database's clock_timestamp, whatever the transaction's start.

-- name: TakeLease :execrows
-- Takes a lease that is free, or renews one's own. 0: another holds it.
INSERT INTO outhook.leases AS l (name, holder, until)
VALUES (@name, @holder, clock_timestamp() + make_interval(secs => @seconds::float8))
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until,
    since = CASE WHEN l.until < clock_timestamp() THEN excluded.since ELSE l.since END
WHERE l.holder = excluded.holder OR l.until < clock_timestamp();

-- name: HoldLease :execrows
-- Keeps a lease from being taken until the transaction ends. 0: the holder has lost it.
SELECT FROM outhook.leases WHERE name = @name AND holder = @holder AND until > clock_timestamp() FOR SHARE;

-- name: GiveLease :exec
-- Gives a lease back.
DELETE FROM outhook.leases WHERE name = @name AND holder = @holder;
