package migrations

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// viewLimit is how long a change of a view waits for the reports that read it: others wait behind it.
	viewLimit = "SET LOCAL lock_timeout = 5000"

	// invalidDefinition is the SQLSTATE for a function that can't be replaced as it is: its result or the name of an
	// argument changed.
	invalidDefinition = "42P13"
)

// head finds where a statement of a declared file begins, and the object that it makes.
var head = regexp.MustCompile(`(?m)^CREATE OR REPLACE (FUNCTION|VIEW|TRIGGER) (?:outhook\.)?(\w+)`)

// declared is a statement that makes an object, with the comments before it.
type declared struct {
	kind, name, sql string
}

// declaration is what holds beside the versions: functions, views and triggers in the order in which they are made, and
// who may do what.
type declaration struct {
	objects []declared
	rights  []right
}

// readDeclaration reads the files of a folder in the order that its file "order" gives.
func readDeclaration(files fs.FS) (d declaration, err error) {
	order, err := fs.ReadFile(files, "order")
	if err != nil {
		return d, err
	}

	for name := range strings.Lines(string(order)) {
		name = strings.TrimSpace(name)
		if name == "" || strings.HasPrefix(name, "#") {
			continue
		}

		text, err := fs.ReadFile(files, name)
		if err != nil {
			return d, err
		}
		if name == "rights.sql" {
			if d.rights, err = parseRights(string(text)); err != nil {
				return d, fmt.Errorf("reading %s: %w", name, err)
			}
			continue
		}
		d.objects = append(d.objects, split(string(text))...)
	}
	return d, nil
}

// split cuts a file into the statements that make one object each.
func split(text string) []declared {
	var list []declared
	heads := head.FindAllStringSubmatchIndex(text, -1)
	for i, at := range heads {
		end := len(text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		list = append(list, declared{
			kind: text[at[2]:at[3]], name: text[at[4]:at[5]], sql: strings.TrimSpace(text[at[0]:end]),
		})
	}
	return list
}

// apply makes what is declared hold, in a transaction of the owner's, and returns the statements that changed
// something. What holds already is not touched: it is made beside what is there, compared in the catalog, and thrown
// away.
func (d declaration) apply(ctx context.Context, tx pgx.Tx, fresh func(object string) bool) ([]string, error) {
	if _, err := tx.Exec(ctx, viewLimit); err != nil {
		return nil, err
	}

	var changes []string
	for _, o := range d.objects {
		changed, err := o.apply(ctx, tx)
		if err != nil {
			return nil, fmt.Errorf("declaring %s %s: %w", strings.ToLower(o.kind), o.name, err)
		}
		if changed {
			changes = append(changes, o.sql)
		}
	}

	rights, err := setRights(ctx, tx, d.rights, fresh)
	if err != nil {
		return nil, fmt.Errorf("setting rights: %w", err)
	}
	return append(changes, rights...), nil
}

// apply replaces the object if it is not what is declared, and tells whether it did.
func (o declared) apply(ctx context.Context, tx pgx.Tx) (changed bool, err error) {
	switch o.kind {
	case "VIEW":
		changed, err = o.viewDiffers(ctx, tx)
	case "TRIGGER":
		changed, err = o.triggerDiffers(ctx, tx)
	default:
		return o.applyFunction(ctx, tx)
	}
	if err != nil || !changed {
		return false, err
	}

	_, err = tx.Exec(ctx, o.sql)
	return err == nil, err
}

// viewDefinition is what there is to compare of a view: its query, its options and its comment. NULL: there is none.
const viewDefinition = `SELECT concat_ws(E'\n', pg_get_viewdef(c.oid), c.reloptions, obj_description(c.oid, 'pg_class'))
	FROM pg_class AS c WHERE c.oid = to_regclass('outhook.' || $1)`

// viewDiffers makes the view under another name, since to replace one waits for all who read it, and compares the two.
func (o declared) viewDiffers(ctx context.Context, tx pgx.Tx) (bool, error) {
	trial := o.name + "_declared"
	var was, is *string
	if err := first(tx.QueryRow(ctx, viewDefinition, o.name).Scan(&was)); err != nil {
		return false, err
	}

	err := undone(ctx, tx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, strings.ReplaceAll(o.sql, "outhook."+o.name, "outhook."+trial)); err != nil {
			return err
		}
		return tx.QueryRow(ctx, viewDefinition, trial).Scan(&is)
	})
	return was == nil || is == nil || *was != *is, err
}

// triggerDiffers compares a trigger's definition with the statement that makes it.
func (o declared) triggerDiffers(ctx context.Context, tx pgx.Tx) (bool, error) {
	const definition = `SELECT pg_get_triggerdef(t.oid) FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
		WHERE c.relnamespace = 'outhook'::regnamespace AND t.tgname = $1 AND NOT t.tgisinternal`
	var was *string
	if err := first(tx.QueryRow(ctx, definition, o.name).Scan(&was)); err != nil {
		return false, err
	}
	// Postgres puts the events into an order of its own.
	words := func(sql string) string {
		list := strings.Fields(strings.TrimSuffix(strings.Replace(sql, "OR REPLACE ", "", 1), ";"))
		return fmt.Sprint(sorted(list))
	}
	return was == nil || words(*was) != words(o.sql), nil
}

// applyFunction replaces a function, which nobody waits for, if it is not what is declared. One whose result or
// argument names have changed is dropped and made anew, and who might execute it may go on. So is one that has got
// arguments behind those of before: with defaults, they are for the same calls, and two functions would be one too
// many.
func (o declared) applyFunction(ctx context.Context, tx pgx.Tx) (bool, error) {
	const definitions = `SELECT pg_get_functiondef(t.oid), coalesce((SELECT pg_get_functiondef(p.oid) FROM pg_proc AS p
			WHERE p.pronamespace = t.pronamespace AND p.proname = $2 AND p.proargtypes = t.proargtypes), ''),
			EXISTS (SELECT FROM pg_proc AS p WHERE p.pronamespace = t.pronamespace AND p.proname = $2
				AND p.pronargs < t.pronargs AND starts_with(t.proargtypes::text || ' ', p.proargtypes::text || ' '))
		FROM pg_proc AS t WHERE t.pronamespace = 'outhook'::regnamespace AND t.proname = $1`
	trial := o.name + "_declared"
	var is, was string
	var shorter bool
	err := undone(ctx, tx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, strings.Replace(o.sql, "outhook."+o.name+"(", "outhook."+trial+"(", 1)); err != nil {
			return err
		}
		return tx.QueryRow(ctx, definitions, trial, o.name).Scan(&is, &was, &shorter)
	})
	same := was == strings.Replace(is, "outhook."+trial+"(", "outhook."+o.name+"(", 1)
	switch {
	case err != nil || same && !shorter:
		return false, err
	case shorter:
		return true, o.lengthen(ctx, tx)
	}

	err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, o.sql)
		return err
	})
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == invalidDefinition {
		return true, o.remake(ctx, tx)
	}
	return true, err
}

// function is one that there is, and who may execute it beside its owner.
type function struct {
	Signature string
	Types     string // of its arguments
	Grantees  []string
}

// there returns the functions of o's name.
func (o declared) there(ctx context.Context, tx pgx.Tx) ([]function, error) {
	const known = `SELECT p.oid::regprocedure::text, p.proargtypes::text || ' ',
			coalesce(array_agg(a.grantee::regrole::text) FILTER (WHERE a.grantee <> p.proowner AND a.grantee <> 0), '{}')
		FROM pg_proc AS p LEFT JOIN LATERAL aclexplode(p.proacl) AS a ON true
		WHERE p.pronamespace = 'outhook'::regnamespace AND p.proname = $1 GROUP BY p.oid ORDER BY p.pronargs`
	rows, err := tx.Query(ctx, known, o.name)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[function])
}

// lengthen makes o, drops those that have its first arguments and no more, and gives it the rights that they gave.
func (o declared) lengthen(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, o.sql); err != nil {
		return err
	}
	all, err := o.there(ctx, tx)
	if err != nil {
		return err
	}

	for i, long := range all {
		for _, short := range all[:i] {
			if !strings.HasPrefix(long.Types, short.Types) {
				continue
			}
			list := []string{"DROP FUNCTION " + short.Signature}
			for _, grantee := range short.Grantees {
				list = append(list, fmt.Sprintf("GRANT EXECUTE ON FUNCTION %s TO %s", long.Signature, grantee))
			}
			if err := execEach(ctx, tx, list); err != nil {
				return fmt.Errorf("replacing %s: %w: %s", short.Signature, err, detailOf(err))
			}
		}
	}
	return nil
}

// detailOf returns what Postgres says beside an error, like what depends on something.
func detailOf(err error) string {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.Detail
	}
	return ""
}

// remake drops the function that o can't replace and makes o, with the rights that the dropped one gave.
func (o declared) remake(ctx context.Context, tx pgx.Tx) error {
	olds, err := o.there(ctx, tx)
	if err != nil {
		return err
	}

	for _, old := range olds {
		// Only the one with the same arguments is in the way.
		err := undone(ctx, tx, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "DROP FUNCTION "+old.Signature); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, o.sql)
			return err
		})
		if err != nil {
			continue
		}

		list := []string{"DROP FUNCTION " + old.Signature, o.sql}
		for _, grantee := range old.Grantees {
			list = append(list, fmt.Sprintf("GRANT EXECUTE ON FUNCTION %s TO %s", old.Signature, grantee))
		}
		return execEach(ctx, tx, list)
	}
	return fmt.Errorf("none of the functions %s can be replaced: something of yours depends on them", o.name)
}

// drop drops all that is declared, the last first. It fails if something of others depends on it.
func (d declaration) drop(ctx context.Context, tx pgx.Tx) error {
	const statements = `SELECT format('DROP FUNCTION %s', p.oid::regprocedure) FROM pg_proc AS p
		WHERE p.pronamespace = 'outhook'::regnamespace AND p.proname = $1 AND $2 = 'FUNCTION'
		UNION ALL SELECT format('DROP VIEW %s', c.oid::regclass) FROM pg_class AS c
		WHERE c.relnamespace = 'outhook'::regnamespace AND c.relname = $1 AND $2 = 'VIEW'
		UNION ALL SELECT format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass)
		FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
		WHERE c.relnamespace = 'outhook'::regnamespace AND t.tgname = $1 AND $2 = 'TRIGGER'`
	for _, o := range slices.Backward(d.objects) {
		rows, err := tx.Query(ctx, statements, o.name, o.kind)
		if err != nil {
			return err
		}
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}

		if err := execEach(ctx, tx, list); err != nil {
			return err
		}
	}
	return nil
}

// errUndo rolls a savepoint back that did what it should.
var errUndo = errors.New("undone")

// undone does something in a savepoint and takes it back.
func undone(ctx context.Context, tx pgx.Tx, do func(pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		if err := do(tx); err != nil {
			return err
		}
		return errUndo
	})
	if errors.Is(err, errUndo) {
		return nil
	}
	return err
}

// first lets a query find nothing.
func first(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}
