-- +goose Up
-- Each is one SQL expression, which the planner puts into the query that calls it: no call at all. That needs a function
-- that is no more than STABLE where the expression is, and not STRICT.
-- uuid_v7 makes a UUIDv7 (RFC 9562, section 5.7) on the database's clock: 48 bits of Unix milliseconds, then 12 bits
-- that hold the fraction of the millisecond (method 3 of section 6.2: 1/4096 ms, about 0.24 µs), then 62 random bits.
-- ticks moves the time forward by that many 1/4096 ms, so that ids made in one call keep their order.
CREATE OR REPLACE FUNCTION outhook.uuid_v7(at timestamptz DEFAULT clock_timestamp(), ticks integer DEFAULT 0) RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN encode(overlay(uuid_send(gen_random_uuid()) PLACING int8send(
        ((floor(extract(epoch FROM at) * 4096000)::bigint + ticks) >> 12 << 16) | 28672
        | ((floor(extract(epoch FROM at) * 4096000)::bigint + ticks) & 4095)) FROM 1 FOR 8), 'hex')::uuid;
