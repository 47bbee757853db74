package migrations_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/outhook/outhook/internal/dbtest"
)

// lastMicrosecond is in the year 2255: PostgreSQL multiplies intervals with double precision, exact to 53 bits.
const lastMicrosecond = 1<<53 - 1

// ids are what the database makes of a time.
type ids struct {
	ID, Later, Earlier, Floor uuid.UUID
	Time, LaterTime           time.Time
}

func makeIDs(ctx context.Context, pool *pgxpool.Pool, at time.Time, ticks int64) (*ids, error) {
	rows, err := pool.Query(ctx, `SELECT v.id, v.later, v.earlier, outhook.uuid_v7_floor($1) AS floor,
			outhook.uuid_v7_time(v.id) AS time, outhook.uuid_v7_time(v.later) AS later_time
		FROM (SELECT outhook.uuid_v7($1) AS id, outhook.uuid_v7($1, $2) AS later,
			outhook.uuid_v7($1::timestamptz - interval '1 microsecond') AS earlier) AS v`, at, ticks)
	if err != nil {
		return nil, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[ids])
}

// head is the first half of the UUIDv7 of a time: milliseconds, version, and the fraction of the millisecond in 12 bits
// (RFC 9562, section 6.2, method 3), computed in another way than the SQL function does.
func head(at time.Time, ticks int64) []byte {
	ms, us := at.UnixMicro()/1000, at.UnixMicro()%1000
	ticks += us * 4096 / 1000
	return binary.BigEndian.AppendUint64(nil, uint64((ms+ticks/4096)<<16|7<<12|ticks%4096))
}

func compare(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

func TestUUIDv7HoldsItsTime(t *testing.T) {
	t.Parallel()
	pool, ctx := dbtest.New(t), t.Context()
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMicro(rapid.Int64Range(1, lastMicrosecond).Draw(t, "at"))
		ticks := rapid.Int64Range(1, 1<<20).Draw(t, "ticks")
		made, err := makeIDs(ctx, pool, at, ticks)
		require.NoError(t, err)

		for _, id := range []uuid.UUID{made.ID, made.Later, made.Earlier} {
			require.EqualValues(t, 7, id.Version())
			require.Equal(t, uuid.RFC4122, id.Variant())
		}
		require.Equal(t, head(at, 0), made.ID[:8])
		require.Equal(t, head(at, ticks), made.Later[:8])
		require.Equal(t, append(head(at, 0), make([]byte, 8)...), made.Floor[:])

		require.False(t, made.Time.After(at), "%s is after %s", made.Time, at)
		require.Less(t, at.Sub(made.Time), 2*time.Microsecond, "%s is more than 1 µs before %s", made.Time, at)
		require.False(t, made.LaterTime.Before(made.Time))
		require.Positive(t, compare(made.Later, made.ID), "a tick keeps the order")
		require.Negative(t, compare(made.Floor, made.ID))
		require.Positive(t, compare(made.Floor, made.Earlier), "of the microsecond before")
	})
}

func TestUUIDv7FollowsTheClock(t *testing.T) {
	t.Parallel()
	conn, err := dbtest.New(t).Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	var last uuid.UUID
	for range 200 {
		id := value[uuid.UUID](t, conn, `SELECT outhook.uuid_v7()`)
		require.Positive(t, compare(id, last), "%s was made after %s", id, last)
		last = id
	}
	age := value[time.Duration](t, conn, `SELECT clock_timestamp() - outhook.uuid_v7_time($1)`, last)
	require.Positive(t, age)
	require.Less(t, age, time.Minute)
}

// Half of an id is random, so that two processes do not make the same in the same microsecond.
func TestUUIDv7IsRandomWithinAnInstant(t *testing.T) {
	t.Parallel()
	made := column[uuid.UUID](t, dbtest.New(t), `SELECT outhook.uuid_v7(now()) FROM generate_series(1, 500)`)
	seen := map[string]bool{}
	for _, id := range made {
		require.Equal(t, made[0][:8], id[:8])
		seen[string(id[8:])] = true
	}
	require.Len(t, seen, 500)
}
