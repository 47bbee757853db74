package localpg

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// sweepAge is how old a temporary folder must be before it counts as left behind: far longer than the moment between
// making a folder and locking it.
const sweepAge = time.Minute

// sweepTemporary removes the temporary folders of processes that died without a Stop (a test binary that panicked or
// was killed leaves about 40 MB), and ends a server that still runs in one. What can't be removed now is left for the
// next start.
func sweepTemporary(ctx context.Context, own cluster) {
	folders, err := filepath.Glob(filepath.Join(os.TempDir(), temporaryPrefix+"*"))
	if err != nil {
		return // the pattern is a constant; a TMPDIR with a bracket in its name goes unswept
	}

	for _, path := range folders {
		if err := sweepFolder(ctx, path, own); err != nil && !errors.Is(err, ErrLocked) {
			own.logger.WarnContext(ctx, "removing a dead process' data folder failed",
				slog.String("data_dir", path), slog.Any("error", err))
		}
	}
}

func sweepFolder(ctx context.Context, path string, own cluster) error {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() || !ownedByUs(info) || time.Since(info.ModTime()) < sweepAge {
		return nil //nolint:nilerr // a folder that is gone has been swept by somebody else
	}

	lock, err := lockFolder(path)
	if err != nil {
		return err
	}

	f := &folder{path: path, temporary: true, lock: lock}
	dead := own
	dead.dir = f.clusterDir()
	return errors.Join(dead.clearOrphans(ctx), f.close())
}
