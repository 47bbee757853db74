package dbtest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRequireTool(t *testing.T) {
	for _, test := range []struct {
		name, require   string
		ok              bool
		failed, skipped bool
		says            string
	}{
		{"PresentToolRuns", "", true, false, false, ""},
		{"PresentToolRunsWhereAllAreRequired", "all", true, false, false, ""},
		{"MissingToolSkips", "", false, false, true, "docker is missing"},
		{"MissingToolFailsWhereAllAreRequired", "all", false, true, false, "docker is missing, and OUTHOOK_TEST_REQUIRE=all asks for it"},
		{"UnknownValueFails", "some", true, true, false, `parsing OUTHOOK_TEST_REQUIRE: "some" is neither all nor empty`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv(requireVariable, test.require)
			r := record(t, func(t testing.TB) {
				t.Helper()
				RequireTool(t, "docker", test.ok)
			})
			require.Equal(t, test.failed, r.failed)
			require.Equal(t, test.skipped, r.skipped)
			require.Contains(t, r.said.String(), test.says)
		})
	}
}
