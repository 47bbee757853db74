package dbtest

import (
	"os"
	"testing"
)

const requireVariable = "OUTHOOK_TEST_REQUIRE"

// RequireTool skips the test, naming the tool, unless ok says that the machine has it. With OUTHOOK_TEST_REQUIRE=all in
// the environment, as in CI, the test fails instead, so that nothing is skipped unnoticed; any other value fails too.
func RequireTool(t testing.TB, tool string, ok bool) {
	t.Helper()
	switch require := os.Getenv(requireVariable); {
	case require != "" && require != "all":
		t.Fatalf("parsing %s: %q is neither all nor empty", requireVariable, require)
	case ok:
	case require == "all":
		t.Fatalf("%s is missing, and %s=all asks for it", tool, requireVariable)
	default:
		t.Skipf("%s is missing", tool)
	}
}
