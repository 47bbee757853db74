package outhooktest

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/internal/dbtest"
)

// Database returns a pool of at most 10 connections on a fresh database with Outhook's schema, as its owner. Make your
// own tables in it. It is cloned from a template that is migrated once, so a test has it in a fraction of a second; the
// pool is closed and the database dropped at the test's end. If the test failed, the database stays and its URL is
// logged.
//
// The server is the one at OUTHOOK_TEST_DATABASE_URL (PostgreSQL 15 or later; the user needs CREATEDB and CREATEROLE),
// or else one that the test binary starts: from installed binaries, or downloaded ones.
func Database(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return dbtest.New(t)
}

// Main runs a package's tests, and then stops the server that they have started. Without it the server ends with the
// test binary, and leaves a temporary folder that the next one removes.
//
//	func TestMain(m *testing.M) { outhooktest.Main(m) }
func Main(m *testing.M) {
	code := m.Run()
	if err := dbtest.Stop(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "stopping the tests' server:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}
