package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/cmd/outhook/internal/server"
	"github.com/outhook/outhook/internal/localpg"
)

// databaseFlags say where the database is.
type databaseFlags struct {
	DatabaseURL string `env:"OUTHOOK_DATABASE_URL" secret:"url" help:"postgres://user:password@host:port/database. A direct connection, or a pooler in session mode."`
}

// errNoDatabase is the error of every command that needs a database and was given none.
var errNoDatabase = errors.New("no database: set OUTHOOK_DATABASE_URL (or --database-url), " +
	"or use `outhook dev`, which brings its own")

// databaseURLFile is in dev's data folder while its embedded database runs, and holds that one's URL.
const databaseURLFile = "database-url"

// runningDev returns the URL of the database of an `outhook dev` that runs on this machine, "" if none does.
func runningDev() string {
	dir := cmp.Or(os.Getenv("OUTHOOK_DATA_DIR"), defaultDataDir())
	text, err := os.ReadFile(filepath.Join(dir, databaseURLFile)) //nolint:gosec // a fixed name in the user's own folder
	if err != nil {
		return ""
	}

	return strings.TrimSpace(string(text))
}

// defaultDataDir returns a folder that survives reboots. Root's home can't be traversed by the user that the database
// runs as, so root gets a folder elsewhere.
func defaultDataDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/outhook-dev"
	}

	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "outhook-dev")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "share", "outhook-dev")
	}

	return filepath.Join(os.TempDir(), fmt.Sprintf("outhook-dev-%d", os.Geteuid()))
}

// openPool opens a pool for a command that works on the database itself: without a URL on that of a running dev.
func openPool(ctx context.Context, url, name string, maxConns int32) (*pgxpool.Pool, error) {
	pool, err := server.OpenPool(ctx, cmp.Or(url, runningDev()), name, maxConns)
	return pool, named(err)
}

type psqlCmd struct {
	databaseFlags

	Args []string `arg:"" optional:"" passthrough:"" help:"What psql is to be called with, like -c 'SELECT 1'."`
}

// Run runs psql on the database. The password goes by the environment, which other users can't see.
func (p psqlCmd) Run(c *command) error {
	address := cmp.Or(p.DatabaseURL, runningDev())
	if address == "" {
		return errNoDatabase
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "" { // another form would show its password among the arguments
		return errDatabaseURL
	}
	path, err := findPSQL()
	if err != nil {
		return err
	}

	env := os.Environ()
	if password, ok := u.User.Password(); ok {
		env = append(env, "PGPASSWORD="+password)
		u.User = url.User(u.User.Username())
	}
	args := p.Args
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	//nolint:gosec // the user asks for psql, with what follows
	cmd := exec.CommandContext(c.ctx, path, append([]string{u.String()}, args...)...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, os.Stdin, c.stdout, c.stderr

	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exitError(exit.ExitCode())
	} else if err != nil {
		return fmt.Errorf("running psql: %w", err)
	}
	return nil
}

// findPSQL looks on the path, and beside the server's binaries.
func findPSQL() (string, error) {
	if path, err := exec.LookPath("psql"); err == nil {
		return path, nil
	}
	if dir, err := localpg.FindBinaries(); err == nil {
		if path := filepath.Join(dir, "psql"); executable(path) {
			return path, nil
		}
	}
	return "", errors.New("no psql on this machine: install PostgreSQL's client, or give your own client the URL")
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
