-- bulk_queue returns the queue in which a tenant's bursts wait: bulk- and 28 bits of a hash, so that a queue's name is short and
-- tells nobody's. The workers of deliver_bulk take from all of them in turn (jobs/lane/turns.go). Two tenants whose hashes are the
-- same share a turn; should the hash be another in a later release of Postgres, a tenant has two until the first is empty.
CREATE OR REPLACE FUNCTION outhook.bulk_queue(tenant_id text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN 'bulk-' || lpad(to_hex(hashtext(tenant_id COLLATE "C") & 268435455), 7, '0');
