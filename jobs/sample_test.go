package jobs_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/jobs/sample"
)

// described puts a type into the catalogue.
func (b *testBundle) described(t *testing.T, name, enforce string, version int, schema string) {
	t.Helper()
	_, err := b.pool.Exec(b.ctx, `WITH t AS (
			INSERT INTO outhook.event_types AS t (id, name, title, description, group_name, visibility, flags, enforce, version, webhook, item, components)
			VALUES (outhook.uuid_v7(), $1, '', '', '', 'public', '{}', $2, $3, $1, '{}', '{}')
			ON CONFLICT (name) DO UPDATE SET version = excluded.version RETURNING id
		)
		INSERT INTO outhook.event_type_versions (event_type_id, version, schema, examples, breaking) SELECT t.id, $3, $4, '[]', false FROM t`,
		name, enforce, version, schema)
	require.NoError(t, err)
}

// happened stores events of a type and a payload in a minute that is over.
func (b *testBundle) happened(t *testing.T, at time.Time, n int, eventType, payload string) {
	t.Helper()
	_, err := b.pool.Exec(b.ctx, `INSERT INTO outhook.events (id, created_at, tenant_id, type, payload)
		SELECT outhook.uuid_v7($1, n), $1, 'acme', $3, $4 FROM generate_series(1, $2::integer) AS n`, at, n, eventType, payload)
	require.NoError(t, err)
}

const sampled = `SELECT format('%s %s: %s of %s%s', s.type, coalesce(s.version::text, '-'), s.violations, s.checked,
	CASE WHEN s.event_id IS NOT NULL THEN ' ' || s.pointer || ' ' || s.problem END) FROM outhook.event_type_samples AS s ORDER BY s.type`

// A sample of each minute's events is held against the catalogue: what breaks its schema is counted, and one of it is told, without
// a word of its payload; what is not described is listed.
func TestSamples(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var now time.Time
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT now()`).Scan(&now))
	minute := now.Truncate(time.Minute).Add(-2 * time.Minute)
	b.described(t, "good.type", "warn", 1, `{"type":"object"}`)
	b.described(t, "bad.type", "reject", 3, `{"type":"object","properties":{"n":{"type":"integer"}}}`)
	b.described(t, "unloved.type", "none", 1, `{"type":"null"}`)
	b.happened(t, minute.Add(time.Second), 200, "good.type", `{}`)
	b.happened(t, minute.Add(20*time.Second), 5, "bad.type", `{"n":1}`)
	b.happened(t, minute.Add(59*time.Second), 2, "bad.type", `{"n":"a secret"}`)
	b.happened(t, minute.Add(30*time.Second), 1, "unloved.type", `1`)
	b.happened(t, minute.Add(40*time.Second), 3, "new.type", `1`)
	b.happened(t, minute.Add(41*time.Second), 1, "outhook.test", `1`)
	b.happened(t, minute.Add(-time.Second), 9, "of.another.minute", `1`)
	b.happened(t, minute.Add(time.Minute), 9, "of.another.minute", `1`)
	_, err := b.pool.Exec(b.ctx, `INSERT INTO outhook.events (id, created_at, tenant_id, type) SELECT outhook.uuid_v7($1, 1), $1, 'acme', 'erased.type'`, minute.Add(2*time.Second))
	require.NoError(t, err)

	require.NoError(t, sample.Minute(b.ctx, b.pool, minute))
	require.Equal(t, []string{
		"bad.type 3: 2 of 7 /n must be integer", "good.type 1: 0 of 20", "new.type -: 0 of 3", "unloved.type 1: 0 of 1",
	}, b.lines(t, sampled))
	require.Equal(t, []string{"true"}, b.lines(t, `SELECT (e.payload::text LIKE '%secret%')::text FROM outhook.events AS e
		JOIN outhook.event_type_samples AS s ON s.event_id = e.id`))

	// Counts go on, and begin anew with a version.
	require.NoError(t, sample.Minute(b.ctx, b.pool, minute))
	require.Contains(t, b.lines(t, sampled), "bad.type 3: 4 of 14 /n must be integer")
	b.described(t, "bad.type", "reject", 4, `{"type":"object"}`)
	b.described(t, "new.type", "warn", 1, `{"type":"integer"}`)
	require.NoError(t, sample.Minute(b.ctx, b.pool, minute))
	require.Contains(t, b.lines(t, sampled), "bad.type 4: 0 of 7")
	require.Contains(t, b.lines(t, sampled), "new.type 1: 0 of 3")
	require.NoError(t, sample.Minute(b.ctx, b.pool, minute.Add(-time.Hour)), "nothing happened")
}

// Of types that are made of ids, so many are noted and no more.
func TestSamplesNoteNotEveryType(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.pool.Exec(b.ctx, `INSERT INTO outhook.event_type_samples (type, seen_at) SELECT 'old.t' || n, now() FROM generate_series(1, $1::integer) AS n`,
		sample.MaxUndescribed-1)
	require.NoError(t, err)
	var now time.Time
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT now()`).Scan(&now))
	minute := now.Truncate(time.Minute).Add(-2 * time.Minute)
	for i := range 40 {
		b.happened(t, minute.Add(time.Duration(i)*time.Second), 1, fmt.Sprintf("new.t%d_%s", i, uuid.NewString()[:8]), `1`)
	}
	require.NoError(t, sample.Minute(b.ctx, b.pool, minute))
	require.NoError(t, sample.Minute(b.ctx, b.pool, minute))
	require.Equal(t, []string{"true"}, b.lines(t, fmt.Sprintf(`SELECT (count(*) = %d)::text FROM outhook.event_type_samples`, sample.MaxUndescribed)))

	// Those of which none was seen for a month make room.
	_, err = b.pool.Exec(b.ctx, `UPDATE outhook.event_type_samples SET seen_at = now() - interval '31 days' WHERE type LIKE 'old.%'`)
	require.NoError(t, err)
	require.NoError(t, sample.Minute(b.ctx, b.pool, minute))
	require.NoError(t, sample.Minute(b.ctx, b.pool, minute))
	require.Equal(t, []string{"40"}, b.lines(t, `SELECT count(*)::text FROM outhook.event_type_samples`))
}
