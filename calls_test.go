package outhook_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
)

// An id that may be a uuid's, and a payload that no JSON library would write: it must arrive as it is, unless it was jsonb.
const (
	uuidTenant = "0192f0c1-0000-7000-8000-000000000017"
	oddPayload = "{ \"b\":1 ,\t\"a\" :  1e2}"
	asJSONB    = `{"a": 100, "b": 1}`
)

// argument is one way to write an argument, and what must be stored.
type argument struct{ sql, want string }

func tenantArguments() []argument {
	list := []argument{
		{"17", "17"},
		{"17::smallint", "17"},
		{"17::bigint", "17"},
		{"9223372036854775807", "9223372036854775807"},
		{"'" + uuidTenant + "'::uuid", uuidTenant},
		{"'" + uuidTenant + "'", uuidTenant},
		{"pg_temp.tenant_of(17)", "17"},
	}
	for _, as := range textTypes() {
		list = append(list, argument{"'17'" + as, "17"})
	}
	return list
}

// textTypes are the types that a driver, a column or a domain gives a text, "" being unknown.
func textTypes() []string {
	return []string{"", "::text", "::varchar", "::varchar(40)", "::name", "::character(40)", "::pg_temp.label", "::public.citext"}
}

func payloadArguments() []argument {
	const quoted = "'" + oddPayload + "'"
	list := []argument{
		{quoted + "::json", oddPayload},
		{quoted + "::jsonb", asJSONB},
		{"json_build_object('id', 17)", `{"id" : 17}`},
		{"jsonb_build_object('id', 17)", `{"id": 17}`},
		{"to_jsonb(17)", "17"},
		{"row_to_json(r)", `{"id":17}`},
		{"'null'", "null"},
		{"'\"17\"'", `"17"`},
		{"'[]'", "[]"},
	}
	for _, as := range textTypes() {
		list = append(list, argument{quoted + as, oddPayload})
	}
	return list
}

func keyArguments() []argument {
	list := []argument{{"NULL", ""}, {"NULL::text", ""}, {"NULL::varchar", ""}, {"''", ""}}
	for _, as := range textTypes() {
		list = append(list, argument{"'k17'" + as, "k17"})
	}
	return list
}

// callForms are the ways to call, for fmt: tenant, type, payload, key.
func callForms() []string {
	return []string{
		"SELECT outhook.enqueue(%[1]s, %[2]s, %[3]s, %[4]s) FROM (SELECT 17 AS id) AS r",
		"SELECT outhook.enqueue(tenant_id => %[1]s, type => %[2]s, payload => %[3]s, idempotency_key => %[4]s) FROM (SELECT 17 AS id) AS r",
		"SELECT outhook.enqueue(%[1]s, %[2]s, idempotency_key => %[4]s, payload => %[3]s) FROM (SELECT 17 AS id) AS r",
		"SELECT e FROM (SELECT 17 AS id) AS r, outhook.enqueue(%[1]s, %[2]s, %[3]s, %[4]s, NULL) AS e",
	}
}

// publisher is a transaction of somebody who may enqueue and nothing else, and who has types of his own.
func (b *testBundle) publisher(t *testing.T) pgx.Tx {
	t.Helper()
	tx := b.begin(t, "")
	_, err := tx.Exec(b.ctx, `CREATE EXTENSION IF NOT EXISTS citext SCHEMA public;
		CREATE DOMAIN pg_temp.label AS text CHECK (VALUE <> '');
		CREATE FUNCTION pg_temp.tenant_of(bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT $1 $$;
		SET LOCAL ROLE outhook_publisher`)
	require.NoError(t, err)
	return tx
}

// call runs a call in a savepoint that is rolled back, and requires what it stored.
func (b *testBundle) call(t *testing.T, tx pgx.Tx, want [4]string, sql string, args ...any) {
	t.Helper()
	savepoint, err := tx.Begin(b.ctx)
	require.NoError(t, err)
	defer func() { require.NoError(t, savepoint.Rollback(context.WithoutCancel(b.ctx))) }()
	var id uuid.UUID
	require.NoError(t, savepoint.QueryRow(b.ctx, sql, args...).Scan(&id), sql)
	require.Equal(t, want, b.stored(t, savepoint, id), sql)
}

// stored returns tenant, type, payload and key of an event.
func (b *testBundle) stored(t *testing.T, tx pgx.Tx, id uuid.UUID) (got [4]string) {
	t.Helper()
	_, err := tx.Exec(b.ctx, `RESET ROLE`)
	require.NoError(t, err)
	require.NoError(t, tx.QueryRow(b.ctx, `SELECT e.tenant_id, e.type, e.payload::text, coalesce(k.idempotency_key, '')
		FROM outhook.events AS e LEFT JOIN outhook.event_keys AS k ON k.event_id = e.id WHERE e.id = $1`,
		id).Scan(&got[0], &got[1], &got[2], &got[3]))
	return got
}

// However a driver types the arguments, there is one function that is meant, and an untyped payload is text: it is stored
// byte for byte.
func TestEveryTypeOfArgumentFindsOneFunction(t *testing.T) {
	t.Parallel()

	t.Run("TenantsAndPayloads", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		tx := b.publisher(t)
		for i, form := range callForms() {
			for j, tenant := range tenantArguments() {
				for k, payload := range payloadArguments() {
					if i > 0 && j > 0 && k > 0 {
						continue // the first form is called with all of them, the others with each
					}
					want := [4]string{tenant.want, "a.b", payload.want, ""}
					b.call(t, tx, want, fmt.Sprintf(form, tenant.sql, "'a.b'", payload.sql, "NULL"))
				}
			}
		}
	})

	t.Run("TypesAndKeys", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		tx := b.publisher(t)
		for i, form := range callForms() {
			for j, as := range textTypes() {
				for k, key := range keyArguments() {
					if i > 0 && j > 0 && k > 0 {
						continue
					}
					b.call(t, tx, [4]string{"17", "a.b", "{}", key.want}, fmt.Sprintf(form, "'17'", "'a.b'"+as, "'{}'", key.sql))
				}
			}
		}
	})

	t.Run("DefaultsAreLeftOut", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		tx := b.publisher(t)
		for _, tenant := range tenantArguments() {
			b.call(t, tx, [4]string{tenant.want, "a.b", oddPayload, ""},
				fmt.Sprintf("SELECT outhook.enqueue(%s, 'a.b', '%s')", tenant.sql, oddPayload))
		}
	})

	t.Run("TheNameWithoutOverloads", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		tx := b.publisher(t)
		// As PostgREST calls it: each argument by name, from a document.
		b.call(t, tx, [4]string{"17", "a.b", `{ "b":1}`, "k"}, `SELECT outhook.enqueue_event(tenant_id => a.tenant_id, type => a.type,
			payload => a.payload, idempotency_key => a.idempotency_key)
			FROM json_to_record($1) AS a (tenant_id text, type text, payload json, idempotency_key text)`,
			`{"tenant_id": "17", "type": "a.b", "payload": { "b":1}, "idempotency_key": "k"}`)
		var names int
		require.NoError(t, tx.QueryRow(b.ctx, `SELECT count(*) FROM pg_proc WHERE pronamespace = 'outhook'::regnamespace
			AND proname IN ('enqueue_event', 'enqueue_many')`).Scan(&names))
		require.Equal(t, 2, names, "one function each")
	})
}

// Prepared without types, each argument is text.
func TestAPreparedCallIsOfTexts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.publisher(t)
	for _, call := range []string{
		"outhook.enqueue($1, $2, $3)", "outhook.enqueue($1, $2, $3, $4)", "outhook.enqueue($1, $2, $3, $4, $5)",
		"outhook.enqueue(idempotency_key => $4, payload => $3, type => $2, tenant_id => $1)",
	} {
		_, err := tx.Exec(b.ctx, "PREPARE untyped AS SELECT "+call)
		require.NoError(t, err, call)
		var types []string
		require.NoError(t, tx.QueryRow(b.ctx, `SELECT DISTINCT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'untyped'`).
			Scan(&types))
		require.Equal(t, slices.Repeat([]string{"text"}, strings.Count(call, "$")), types, call)
		_, err = tx.Exec(b.ctx, "DEALLOCATE untyped")
		require.NoError(t, err)
	}

	_, err := tx.Exec(b.ctx, "PREPARE untyped AS SELECT outhook.enqueue($1, $2, $3, $4)")
	require.NoError(t, err)
	var id uuid.UUID
	require.NoError(t, tx.QueryRow(b.ctx, "EXECUTE untyped('17', 'a.b', '"+oddPayload+"', 'k')", pgx.QueryExecModeSimpleProtocol).Scan(&id))
	require.Equal(t, [4]string{"17", "a.b", oddPayload, "k"}, b.stored(t, tx, id))
}

// The values of a program, in each protocol that pgx speaks: those with Describe bind what the server says, the others what
// the program has.
func TestEveryProtocolFindsOneFunction(t *testing.T) {
	t.Parallel()
	key, none := "k17", (*string)(nil)
	describing := []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec}
	telling := []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol}
	for _, tc := range []struct {
		name, sql, tenant, payload, key string

		modes []pgx.QueryExecMode
		args  []any
	}{
		{"Texts", "$1, $2, $3, $4", "17", oddPayload, key, slices.Concat(describing, telling), []any{"17", "a.b", oddPayload, key}},
		{"NoKey", "$1, $2, $3, $4", "17", oddPayload, "", slices.Concat(describing, telling), []any{"17", "a.b", oddPayload, none}},
		{"Null", "$1, $2, $3, $4", "17", oddPayload, "", slices.Concat(describing, telling), []any{"17", "a.b", oddPayload, nil}},
		{
			"Named", "payload => $3, tenant_id => $1, type => $2, idempotency_key => $4", "17", oddPayload, key,
			slices.Concat(describing, telling),
			[]any{"17", "a.b", oddPayload, &key},
		},
		{
			"TextCast", "$1::text, $2::text, $3::text, $4::text", "17", oddPayload, key, slices.Concat(describing, telling),
			[]any{"17", "a.b", oddPayload, key},
		},
		{
			"JSON", "$1, $2, $3::json, $4", "17", oddPayload, key, slices.Concat(describing, telling),
			[]any{"17", "a.b", json.RawMessage(oddPayload), key},
		},
		{
			"JSONB", "$1, $2, $3::jsonb, $4", "17", asJSONB, key, slices.Concat(describing, telling),
			[]any{"17", "a.b", json.RawMessage(oddPayload), key},
		},
		{
			"Bigint", "$1::bigint, $2, $3, $4", "17", oddPayload, key, slices.Concat(describing, telling),
			[]any{int64(17), "a.b", oddPayload, key},
		},
		{"BigintByItsValue", "$1, $2, $3, $4", "17", oddPayload, key, telling, []any{int64(17), "a.b", oddPayload, key}},
		{"SmallintByItsValue", "$1, $2, $3, $4", "17", oddPayload, key, telling, []any{int16(17), "a.b", oddPayload, key}},
		{
			"UUID", "$1::uuid, $2, $3, $4", uuidTenant, oddPayload, key, slices.Concat(describing, telling),
			[]any{uuid.MustParse(uuidTenant), "a.b", oddPayload, key},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			tx := b.publisher(t)
			for _, mode := range tc.modes {
				want := [4]string{tc.tenant, "a.b", tc.payload, tc.key}
				b.call(t, tx, want, "SELECT outhook.enqueue("+tc.sql+")", append([]any{mode}, tc.args...)...)
			}
		})
	}
}

// What is no event is refused for what it is, by its SQLSTATE.
func TestACallThatIsNoEventSaysWhy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := b.publisher(t)
	for sql, want := range map[string]string{
		"SELECT outhook.enqueue(NULL, 'a.b', '{}')":                                             "tenant_id is empty",
		"SELECT outhook.enqueue('', 'a.b', '{}')":                                               "tenant_id is empty",
		"SELECT outhook.enqueue(NULL::bigint, 'a.b', '{}')":                                     "tenant_id is empty",
		"SELECT outhook.enqueue(NULL::uuid, 'a.b', '{}')":                                       "tenant_id is empty",
		"SELECT outhook.enqueue('17', NULL, '{}')":                                              "type must be names",
		"SELECT outhook.enqueue('17', 'a.b', NULL)":                                             "payload is missing",
		"SELECT outhook.enqueue('17', 'a.b', NULL::jsonb)":                                      "payload is missing",
		"SELECT outhook.enqueue('17', 'a.b', '')":                                               "payload",
		"SELECT outhook.enqueue('17', 'a.b', '{1,2}')":                                          "payload",
		"SELECT FROM outhook.enqueue_many('{a}', '{a.b,a.b}', '{1}')":                           "the same length",
		"SELECT FROM outhook.enqueue_many('{a}', NULL, '{1}')":                                  "the same length",
		"SELECT FROM outhook.enqueue_many('{a}', '{a.b}', '{1}', '{}')":                         "the same length",
		"SELECT FROM outhook.enqueue_many('{a}', '{a.b}', '{1}', NULL, false, '{}')":            "the same length",
		"SELECT FROM outhook.enqueue_many('{{a}}', '{a.b}', '{1}')":                             "one dimension",
		"SELECT FROM outhook.enqueue_many('{a}', '{{a.b}}', '{1}')":                             "one dimension",
		"SELECT FROM outhook.enqueue_many('{a}', '{a.b}', '{{1}}')":                             "one dimension",
		"SELECT FROM outhook.enqueue_many('{a}', '{a.b}', '{1}', '{{k}}')":                      "one dimension",
		"SELECT FROM outhook.enqueue_many('{a}', '{a.b}', '{1}', NULL, false, '{{t}}')":         "one dimension",
		"SELECT FROM outhook.enqueue_many('{{a,b}}', '{{a.b,a.b}}', '{{1,2}}')":                 "one dimension",
		"SELECT FROM outhook.enqueue_many('{a,b}', '{a.b,a.b}', '{1,2}', '[0:0][0:1]={{k,l}}')": "one dimension",
	} {
		savepoint, err := tx.Begin(b.ctx)
		require.NoError(t, err)
		_, err = savepoint.Exec(b.ctx, sql)
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr, sql)
		require.Equal(t, "22023", pgErr.Code, "%s: %s", sql, pgErr.Message)
		require.Contains(t, pgErr.Message, want, sql)
		require.NoError(t, savepoint.Rollback(b.ctx))
	}
}

// An array may be of any type of text, begin at any number, and be empty.
func TestArraysOfEveryKind(t *testing.T) {
	t.Parallel()

	t.Run("Types", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		tx := b.publisher(t)
		for _, as := range []string{"", "::text[]", "::varchar[]", "::varchar(40)[]", "::name[]", "::character(40)[]", "::public.citext[]"} {
			b.call(t, tx, [4]string{"17", "a.b", oddPayload, "k"}, fmt.Sprintf(`SELECT event_id FROM
				outhook.enqueue_many('{17}'%[1]s, '{a.b}'%[1]s, ARRAY['%[2]s']%[1]s, '{k}'%[1]s)`, as, oddPayload))
		}
	})

	t.Run("Bounds", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		tx := b.publisher(t)
		for _, bounds := range []string{"[0:0]=", "[-5:-5]=", "[17:17]="} {
			b.call(t, tx, [4]string{"17", "a.b", "1", "k"}, fmt.Sprintf(`SELECT event_id FROM outhook.enqueue_many(
				'%[1]s{17}', '%[1]s{a.b}', '%[1]s{1}', '%[1]s{k}')`, bounds))
			b.call(t, tx, [4]string{"17", "a.b", "1", "k"}, fmt.Sprintf(`SELECT event_id FROM outhook.enqueue_many(
				'{17}', '{a.b}', '{1}', '%[1]s{k}')`, bounds))
		}

		rows, err := tx.Query(b.ctx, `SELECT index, event_id, duplicate FROM outhook.enqueue_many(
			'[0:2]={17,17,17}', '[-1:1]={a.b,a.b,a.b}', '{1,2,2}', '[0:2]={k,l,l}') ORDER BY index`)
		require.NoError(t, err)
		type result struct {
			Index     int
			ID        uuid.UUID
			Duplicate bool
		}
		results, err := pgx.CollectRows(rows, pgx.RowToStructByPos[result])
		require.NoError(t, err)
		require.Equal(t, []result{{0, results[0].ID, false}, {1, results[1].ID, false}, {2, results[1].ID, true}}, results)
		require.Equal(t, [4]string{"17", "a.b", "1", "k"}, b.stored(t, tx, results[0].ID))
		require.Equal(t, [4]string{"17", "a.b", "2", "l"}, b.stored(t, tx, results[1].ID))
	})

	t.Run("Empty", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		tx := b.publisher(t)
		for _, arguments := range []string{
			"'{}', '{}', '{}'", "'{}', '{}', '{}', '{}'", "'{}', '{}', '{}', NULL", "NULL, NULL, NULL", "NULL, '{}', NULL, NULL, false, NULL",
		} {
			tag, err := tx.Exec(b.ctx, "SELECT FROM outhook.enqueue_many("+arguments+")")
			require.NoError(t, err, arguments)
			require.Zero(t, tag.RowsAffected(), arguments)
		}
	})
}

// A trigger runs with the rights of whoever changes the row. As SECURITY DEFINER it runs with its owner's, so that the roles
// that change rows need no right to enqueue.
func TestATriggerOfAnOwnerWhoMayEnqueue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	owner, clerk := b.role(t, "outhook_publisher"), b.role(t)
	b.exec(t, `CREATE TABLE invoices (id bigint PRIMARY KEY, tenant bigint NOT NULL, paid boolean NOT NULL DEFAULT false);
		INSERT INTO invoices VALUES (17, 5);
		ALTER TABLE invoices OWNER TO `+owner+`;
		CREATE FUNCTION invoice_paid() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN
				PERFORM outhook.enqueue(NEW.tenant, 'invoice.paid', jsonb_build_object('id', NEW.id));
				RETURN NEW;
			END
		$$;
		ALTER FUNCTION invoice_paid() OWNER TO `+owner+`;
		CREATE TRIGGER invoice_paid AFTER UPDATE OF paid ON invoices FOR EACH ROW EXECUTE FUNCTION invoice_paid();
		GRANT SELECT, UPDATE ON invoices TO `+clerk)
	pay := func() error {
		return pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(b.ctx, `SET LOCAL ROLE `+clerk+`; UPDATE invoices SET paid = NOT paid`)
			return err
		})
	}
	var pgErr *pgconn.PgError
	require.ErrorAs(t, pay(), &pgErr)
	require.Equal(t, "42501", pgErr.Code)

	b.exec(t, `ALTER FUNCTION invoice_paid() SECURITY DEFINER SET search_path = pg_catalog, pg_temp`)
	require.NoError(t, pay())
	var tenant, payload string
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT tenant_id, payload::text FROM outhook.events`).Scan(&tenant, &payload))
	require.Equal(t, []string{"5", `{"id": 17}`}, []string{tenant, payload})
}

// role makes a role in group roles, without a right of its own, that goes with the test.
func (b *testBundle) role(t *testing.T, groups ...string) string {
	t.Helper()
	name := "outhook_t_" + strings.ToLower(rand.Text())
	b.exec(t, `CREATE ROLE `+name)
	for _, group := range groups {
		b.exec(t, `GRANT `+group+` TO `+name)
	}
	t.Cleanup(func() {
		_, err := b.pool.Exec(context.WithoutCancel(b.ctx), `DROP OWNED BY `+name+`; DROP ROLE `+name)
		require.NoError(t, err)
	})
	return name
}

// The caller's search_path may put types in front of Postgres' own: the client means Postgres'.
func TestTheClientMeansPostgresOwnTypes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `CREATE SCHEMA theirs; CREATE DOMAIN theirs.text AS pg_catalog.text CHECK (VALUE IS NULL)`)
	tx := b.begin(t, "")
	_, err := tx.Exec(b.ctx, `SET LOCAL search_path = theirs, pg_catalog`)
	require.NoError(t, err)
	_, err = outhook.Enqueue(b.ctx, tx, keyed(`{}`, "k"))
	require.NoError(t, err)
}
