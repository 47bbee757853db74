package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func TestPartitionsCommand(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	exec := func(sql string) {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	var today time.Time
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT (now() AT TIME ZONE 'UTC')::date`).Scan(&today))
	due := today.AddDate(0, 0, -8)
	exec(`SELECT outhook.create_partitions('` + due.Format(time.DateOnly) + `', '` + due.Format(time.DateOnly) + `')`)
	exec(`SELECT outhook.enqueue('acme', 'a.b', to_jsonb(repeat(n::text, 3000))) FROM generate_series(1, 50) AS n`)
	exec(`ANALYZE`)

	out, err := output(t, "partitions", "--json", "--database-url", url, "--retention", "7d")
	require.NoError(t, err, out)
	var got struct {
		Ahead, Due int
		Days       []struct {
			Day, State, Payloads string
			AgeDays              int `json:"age_days"`
			Tables               []struct {
				Parent      string
				Attached    bool
				RowEstimate *int64 `json:"row_estimate"`
				TableBytes  int64  `json:"table_bytes"`
				IndexBytes  int64  `json:"index_bytes"`
				ToastBytes  int64  `json:"toast_bytes"`
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &got), out)
	require.InDelta(t, 30, got.Ahead, 1, "midnight may have passed since the migration")
	require.Equal(t, 1, got.Due)
	require.Equal(t, due.Format(time.DateOnly), got.Days[0].Day)
	require.Equal(t, "due", got.Days[0].State)
	require.Equal(t, 8, got.Days[0].AgeDays)
	for _, d := range got.Days {
		require.Len(t, d.Tables, 3)
		if d.Day != today.Format(time.DateOnly) {
			continue
		}
		require.Equal(t, "kept", d.State)
		events := d.Tables[2]
		require.Equal(t, "events", events.Parent)
		require.True(t, events.Attached)
		require.Equal(t, int64(50), *events.RowEstimate)
		require.Positive(t, events.TableBytes)
		require.Positive(t, events.IndexBytes)
		require.Positive(t, events.ToastBytes)
	}

	out, err = output(t, "partitions", "--database-url", url)
	require.NoError(t, err, out)
	require.Contains(t, out, today.Format(time.DateOnly))
	require.Contains(t, out, " days ahead, 0 due")
}

func TestServeRefusesARetentionThatIsTooShort(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	for want, args := range map[string][]string{
		"OUTHOOK_RETENTION: the retention is too short": {"--retention", "1d"},
		"OUTHOOK_RETENTION must be at least 1d":         {"--retention", "0d"},
		"whole days like 30d":                           {"--retention", "36h"},
		"OUTHOOK_PAYLOAD_RETENTION must not be longer":  {"--payload-retention", "31d"},
		"OUTHOOK_JOB_RETENTION must be":                 {"--job-retention", "1s"},
		"the retention is too short: it is 3 days":      {"--retention", "3d", "--retry-schedule", "standard"},
		"jitter included, and a day (175h":              {"--retention", "5d", "--retry-schedule", "standard", "--retry-jitter", "1"},
	} {
		_, err := output(t, serveArgs(url, args...)...)
		require.ErrorContains(t, err, want)
	}
}
