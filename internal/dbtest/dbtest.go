// Package dbtest gives each test a fresh, migrated database on a real PostgreSQL server.
//
// A package that uses it hands its TestMain to [Main], and a test calls [New]. The first call of a test binary starts a
// server ([localpg]) and migrates a template; each test's database is a clone of it, dropped when the test ends. A
// database rather than a schema: NOTIFY channels are per database, and no schema name needs to be threaded through the
// code.
//
// Environment:
//   - OUTHOOK_TEST_DATABASE_URL: use this server (PostgreSQL 15 or later; the user needs CREATEDB) instead of starting
//     one. The databases of failed tests stay there to be looked at.
//   - OUTHOOK_TEST_POSTGRES_BIN: start the server from the binaries in this folder.
//   - TMPDIR: keep the server's files and all that a test makes for itself there. Without it [Main] keeps them in
//     memory where Linux has room for them in /dev/shm.
//   - OUTHOOK_TEST_REQUIRE=all: fail instead of skipping where a tool is missing; see [RequireTool].
package dbtest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"
)

const (
	// poolConns is how many connections a test's pool may open: enough for a River client with its listener and a few
	// workers, and few enough that 30 tests at once fit the server's 300.
	poolConns = 10

	// closeLimit is how long a test may take to give back its connections once it has ended.
	closeLimit = 10 * time.Second
)

// Main runs a test binary's tests, stops the server that they started, and exits. Tests that pass but leave a goroutine
// behind fail:
//
//	func TestMain(m *testing.M) { dbtest.Main(m) }
func Main(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	keepInMemory()
	overlap()
	code := m.Run()
	if err := shared.close(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "stopping the tests' server:", err)
		return max(code, 1)
	}
	if code != 0 {
		return code
	}

	// A link of toxiproxy that ends while a toxic is added to it now and then leaves its toxics' goroutines behind.
	toxic := goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run")
	if err := goleak.Find(toxic); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// Stop stops the server that the tests of this binary have started, for a TestMain of another kind than [Main].
func Stop(ctx context.Context) error { return shared.close(ctx) }

// minParallel is how many tests run at the same time at least: most of what they do is to wait, for a lease, a delay
// or a server, and a package of tests may take ten minutes.
const minParallel = 3

// overlap raises -parallel to minParallel where nobody has set it.
func overlap() {
	flag.Parse()
	f := flag.Lookup("test.parallel")
	if n, err := strconv.Atoi(f.Value.String()); err == nil && f.Value.String() == f.DefValue && n < minParallel {
		_ = f.Value.Set(strconv.Itoa(minParallel))
	}
}

// New returns a pool of at most 10 connections on a fresh database with all migrations. When the test ends, the pool is
// closed (a connection that is still in use 10 s later fails the test) and the database is dropped; if the test failed,
// the database stays and its URL is logged. Cleanups that the test registered after New run before that.
func New(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return shared.newPool(t)
}

// NewURL returns the URL of a fresh database like that of [New]. Connections that are still open when the test ends are
// cut.
func NewURL(t testing.TB) string {
	t.Helper()
	return shared.newDatabase(t, shared.template(t))
}

// Empty returns the URL of a fresh UTF8 database with nothing in it, for tests of the migrations. Its end is that of
// [NewURL].
func Empty(t testing.TB) string {
	t.Helper()
	return shared.newDatabase(t, emptyTemplate)
}

// AdminURL returns the URL of the server's maintenance database, for what belongs to the whole server, such as roles.
// Its user may create databases and, unless the server is that of OUTHOOK_TEST_DATABASE_URL, is a superuser.
func AdminURL(t testing.TB) string {
	t.Helper()
	shared.require(t)
	return shared.url("")
}
