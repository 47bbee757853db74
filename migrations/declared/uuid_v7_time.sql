-- uuid_v7_time returns the time inside a UUIDv7 that uuid_v7 made, to the microsecond (rounded down).
CREATE OR REPLACE FUNCTION outhook.uuid_v7_time(id uuid) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN 'epoch'::timestamptz + (('x' || encode(substring(uuid_send(id) FROM 1 FOR 6), 'hex'))::bit(48)::bigint * 1000
    + ((('x' || encode(substring(uuid_send(id) FROM 7 FOR 2), 'hex'))::bit(16)::integer & 4095) * 1000 >> 12))
    * interval '1 microsecond';
