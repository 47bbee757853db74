package pg_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/pg"
)

// A connection that is opened elsewhere would go by whatever its role's settings are. Each of these files states what pg.State
// does, or, like CheckSession, nothing but LISTEN and NOTIFY; the tools of measurement and of tests are nobody's guests.
func TestConnectionsAreOpenedInTheseFilesOnly(t *testing.T) {
	t.Parallel()
	opens := regexp.MustCompile(`pgxpool\.New(WithConfig)?\(|pgx\.Connect(Config)?\(|pgconn\.Connect(Config)?\(|sql\.Open\(`)
	tools := regexp.MustCompile(`^(cmd/outhook-chaos|internal/(bench|dbtest|localpg)|examples)/`)
	var found []string
	root := os.DirFS("../..")
	require.NoError(t, fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") || tools.MatchString(path) {
			return err
		}
		text, err := fs.ReadFile(root, path)
		if opens.Match(text) {
			found = append(found, path)
		}
		return err
	}))
	slices.Sort(found)
	require.Equal(t, []string{
		"cmd/outhook/internal/server/pool.go", "internal/pg/pool.go", "internal/pg/session.go", "internal/pg/state.go",
		"migrations/schema.go",
	}, found)
}

// Whatever the database, the role or the address has set, a connection of ours has what State says.
func TestAConnectionStatesItsOwnSettings(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	stated := map[string]string{}
	for _, pair := range regexp.MustCompile(`\('([\w.]+)', '([^']*)'\)`).FindAllStringSubmatch(pg.State, -1) {
		stated[pair[1]] = pair[2]
	}
	require.Greater(t, len(stated), 40)

	// Another value for each that there is.
	cfg := pool.Config().ConnConfig.Copy()
	plain, err := pgx.ConnectConfig(t.Context(), cfg)
	require.NoError(t, err)
	defer plain.Close(t.Context())
	rows, err := plain.Query(t.Context(), `SELECT s.name, CASE s.vartype WHEN 'bool' THEN CASE s.setting WHEN 'on' THEN 'off' ELSE 'on' END
			WHEN 'integer' THEN (greatest(s.min_val::bigint, 1) + 1)::text ELSE (SELECT e FROM unnest(s.enumvals) AS e WHERE e <> s.setting LIMIT 1) END
		FROM pg_settings AS s WHERE s.name = ANY ($1) AND s.vartype <> 'string' AND s.context = 'user'`, slices.Collect(maps.Keys(stated)))
	require.NoError(t, err)
	others := map[string]string{
		"search_path": "public", "DateStyle": "German", "statement_timeout": "50000", "lock_timeout": "50000", "idle_session_timeout": "50000",
	}
	type pair struct{ Name, Value string }
	pairs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[pair])
	require.NoError(t, err)
	for _, p := range pairs {
		if _, ok := others[p.Name]; !ok {
			others[p.Name] = p.Value
		}
	}
	require.Greater(t, len(others), 35)
	maps.Copy(cfg.RuntimeParams, others)

	conn, err := pg.Connect(t.Context(), cfg, "SELECT 1")
	require.NoError(t, err)
	defer pg.CloseSide(t.Context(), conn)
	for name, want := range stated {
		var got *string
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT current_setting($1, true)`, name).Scan(&got))
		if got != nil { // of a newer Postgres
			require.Contains(t, []string{want, want + "ms"}, *got, name)
		}
	}
	var path string
	require.NoError(t, conn.QueryRow(t.Context(), `SHOW search_path`).Scan(&path))
	require.Equal(t, "pg_catalog, pg_temp", strings.ReplaceAll(path, `"`, ""))
}
