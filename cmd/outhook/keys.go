package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/apikey"
)

// keysPage is how many keys are read at a time.
const keysPage = 1000

type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Create a key and print it; it is not shown again."`
	List   keysListCmd   `cmd:"" help:"List the keys, without the keys themselves."`
	Revoke keysRevokeCmd `cmd:"" help:"Revoke a key; it stops working at once."`
}

type keysCreateCmd struct {
	databaseFlags

	Name      string        `arg:"" help:"What the key is for; it stands in the audit trail."`
	Scope     string        `required:"" enum:"admin,tenant,operate,publish,read" help:"admin (everything), tenant (everything with the objects of its --tenant), operate (replay, recover, pause, test, read), publish (only enqueue) or read (only read)."`
	Tenant    string        `help:"The tenant that the key is bound to: required with the scope tenant, possible with operate, publish and read."`
	ExpiresIn time.Duration `help:"After how long it is refused, like 2160h. Absent: never."`
}

// Run creates a key. The key goes to stdout alone, so that a script can take it.
func (k keysCreateCmd) Run(c *command) error {
	spec := apikey.Spec{Name: k.Name, Scope: k.Scope, TenantID: k.Tenant}
	if k.ExpiresIn != 0 {
		at := time.Now().Add(k.ExpiresIn)
		spec.ExpiresAt = &at
	}

	if field, problem := spec.Validate(time.Now()); problem != "" {
		flags := strings.NewReplacer("tenant_id", "--tenant", "expires_at", "--expires-in", "scope", "--scope")
		return fmt.Errorf("%s %s", flags.Replace(field), problem)
	}

	return k.with(c, func(pool *pgxpool.Pool) error {
		key, hash := apikey.New()

		var row db.APIKey
		err := pgx.BeginFunc(c.ctx, pool, func(tx pgx.Tx) (err error) {
			if row, err = db.New().InsertAPIKey(c.ctx, tx, spec.Params(hash)); err != nil {
				return fmt.Errorf("storing the key: %w", err)
			}
			return auditKey(c.ctx, tx, "create-key", row, spec.Detail())
		})
		if err != nil {
			return err
		}

		_, _ = fmt.Fprintf(c.stderr, "created key %s; keep it, it is not shown again:\n", row.ID)
		c.printf("%s\n", key)
		return nil
	})
}

type keysListCmd struct{ databaseFlags }

// Run lists the keys, oldest first.
func (k keysListCmd) Run(c *command) error {
	return k.with(c, func(pool *pgxpool.Pool) error {
		const row = "%-36s  %-7s  %-16s  %-20s  %-20s  %-20s  %-20s  %s\n"
		c.printf(row, "ID", "SCOPE", "TENANT", "CREATED", "EXPIRES", "LAST USED", "REVOKED", "NAME")

		var cursor *uuid.UUID
		for {
			keys, err := db.New().ListAPIKeys(c.ctx, pool, db.ListAPIKeysParams{
				Cursor: cursor, Ascending: true, MaxRows: keysPage,
			})
			if err != nil {
				return fmt.Errorf("listing keys: %w", err)
			}

			for _, key := range keys {
				tenant := "-"
				if key.TenantID != nil {
					tenant = *key.TenantID
				}
				c.printf(row, key.ID, key.Scope, printable(tenant), utc(key.CreatedAt), timeOrDash(key.ExpiresAt),
					timeOrDash(key.LastUsedAt), timeOrDash(key.RevokedAt), printable(key.Name))
			}

			if len(keys) < keysPage {
				return nil
			}
			cursor = &keys[len(keys)-1].ID
		}
	})
}

type keysRevokeCmd struct {
	databaseFlags

	ID string `arg:"" help:"The key's id, as keys list shows it."`
}

// Run revokes a key.
func (k keysRevokeCmd) Run(c *command) error {
	id, err := uuid.Parse(k.ID)
	if err != nil {
		return errors.New("the id must be a UUID, as `outhook keys list` shows it")
	}

	return k.with(c, func(pool *pgxpool.Pool) error {
		err := pgx.BeginFunc(c.ctx, pool, func(tx pgx.Tx) error {
			row, err := db.New().RevokeAPIKey(c.ctx, tx, id)
			if err != nil {
				return err
			}
			if err := db.New().DeleteAnswersOfKey(c.ctx, tx, id); err != nil {
				return err
			}
			return auditKey(c.ctx, tx, "revoke-key", row, map[string]any{"name": row.Name})
		})

		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return fmt.Errorf("there is no live key %s", id)
		case err != nil:
			return fmt.Errorf("revoking key %s: %w", id, err)
		}

		c.printf("revoked %s\n", id)
		return nil
	})
}

// auditKey writes what this command has done with a key, in the transaction of the change.
func auditKey(ctx context.Context, tx pgx.Tx, action string, row db.APIKey, detail map[string]any) error {
	p := db.InsertAuditEntryParams{Action: action, TenantID: row.TenantID, ObjectType: "key", ObjectID: row.ID.String()}
	return auditCommand(ctx, tx, p, detail)
}
