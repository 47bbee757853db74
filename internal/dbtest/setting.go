package dbtest

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// Setting is a setting of Postgres that any user may set, and a value that is not the usual one.
type Setting struct{ Name, Value string }

// Settings returns all that any user may set and that could change what a statement does, each with each value that
// is not the usual one; of numbers the smallest. Left out is what ends a statement by itself, what refuses to write,
// and what only writes to the server's log.
func Settings(t testing.TB, pool *pgxpool.Pool) []Setting {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT s.name, v.value FROM pg_settings AS s, LATERAL (
			SELECT CASE s.setting WHEN 'on' THEN 'off' ELSE 'on' END AS value WHERE s.vartype = 'bool'
			UNION ALL SELECT e FROM unnest(s.enumvals) AS e WHERE e <> s.setting
			UNION ALL SELECT s.min_val WHERE s.vartype IN ('integer', 'real') AND s.min_val <> s.setting
		) AS v
		WHERE s.context = 'user' AND s.name !~ 'read_only$|timeout$|_interval$|^(log_|debug_|client_|tcp_|ssl_|trace_)'
			AND s.name NOT IN ('transaction_isolation', 'transaction_deferrable', 'exit_on_error', 'row_security', 'temp_file_limit')
		ORDER BY 1, 2`)
	require.NoError(t, err)

	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Setting])
	require.NoError(t, err)
	require.Greater(t, len(list), 70)
	return append(list,
		Setting{"search_path", "public"}, Setting{"DateStyle", "German"}, Setting{"TimeZone", "Asia/Kathmandu"},
		Setting{"plpgsql.extra_errors", "all"}, Setting{"plpgsql.extra_warnings", "all"},
		Setting{"statement_timeout", "60000"}, Setting{"lc_messages", "C"})
}
