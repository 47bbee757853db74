package migrations

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// columnsSQL is one line for each column of each table, but for the partitions'.
const columnsSQL = `SELECT format('%s.%s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod))
	FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	WHERE c.relnamespace = 'outhook'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
	ORDER BY c.relname COLLATE "C", a.attname COLLATE "C"`

// readColumns returns the columns of the schema's tables, with their types.
func readColumns(ctx context.Context, q querier) ([]string, error) {
	rows, err := q.Query(ctx, columnsSQL)
	if err != nil {
		return nil, fmt.Errorf("reading the columns: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// compareColumns returns an error that names what the schema's tables lack, or have beyond those of a version.
func compareColumns(ctx context.Context, q querier, version int64) error {
	text, err := fs.ReadFile(files, fmt.Sprintf("columns/%d", version))
	if err != nil {
		return fmt.Errorf("the schema's comment names version %d, which this binary (%d) does not know: "+
			"use the one that fits", version, Latest())
	}

	want := strings.Split(strings.TrimSpace(string(text)), "\n")
	have, err := readColumns(ctx, q)
	if err != nil {
		return err
	}
	var differences []string
	for _, line := range want {
		if !slices.Contains(have, line) {
			differences = append(differences, "lacks "+line)
		}
	}
	for _, line := range have {
		if !slices.Contains(want, line) {
			differences = append(differences, "has "+line)
		}
	}
	if len(differences) > 0 {
		return fmt.Errorf("the schema's comment names version %d, but it %s: restore a dump that is whole",
			version, strings.Join(differences[:min(len(differences), 5)], ", "))
	}
	return nil
}

// arrayOf is the literal of the versions up to one, with goose's 0.
func arrayOf(version int64) string {
	versions := []string{"0", fmt.Sprint(riverMigration)}
	for _, name := range names() {
		if v := numberOf(name); v <= version {
			versions = append(versions, fmt.Sprint(v))
		}
	}
	slices.Sort(versions)
	return "{" + strings.Join(versions, ",") + "}"
}
