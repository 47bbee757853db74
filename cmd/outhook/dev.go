package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/outhook/outhook/cmd/outhook/internal/server"
	"github.com/outhook/outhook/internal/apikey"
	"github.com/outhook/outhook/internal/localpg"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/migrations"
)

// devEgress is what dev lets endpoints resolve to unless OUTHOOK_EGRESS_ALLOW is set.
const devEgress = "127.0.0.0/8,::1/128"

type devCmd struct {
	databaseFlags
	serverFlags

	Listen    string `env:"OUTHOOK_LISTEN" default:"127.0.0.1:8080" help:"The address to listen on."`
	DataDir   string `env:"OUTHOOK_DATA_DIR" default:"${data_dir}" type:"path" help:"The folder that holds the embedded database and the generated keys; it survives restarts."`
	Reset     bool   `help:"Remove the embedded database of the data folder first, with all that is in it. The keys stay."`
	Ephemeral bool   `help:"Keep nothing: a database and keys that are gone when dev ends. Other commands need its URL."`
	Wait      bool   `help:"Start nothing: wait until the dev of the data folder serves, ${dev_wait} at most, and print the variables of its API and its database as a shell's exports."`
	Demo      bool   `help:"Be a world to click through: three tenants with endpoints in every condition, received by dev itself, and events that go on until it ends."`
}

// Run starts the embedded Postgres (unless a database is given), migrates and serves until ctx ends.
// A terminal that is closed is Ctrl-C.
func (d *devCmd) Run(c *command) error {
	var stop func()
	c.ctx, stop = signal.NotifyContext(c.ctx, syscall.SIGHUP)
	defer stop()

	if err := d.checkDatabase(); err != nil {
		return err
	}
	if d.Wait {
		return tellDev(c.ctx, c.stdout, d.DataDir, devWait)
	}

	if d.Ephemeral {
		dir, err := os.MkdirTemp("", "outhook-dev-")
		if err != nil {
			return fmt.Errorf("making a temporary folder: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }() // below the folder of temporary files
		d.DataDir = dir
	}

	//nolint:gosec // the database's user must be able to traverse it; what is in it is not readable
	if err := os.MkdirAll(d.DataDir, 0o755); err != nil {
		return fmt.Errorf("making the data folder: %w (choose another with --data-dir)", err)
	}

	url, stopDatabase, err := d.database(c)
	if err != nil {
		return err
	}

	err = d.serve(c, url)
	return errors.Join(err, stopDatabase())
}

// checkDatabase refuses what a database of the user's, or one that runs, can't be told to do.
func (d *devCmd) checkDatabase() error {
	if d.Wait && (d.Reset || d.Ephemeral || d.Demo) {
		return usageError{errors.New("--wait starts nothing: " +
			"--reset, --ephemeral and --demo are for the dev that it waits for")}
	}
	if d.DatabaseURL != "" && (d.Reset || d.Ephemeral) {
		return usageError{errors.New("--reset and --ephemeral are about the embedded database: leave out " +
			"--database-url, " +
			"and unset OUTHOOK_DATABASE_URL")}
	}
	return nil
}

func (d *devCmd) check() error {
	if err := d.checkDatabase(); err != nil {
		return err
	}

	flags := d.serverFlags
	if flags.EncryptionKey == "" {
		flags.EncryptionKey = signature.NewKey() // as dev does
	}

	flags.EgressPorts = cmp.Or(flags.EgressPorts, "any")
	_, err := flags.config(slog.New(slog.DiscardHandler))
	return err
}

// database returns the URL of the user's database or of the embedded one, and what stops the latter.
func (d *devCmd) database(c *command) (url string, stop func() error, err error) {
	if d.DatabaseURL != "" {
		return d.DatabaseURL, func() error { return nil }, nil
	}

	cfg := localpg.Config{DataDir: d.DataDir, Reset: d.Reset}
	if d.Ephemeral {
		cfg = localpg.Config{}
	}
	c.printf("starting the embedded Postgres in %s\n", cmp.Or(cfg.DataDir, "a temporary folder"))
	pg, err := localpg.Start(c.ctx, cfg)
	if err != nil {
		return "", nil, fmt.Errorf("starting the embedded Postgres: %w", err)
	}

	// Other commands find the database by this file while it is there, and so do scripts.
	url, file := pg.URL("outhook"), filepath.Join(d.DataDir, databaseURLFile)
	stop = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		return errors.Join(pg.Stop(ctx), os.Remove(file))
	}
	if err := os.WriteFile(file, []byte(url+"\n"), 0o600); err != nil {
		return "", nil, errors.Join(fmt.Errorf("writing %s: %w", databaseURLFile, err), stop())
	}
	return url, stop, nil
}

func (d *devCmd) serve(c *command, url string) error {
	if err := migrateUp(c.ctx, url); err != nil {
		return err
	}

	listenSecret, err := d.keys()
	if err != nil {
		return err
	}

	egressDefault := d.EgressAllow == ""
	if egressDefault {
		d.EgressAllow = devEgress
	}
	if d.EgressPorts == "" {
		d.EgressPorts = "any"
	}

	if d.Demo && d.LogLevel == slog.LevelInfo {
		d.LogLevel = slog.LevelWarn // its failures are meant, and their lines would push the link away
	}
	logger, _ := d.logger(c.stderr, "text")
	cfg, err := d.config(logger)
	if err != nil {
		return err
	}

	cfg.Database.URL, cfg.Listen = url, d.Listen

	ctx, stop := context.WithCancel(c.ctx) // the demo's: it ends with the server, whatever that ends by
	defer stop()
	stopped := make(chan struct{})
	var demo sync.WaitGroup
	gone := func() {}
	defer func() { gone() }()

	err = serve(c.ctx, cfg, func(_ *server.Server, addr net.Addr) {
		address := devAddress{URL: "http://" + addr.String(), APIKey: d.APIKey}
		if d.DatabaseURL == "" {
			address.DatabaseURL = url
		}
		gone = d.keepAddress(c, address)

		d.welcome(c, address, egressDefault)
		if d.Demo {
			demo.Go(func() { d.demo(ctx, c, address, demoRun{database: url, secret: listenSecret, stopped: stopped}) })
			return
		}
		tellToTry(c, address, listenSecret)
	})

	stop()
	close(stopped)
	demo.Wait()
	return err
}

// migrateUp makes a database's schema that of this version.
func migrateUp(ctx context.Context, url string) error {
	pool, err := openPool(ctx, url, "outhook migrate", migrateConns)
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = migrations.Up(ctx, pool)
	return err
}

// keepAddress lets dev --wait find this one, until gone.
func (d *devCmd) keepAddress(c *command, address devAddress) (gone func()) {
	gone, err := address.keepIn(d.DataDir)
	if err != nil {
		_, _ = fmt.Fprintln(c.stderr, "outhook: dev --wait will not find this one:", err)
		return func() {}
	}
	return gone
}

// keys sets the keys that were not given to those in the data folder, which it makes on the first run, and returns the
// secret that the printed commands use.
func (d *devCmd) keys() (listenSecret string, err error) {
	if d.APIKey == "" {
		if d.APIKey, err = d.keep("api-key", func() string { key, _ := apikey.New(); return key }); err != nil {
			return "", err
		}
	}

	if d.EncryptionKey == "" {
		if d.EncryptionKey, err = d.keep("encryption-key", signature.NewKey); err != nil {
			return "", err
		}
	}

	return d.keep("listen-secret", func() string { return signature.NewSecret().Reveal() })
}

// keep returns the content of a file in the data folder, which only its owner can read, and writes it first if it is
// missing.
func (d *devCmd) keep(name string, generate func() string) (string, error) {
	path := filepath.Join(d.DataDir, name)
	data, err := os.ReadFile(path) //nolint:gosec // a fixed name in the user's own folder
	if err == nil {
		if value := strings.TrimSpace(string(data)); value != "" {
			return value, nil
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("reading %s: %w", name, err)
	}

	value := generate()
	if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keeping %s: %w", name, err)
	}

	return value, nil
}

// devLinkLife is for how long the link that dev prints opens the console: who sees this terminal may use the machine.
const devLinkLife = 12 * time.Hour

// consoleLink returns a link that opens the console once, logged in; if none can be made, one that asks for the key.
func (d *devCmd) consoleLink(c *command, base string) string {
	api, err := apiFlags{URL: base, APIKey: d.APIKey, Timeout: 10 * time.Second}.client()
	if err != nil {
		return base + "/console"
	}
	code, err := newCode(c, api, devLinkLife)
	if err != nil {
		return base + "/console"
	}
	return consoleLink(base, code.Code) + "  (opens it once, logged in; then /console takes the key)"
}

// welcome says where everything is. The demo ends with the console's link itself.
func (d *devCmd) welcome(c *command, address devAddress, egressDefault bool) {
	if d.Console && !d.Demo {
		c.printf("\nConsole    %s\n", d.consoleLink(c, address.URL))
	}
	c.printf(`
API        %[1]s/api  (docs: %[1]s/docs)
API key    %[2]s
River UI   %[1]s/riverui/  (any user, the API key as password)
`, address.URL, address.APIKey)

	publishes := ""
	if address.DatabaseURL != "" {
		c.printf("Database   %s\n", address.DatabaseURL)
		publishes = "your application, which publishes into that database, and for "
	}

	script := ` (in a script: eval "$(outhook dev --wait)")`
	if d.Ephemeral {
		script = ""
	}
	c.printf("\nFor %sthe commands of outhook%s:\n\n%s\n", publishes, script, address.exports("  "))

	if egressDefault {
		c.printf("Endpoints may be on this machine (%s), because this is dev. serve allows public addresses only.\n",
			devEgress)
	}
}

// tellToTry says how to see a first delivery.
func tellToTry(c *command, address devAddress, listenSecret string) {
	c.printf(`
In a second terminal, receive:

  go run ./cmd/outhook listen --secret %[3]s

In a third, create an endpoint and send it an event (or with outhook endpoints create, outhook events send, after
the exports):

  curl -sS %[1]s/api/endpoints -H 'Authorization: Bearer %[2]s' -H 'Content-Type: application/json' \
    -d '{"tenant_id": "acme", "url": "http://%[4]s/", "secret": "%[3]s"}' &&
  curl -sS %[1]s/api/events -H 'Authorization: Bearer %[2]s' -H 'Content-Type: application/json' \
    -d '{"tenant_id": "acme", "type": "invoice.paid", "payload": {"amount": 4200}}'

Ctrl-C stops everything.
`, address.URL, address.APIKey, listenSecret, defaultListenAddress)
}
