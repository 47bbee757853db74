package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs/reconcile"
	"github.com/outhook/outhook/jobs/rekey"
	"github.com/outhook/outhook/migrations"
)

// doctorConns: an inspection or a repair uses one connection at a time.
const doctorConns = 2

type doctorCmd struct {
	databaseFlags

	EncryptionKey string `env:"OUTHOOK_ENCRYPTION_KEY" secret:"" help:"The keys with commas, to compare them with what is stored. Without them that is not checked."`

	Production       bool     `help:"Check, before going into production, what a process with this environment would have: its login, rights and keys, the settings of Postgres, partitions, clock, pooler; exit 1 if a check fails."`
	OwnerDatabaseURL string   `env:"OUTHOOK_OWNER_DATABASE_URL" secret:"url" help:"With --production: as serve would get it."`
	APIKey           string   `name:"api-key" env:"OUTHOOK_API_KEY" secret:"" help:"With --production: as serve would get it."`
	Roles            []string `env:"OUTHOOK_ROLES" default:"api,worker" help:"With --production: as serve would get them."`

	Repair  bool          `help:"Repair first what can be repaired, then report what is left. Without it nothing is written."`
	JSON    bool          `name:"json" help:"Print one JSON object instead of a table."`
	Timeout time.Duration `name:"statement-timeout" aliases:"timeout" default:"30s" help:"How long one statement may take."`
}

// report is the answer of doctor --json.
type report struct {
	// OK is false if an invariant is violated.
	OK       bool      `json:"ok"`
	Checks   []finding `json:"checks"`
	Repaired []finding `json:"repaired,omitempty"`
}

// finding is a reconcile.Finding in JSON.
type finding struct {
	Check     string   `json:"check"`
	Violation bool     `json:"violation"`
	Count     int      `json:"count"`
	Examples  []string `json:"examples"`
}

// Run prints what holds and what does not; it exits 1 on a violation.
func (d doctorCmd) Run(c *command) error {
	if d.Production {
		return d.preflight(c)
	}

	keyring, err := d.keyring()
	if err != nil {
		return err
	}

	pool, err := openPool(c.ctx, d.DatabaseURL, "outhook doctor", doctorConns)
	if err != nil {
		return err
	}
	defer pool.Close()

	if err := migrations.Check(c.ctx, pool); err != nil {
		return err
	}
	var hidden *migrations.HiddenError
	if err := migrations.CheckRights(c.ctx, pool); errors.As(err, &hidden) {
		return err // nothing can be said of rows that can't be seen
	}

	r := report{OK: true}
	if d.Repair {
		if err := auditUpkeep(c.ctx, pool, "doctor-repair", map[string]any{}); err != nil {
			return err
		}
		repaired, err := reconcile.Repair(c.ctx, pool)
		if err != nil {
			return fmt.Errorf("repairing: %w", err)
		}
		r.Repaired = repairs(repaired)
	}

	found, err := d.inspect(c.ctx, pool, keyring)
	if err != nil {
		return err
	}
	for _, f := range found {
		r.Checks = append(r.Checks, finding(f))
		r.OK = r.OK && (f.Count == 0 || !f.Violation)
	}

	if err := d.print(c, r); err != nil {
		return err
	}
	if !r.OK {
		return exitError(1)
	}
	return nil
}

// inspect returns what there is to find, and what was looked for in vain.
func (d doctorCmd) inspect(
	ctx context.Context, pool *pgxpool.Pool, keyring *signature.Keyring,
) ([]reconcile.Finding, error) {
	found, err := reconcile.Inspect(ctx, pool, d.Timeout)
	if err != nil {
		return nil, fmt.Errorf("inspecting the database: %w", err)
	}
	workers, err := reconcile.InspectWorkers(ctx, pool, d.Timeout)
	if err != nil {
		return nil, fmt.Errorf("inspecting who works: %w", err)
	}

	rights, err := inspectRights(ctx, pool)
	if err != nil {
		return nil, err
	}
	keys, err := inspectKeys(ctx, pool, keyring)
	return slices.Concat(found, workers, rights, keys), err
}

// keyring reads the encryption keys, nil if there are none.
func (d doctorCmd) keyring() (*signature.Keyring, error) {
	if d.EncryptionKey == "" {
		return nil, nil //nolint:nilnil // there is nothing to compare then
	}
	keyring, err := signature.ParseKeyring(d.EncryptionKey)
	if err != nil {
		return nil, usageError{fmt.Errorf("OUTHOOK_ENCRYPTION_KEY: %w", err)}
	}
	return keyring, nil
}

// inspectRights compares owners and rights with what is declared. Mending them is for `outhook migrate up`, as the
// owner.
func inspectRights(ctx context.Context, pool *pgxpool.Pool) ([]reconcile.Finding, error) {
	wrong, others, err := migrations.Differences(ctx, pool)
	if err != nil {
		return nil, err
	}
	list := func(check string, violation bool, lines []string) reconcile.Finding {
		return reconcile.Finding{
			Check: check, Violation: violation, Count: len(lines), Examples: append([]string{}, lines[:min(len(lines), 5)]...),
		}
	}
	return []reconcile.Finding{list("owners_and_rights", true, wrong), list("rights_of_others", false, others)}, nil
}

// inspectKeys compares the encryption keys with what is stored. Without keys there is nothing to compare.
func inspectKeys(ctx context.Context, pool *pgxpool.Pool, keyring *signature.Keyring) ([]reconcile.Finding, error) {
	if keyring == nil {
		return nil, nil
	}
	missing, err := rekey.Missing(ctx, pool, keyring)
	if err != nil {
		return nil, err
	}

	found := reconcile.Finding{
		Check: "missing_encryption_keys", Violation: true, Count: len(missing), Examples: []string{},
	}
	for _, key := range missing[:min(len(missing), 5)] {
		found.Examples = append(found.Examples, key.String())
	}
	return []reconcile.Finding{found}, nil
}

// verdicts are what is said of what is found and violates nothing.
func verdicts(check string) string {
	switch check {
	case "rights_of_others":
		return "fine, if somebody has meant it"
	case "locks_of_a_report":
		return "no room for two reports over all days"

	case "paused_queues":
		return "nothing of them is worked until River UI's Resume"
	case "paused":
		return "waits until `outhook resume`"
	case "vacuum_held_back":
		return "dead rows stay until it ends"
	}
	return "fine: River UI's Retry waits for its turn"
}

// repairs leaves out what a repair found in order, and what it only reports.
func repairs(found []reconcile.Finding) []finding {
	var list []finding
	for _, f := range found {
		if f.Violation && f.Count > 0 {
			list = append(list, finding(f))
		}
	}
	return list
}

func (d doctorCmd) print(c *command, r report) error {
	if d.JSON {
		encoder := json.NewEncoder(c.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}

	for _, f := range r.Repaired {
		c.printf("repaired %d of %s\n", f.Count, f.Check)
	}

	c.printf("%-30s  %9s  %s\n", "CHECK", "COUNT", "")
	for _, f := range r.Checks {
		verdict := "ok"
		switch {
		case f.Count > 0 && f.Violation:
			verdict = "VIOLATED"
		case f.Count > 0:
			verdict = verdicts(f.Check)
		}

		c.printf("%-30s  %9d  %s\n", f.Check, f.Count, verdict)
		for _, example := range f.Examples {
			c.printf("    %s\n", example)
		}
	}

	if d.EncryptionKey == "" {
		c.printf("OUTHOOK_ENCRYPTION_KEY is not set: whether it opens what is stored was not checked\n")
	}
	return nil
}
