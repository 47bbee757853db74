package localpg

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// download is the release that is fetched where no PostgreSQL is installed.
const download = embeddedpostgres.V18

// downloadMajor is the major version of what is fetched.
func downloadMajor() int {
	major, err := strconv.Atoi(leadingDigits.FindString(string(download)))
	if err != nil {
		panic(err) // a constant, which a test reads
	}
	return major
}

// cacheDir holds downloaded binaries. Root's own cache is closed to the user who runs PostgreSQL for root.
func cacheDir() string {
	if os.Geteuid() == 0 {
		return "/var/cache/outhook"
	}

	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir() // no HOME: better fetched again after a reboot than not at all
	}
	return filepath.Join(dir, "outhook")
}

// fetchBinaries downloads a PostgreSQL into a folder below cache, unless it is there already, and returns its bin
// folder.
func fetchBinaries(ctx context.Context, cache string) (string, error) {
	return fetchFrom(ctx, cache, embeddedpostgres.DefaultConfig())
}

func fetchFrom(ctx context.Context, cache string, config embeddedpostgres.Config) (string, error) {
	place := filepath.Join(cache, fmt.Sprintf("postgres-%s-%s-%s", download, runtime.GOOS, runtime.GOARCH))
	if _, err := inspect(ctx, filepath.Join(place, "bin"), 0); err == nil {
		return filepath.Join(place, "bin"), nil
	}

	if err := os.MkdirAll(cache, 0o755); err != nil { //nolint:gosec // the user who runs PostgreSQL for root must enter it
		return "", err
	}
	work, err := os.MkdirTemp(cache, "download-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work) //nolint:errcheck // what stays is in nobody's way

	made := filepath.Join(work, "postgres")
	if err := unpack(ctx, work, made, config); err != nil {
		return "", err
	}
	if err := os.Rename(made, place); err != nil {
		if _, inspectErr := inspect(ctx, filepath.Join(place, "bin"), 0); inspectErr != nil {
			return "", err
		} // else another process was quicker, and its download is as good
	}

	return filepath.Join(place, "bin"), nil
}

// unpack makes the library download and unpack its binaries, and no more. It offers that only as the first half of
// Start, whose second half (initdb, a server) fails for root. The user name, which no process can be given as an
// argument, makes the second half fail for everybody before it runs anything; what counts is whether the binaries are
// there and whole.
func unpack(ctx context.Context, work, made string, config embeddedpostgres.Config) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}

	config = config.Version(download).Port(uint32(port)).Username("\x00").Logger(io.Discard). //nolint:gosec // a port fits
													CachePath(filepath.Join(work, "archive")).RuntimePath(filepath.Join(work, "run")).BinariesPath(made)

	failed := make(chan error, 1)
	go func() { failed <- embeddedpostgres.NewDatabase(config).Start() }()
	select {
	case err = <-failed:
	case <-ctx.Done():
		return context.Cause(ctx) // the library can't be interrupted; it ends with its connection
	}

	if _, inspectErr := inspect(ctx, filepath.Join(made, "bin"), 0); inspectErr != nil {
		return fmt.Errorf("%w: %w", inspectErr, err)
	}
	return nil
}
