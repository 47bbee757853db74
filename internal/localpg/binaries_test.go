package localpg

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFindBinaries(t *testing.T) {
	t.Parallel()

	t.Run("FindsACompleteServer", func(t *testing.T) {
		t.Parallel()
		dir, err := FindBinaries()
		require.NoError(t, err)
		for _, tool := range []string{"initdb", "postgres", "pg_ctl"} {
			require.FileExists(t, filepath.Join(dir, tool))
		}
		b, err := inspect(t.Context(), dir, 0)
		require.NoError(t, err)
		require.GreaterOrEqual(t, b.major, 15)
	})

	t.Run("SkipsIncompleteAndOldFolders", func(t *testing.T) {
		t.Parallel()
		empty, old, good := t.TempDir(), fakeServer(t, "14.9"), fakeServer(t, "16.2 (Debian 16.2-1)")
		b, err := selectBinaries(t.Context(), []string{empty, old, good}, 0)
		require.NoError(t, err)
		require.Equal(t, binaries{dir: good, version: "16.2", major: 16}, b)

		_, err = selectBinaries(t.Context(), []string{empty, old}, 0)
		require.ErrorIs(t, err, ErrNoBinaries)
		require.ErrorContains(t, err, empty+": it has no initdb")
		require.ErrorContains(t, err, old+" is PostgreSQL 14.9, older than 15")
	})

	t.Run("PrefersTheVersionOfTheData", func(t *testing.T) {
		t.Parallel()
		newer, matching := fakeServer(t, "17.5"), fakeServer(t, "16.2")
		b, err := selectBinaries(t.Context(), []string{newer, matching}, 16)
		require.NoError(t, err)
		require.Equal(t, matching, b.dir)
	})

	t.Run("DataOfAnotherVersionIsOneError", func(t *testing.T) {
		t.Parallel()
		dirs := []string{t.TempDir(), fakeServer(t, "17.5"), fakeServer(t, "15.18 (Debian)"), fakeServer(t, "14.1"), fakeServer(t, "17.5")}
		for major, want := range map[int]string{
			16: "the data folder was made by PostgreSQL 16, which alone can read it, and installed is PostgreSQL 17.5, 15.18: " +
				"install PostgreSQL 16, or choose another --data-dir",
			11: "the data folder was made by PostgreSQL 11, which alone can read it, and installed is PostgreSQL 17.5, 15.18: " +
				"choose another --data-dir, since Outhook needs PostgreSQL 15 or newer",
		} {
			_, err := selectBinaries(t.Context(), dirs, major)
			require.EqualError(t, err, want)
		}
		_, err := selectBinaries(t.Context(), nil, 16)
		require.EqualError(t, err, "the data folder was made by PostgreSQL 16, which alone can read it, and "+
			"no PostgreSQL is installed: install PostgreSQL 16, or choose another --data-dir")

		require.Equal(t, 18, downloadMajor())
		_, err = locateBinaries(t.Context(), "", 11)
		require.ErrorContains(t, err, "the data folder was made by PostgreSQL 11", "nothing is downloaded that can't read it")
		require.NotErrorIs(t, err, ErrNoBinaries)
	})

	t.Run("NothingInstalledSaysWhatToDo", func(t *testing.T) {
		t.Parallel()
		_, err := selectBinaries(t.Context(), nil, 0)
		require.EqualError(t, err, "no PostgreSQL server binaries found; "+
			"install one (Debian: apt-get install postgresql) or point --database-url at a server")
	})
}

// fakeServer is a folder whose postgres knows its version and nothing else.
func fakeServer(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"
	for _, tool := range []string{"initdb", "postgres", "pg_ctl"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, tool), []byte(script), 0o755))
	}
	return dir
}

func TestNewestFirst(t *testing.T) {
	t.Parallel()
	require.Equal(t,
		[]string{"/usr/lib/postgresql/100/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/9.6/bin", "/opt/postgresql/bin"},
		newestFirst([]string{"/usr/lib/postgresql/9.6/bin", "/opt/postgresql/bin", "/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/100/bin", "/usr/lib/postgresql/16/bin"}))
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		output, version string
		major           int
	}{
		{"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", "15.18", 15},
		{"postgres (PostgreSQL) 18beta1\n", "18beta1", 18},
		{"postgres (PostgreSQL) 17.5\n", "17.5", 17},
	} {
		version, major, err := parseVersion(test.output)
		require.NoError(t, err)
		require.Equal(t, test.version, version)
		require.Equal(t, test.major, major)
	}
	for _, output := range []string{"", "postgres (PostgreSQL) ", "postgres (EnterpriseDB) 15.1", "postgres (PostgreSQL) devel"} {
		_, _, err := parseVersion(output)
		require.Error(t, err, output)
	}
}

func TestEnvironmentHoldsNothingThatSteersTheServer(t *testing.T) {
	t.Parallel()
	require.Equal(t,
		[]string{"PATH=/bin", "LD_LIBRARY_PATH=/opt/pg/lib", "LC_ALL=C", "TZ=UTC"},
		environment([]string{
			"PATH=/bin", "PGDATA=/elsewhere", "PGOPTIONS=-c fsync=off", "LC_ALL=de_DE", "LANG=de_DE", "TZ=Europe/Paris",
			"LD_LIBRARY_PATH=/opt/pg/lib",
		}))
}
