package sqlstate_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/sqlstate"
)

func TestOf(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("storing: %w", &pgconn.PgError{Code: "55P03"})
	require.Equal(t, "55P03", sqlstate.Of(err))
	require.Equal(t, "55", sqlstate.Class(sqlstate.Of(err)))
	require.Empty(t, sqlstate.Of(errors.New("no route to host")))
	require.Empty(t, sqlstate.Class(""))
}

func TestTextTellsNoValue(t *testing.T) {
	t.Parallel()
	secret := &pgconn.PgError{Severity: "ERROR", Code: "22P02", Message: `invalid input syntax: "a secret"`}
	require.Equal(t, "data exception (SQLSTATE 22P02)", sqlstate.Text(fmt.Errorf("storing: %w", secret)))
	other := &pgconn.PgError{Severity: "ERROR", Code: "42P01", Message: "no such table"}
	require.Equal(t, other.Error(), sqlstate.Text(other))
	require.Equal(t, "no route to host", sqlstate.Text(errors.New("no route to host")))
}
