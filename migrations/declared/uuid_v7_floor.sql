-- uuid_v7_floor returns the smallest id of a time: every UUIDv7 made at that time or later is greater. Lists by time
-- and partition bounds use it, so that the planner can prune partitions.
CREATE OR REPLACE FUNCTION outhook.uuid_v7_floor(at timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (encode(int8send((floor(extract(epoch FROM at) * 4096000)::bigint >> 12 << 16) | 28672
        | (floor(extract(epoch FROM at) * 4096000)::bigint & 4095)), 'hex') || '0000000000000000')::uuid;
