package pg

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// State is what every connection of ours states after connecting, whatever the settings of its role, its database and
// its address are. They belong to somebody else, and are meant for his own statements.
//
// First of all which functions, operators, casts and types a name means: none but Postgres' own, so that nothing that
// somebody puts into another schema is ever called. Then what bounds a statement (our deadlines do), how literals are
// read and values written, which transactions begin, which plans are thought of, and that a policy that would hide
// rows from us is an error.
//
// It is set after connecting, since PgBouncer refuses startup parameters that it does not know. So what ends
// statements, or compiles them, is switched off before the first that takes any time.
const State = "SET statement_timeout = 0; SET jit = off; " + endNone +
	"; SET search_path = pg_catalog, pg_temp; " + EndIdle + "; " + `
	SELECT set_config(s.name, s.value, false) FROM (VALUES
		('row_security', 'off'), ('exit_on_error', 'off'), ('lock_timeout', '0'),
		('idle_session_timeout', '0'), ('default_transaction_isolation', 'read committed'),
		('default_transaction_deferrable', 'off'), ('standard_conforming_strings', 'on'), ('array_nulls', 'on'),
		('transform_null_equals', 'off'), ('bytea_output', 'hex'), ('DateStyle', 'ISO, MDY'),
		('IntervalStyle', 'postgres'), ('extra_float_digits', '1'), ('quote_all_identifiers', 'off'),
		('xmloption', 'content'), ('plpgsql.extra_errors', 'none'), ('plpgsql.check_asserts', 'on'),
		('plan_cache_mode', 'auto'), ('constraint_exclusion', 'partition'),
		('from_collapse_limit', '8'), ('join_collapse_limit', '8'), ('geqo', 'on'), ('geqo_threshold', '12'),
		('enable_async_append', 'on'), ('enable_bitmapscan', 'on'), ('enable_gathermerge', 'on'),
		('enable_hashagg', 'on'), ('enable_hashjoin', 'on'), ('enable_incremental_sort', 'on'),
		('enable_indexonlyscan', 'on'), ('enable_indexscan', 'on'), ('enable_material', 'on'), ('enable_memoize', 'on'),
		('enable_mergejoin', 'on'), ('enable_nestloop', 'on'), ('enable_parallel_append', 'on'),
		('enable_parallel_hash', 'on'), ('enable_partition_pruning', 'on'), ('enable_partitionwise_aggregate', 'off'),
		('enable_partitionwise_join', 'off'), ('enable_seqscan', 'on'), ('enable_sort', 'on'), ('enable_tidscan', 'on')
	) AS s (name, value) WHERE current_setting(s.name, true) <> s.value`

// endNone switches transaction_timeout off, which PostgreSQL has from 17 on, before search_path says what a name means.
const endNone = "SELECT pg_catalog.set_config('transaction_timeout', '0', false) " +
	"WHERE pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL"

// Connect opens a connection of its own, states what State does, and then settings. Close it with CloseSide.
func Connect(ctx context.Context, cfg *pgx.ConnConfig, settings string) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, State+"; "+settings); err != nil {
		CloseSide(ctx, conn)
		return nil, err
	}
	return conn, nil
}
