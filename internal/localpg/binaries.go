package localpg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// ErrNoBinaries says that no usable PostgreSQL is installed and that none could be downloaded.
var ErrNoBinaries = errors.New("no PostgreSQL server binaries found; " +
	"install one (Debian: apt-get install postgresql) or point --database-url at a server")

// minMajor is the oldest PostgreSQL that Outhook runs on (docs: requirements).
const minMajor = 15

// binaries is a folder with initdb, postgres and pg_ctl of one version.
type binaries struct {
	dir     string
	version string // as printed, "15.18"
	major   int
}

// FindBinaries returns the folder of an installed PostgreSQL server, version 15 or later: that of the initdb or
// pg_config on the PATH, else the newest in the places where Debian, Red Hat, Alpine, Homebrew, Postgres.app, Windows
// and a source build put it. A folder counts only if it holds initdb, postgres and pg_ctl. Returns [ErrNoBinaries],
// with what was wrong with each folder that came near, if there is none.
func FindBinaries() (string, error) {
	ctx := context.Background()
	b, err := selectBinaries(ctx, candidates(ctx), 0)
	return b.dir, err
}

// locateBinaries finds the binaries for a cluster of a major version (0: any), in dir if that is given.
func locateBinaries(ctx context.Context, dir string, major int) (binaries, error) {
	if dir != "" {
		return inspect(ctx, dir, major)
	}

	b, err := selectBinaries(ctx, candidates(ctx), major)
	if err == nil || ctx.Err() != nil {
		return b, err
	}
	if major != 0 && major != downloadMajor() {
		return b, err // what would be fetched can't read the data either
	}

	fetched, fetchErr := fetchBinaries(ctx, cacheDir())
	if fetchErr != nil {
		return binaries{}, fmt.Errorf("%w; downloading one failed too: %w", err, fetchErr)
	}
	return inspect(ctx, fetched, major)
}

// majorError is a data folder of another version than the binaries'.
type majorError struct {
	data  int      // the folder's major version
	found []string // the versions of what is installed, the best first
}

// Error names both versions and says what to do.
func (e *majorError) Error() string {
	found := "no PostgreSQL is installed"
	if len(e.found) > 0 {
		found = "installed is PostgreSQL " + strings.Join(e.found, ", ")
	}
	cure := fmt.Sprintf("install PostgreSQL %d, or choose another --data-dir", e.data)
	if e.data < minMajor {
		cure = fmt.Sprintf("choose another --data-dir, since Outhook needs PostgreSQL %d or newer", minMajor)
	}
	return fmt.Sprintf("the data folder was made by PostgreSQL %d, which alone can read it, and %s: %s",
		e.data, found, cure)
}

// selectBinaries returns the first usable of the folders.
func selectBinaries(ctx context.Context, dirs []string, major int) (binaries, error) {
	var reasons, others []string
	for _, dir := range dirs {
		b, err := inspect(ctx, dir, major)
		if err == nil {
			return b, nil
		}
		if ctx.Err() != nil {
			return binaries{}, fmt.Errorf("looking for PostgreSQL: %w", context.Cause(ctx))
		}
		if other, ok := errors.AsType[*majorError](err); ok && !slices.Contains(others, other.found[0]) {
			others = append(others, other.found[0])
		}
		reasons = append(reasons, err.Error())
	}

	if major != 0 {
		return binaries{}, &majorError{data: major, found: others}
	}
	if len(reasons) == 0 {
		return binaries{}, ErrNoBinaries
	}
	return binaries{}, fmt.Errorf("%w (%s)", ErrNoBinaries, strings.Join(reasons, "; "))
}

// inspect checks that a folder holds a complete server of a version that will do.
func inspect(ctx context.Context, dir string, major int) (binaries, error) {
	b := binaries{dir: dir}
	for _, tool := range []string{"initdb", "postgres", "pg_ctl"} {
		if _, err := os.Stat(b.path(tool)); err != nil {
			return binaries{}, fmt.Errorf("looking for PostgreSQL in %s: it has no %s", dir, tool)
		}
	}

	out, err := exec.CommandContext(ctx, b.path("postgres"), "--version").Output()
	if err != nil {
		return binaries{}, fmt.Errorf("asking the version of %s: %w", b.path("postgres"), err)
	}
	if b.version, b.major, err = parseVersion(string(out)); err != nil {
		return binaries{}, fmt.Errorf("asking the version of %s: %w", b.path("postgres"), err)
	}

	if b.major < minMajor {
		return binaries{}, fmt.Errorf("%s is PostgreSQL %s, older than %d", dir, b.version, minMajor)
	}
	if major != 0 && b.major != major {
		return binaries{}, &majorError{data: major, found: []string{b.version}}
	}
	return b, nil
}

func (b binaries) path(tool string) string {
	if runtime.GOOS == "windows" {
		tool += ".exe"
	}
	return filepath.Join(b.dir, tool)
}

// parseVersion reads the output of postgres --version: "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "…
// 18beta1".
func parseVersion(output string) (string, int, error) {
	_, rest, ok := strings.Cut(output, "(PostgreSQL) ")
	fields := strings.Fields(rest)
	if !ok || len(fields) == 0 {
		return "", 0, fmt.Errorf("parsing %q: not a PostgreSQL version", output)
	}

	major, err := strconv.Atoi(leadingDigits.FindString(fields[0]))
	if err != nil {
		return "", 0, fmt.Errorf("parsing %q: %w", output, err)
	}
	return fields[0], major, nil
}

var (
	leadingDigits = regexp.MustCompile(`^[0-9]+`)
	versionNumber = regexp.MustCompile(`[0-9]+(\.[0-9]+)?`)
)

// candidates are the folders that may hold a server, the best first.
func candidates(ctx context.Context) []string {
	dirs := pathCandidates(ctx)
	for _, pattern := range installPatterns() {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			continue // a constant pattern; an error would only mean fewer candidates
		}
		dirs = append(dirs, newestFirst(matches)...)
	}
	return dirs
}

// pathCandidates follows PATH's initdb to where it really lies (Debian and Homebrew link it), and asks PATH's
// pg_config.
func pathCandidates(ctx context.Context) []string {
	var dirs []string
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if target, err := filepath.EvalSymlinks(initdb); err == nil {
			dirs = append(dirs, filepath.Dir(target))
		}
	}

	if config, err := exec.LookPath("pg_config"); err == nil {
		if out, err := exec.CommandContext(ctx, config, "--bindir").Output(); err == nil {
			dirs = append(dirs, strings.TrimSpace(string(out)))
		}
	}
	return dirs
}

func installPatterns() []string {
	return []string{
		"/usr/lib/postgresql/*/bin",                               // Debian, Ubuntu
		"/usr/pgsql-*/bin",                                        // Red Hat, packages of postgresql.org
		"/usr/libexec/postgresql*",                                // Alpine
		"/usr/local/pgsql/bin",                                    // make install
		"/opt/homebrew/opt/postgresql*/bin",                       // Homebrew, Apple silicon
		"/usr/local/opt/postgresql*/bin",                          // Homebrew, Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",          // Homebrew, Linux
		"/Applications/Postgres.app/Contents/Versions/latest/bin", // Postgres.app
		`C:\Program Files\PostgreSQL\*\bin`,                       // the Windows installer
	}
}

// newestFirst sorts folders by the last version number in each path, as a number: 9.6 comes after 15, and 15 after 16.
func newestFirst(dirs []string) []string {
	version := func(dir string) float64 {
		all := versionNumber.FindAllString(dir, -1)
		if len(all) == 0 {
			return 0
		}
		n, err := strconv.ParseFloat(all[len(all)-1], 64)
		if err != nil {
			return 0 // more digits than a float holds: not a version
		}
		return n
	}

	slices.SortStableFunc(dirs, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	return dirs
}
