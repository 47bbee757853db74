package localpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/outhook/outhook/internal/child"
)

// workPrefix names the folders in which clusters are made; one that a killed process left is removed by the next start.
const workPrefix = "init-"

// cluster is a PostgreSQL data directory with the binaries that fit it and the account that owns and runs it.
type cluster struct {
	dir     string
	bin     binaries
	account account
	logger  *slog.Logger
}

// openCluster finds binaries and account for a data directory, which need not exist yet but whose parent must.
func openCluster(ctx context.Context, dir, binDir string, logger *slog.Logger) (cluster, error) {
	c := cluster{dir: dir, logger: logger}
	major, err := c.major()
	if err != nil {
		return c, err
	}
	if c.bin, err = locateBinaries(ctx, binDir, major); err != nil {
		return c, err
	}
	if c.account, err = chooseAccount(dir); err != nil {
		return c, err
	}
	return c, c.checkReach(ctx)
}

// exists says whether the cluster was made. It appears in one rename, so what exists is complete.
func (c cluster) exists() bool {
	_, err := os.Stat(filepath.Join(c.dir, "PG_VERSION"))
	return err == nil
}

// major is the PostgreSQL version that made the cluster, or 0 if there is none yet.
func (c cluster) major() (int, error) {
	text, err := os.ReadFile(filepath.Join(c.dir, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the data folder's PostgreSQL version: %w", err)
	}

	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("reading the data folder's PostgreSQL version: %w", err)
	}
	return major, nil
}

// initialise makes the cluster if there is none. It is made in a folder beside its place and then renamed, so a process
// that is killed in between leaves nothing half done.
func (c cluster) initialise(ctx context.Context, folder, password string, temporary bool) error {
	c.removeWork(ctx, folder)
	if c.exists() {
		return nil
	}

	work, err := os.MkdirTemp(folder, workPrefix)
	if err != nil {
		return fmt.Errorf("making the cluster: %w", err)
	}

	err = c.initialiseIn(ctx, work, password, temporary)
	if removeErr := os.RemoveAll(work); err == nil && removeErr != nil {
		err = fmt.Errorf("removing what initdb worked in: %w", removeErr)
	}
	return err
}

func (c cluster) initialiseIn(ctx context.Context, work, password string, temporary bool) error {
	passwordFile := filepath.Join(work, "password") // a copy that the server's account may read
	if err := os.WriteFile(passwordFile, []byte(password+"\n"), 0o600); err != nil {
		return fmt.Errorf("making the cluster: %w", err)
	}
	if err := c.account.own(work, passwordFile); err != nil {
		return fmt.Errorf("giving the new cluster to its account: %w", err)
	}

	made := filepath.Join(work, clusterName)
	args := []string{
		"--pgdata=" + made, "--encoding=UTF8", "--username=" + superuser,
		"--auth=scram-sha-256", "--pwfile=" + passwordFile,
	}
	if temporary {
		args = append(args, "--no-sync")
	}

	if err := c.initdb(ctx, args); err != nil {
		return err
	}
	if err := os.Rename(made, c.dir); err != nil {
		return fmt.Errorf("moving the new cluster to its place: %w", err)
	}
	return nil
}

// initdb runs initdb with the locale C.UTF-8, whose order is that of code points on any machine, or with C (the same
// order; but upper and lower case know ASCII only) where the system has no C.UTF-8.
func (c cluster) initdb(ctx context.Context, args []string) error {
	out, err := c.output(ctx, "initdb", append(args, "--locale=C.UTF-8")...)
	if err != nil && strings.Contains(out, "locale") && ctx.Err() == nil {
		out, err = c.output(ctx, "initdb", append(args, "--locale=C")...)
	}
	if err != nil {
		return fmt.Errorf("running initdb: %w\n%s", err, lastLines(out))
	}
	return nil
}

func (c cluster) removeWork(ctx context.Context, folder string) {
	left, err := filepath.Glob(filepath.Join(folder, workPrefix+"*"))
	if err != nil {
		return // a folder with a bracket in its name keeps them; they are in nobody's way
	}

	for _, work := range left {
		if err := os.RemoveAll(work); err != nil {
			c.logger.WarnContext(ctx, "removing an unfinished cluster failed",
				slog.String("path", work), slog.Any("error", err))
		}
	}
}

// command prepares one of the binaries to run as the cluster's account, in its own process group (a Ctrl-C in the
// terminal reaches us alone, and we stop it in order), in a folder that the account can enter, and with nothing in its
// environment that would change what it does or the language it says it in. Run it with [spawn].
func (c cluster) command(ctx context.Context, tool string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.bin.path(tool), args...)
	cmd.Dir = filepath.Dir(c.dir)
	cmd.Env = environment(os.Environ())
	cmd.SysProcAttr = c.account.attributes()
	child.OwnGroup(cmd)
	cmd.Cancel = func() error { return killGroup(cmd.Process) }
	cmd.WaitDelay = 5 * time.Second // a grandchild that escaped the kill may hold the output pipe
	return cmd
}

// environment drops what steers libpq and the server (PG…) and the locale. TZ=UTC spares initdb the search for the
// name of the machine's time zone and gives each cluster the same one.
func environment(all []string) []string {
	var kept []string
	for _, entry := range all {
		name, _, _ := strings.Cut(entry, "=")
		locale := strings.HasPrefix(name, "LC_") || name == "LANG" || name == "LANGUAGE"
		if !strings.HasPrefix(name, "PG") && !locale && name != "TZ" {
			kept = append(kept, entry)
		}
	}
	return append(kept, "LC_ALL=C", "TZ=UTC")
}

// output runs one of the binaries to its end and returns what it printed, errors included.
func (c cluster) output(ctx context.Context, tool string, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := c.command(ctx, tool, args...)
	cmd.Stdout, cmd.Stderr = &out, &out

	p, err := spawn(cmd)
	if err != nil {
		return "", err
	}
	err = p.Wait()
	if err != nil && ctx.Err() != nil {
		return out.String(), context.Cause(ctx)
	}
	return out.String(), err
}

// checkReach makes sure that another account than ours can run the binaries and enter the data folder: it tries. Its
// error names the first folder that keeps the account out.
func (c cluster) checkReach(ctx context.Context) error {
	if c.account.ours() {
		return nil
	}

	target := filepath.Dir(c.dir)
	if c.enter(ctx, target) == nil {
		return nil
	}

	if err := c.enter(ctx, string(filepath.Separator)); err != nil {
		return fmt.Errorf("running the binaries in %s as user %s: %w", c.bin.dir, c.account.name, err)
	}
	for _, dir := range ancestors(target) {
		if err := c.enter(ctx, dir); err != nil {
			return fmt.Errorf("entering %s as user %s, who runs PostgreSQL for root: %w: "+
				"choose a folder that user %s can reach, for example --data-dir /var/lib/outhook",
				dir, c.account.name, err, c.account.name)
		}
	}
	return nil
}

// enter starts one of the binaries as the account with dir as its working folder, for which the account needs the right
// to traverse each folder above and dir itself.
func (c cluster) enter(ctx context.Context, dir string) error {
	cmd := c.command(ctx, "postgres", "--version")
	cmd.Dir = dir

	p, err := spawn(cmd)
	if err != nil {
		return errors.Unwrap(err) // the cause alone: exec's text would name the binary, not the folder
	}
	return p.Wait()
}

// ancestors are the folders from the root down to dir.
func ancestors(dir string) []string {
	if parent := filepath.Dir(dir); parent != dir {
		return append(ancestors(parent), dir)
	}
	return []string{dir}
}
