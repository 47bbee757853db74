package main

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// audited returns what command lines have done: the action, the object and the detail, oldest first.
func audited(t *testing.T, database string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	rows, err := conn.Query(t.Context(), `SELECT concat_ws(' ', action, object_type, object_id, detail) FROM outhook.audit_entries
		WHERE actor LIKE 'command line: %' AND key_id IS NULL AND tenant_id IS NULL ORDER BY id`)
	require.NoError(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return list
}
