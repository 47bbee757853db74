package main

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/migrations"
)

type migrateCmd struct {
	Up     migrateUpCmd     `cmd:"" help:"Apply what is missing. Any number of replicas may run it at once."`
	Down   migrateDownCmd   `cmd:"" help:"Roll back; this deletes data."`
	Status migrateStatusCmd `cmd:"" help:"List the versions and which are applied, and whether functions, views and rights are as declared."`
}

type migrateUpCmd struct {
	databaseFlags

	DryRun bool `help:"Print the SQL that would run, and change nothing."`
	Strict bool `help:"Exit 1 if something is left for somebody with more rights, like the group roles if this user has no CREATEROLE. It is printed in any case."`
}

// Run applies every pending version, and makes hold what is declared: functions, views, owners, rights.
func (m migrateUpCmd) Run(c *command) error {
	return m.with(c, func(pool *pgxpool.Pool) error {
		if m.DryRun {
			list, err := migrations.Plan(c.ctx, pool)
			for _, sql := range list {
				c.printf("%s;\n\n", strings.TrimSuffix(sql, ";"))
			}
			return err
		}

		r, err := migrations.Up(c.ctx, pool)
		if err != nil {
			return err
		}
		version, err := migrations.Version(c.ctx, pool)
		if err != nil {
			return err
		}
		c.printf("the schema is at version %d\n", version)
		switch {
		case version > migrations.Latest():
			c.printf("that is newer than this binary's %d: nothing was changed\n", migrations.Latest())
		case len(r.Changes) > 0:
			c.printf("%d functions, views and rights were not as declared, and are now\n", len(r.Changes))
		}

		if len(r.ByHand) == 0 {
			return nil
		}
		c.printf("LEFT OUT: this user may not do the following. " +
			"Run it as somebody who may, then `outhook migrate up` once more:\n")
		for _, sql := range r.ByHand {
			c.printf("    %s\n", sql)
		}
		if m.Strict {
			return exitError(1)
		}
		return nil
	})
}

type migrateDownCmd struct {
	databaseFlags

	To  int64 `default:"-1" help:"Roll back everything above this version; 0 removes Outhook. Default: one step."`
	Yes bool  `help:"Really do it: events, deliveries and attempts are deleted with their tables."`
}

// Run rolls back.
func (m migrateDownCmd) Run(c *command) error {
	if !m.Yes {
		return errors.New("rolling back deletes data: say --yes if that is what you want")
	}

	return m.with(c, func(pool *pgxpool.Pool) error {
		current, err := migrations.Version(c.ctx, pool)
		if err != nil {
			return err
		}

		to := m.To
		if to < 0 {
			to = max(current-1, 0)
		}
		if err := migrations.DownTo(c.ctx, pool, to); err != nil {
			return err
		}

		if current, err = migrations.Version(c.ctx, pool); err != nil {
			return err
		}
		c.printf("the schema is at version %d\n", current)
		return nil
	})
}

type migrateStatusCmd struct{ databaseFlags }

// Run lists the versions and tells whether what is declared holds; it exits 1 if something is missing.
func (m migrateStatusCmd) Run(c *command) error {
	return m.with(c, func(pool *pgxpool.Pool) error {
		list, err := migrations.List(c.ctx, pool)
		if err != nil {
			return err
		}

		var missing bool
		for _, s := range list {
			state := "applied"
			if !s.Applied {
				state, missing = "missing", true
			}
			c.printf("%-8s %s\n", state, s.Name)
		}

		if !missing {
			changes, err := migrations.Undeclared(c.ctx, pool)
			if err != nil {
				return err
			}
			missing = len(changes) > 0
			state := "applied"
			if missing {
				state = "missing"
			}
			c.printf("%-8s functions, views and rights (migrations/declared)\n", state)
			for _, sql := range changes {
				line, _, _ := strings.Cut(sql, "\n")
				c.printf("%8s %s\n", "", line)
			}
		}

		if missing {
			return exitError(1)
		}
		return nil
	})
}

// migrateConns: goose holds one connection for its lock, River's migrator and the running step need their own.
const migrateConns = 4

func (f databaseFlags) with(c *command, do func(*pgxpool.Pool) error) error {
	pool, err := openPool(c.ctx, f.DatabaseURL, "outhook migrate", migrateConns)
	if err != nil {
		return err
	}
	defer pool.Close()
	return do(pool)
}
