package migrations

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// insufficientPrivilege is the SQLSTATE of what the user may not do.
const insufficientPrivilege = "42501"

// groupRoles are the roles that a migration makes. They belong to the whole cluster.
func groupRoles() []string {
	return []string{"outhook_publisher", "outhook_reporter", "outhook_server"}
}

// right is one privilege of a role on an object of the schema, or on a column of it.
type right struct {
	privilege, column, kind, object, role string
}

func (r right) String() string {
	privilege := r.privilege
	if r.column != "" {
		privilege += " (" + r.column + ")"
	}
	return fmt.Sprintf("%s ON %s %s", privilege, r.kind, r.object)
}

var (
	comment   = regexp.MustCompile(`(?m)^--.*$`)
	grant     = regexp.MustCompile(`(?s)^GRANT (.+?) ON (SCHEMA|TABLE|SEQUENCE|FUNCTION) (.+) TO (.+)$`)
	privilege = regexp.MustCompile(`([A-Z]+)(?: \(([^)]*)\))?`)
	// object is a name, with a function's arguments.
	object = regexp.MustCompile(`[\w.]+(?:\([^)]*\))?`)
)

// parseRights reads GRANT statements.
func parseRights(text string) ([]right, error) {
	var list []right
	for statement := range strings.SplitSeq(comment.ReplaceAllString(text, ""), ";") {
		statement = strings.Join(strings.Fields(statement), " ")
		if statement == "" {
			continue
		}
		m := grant.FindStringSubmatch(statement)
		if m == nil {
			return nil, fmt.Errorf("%q is no GRANT that can be read", statement)
		}

		for _, p := range privilege.FindAllStringSubmatch(m[1], -1) {
			for column := range strings.SplitSeq(strings.ReplaceAll(p[2], " ", ""), ",") {
				for _, object := range object.FindAllString(m[3], -1) {
					for role := range strings.SplitSeq(strings.ReplaceAll(m[4], " ", ""), ",") {
						list = append(list, right{p[1], column, m[2], object, role})
					}
				}
			}
		}
	}
	return list, nil
}

// actualRights are those of everybody but the owners, in the words of parseRights. The partitions are told as any
// table.
const actualRights = `
SELECT r.privilege, r.column_name, r.kind, r.name, CASE r.grantee WHEN 0 THEN 'PUBLIC' ELSE r.grantee::regrole::text END
FROM (
	SELECT a.privilege_type AS privilege, '' AS column_name,
		CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, c.oid::regclass::text AS name, a.grantee, c.relowner AS owner
	FROM pg_class AS c,
		acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner) AS usual,
		aclexplode(coalesce(c.relacl, usual)) AS a
	WHERE c.relnamespace = 'outhook'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
	UNION ALL
	SELECT a.privilege_type, t.attname, 'TABLE', c.oid::regclass::text, a.grantee, c.relowner
	FROM pg_class AS c JOIN pg_attribute AS t ON t.attrelid = c.oid, aclexplode(t.attacl) AS a
	WHERE NOT t.attisdropped AND c.relnamespace = 'outhook'::regnamespace
	UNION ALL
	SELECT a.privilege_type, '', 'FUNCTION', p.oid::regprocedure::text, a.grantee, p.proowner
	FROM pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
	WHERE p.pronamespace = 'outhook'::regnamespace
	UNION ALL
	SELECT a.privilege_type, '', 'SCHEMA', n.oid::regnamespace::text, a.grantee, n.nspowner
	FROM pg_namespace AS n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
	WHERE n.nspname = 'outhook'
) AS r
WHERE r.grantee <> r.owner`

// readRights returns the rights that there are.
func readRights(ctx context.Context, q querier) ([]right, error) {
	rows, err := q.Query(ctx, actualRights)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r right, err error) {
		return r, row.Scan(&r.privilege, &r.column, &r.kind, &r.object, &r.role)
	})
}

// resolve returns declared rights on what there is, for roles that there are, in the catalog's words.
func resolve(ctx context.Context, q querier, rights []right) ([]right, error) {
	const names = `SELECT coalesce(CASE o.kind WHEN 'FUNCTION' THEN to_regprocedure(o.name)::text
			WHEN 'SCHEMA' THEN to_regnamespace(o.name)::text ELSE to_regclass(o.name)::text END, ''),
		to_regrole(o.role) IS NOT NULL
	FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS o (kind, name, role, i) ORDER BY o.i`
	kinds, objects, roles := make([]string, len(rights)), make([]string, len(rights)), make([]string, len(rights))
	for i, r := range rights {
		kinds[i], objects[i], roles[i] = r.kind, r.object, r.role
	}
	rows, err := q.Query(ctx, names, kinds, objects, roles)
	if err != nil {
		return nil, err
	}

	type known struct {
		Name   string
		Exists bool
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[known])
	if err != nil {
		return nil, err
	}

	var list []right
	for i, k := range found {
		if r := rights[i]; k.Name != "" && k.Exists {
			r.object = k.Name
			list = append(list, r)
		}
	}
	return list, nil
}

// compareRights returns what is missing of the declared rights, and what the group roles and PUBLIC have beyond them.
func compareRights(ctx context.Context, q querier, rights []right) (missing, beyond []right, err error) {
	want, err := resolve(ctx, q, rights)
	if err != nil {
		return nil, nil, err
	}
	have, err := readRights(ctx, q)
	if err != nil {
		return nil, nil, err
	}

	for _, r := range want {
		if !slices.Contains(have, r) {
			missing = append(missing, r)
		}
	}
	ours := append(groupRoles(), "PUBLIC")
	for _, r := range have {
		if slices.Contains(ours, r.role) && !slices.Contains(want, r) {
			beyond = append(beyond, r)
		}
	}
	return missing, beyond, nil
}

// setRights gives and takes until what is declared holds, and returns the statements. It changes the catalog's rows
// of the objects and takes no lock that anybody waits for.
//
// What is fresh was made by this migration: what others may do with it is their default privileges, which nobody has
// meant for the schema.
func setRights(ctx context.Context, tx pgx.Tx, rights []right, fresh func(object string) bool) ([]string, error) {
	_, beyond, err := compareRights(ctx, tx, rights)
	if err != nil {
		return nil, err
	}
	have, err := readRights(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, r := range have {
		if fresh(r.object) && r.role != "PUBLIC" && !slices.Contains(groupRoles(), r.role) {
			beyond = append(beyond, r)
		}
	}

	var taken, given []string
	for _, r := range beyond {
		taken = append(taken, fmt.Sprintf("REVOKE %s FROM %s", r, r.role))
	}
	if err := execEach(ctx, tx, taken); err != nil {
		return nil, err
	}

	// Only now: to revoke what holds for a table revokes it for its columns too.
	missing, _, err := compareRights(ctx, tx, rights)
	if err != nil {
		return nil, err
	}
	for _, r := range missing {
		given = append(given, fmt.Sprintf("GRANT %s TO %s", r, r.role))
	}
	return append(taken, given...), execEach(ctx, tx, given)
}

// ErrPublic is returned by CheckRights.
var ErrPublic = errors.New("anybody (PUBLIC) may execute functions of the schema outhook, as after a restore: " +
	"run `outhook migrate up`")

// HiddenError is returned by CheckRights: row-level security would hide rows.
type HiddenError struct {
	role   string
	tables []string
}

func (e *HiddenError) Error() string {
	return fmt.Sprintf("row-level security hides rows of %s from the role %s: "+
		"ALTER TABLE %s DISABLE ROW LEVEL SECURITY, or ALTER ROLE %s BYPASSRLS",
		strings.Join(e.tables, ", "), e.role, e.tables[0], pgx.Identifier{e.role}.Sanitize())
}

// CheckRights returns ErrPublic if PUBLIC may execute a function of the schema, and a HiddenError if this user does not
// see all rows.
func CheckRights(ctx context.Context, pool *pgxpool.Pool) error {
	const public = `SELECT EXISTS (SELECT FROM pg_catalog.pg_proc AS p,
			pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS a
		WHERE p.pronamespace = pg_catalog.to_regnamespace('outhook') AND a.grantee = 0)`
	var found bool
	if err := pool.QueryRow(ctx, public).Scan(&found); err != nil {
		return fmt.Errorf("reading who may execute functions: %w", err)
	}
	if found {
		return ErrPublic
	}

	hidden, err := readHidden(ctx, pool)
	if err != nil {
		return err
	}
	if hidden != nil {
		return hidden
	}
	return nil
}

// readHidden tells from whom row-level security would hide rows: from this user, or from the owner, with whose rights
// events are enqueued. nil: from nobody.
func readHidden(ctx context.Context, q querier) (*HiddenError, error) {
	const hidden = `
		SELECT CASE WHEN pg_catalog.row_security_active(c.oid) THEN current_user ELSE o.rolname END,
			c.relnamespace::pg_catalog.regnamespace || '.' || pg_catalog.quote_ident(c.relname)
		FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_roles AS o ON o.oid = c.relowner
		WHERE c.relnamespace = pg_catalog.to_regnamespace('outhook') AND c.relkind IN ('r', 'p')
			AND (pg_catalog.row_security_active(c.oid)
				OR (c.relrowsecurity AND c.relforcerowsecurity AND NOT o.rolsuper AND NOT o.rolbypassrls))
		ORDER BY 1, 2`
	rows, err := q.Query(ctx, hidden)
	if err != nil {
		return nil, fmt.Errorf("reading row-level security: %w", err)
	}

	type of struct{ Role, Table string }
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[of])
	if err != nil {
		return nil, fmt.Errorf("reading row-level security: %w", err)
	}

	var found *HiddenError
	for _, h := range list {
		if found == nil {
			found = &HiddenError{role: h.Role}
		}
		if found.role == h.Role {
			found.tables = append(found.tables, h.Table)
		}
	}
	return found, nil
}

// Differences returns what of the schema's owners and rights is not as it should be, a line each, in words for
// people, and notes: what roles of others may do with its objects, which may be meant. It reads the catalog only.
// Give it a connection whose search_path is pg_catalog.
func Differences(ctx context.Context, q querier) (list, notes []string, err error) {
	d, err := readDeclaration(declaredFiles())
	if err != nil {
		return nil, nil, fmt.Errorf("reading what is declared: %w", err)
	}
	missing, beyond, err := compareRights(ctx, q, d.rights)
	if err != nil {
		return nil, nil, fmt.Errorf("comparing rights: %w", err)
	}
	for _, r := range missing {
		list = append(list, fmt.Sprintf("%s lacks %s", r.role, r))
	}
	for _, r := range beyond {
		list = append(list, fmt.Sprintf("%s has %s", r.role, r))
	}
	for _, role := range groupRoles() {
		var exists bool
		if err := q.QueryRow(ctx, "SELECT to_regrole($1) IS NOT NULL", role).Scan(&exists); err != nil {
			return nil, nil, err
		}
		if !exists {
			list = append(list, "the role "+role+" does not exist")
		}
	}

	owners, err := foreignOwners(ctx, q)
	if err != nil {
		return nil, nil, fmt.Errorf("comparing owners: %w", err)
	}
	for _, sql := range owners {
		list = append(list, "missing: "+sql)
	}
	hidden, err := readHidden(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	if hidden != nil {
		list = append(list, hidden.Error())
	}

	have, err := readRights(ctx, q)
	if err != nil {
		return nil, nil, fmt.Errorf("reading rights: %w", err)
	}
	ours := append(groupRoles(), "PUBLIC")
	for _, r := range have {
		if !slices.Contains(ours, r.role) {
			notes = append(notes, fmt.Sprintf("%s has %s", r.role, r))
		}
	}
	return list, notes, nil
}

// foreignOwners returns the statements that give the schema's objects to the schema's owner, who should have them. A
// sequence of a column goes with its table.
func foreignOwners(ctx context.Context, q querier) ([]string, error) {
	const foreign = `
		SELECT format('ALTER %s %s OWNER TO %s', o.kind, o.name, n.nspowner::regrole)
		FROM pg_namespace AS n, LATERAL (
			SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END AS kind,
				c.oid::regclass::text AS name, c.relowner AS owner
			FROM pg_class AS c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'S')
				AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
					AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0)
			UNION ALL SELECT 'FUNCTION', p.oid::regprocedure::text, p.proowner FROM pg_proc AS p
			WHERE p.pronamespace = n.oid
			UNION ALL SELECT 'TYPE', t.oid::regtype::text, t.typowner FROM pg_type AS t
			WHERE t.typnamespace = n.oid AND t.typtype IN ('e', 'd')
		) AS o
		WHERE n.nspname = 'outhook' AND o.owner <> n.nspowner ORDER BY o.kind, o.name`

	rows, err := q.Query(ctx, foreign)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// setOwners gives each object of the schema to the schema's owner, and returns the statements that this user may not
// run.
func setOwners(ctx context.Context, q querier) (byHand []string, err error) {
	list, err := foreignOwners(ctx, q)
	if err != nil {
		return nil, err
	}

	for _, sql := range list {
		_, err := q.Exec(ctx, sql)
		var pgErr *pgconn.PgError
		switch {
		case errors.As(err, &pgErr) && pgErr.Code == insufficientPrivilege:
			byHand = append(byHand, sql+";")
		case err != nil:
			return nil, fmt.Errorf("%s: %w", sql, err)
		}
	}
	return byHand, nil
}

func execEach(ctx context.Context, tx pgx.Tx, list []string) error {
	for _, sql := range list {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// missingRoles returns the statements that make the group roles that are missing.
func missingRoles(ctx context.Context, q querier) ([]string, error) {
	const missing = `SELECT 'CREATE ROLE ' || r.name || ' NOLOGIN' FROM unnest($1::text[]) WITH ORDINALITY AS r (name, i)
		WHERE pg_catalog.to_regrole(r.name) IS NULL ORDER BY r.i`
	rows, err := q.Query(ctx, missing, groupRoles())
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// createRoles makes the group roles that are missing, and returns the SQL for those that this user may not make.
func createRoles(ctx context.Context, q querier) ([]string, error) {
	missing, err := missingRoles(ctx, q)
	if err != nil {
		return nil, err
	}

	var byHand []string
	for _, create := range missing {
		_, err := q.Exec(ctx, create)
		var pgErr *pgconn.PgError
		switch {
		case err == nil:
		case !errors.As(err, &pgErr):
			return nil, err
		case pgErr.Code == insufficientPrivilege:
			byHand = append(byHand, create+";")
		case pgErr.Code != "42710" && pgErr.Code != "23505": // duplicate_object, unique_violation: another one was faster
			return nil, fmt.Errorf("%s: %w", create, err)
		}
	}
	return byHand, nil
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
