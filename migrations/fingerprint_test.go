package migrations_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// fingerprintSQL describes every object of the schema, one a line. Rights are those of all but the owner, and the defaults
// of an object whose rights nobody has changed are spelled out.
const fingerprintSQL = `
WITH rights AS (
    SELECT g.object, string_agg(coalesce(nullif(g.grantee, 0)::regrole::text, 'PUBLIC') || '=' || g.privilege_type, ','
        ORDER BY g.grantee::regrole::text COLLATE "C", g.privilege_type) AS list
    FROM (
        SELECT 'relation ' || c.oid AS object, c.relowner AS owner, a.*
        FROM pg_class AS c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS a
        UNION ALL SELECT 'column ' || c.attrelid || ' ' || c.attnum, 0, a.* FROM pg_attribute AS c, aclexplode(c.attacl) AS a
        UNION ALL SELECT 'function ' || p.oid, p.proowner, a.*
        FROM pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
        UNION ALL SELECT 'type ' || t.oid, t.typowner, a.*
        FROM pg_type AS t, aclexplode(coalesce(t.typacl, acldefault('T', t.typowner))) AS a
        UNION ALL SELECT 'schema ' || n.oid, n.nspowner, a.*
        FROM pg_namespace AS n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
    ) AS g
    WHERE g.grantee <> g.owner
    GROUP BY g.object
)
SELECT l.line FROM (
    SELECT format('schema rights %s', r.list) AS line
    FROM pg_namespace AS n LEFT JOIN rights AS r ON r.object = 'schema ' || n.oid WHERE n.nspname = 'outhook'
    UNION ALL
    SELECT format('relation %s kind %s%s by %s partition %s options %s rights %s comment %s', c.relname, c.relkind,
        c.relpersistence, pg_get_partkeydef(c.oid), c.relispartition, c.reloptions, r.list, obj_description(c.oid, 'pg_class'))
    FROM pg_class AS c LEFT JOIN rights AS r ON r.object = 'relation ' || c.oid
    WHERE c.relnamespace = 'outhook'::regnamespace
    UNION ALL
    SELECT format('column %s.%s %s %s not null %s default %s identity %s collation %s rights %s', c.relname, a.attname,
            row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), -- those that were dropped keep their numbers
        format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity,
        nullif(a.attcollation, 0)::regcollation, r.list)
    FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN rights AS r ON r.object = 'column ' || a.attrelid || ' ' || a.attnum
    WHERE c.relnamespace = 'outhook'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'c')
    UNION ALL
    SELECT format('index %s valid %s of %s', pg_get_indexdef(i.indexrelid), i.indisvalid, h.inhparent::regclass)
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid LEFT JOIN pg_inherits AS h ON h.inhrelid = i.indexrelid
    WHERE c.relnamespace = 'outhook'::regnamespace
    UNION ALL
    SELECT format('constraint %s on %s %s', o.conname, o.conrelid::regclass, pg_get_constraintdef(o.oid))
    FROM pg_constraint AS o WHERE o.connamespace = 'outhook'::regnamespace
    UNION ALL
    SELECT format('sequence %s %s %s %s', s.seqrelid::regclass, s.seqtypid::regtype, s.seqincrement,
        (SELECT a.attrelid::regclass || '.' || a.attname FROM pg_depend AS d
            JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
            WHERE d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid AND d.deptype IN ('a', 'i')))
    FROM pg_sequence AS s JOIN pg_class AS c ON c.oid = s.seqrelid WHERE c.relnamespace = 'outhook'::regnamespace
    UNION ALL
    SELECT format('view %s %s', c.relname, pg_get_viewdef(c.oid))
    FROM pg_class AS c WHERE c.relnamespace = 'outhook'::regnamespace AND c.relkind IN ('v', 'm')
    UNION ALL
    SELECT format('function %s rights %s %s', p.oid::regprocedure, r.list, pg_get_functiondef(p.oid))
    FROM pg_proc AS p LEFT JOIN rights AS r ON r.object = 'function ' || p.oid
    WHERE p.pronamespace = 'outhook'::regnamespace
    UNION ALL
    SELECT format('type %s %s %s rights %s', t.typname, t.typtype,
        (SELECT array_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum AS e WHERE e.enumtypid = t.oid), r.list)
    FROM pg_type AS t LEFT JOIN rights AS r ON r.object = 'type ' || t.oid
    WHERE t.typnamespace = 'outhook'::regnamespace
    UNION ALL
    SELECT format('trigger %s on %s %s', t.tgname, t.tgrelid::regclass, pg_get_triggerdef(t.oid))
    FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
    WHERE c.relnamespace = 'outhook'::regnamespace AND NOT t.tgisinternal
) AS l ORDER BY l.line COLLATE "C"`

// fingerprint describes the schema. Two of the same migrations are equal, whatever the day: the partitions' dates are
// counted from the first.
func fingerprint(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	lines := column[string](t, pool, fingerprintSQL)
	require.NotEmpty(t, lines)
	suffix := regexp.MustCompile(`_p20\d{6}`)
	days := suffix.FindAllString(strings.Join(lines, "\n"), -1)
	slices.Sort(days)
	var pairs []string
	for i, day := range slices.Compact(days) {
		pairs = append(pairs, day, fmt.Sprintf("_day%02d", i))
	}
	count := strings.NewReplacer(pairs...)
	for i, line := range lines {
		lines[i] = count.Replace(line)
	}
	return lines
}

// linesOf returns the lines that speak of an object.
func linesOf(fingerprint []string, object string) []string {
	return slices.DeleteFunc(slices.Clone(fingerprint), func(line string) bool { return !strings.Contains(line, object) })
}
