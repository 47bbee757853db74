package main

import (
	"fmt"
	"io"

	"github.com/alecthomas/kong"

	"github.com/outhook/outhook/cmd/outhook/internal/server"
)

// cli is every command, flag and environment variable. A flag wins over its variable.
type cli struct {
	Dev        devCmd        `cmd:"" help:"Run everything for development: embedded Postgres, API, workers, the console, River UI."`
	Serve      serveCmd      `cmd:"" help:"Run the API, the workers or both on a database of yours."`
	Migrate    migrateCmd    `cmd:"" help:"Create, change or inspect the database schema."`
	Psql       psqlCmd       `cmd:"" help:"Open the database with psql: that of a running dev, unless another is given."`
	Keys       keysCmd       `cmd:"" help:"Create, list and revoke API keys."`
	Bench      benchCmd      `cmd:"" help:"Measure Outhook on this machine, or a running server, against bare River and Postgres."`
	Listen     listenCmd     `cmd:"" help:"Receive webhooks locally, verify their signatures and print them."`
	Partitions partitionsCmd `cmd:"" help:"Show the days of the log: sizes, ages, what exists ahead and what is due."`
	Secrets    secretsCmd    `cmd:"" help:"Encrypt stored secrets with another key."`
	Doctor     doctorCmd     `cmd:"" help:"Check that nothing is stuck or inconsistent; exit 1 if something is."`
	Health     healthCmd     `cmd:"" help:"Ask a running server whether it is ready; exit 1 if it is not."`
	Version    versionCmd    `cmd:"" help:"Print the version."`

	Endpoints  endpointsCmd  `cmd:"" group:"api" help:"Create, list, show, change, test and delete endpoints."`
	Tenants    tenantsCmd    `cmd:"" group:"api" help:"Note, list and show names, contacts and data of tenants."`
	Catalog    catalogCmd    `cmd:"" group:"api" help:"Push, pull, list and show what events there are, with their schemas."`
	Trigger    triggerCmd    `cmd:"" group:"api" help:"Send an event that is an example of the catalogue."`
	Apply      applyCmd      `cmd:"" group:"api" help:"Create, change or leave the endpoints of a YAML file as it says."`
	Import     importCmd     `cmd:"" group:"api" help:"Copy what you have elsewhere."`
	Events     eventsCmd     `cmd:"" group:"api" help:"Send, list and show events."`
	Deliveries deliveriesCmd `cmd:"" group:"api" help:"List, show, replay and cancel deliveries."`
	Attempts   attemptsCmd   `cmd:"" group:"api" help:"List the attempts of an event."`
	Tail       tailCmd       `cmd:"" group:"api" help:"Print attempts as they happen."`
	Stats      statsCmd      `cmd:"" group:"api" help:"Count events, deliveries, attempts and latencies of the last minutes, and what waits."`
	Usage      usageCmd      `cmd:"" group:"api" help:"Print what tenants have used, for bills."`
	Why        whyCmd        `cmd:"" group:"api" help:"Say why an event's deliveries are where they are, and why endpoints have none."`
	Find       findCmd       `cmd:"" group:"api" help:"Find what a text is a name of: an id, a host, a key, a tenant."`
	Console    consoleCmd    `cmd:"" group:"api" help:"Print a link that opens the console once, logged in as the key."`
	Portal     portalCmd     `cmd:"" group:"api" help:"Print a link that opens a tenant's portal once, or end its sessions."`
	Workers    workersCmd    `cmd:"" group:"api" help:"Show who works, what waits, and which queues a person has paused."`
	Pause      pauseCmd      `cmd:"" group:"api" help:"Pause all deliveries, or a tenant's, for maintenance; nothing is lost."`
	Resume     resumeCmd     `cmd:"" group:"api" help:"End a pause: everything goes on."`
	Paused     pausedCmd     `cmd:"" group:"api" help:"List what is paused, since when, by whom and why."`
	Replay     replayCmd     `cmd:"" group:"api" help:"Deliver again: new attempts with the whole retry schedule."`
	Recover    recoverCmd    `cmd:"" group:"api" help:"Deliver again all that an endpoint missed, in the background, and show how far that is."`
	Operations operationsCmd `cmd:"" group:"api" help:"List, show, pause, resume and cancel what replays in the background."`
	Audit      auditCmd      `cmd:"" group:"api" help:"List who did what."`
	Erasures   erasuresCmd   `cmd:"" group:"api" help:"Erase what a tenant has, and show how far that is."`

	Config     configCmd     `cmd:"" help:"Print the effective configuration, without secrets, and check it; exit 2 if serve would refuse it."`
	Completion completionCmd `cmd:"" help:"Print the script that completes commands in bash, zsh or fish."`

	Complete   completeCmd   `cmd:"" hidden:""`
	BenchChild benchChildCmd `cmd:"" hidden:""`
}

// newParser returns the parser of the command line. Its output goes to the writers; at --help it panics with an
// exitError.
func newParser(stdout, stderr io.Writer, dataDir string) (*kong.Kong, error) {
	vars := defaults(server.DefaultConfig())
	vars["data_dir"], vars["dev_wait"] = dataDir, short(devWait)

	parser, err := kong.New(&cli{}, kong.Name("outhook"),
		kong.Description("Webhook delivery that needs Postgres and nothing else.\n\n"+exitCodes),
		kong.ExplicitGroups([]kong.Group{
			{Key: "api", Title: "Daily work, against the API at OUTHOOK_URL with OUTHOOK_API_KEY:"},
		}),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.Writers(stdout, stderr), kong.ShortUsageOnError(), kong.Resolvers(kong.ResolverFunc(files)),
		kong.Exit(func(code int) { panic(exitError(code)) }), vars)
	if err != nil {
		return nil, fmt.Errorf("reading the command line: %w", err)
	}
	return parser, nil
}

// parse returns the command that the arguments and the environment name.
func parse(args []string, stdout, stderr io.Writer) (kctx *kong.Context, err error) {
	// kong ends the process after --help; a panic and recover gives that back to the caller.
	defer func() {
		if v := recover(); v != nil {
			code, ok := v.(exitError)
			if !ok {
				panic(v)
			}
			err = code
		}
	}()

	parser, err := newParser(stdout, stderr, defaultDataDir())
	if err != nil {
		return nil, err
	}

	kctx, err = parser.Parse(args)
	if err != nil {
		if gone := removedFlag(args); gone != nil {
			return nil, usageError{gone}
		}
		return nil, usageError{fmt.Errorf("%w (outhook --help)", err)}
	}
	return kctx, nil
}
